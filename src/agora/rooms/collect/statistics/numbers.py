"""Counts in the layout of the published tables, so that ours and the paper's stand side by side; and their checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agora.core.records import JsonMap
from agora.rooms.collect.statistics.sizes import diversity
from agora.rooms.collect.statistics.tally import CLASSIFIERS, PARTS, Tally, shares

SIZES = (
    "conversations",
    "users",
    "turns_mean",
    "user_tokens_mean",
    "user_tokens_sd",
    "chatbot_tokens_mean",
    "chatbot_tokens_sd",
    "languages",
)
LANGUAGES = ("English", "Chinese", "Russian", "Spanish", "French", "German")
DETOXIFY = ("identity_attack", "insult", "obscene", "severe_toxicity", "sexual_explicit", "threat")
MODERATION = ("harassment", "hate", "self-harm", "sexual", "violence")
NO_LANGUAGE = ("Nolang", "unknown", "Unknown", "")


def numbers(tally: Tally) -> JsonMap:
    """The tables of a data set. Keys and formats are those of the published figures; what nobody measured is null."""
    choices, name = tally.choices, tally.choices.name
    found: JsonMap = {"source": name, "settings": _settings(tally)}
    for unit in tally.units:
        label = choices.tokenizer or "tokens" if unit == "tokens" else unit
        found[f"table1_{label}"] = {"columns": list(SIZES), name: _sizes(tally, unit)}
    found["collection"] = {
        "first_day": tally.first,
        "last_day": tally.last,
        "conversations_released": tally.conversations,
        "turns_released": tally.rounds.total,
        "user_turns": tally.turns,  # those of all branches
        "unique_ips": len(tally.subjects) or None,
    }
    n = tally.conversations
    found["turns"] = {
        "rounds_mean": tally.rounds.mean,
        "share_multi_turn": tally.multi / n if n else None,
        "share_more_than_10_turns": tally.over_ten / n if n else None,
    }
    found["models"] = shares(tally.models)
    countries = shares(tally.countries)
    found["geography_top5"] = dict(list(countries.items())[:5])
    found["countries"] = countries
    found["prompt_categories"] = shares(tally.prompt_categories)
    found["table5_turn_language_share"] = {"columns": [*LANGUAGES, "Other"], name: _languages(tally)}
    found["languages"] = shares(tally.turn_languages)
    more = sorted({c for toxic in tally.toxic.values() for c in toxic.seen} - {*CLASSIFIERS, "either", "both"})
    columns = [*CLASSIFIERS, *more, "either", "both"]
    found["table6_toxic_turns"] = {
        "columns": columns,
        **{part: [tally.toxic[part].share(column) for column in columns] for part in PARTS.values()},
    }
    found["table7_toxic_turns_openai_moderation"] = {
        "columns": [name],
        **{part: [tally.toxic[part].share("openai_moderation")] for part in PARTS.values()},
    }
    found["sexual_share_of_flagged_user_turns"] = (
        tally.flagged_sexual / tally.flagged_prompts if tally.flagged_prompts else None
    )
    found["table8_jailbreak_prompts"] = _repeated(tally)
    found["table12_detoxify_percent_of_turns"] = {
        "columns": list(DETOXIFY),
        name: [_percent(tally.detoxify[c], tally.detail_seen["detoxify"]) for c in DETOXIFY],
    }
    found["table13_openai_moderation_percent_of_turns"] = {
        "columns": list(MODERATION),
        name: [_percent(tally.categories[c], tally.detail_seen["openai_moderation"]) for c in MODERATION],
    }
    found["months"] = {month: _month(tally, month) for month in sorted(tally.months)}
    found["first_prompts"] = {"seen": tally.sample.seen, **diversity(tally.sample.texts)}
    return found


def _settings(tally: Tally) -> JsonMap:
    choices = tally.choices
    return {
        "tokenizer": choices.tokenizer or None,
        "detoxify_threshold": choices.threshold,
        "language_least_prompts": choices.language_least,
        "long_prompt_chars": choices.long_chars or None,
        "empty_utterances": tally.empty,
        "long_prompts_forgotten": tally.long.forgotten,
    }


def _sizes(tally: Tally, unit: str) -> list[Any]:
    least = tally.choices.language_least
    languages = sum(n > least for name, n in tally.prompt_languages.items() if name not in NO_LANGUAGE)
    user, reply = tally.sizes[unit, "user"], tally.sizes[unit, "chatbot"]
    people = len(tally.subjects) or None
    known = languages if tally.prompt_languages else None
    return [tally.conversations, people, tally.rounds.mean, user.mean, user.sd, reply.mean, reply.sd, known]


def _languages(tally: Tally) -> list[float | None]:
    total = sum(tally.turn_languages.values())
    if not total:
        return [None] * (len(LANGUAGES) + 1)
    own = [tally.turn_languages[name] for name in LANGUAGES]
    return [n / total for n in [*own, total - sum(own)]]


def _repeated(tally: Tally) -> JsonMap:
    rows = tally.long.table()
    table: JsonMap = {"columns": ["occurrences", "unique_users", "success_rate"]}
    for row in rows:
        table[row["prompt"]] = [row["occurrences"], row["unique_users"], row["success_rate"]]
    return table


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _month(tally: Tally, name: str) -> JsonMap:
    month = tally.months[name]
    return {
        "conversations": month.conversations,
        "turns": month.turns,
        "user_toxic": month.toxic["user"].share("either"),
        "chatbot_toxic": month.toxic["chatbot"].share("either"),
    }


def inconsistencies(found: Mapping[str, Any]) -> list[str]:
    """Where figures of this layout contradict each other; empty when they agree to the rounding they are given in.

    Conversations released are those before the reserve less the reserve; rounds a conversation are turns over
    conversations; either = Detoxify + OpenAI - both; the languages of a set add up to 1.
    """
    wrong = []
    held = found.get("collection", {})
    before, reserve = held.get("conversations_before_reserve"), held.get("reserved_for_wildbench")
    if before is not None and reserve is not None and before - reserve != held["conversations_released"]:
        wrong.append(f"{before} - {reserve} conversations are not {held['conversations_released']}")
    for title, table in found.items():
        if title.startswith("table1"):
            wrong += _rounds_differ(held, title, table)
    toxic = found.get("table6_toxic_turns", {})
    for part in PARTS.values():
        row = dict(zip(toxic.get("columns", ()), toxic.get(part, ()), strict=False))
        parts = [row.get(name) for name in (*CLASSIFIERS, "either", "both")]
        more = len(row) > len(parts)  # a third classifier may flag what these two do not
        if None in parts or more:
            continue
        first, second, either, both = parts
        if abs(first + second - both - either) > 0.0002 + 1e-9:  # type: ignore[operator]
            wrong.append(f"toxic {part} turns: either is {either}, the parts give {first + second - both:.4f}")  # type: ignore[operator]
    for name, row in found.get("table5_turn_language_share", {}).items():
        if name != "columns" and None not in row and abs(sum(row) - 1) > 0.0002 + 1e-9:
            wrong.append(f"turn languages of {name} add up to {sum(row):.4f}")
    return wrong


def _rounds_differ(held: Mapping[str, Any], title: str, table: Mapping[str, Any]) -> list[str]:
    turns, conversations = held.get("turns_released"), held.get("conversations_released")
    if not turns or not conversations:
        return []
    mine = [row for name, row in table.items() if name != "columns" and row[0] == conversations]
    told = [row[table["columns"].index("turns_mean")] for row in mine]
    return [
        f"{title}: {turns:,} turns of {conversations:,} conversations are no {mean} a conversation"
        for mean in told
        if abs(turns / conversations - mean) > 0.005
    ]
