"""The layouts of a release: which columns there are, and a conversation as a row of them.

The compat profiles have the schemas of the published WildChat sets (:mod:`agora.curate.importers.schemas`). What a row
tells of its person is what the ladder of k-anonymity left, on the row and on each of its utterances alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from hashlib import sha256
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING, Any

from agora.curate.importers.schemas import published_schema
from agora.rooms.collect.release.asked import Asked
from agora.rooms.collect.release.found import Findings, Result
from agora.rooms.collect.release.texts import Utterance
from agora.rooms.collect.statistics.told import Told, Verdicts, rounds_of, verdicts
from agora.rooms.collect.statistics.told import Utterance as Counted

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
Planned = Mapping[str, Any]
_SHAREGPT = {"user": "human", "assistant": "gpt", "system": "system", "tool": "tool"}


@dataclass(frozen=True, slots=True)
class Made:
    """A row, and the hash by which it is called back."""

    row: Row
    sha256: bytes


def schema_of(profile: str) -> pa.Schema:
    """The exact columns of a profile."""
    import pyarrow as pa

    if profile.startswith("compat-"):
        return published_schema(profile.replace("compat", "wildchat"))
    text = pa.string()
    if profile == "messages":
        talk = ("messages", pa.list_(pa.struct([("role", text), ("content", text)])))
        return pa.schema([("id", text), talk, ("model", text), ("language", text)])
    if profile == "sharegpt":
        talk = ("conversations", pa.list_(pa.struct([("from", text), ("value", text)])))
        return pa.schema([("id", text), talk, ("model", text), ("language", text)])
    return _native_schema()


def _native_schema() -> pa.Schema:
    import pyarrow as pa

    text, flag, real, whole = pa.string(), pa.bool_(), pa.float64(), pa.int64()
    span = pa.struct([("type", text), ("score", real), ("by", text)])
    scores = pa.map_(text, real)
    tox = pa.struct([("provider", text), ("flagged", flag), ("categories", pa.list_(text)), ("scores", scores)])
    message = pa.struct(
        [
            *(("id", text), ("parent_id", text), ("role", text), ("content", text), ("status", text), ("model", text)),
            *(("language", text), ("redacted", flag), ("spans", pa.list_(span)), ("toxic", flag)),
            *(("moderation", pa.list_(tox)), ("temperature", real), ("top_p", real), ("max_tokens", whole)),
            ("time", pa.timestamp("us", tz="UTC")),
            *(("finish_reason", text), ("prompt_tokens", whole), ("completion_tokens", whole), ("rating", whole)),
        ]
    )
    return pa.schema(
        [
            *(
                ("id", text),
                ("person", text),
                ("date", pa.date32()),
                ("date_precision", text),
                ("messages", pa.list_(message)),
            ),
            *(
                ("rounds", whole),
                ("language", text),
                ("toxic", flag),
                ("redacted", flag),
                ("country", text),
                ("state", text),
            ),
            *(("accept_language", text), ("user_agent", text), ("consent_version", text), ("consent_sha256", text)),
            *(("source", text), ("source_license", text), ("pipeline_versions", pa.list_(text))),
            *(("automation_score", real), ("duplicates", text)),
        ]
    )


class RowMaker:
    """Makes rows of one release.

    Args:
        asked: the profile, the key, the versions.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.profile = asked.settings.profile
        self.zoned = self.profile != "compat-4.8m"
        self.versions = sorted(f"{kind}={version}" for kind, version in asked.wanted)

    def make(self, planned: Planned, said: Sequence[Utterance]) -> Made:
        """The row of one conversation."""
        if self.profile.startswith("compat-"):
            return self._compat(planned, said)
        key = self.asked.key.conversation(planned["conversation_id"]).hex()
        digest = row_sha256(key, [(u.role, u.text) for u in said])
        if self.profile == "native":
            return Made(self._native(key, planned, said), digest)
        head: Row = {"id": key, "model": model_of(said), "language": planned["language"]}
        if self.profile == "messages":
            head["messages"] = [{"role": u.role, "content": u.text} for u in said]
        else:
            head["conversations"] = [{"from": _SHAREGPT[u.role], "value": u.text} for u in said]
        return Made(head, digest)

    def tell(self, planned: Planned, said: Sequence[Utterance]) -> Told:
        """The conversation as its row shows it, to be counted."""
        whole, threshold = planned["language"], self.asked.settings.selection.toxicity_threshold
        utterances = [
            Counted(u.role, u.text, self._language(planned, u) or whole, *_verdicts(u.found, threshold))
            for u in said
            if u.role in ("user", "assistant")
        ]
        return Told(
            id=planned["conversation_id"],
            subject=planned["person"].hex(),
            model=model_of(said),
            country=planned["country"],
            category=None,
            created=date.fromordinal(planned["date"]).isoformat() if planned["date"] else None,
            rounds=planned["rounds"] if self.asked.linear else rounds_of(said),
            utterances=tuple(utterances),
        )

    def _compat(self, planned: Planned, said: Sequence[Utterance]) -> Made:
        person = planned["person"].hex()
        header = {"accept-language": planned["accept_language"], "user-agent": planned["user_agent"]}
        when = None if self.asked.settings.exact_times else self._time(planned, said[-1])
        of_person = {"country": planned["country"], "state": planned["state"], "hashed_ip": person, "header": header}
        turns = [self.asked.key.turn(planned["first_turn"] + i) for i in range(planned["rounds"])]
        conversation = [
            {
                "content": u.text,
                "language": self._language(planned, u),
                "redacted": u.redacted,
                "role": u.role,
                "toxic": u.toxic,
                "turn_identifier": turns[i // 2],
                **(of_person if u.role == "user" else self._of_reply(u, when or self._time(planned, u))),
            }
            for i, u in enumerate(said)
        ]
        key, pairs = str(turns[0]), [(u.role, u.text) for u in said]
        hashed = canonical(pairs)
        row = {
            "conversation_hash": sha256(hashed.encode()).hexdigest()[:32],
            "model": model_of(said),
            "timestamp": self._time(planned, said[-1]),
            "conversation": conversation,
            "turn": planned["rounds"],
            "language": planned["language"],
            "openai_moderation": _per_utterance([u.found.openai for u in said], _openai),
            "detoxify_moderation": _per_utterance([u.found.detoxify for u in said], dict),
            "toxic": any(u.toxic for u in said),
            "redacted": any(u.redacted for u in said),
            **of_person,
        }
        return Made(row, sha256(f"{key}\n{hashed}".encode()).digest())

    def _of_reply(self, u: Utterance, when: datetime | None) -> Row:
        row: Row = {"timestamp": when}
        if self.profile == "compat-4.8m":
            # ids of the provider and exact seconds would join a row with somebody's log: they stay null
            row |= {"temperature": u.params.get("temperature"), "top_p": u.params.get("top_p")}
            row |= {"token_counter": u.usage.get("total_tokens"), "usage": dict(u.usage) or None}
        return row

    def _native(self, key: str, planned: Planned, said: Sequence[Utterance]) -> Row:
        name = self.asked.key.message
        messages = [
            {
                "id": name(u.id),
                "parent_id": name(u.parent) if u.parent else None,
                "role": u.role,
                "content": u.text,
                "status": u.status,
                "model": u.model,
                "language": self._language(planned, u),
                "redacted": u.redacted,
                "spans": [{"type": s["type"], "score": s["score"], "by": s["by"]} for s in u.found.spans],
                "toxic": u.toxic,
                "moderation": _moderation(u.found.tox),
                "temperature": u.params.get("temperature"),
                "top_p": u.params.get("top_p"),
                "max_tokens": u.params.get("max_tokens"),
                "time": self._time(planned, u) if self.asked.settings.exact_times else None,
                "finish_reason": u.finish_reason,
                "prompt_tokens": u.usage.get("prompt_tokens"),
                "completion_tokens": u.usage.get("completion_tokens"),
                "rating": u.rating,
            }
            for u in said
        ]
        return {
            "id": key,
            "person": planned["person"].hex(),
            "date": date.fromordinal(planned["date"]) if planned["date"] else None,
            "date_precision": planned["precision"],
            "messages": messages,
            "rounds": planned["rounds"],
            "language": planned["language"],
            "toxic": any(m["toxic"] for m in messages),
            "redacted": any(u.redacted for u in said),
            **{n: planned[n] for n in ("country", "state", "accept_language", "user_agent", "source")},
            "consent_version": planned["consent_version"],
            "consent_sha256": planned["consent_sha256"],
            "source_license": planned["license"],
            "pipeline_versions": self.versions,
            "automation_score": planned["automation"],
            "duplicates": self.asked.key.conversation(planned["dup"]).hex() if planned["dup"] else None,
        }

    def _language(self, planned: Planned, u: Utterance) -> str | None:
        """An utterance's language; nothing where the ladder had to take the conversation's."""
        return u.found.lang.get("name") if planned["language"] is not None else None

    def _time(self, planned: Planned, u: Utterance) -> datetime | None:
        """The published date of the conversation, at midnight; with ``exact_times`` the moment of the utterance."""
        if planned["date"] is None:
            return None
        if self.asked.settings.exact_times and planned["precision"] == "day":
            moment = datetime.fromtimestamp(u.at_us / 1_000_000, UTC)
        else:
            moment = _midnight(planned["date"])
        return moment if self.zoned else moment.replace(tzinfo=None)


def _verdicts(found: Findings, threshold: float) -> Verdicts:
    return verdicts(found.tox, threshold) if found.telling else _not_flagged(found.providers)


@lru_cache(maxsize=64)
def _not_flagged(providers: tuple[str, ...]) -> Verdicts:
    """Of a message that nobody flagged."""
    return verdicts({name: {"flagged": False} for name in providers}, 1.0)


@lru_cache(maxsize=4096)
def _midnight(day: int) -> datetime:
    """The beginning of a day, UTC."""
    return datetime.combine(date.fromordinal(day), time(), UTC)


def canonical(turns: Sequence[tuple[str, str]]) -> str:
    """The JSON of roles and texts that hashes are made of; that of the published ``conversation_hash``."""
    turns_json = [f'{{"content": {_quoted(text)}, "role": {_quoted(role)}}}' for role, text in turns]
    return f"[{', '.join(turns_json)}]"  # json.dumps gives the same bytes in six times the time


def row_sha256(key: str, turns: Sequence[tuple[str, str]]) -> bytes:
    """What a row is called by in ``removals`` files: SHA-256 of its key, a line end, and :func:`canonical` of its
    turns.

    Args:
        key: ``id``, or in compat profiles the first ``turn_identifier`` in decimal digits.
        turns: role and content as published; ShareGPT's ``human`` is ``user`` and ``gpt`` is ``assistant``.
    """
    return sha256(f"{key}\n{canonical(turns)}".encode()).digest()


def model_of(said: Sequence[Utterance]) -> str | None:
    """The model of the last reply that names one."""
    return next((u.model for u in reversed(said) if u.role == "assistant" and u.model), None)


def _per_utterance(results: Sequence[Mapping[str, Any] | None], shape: Any) -> list[Any] | None:
    """One entry an utterance, its members null where it was not asked about; nothing at all where none was."""
    if not any(result is not None for result in results):
        return None
    return [shape(result) if result is not None else {} for result in results]


def _openai(result: Mapping[str, Any]) -> Row:
    return {
        "categories": _both_spellings(result.get("categories") or {}),
        "category_scores": _both_spellings(result.get("scores") or {}),
        "flagged": bool(result.get("flagged")),
    }


def _both_spellings(found: Mapping[str, Any]) -> Row:
    """Categories under the slashed name and the underscored one, as the published sets have them."""
    return dict(found) | {name.replace("/", "_").replace("-", "_"): value for name, value in found.items()}


def _moderation(tox: Mapping[str, Result]) -> list[Row]:
    return [
        {
            "provider": provider,
            "flagged": bool(result.get("flagged")),
            "categories": sorted(name for name, on in (result.get("categories") or {}).items() if on),
            "scores": sorted((result.get("scores") or {}).items()),
        }
        for provider, result in sorted(tox.items())
    ]
