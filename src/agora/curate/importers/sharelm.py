"""ShareLM: ``user_msgs`` and ``bot_msgs`` side by side, with the page they were said on and how they were rated."""

from __future__ import annotations

from itertools import zip_longest

from agora.core.records import Conversation, JsonMap, Provenance
from agora.curate.importers.base import Format, Origin, RowError, Turn, chain, iso_time, text_of, text_or_none, without


def _matches(data: JsonMap) -> str | None:
    if isinstance(data.get("user_msgs"), list) and isinstance(data.get("bot_msgs"), list):
        return "'user_msgs' and 'bot_msgs' are lists"
    return None


def _convert(data: JsonMap, origin: Origin) -> Conversation:
    asked, answered = data.get("user_msgs"), data.get("bot_msgs")
    if not isinstance(asked, list) or not isinstance(answered, list):
        raise RowError("no list of messages", "'user_msgs' or 'bot_msgs' is missing")
    if not asked:
        raise RowError("no user turn", "'user_msgs' is empty")
    turns, notes = [], []
    for i, (question, answer) in enumerate(zip_longest(asked, answered)):
        if question is not None:
            turns.append(Turn("user", text_of(question, 2 * i)))
        if answer is not None:
            turns.append(Turn("assistant", text_of(answer, 2 * i + 1)))
    if len(asked) not in (len(answered), len(answered) + 1):
        notes.append(f"{len(asked)} questions and {len(answered)} answers")
    provenance = Provenance(
        source=SHARELM.name,
        source_id=text_or_none(data.get("conversation_id")) or "",
        licence=SHARELM.licence,
        consent=SHARELM.consent,
        created=iso_time(data.get("timestamp")),
        path=origin.path,
        line=origin.line,
    )
    return chain(turns, provenance, meta={"row": without(data, "user_msgs", "bot_msgs")}, notes=notes)


SHARELM = Format(
    name="sharelm",
    title="ShareLM",
    shape='{"conversation_id", "user_msgs": [...], "bot_msgs": [...], "page_url", "user_id", ...}',
    licence="as stated by the data set it came from",
    note="ShareLM gathers conversations of several sources; each has terms of its own.",
    consent="publication",
    matches=_matches,
    convert=_convert,
)
