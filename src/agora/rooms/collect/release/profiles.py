"""The layouts of a release: which columns there are, and a conversation as a row of them.

The compat profiles have the schemas of the published WildChat sets (:mod:`agora.curate.importers.schemas`). What a row
tells of its person is what the ladder of k-anonymity left, on the row and on each of its utterances alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate, chain, compress, repeat
from json.encoder import encode_basestring_ascii as _quoted
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from agora.curate.importers.schemas import published_schema
from agora.rooms.collect.release.asked import Asked
from agora.rooms.collect.release.columns import array_of, arrays_of, struct_of
from agora.rooms.collect.release.found import Findings, Result, parsed
from agora.rooms.collect.release.planned import Planned
from agora.rooms.collect.release.said import Said
from agora.rooms.collect.statistics.told import Columns, rounds_of

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
COUNTED = frozenset(("user", "assistant"))  # whose messages statistics are of
_NONE: Result = {}
_SHAREGPT = {"user": "human", "assistant": "gpt", "system": "system", "tool": "tool"}


@dataclass(frozen=True, slots=True)
class Made:
    """Rows, and the hash by which each is called back."""

    rows: pa.RecordBatch
    sha256: list[bytes]


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
    """Makes rows of one release, many at once: a list a fact, so that nothing is built for each message.

    Args:
        asked: the profile, the key, the versions.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.profile = asked.settings.profile
        self.schema = schema_of(self.profile)
        self.zoned = self.profile != "compat-4.8m"
        self.versions = sorted(f"{kind}={version}" for kind, version in asked.wanted)

    def make(self, planned: Planned, said: Said) -> Made:
        """The rows of some conversations."""
        if self.profile.startswith("compat-"):
            return self._compat(planned, said)
        keys = [self.asked.key.conversation(i).hex() for i in planned.values("conversation_id")]
        digests = [_digest(key.encode(), talk.encode()) for key, talk in zip(keys, _canonical(said), strict=True)]
        if self.profile == "native":
            return Made(self._native(keys, planned, said), digests)
        head = {"id": keys, "model": said.last_models, "language": planned.column("language")}
        if self.profile == "messages":
            head["messages"] = self._talks("messages", said, {"role": said.roles, "content": said.texts})
        else:
            who = [_SHAREGPT[role] for role in said.roles]
            head["conversations"] = self._talks("conversations", said, {"from": who, "value": said.texts})
        return Made(self._batch(head), digests)

    def tell(self, planned: Planned, said: Said) -> Columns:
        """The conversations as their rows show them, to be counted."""
        threshold, rounds = self.asked.settings.selection.toxicity_threshold, planned.values("rounds")
        if not self.asked.linear:
            messages = list(zip(said.ids, said.parents, said.roles, strict=True))
            rounds = [rounds_of(messages[start:end]) for start, end in said.spans]
        whole = self._each(planned.values("language"), said)
        languages = [own or shared for own, shared in zip(self._languages(planned, said), whole, strict=True)]
        verdicts = [found.verdicts(threshold) for found in said.found]
        facts: list[Sequence[Any]] = [said.roles, said.texts, languages, verdicts]
        starts = said.starts
        if not {*said.roles} <= COUNTED:
            counts = [role in COUNTED for role in said.roles]
            facts = [list(compress(fact, counts)) for fact in facts]
            starts = [0, *accumulate(sum(counts[start:end]) for start, end in said.spans)]
        return Columns(
            planned.values("conversation_id"),
            [person.hex() for person in planned.values("person")],
            said.last_models,
            planned.values("country"),
            [None] * len(planned),
            [day and date.fromordinal(day).isoformat() for day in planned.values("date")],
            rounds,
            starts,
            *facts,
        )

    def _compat(self, planned: Planned, said: Said) -> Made:
        import numpy as np
        import pyarrow as pa

        users = np.array([role == "user" for role in said.roles], bool)
        row_of = np.repeat(np.arange(len(planned), dtype=np.int32), np.diff(said.starts))
        persons, replies = pa.array(row_of, mask=~users), pa.array(row_of, mask=users)
        headers = {"accept-language": planned.column("accept_language"), "user-agent": planned.column("user_agent")}
        of_person = {
            "country": planned.column("country"),
            "state": planned.column("state"),
            "hashed_ip": pa.array([person.hex() for person in planned.values("person")]),
            "header": struct_of(self.schema.field("header").type, headers, len(planned)),
        }
        turns = self._turns(planned, said)
        conversation = {
            "content": said.texts,
            "language": self._languages(planned, said),
            "redacted": said.redacted,
            "role": said.roles,
            "toxic": said.toxic,
            "turn_identifier": turns,
            **{name: column.take(persons) for name, column in of_person.items()},
            "timestamp": self._reply_times(planned, said, replies),
        }
        if self.profile == "compat-4.8m":
            # ids of the provider and exact seconds would join a row with somebody's log: they stay null
            conversation |= _spent(said)
        hashed = [talk.encode() for talk in _canonical(said)]
        keys = [b"%d" % turns[start] for start in said.starts[:-1]]
        batch = self._batch(
            {
                "conversation_hash": [sha256(talk).hexdigest()[:32] for talk in hashed],
                "model": said.last_models,
                "timestamp": self._row_times(planned, said),
                "conversation": self._talks("conversation", said, conversation),
                "turn": planned.column("rounds"),
                "language": planned.column("language"),
                "openai_moderation": _moderated(said, attrgetter("openai"), _openai),
                "detoxify_moderation": _moderated(said, attrgetter("detoxify"), dict),
                "toxic": said.any_of(said.toxic),
                "redacted": said.any_of(said.redacted),
                **of_person,
            }
        )
        return Made(batch, list(map(_digest, keys, hashed)))

    def _turns(self, planned: Planned, said: Said) -> list[int]:
        """The published number of each message's round."""
        turn, turns = self.asked.key.turn, list[int]()
        for first, (start, end) in zip(planned.values("first_turn"), said.spans, strict=True):
            own = [turn(first + i) for i in range((end - start + 1) // 2)]
            turns += [number for number in own for _ in range(2)][: end - start]
        return turns

    def _reply_times(self, planned: Planned, said: Said, replies: pa.Array) -> pa.Array | list[datetime | None]:
        """When replies were whole, as far as that is published; what people wrote has no time of its own."""
        if not self.asked.settings.exact_times:
            return array_of(self._row_times(planned, said), self.schema.field("timestamp").type).take(replies)
        times = self._times(planned, said)
        return [None if role == "user" else time for role, time in zip(said.roles, times, strict=True)]

    def _native(self, keys: list[str], planned: Planned, said: Said) -> pa.RecordBatch:
        name, params, usages = self.asked.key.message, _parsed(said.params), _parsed(said.usages)
        exact = self.asked.settings.exact_times
        messages = {
            "id": [name(own) for own in said.ids],
            "parent_id": [name(parent) if parent else None for parent in said.parents],
            "role": said.roles,
            "content": said.texts,
            "status": said.statuses,
            "model": said.models,
            "language": self._languages(planned, said),
            "redacted": said.redacted,
            "spans": [[{"type": s["type"], "score": s["score"], "by": s["by"]} for s in f.spans] for f in said.found],
            "toxic": said.toxic,
            "moderation": [_moderation(found.tox) for found in said.found],
            **{n: [one.get(n) for one in params] for n in ("temperature", "top_p", "max_tokens")},
            "time": self._times(planned, said) if exact else None,
            "finish_reason": said.finish_reasons,
            **{n: [one.get(n) for one in usages] for n in ("prompt_tokens", "completion_tokens")},
            "rating": said.ratings,
        }
        own = ("country", "state", "accept_language", "user_agent", "source", "consent_version", "consent_sha256")
        dup = [i and self.asked.key.conversation(i).hex() for i in planned.values("dup")]
        return self._batch(
            {
                "id": keys,
                "person": [person.hex() for person in planned.values("person")],
                "date": [day and date.fromordinal(day) for day in planned.values("date")],
                "date_precision": planned.column("precision"),
                "messages": self._talks("messages", said, messages),
                **{n: planned.column(n) for n in (*own, "rounds", "language")},
                "toxic": said.any_of(said.toxic),
                "redacted": said.any_of(said.redacted),
                "source_license": planned.column("license"),
                "pipeline_versions": [self.versions] * len(planned),
                "automation_score": planned.column("automation"),
                "duplicates": dup,
            }
        )

    def _languages(self, planned: Planned, said: Said) -> list[str | None]:
        """Each message's language; nothing where the ladder had to take the conversation's."""
        whole = self._each(planned.values("language"), said)
        return [
            None if shared is None else found.lang.get("name") for found, shared in zip(said.found, whole, strict=True)
        ]

    def _each(self, values: Sequence[Any], said: Said) -> list[Any]:
        """A fact of conversations, for each of their messages."""
        lengths = [end - start for start, end in said.spans]
        return list(chain.from_iterable(map(repeat, values, lengths)))

    def _times(self, planned: Planned, said: Said) -> list[datetime | None]:
        """Of each message, see :meth:`_time`."""
        days, precisions = (self._each(planned.values(name), said) for name in ("date", "precision"))
        return list(map(self._time, days, precisions, said.done_us))

    def _row_times(self, planned: Planned, said: Said) -> list[datetime | None]:
        """Of the last message of each conversation."""
        last = [said.done_us[end - 1] for end in said.starts[1:]]
        return list(map(self._time, planned.values("date"), planned.values("precision"), last))

    def _time(self, day: int | None, precision: str | None, done_us: int) -> datetime | None:
        """The published date of a conversation, at midnight; with ``exact_times`` the moment of a message."""
        if day is None:
            return None
        if self.asked.settings.exact_times and precision == "day":
            moment = datetime.fromtimestamp(done_us / 1_000_000, UTC)
        else:
            moment = _midnight(day)
        return moment if self.zoned else moment.replace(tzinfo=None)

    def _talks(self, name: str, said: Said, columns: Mapping[str, Any]) -> pa.Array:
        """A column of lists of messages; ``columns`` hold the facts of all messages, those of others are null."""
        import pyarrow as pa

        kind = self.schema.field(name).type
        messages = struct_of(kind.value_type, columns, len(said.roles))
        return pa.ListArray.from_arrays(pa.array(said.starts, pa.int32()), messages, type=kind)

    def _batch(self, columns: Mapping[str, Any]) -> pa.RecordBatch:
        import pyarrow as pa

        rows = len(next(iter(columns.values())))
        return pa.record_batch(arrays_of(self.schema, columns, rows), schema=self.schema)


def _spent(said: Said) -> dict[str, list[Any]]:
    """How replies were asked for, and what they cost."""
    params, usages = _parsed(said.params, said.roles), _parsed(said.usages, said.roles)
    found: dict[str, list[Any]] = {n: [one.get(n) for one in params] for n in ("temperature", "top_p")}
    return found | {
        "token_counter": [one.get("total_tokens") for one in usages],
        "usage": [dict(one) or None for one in usages],
    }


def _parsed(texts: Sequence[str | None], roles: Sequence[str] | None = None) -> list[Result]:
    """What some JSON says, nothing where there is none; with roles only that of replies."""
    if roles is not None:
        texts = [None if role == "user" else text for role, text in zip(roles, texts, strict=True)]
    return [parsed(text) if text else _NONE for text in texts]


@lru_cache(maxsize=4096)
def _midnight(day: int) -> datetime:
    """The beginning of a day, UTC."""
    return datetime.combine(date.fromordinal(day), time(), UTC)


def _canonical(said: Said) -> list[str]:
    """:func:`canonical` of each conversation."""
    turns = list(map(_turn_json, said.roles, said.texts))
    return [f"[{', '.join(turns[start:end])}]" for start, end in said.spans]


def canonical(turns: Sequence[tuple[str, str]]) -> str:
    """The JSON of roles and texts that hashes are made of; that of the published ``conversation_hash``."""
    return f"[{', '.join([_turn_json(*turn) for turn in turns])}]"


def _turn_json(role: str, text: str) -> str:
    """One turn of :func:`canonical`; json.dumps gives the same bytes in six times the time."""
    return f'{{"content": {_quoted(text)}, "role": {_quoted(role)}}}'


def row_sha256(key: str, turns: Sequence[tuple[str, str]]) -> bytes:
    """What a row is called by in ``removals`` files: SHA-256 of its key, a line end, and :func:`canonical` of its
    turns.

    Args:
        key: ``id``, or in compat profiles the first ``turn_identifier`` in decimal digits.
        turns: role and content as published; ShareGPT's ``human`` is ``user`` and ``gpt`` is ``assistant``.
    """
    return _digest(key.encode(), canonical(turns).encode())


def _digest(key: bytes, talk: bytes) -> bytes:
    """The one form of :func:`row_sha256`; ``talk`` is the canonical JSON."""
    return sha256(b"%b\n%b" % (key, talk)).digest()


def _moderated(said: Said, result_of: Callable[[Findings], Result | None], shape: Any) -> list[Any] | None:
    """Of each conversation an entry a message, null where it was not asked about; nothing where none was."""
    if not any(found.telling for found in said.found):
        return None
    results = [result_of(found) for found in said.found]
    rows = [results[start:end] for start, end in said.spans]
    return [
        [shape(result) if result is not None else {} for result in row] if any(r is not None for r in row) else None
        for row in rows
    ]


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
