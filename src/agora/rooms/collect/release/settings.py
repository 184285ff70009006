"""What the operator decides about a release. Defaults are the careful choice."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from agora.core.config import Config

Profile = Literal["compat-1m", "compat-4.8m", "native", "messages", "sharegpt"]
#: Kinds of annotation that every message has; ``geo`` and ``dup`` only a person's.
Required = Literal["lang", "pii", "secret", "tox", "geo", "dup"]
PROFILES: tuple[Profile, ...] = ("compat-1m", "compat-4.8m", "native", "messages", "sharegpt")


class RedactionSettings(Config):
    """How personal data is taken out.

    Args:
        on: replace what was found; off is for trying the gates, which then stop the release.
        tokens: ``numbered`` (``<EMAIL_1>``, one value one number within a conversation), ``compat`` (the published
            sets' tokens), or ``auto``: compat in the compat profiles, numbered elsewhere.
        public_person_subjects: a name that this many distinct subjects wrote is of public knowledge and stays.
        rules: ``all`` replaces every span; ``published``, for compat profiles, only what the published sets replace
            (:mod:`agora.curate.personal.published_rules`), and secrets.
        public_value_subjects: by the published rules, what this many distinct subjects wrote stays; names need
            ``public_person_subjects``.
        residual_scan: look at the redacted text once more; without it nothing is published.
        threshold: lowest score of a span that is replaced, and of a residual one that counts.
    """

    on: bool = True
    tokens: Literal["auto", "numbered", "compat"] = "auto"
    public_person_subjects: int = Field(default=50, ge=2)
    rules: Literal["all", "published"] = "all"
    public_value_subjects: int = Field(default=10, ge=2)
    residual_scan: bool = True
    threshold: float = Field(default=0.4, ge=0, le=1)


class SelectionSettings(Config):
    """Which conversations may come in at all.

    Args:
        since: first day (UTC) of a last message; None for no bound.
        until: the day after the last one; None for no bound.
        sources: imported sources to take in beside the service's own conversations.
        consent_versions: versions of the consent text that count; empty for all that were ever shown.
        statuses: how a message may have ended; a conversation is cut before the first that ended otherwise.
        include_automated: keep conversations that look like a program's.
        automation_threshold: a score from which they do.
        without_toxic: leave out conversations with a toxic message.
        toxicity_threshold: of Detoxify's score, above which a message is toxic.
        exclude: ids of conversations to leave out.
    """

    since: date | None = None
    until: date | None = None
    sources: tuple[str, ...] = ()
    consent_versions: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ("complete",)
    include_automated: bool = False
    automation_threshold: float = Field(default=0.8, gt=0, le=1)
    without_toxic: bool = False
    toxicity_threshold: float = Field(default=0.1, ge=0, le=1)
    exclude: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> SelectionSettings:
        if self.since and self.until and self.since >= self.until:
            raise ValueError(f"since ({self.since}) must lie before until ({self.until})")
        return self


class ReleaseSettings(Config):
    """Settings of a release.

    Args:
        profile: layout of the rows.
        k: distinct subjects that must share what a row tells of its person.
        exact_times: publish times of day; the classes of k know days only.
        linkable_series: one key for all releases that ask for it, so that a person can be followed from one to the
            next; otherwise each release has a key of its own.
        require: kinds of annotation without which no conversation is released.
        versions: version of a kind (or ``tox:PROVIDER``) to use; otherwise the newest by its numbers, or the one
            stored last where a version is no number.
        allowed_licenses: licenses of sources that the operator knows to be compatible.
        shard_mb: most compressed text in one file, in 10^6 bytes.
        selection: which conversations.
        redaction: of personal data.
    """

    profile: Profile = "compat-1m"
    k: int = Field(default=5, ge=1)
    exact_times: bool = False
    linkable_series: bool = False
    require: tuple[Required, ...] = ("lang", "pii", "secret", "tox")
    versions: dict[str, str] = Field(default_factory=dict)
    allowed_licenses: tuple[str, ...] = ()
    shard_mb: int = Field(default=200, ge=1, le=240)
    selection: SelectionSettings = SelectionSettings()
    redaction: RedactionSettings = RedactionSettings()

    @model_validator(mode="after")
    def _published_rules_are_for_compat(self) -> ReleaseSettings:
        if self.redaction.rules == "published" and not self.profile.startswith("compat"):
            raise ValueError(f"redaction.rules=published is for compat profiles, not for {self.profile}")
        return self

    @property
    def tokens(self) -> Literal["numbered", "compat"]:
        """The kind of tokens that take the place of personal data."""
        if self.redaction.tokens != "auto":
            return self.redaction.tokens
        return "compat" if self.profile.startswith("compat") else "numbered"
