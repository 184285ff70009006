"""What the operator of a collection decides. The consent texts are made from these values, so they cannot disagree."""

from __future__ import annotations

from pydantic import Field

from agora.core.config import Config
from agora.rooms.collect.explore.settings import ExploreSettings
from agora.rooms.collect.guard.settings import AbuseSettings, BudgetSettings
from agora.rooms.collect.moderate.settings import ModerateSettings
from agora.rooms.collect.release.settings import ReleaseSettings
from agora.site.settings import SiteSettings

# a character beyond the basic plane is %F0%9F%98%80 in a form and \ud83d\ude00 in JSON
_CHAR_BYTES = 12
_FIELDS_BYTES = 8 * 1024  # everything in a body that is not the message
_LEAST_BODY = 64 * 1024


class ChatLimits(Config):
    """How much one person, one address and one conversation may ask for."""

    messages_per_minute: int = Field(default=20, ge=1)
    messages_per_day: int = Field(default=200, ge=1)
    address_per_minute: int = Field(default=60, ge=1)
    streams: int = Field(default=2, ge=1)
    rounds: int = Field(default=50, ge=1)
    chars: int = Field(default=12_000, ge=1)
    receipt_tries_per_minute: int = Field(default=5, ge=1)


class CollectSettings(Config):
    """Settings of the collection room.

    Args:
        model: engine URI of the model people talk to.
        system_prompt: put before every conversation; empty for none.
        provider: who runs the model, named in the consent text.
        license: of the releases, named in the consent text.
        consent_version: to be changed whenever a word of the texts changes; everyone is asked again.
        minimum_age: in years.
        allow_unpublished: whether people who decline publication may chat.
        retention_unpublished_h: hours such conversations are kept.
        quarantine_days: days between a last message and its first possible release.
        backup_days: days after which backups are purged.
        max_tokens: longest reply, in tokens.
        seed: makes the replies of a model in this process a function of the conversation; None samples anew each time.
        context_tokens: what the model can hold, prompt and reply together; a longer history loses its oldest rounds. 0
            sends all of it.
        enrich: kinds of annotation that the running service makes of new messages; empty for none.
        geo: a geography database (.mmdb), or a folder of them; empty for no places.
        geo_most_specific: name the smallest subdivision and not the largest.
    """

    model: str = "microcosm:chat"
    system_prompt: str = ""
    provider: str = "the operator of this service"
    license: str = "ODC-BY 1.0"
    consent_version: str = "2"
    minimum_age: int = Field(default=18, ge=13)
    allow_unpublished: bool = False
    retention_unpublished_h: int = Field(default=24, ge=1)
    quarantine_days: int = Field(default=7, ge=0)
    backup_days: int = Field(default=30, ge=1)
    max_tokens: int = Field(default=1024, ge=1)
    seed: int | None = None
    context_tokens: int = Field(default=0, ge=0)
    enrich: tuple[str, ...] = ("lang", "pii", "secret", "tox")
    geo: str = ""
    geo_most_specific: bool = False
    limits: ChatLimits = ChatLimits()
    moderate: ModerateSettings = ModerateSettings()
    explore: ExploreSettings = ExploreSettings()
    budget: BudgetSettings = BudgetSettings()
    abuse: AbuseSettings = AbuseSettings()


class ServeSettings(Config):
    """All that ``agora serve`` can be told, section by section."""

    site: SiteSettings = SiteSettings()
    collect: CollectSettings = CollectSettings()
    release: ReleaseSettings = ReleaseSettings()

    @property
    def max_body_bytes(self) -> int:
        """The largest request body: the operator's own bound, or one that lets the longest message through."""
        if self.site.max_body_kib is not None:
            return self.site.max_body_kib * 1024
        return max(_LEAST_BODY, self.collect.limits.chars * _CHAR_BYTES + _FIELDS_BYTES)
