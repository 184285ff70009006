"""The dataset card: what the files hold, made of what was measured, never of what was hoped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from agora.rooms.collect.release.coarser import LADDER_NOTE
from agora.rooms.collect.release.facts import Facts, ranked
from agora.rooms.collect.release.shown import SHOWN

_SIZES = (
    (1000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_LICENSES = {
    "odc-by": "odc-by",
    "cc0": "cc0-1.0",
    "cc-by-sa-4.0": "cc-by-sa-4.0",
    "cc-by-4.0": "cc-by-4.0",
    "mit": "mit",
}
#: Languages in which names that people give themselves are looked for (layer C).
NAME_LANGUAGES = (
    "English",
    "Chinese",
    "Russian",
    "French",
    "Spanish",
    "German",
    "Portuguese",
    "Italian",
    "Japanese",
    "Korean",
)
_TOP = 10

Sections = dict[str, str]


def write_card(facts: Facts) -> tuple[str, list[str]]:
    """The card as Markdown with its YAML head, and the names of sections that are empty."""
    sections: Sections = {
        "What this is": _summary(facts),
        "Rows": _rows(facts),
        "How it was collected": _collection(facts),
        "What was left out": _left_out(facts),
        "Personal data": _personal(facts),
        "Pseudonyms and k-anonymity": _anonymity(facts),
        "Toxicity": _toxicity(facts),
        "Figures": _figures(facts),
        "Limits": _limits(facts),
        "Removed rows": _removals(facts),
        "License": _license(facts),
    }
    empty = [title for title, body in sections.items() if not body.strip()]
    body = "\n\n".join(f"## {title}\n\n{text.strip()}" for title, text in sections.items())
    return f"---\n{_head(facts)}---\n\n# {facts.name}\n\n{body}\n", empty


def _head(facts: Facts) -> str:
    size = next((name for most, name in _SIZES if facts.rows < most), "10M<n<100M")
    plain = facts.asked.license.lower().replace(" ", "-")
    license_id = next((value for key, value in _LICENSES.items() if plain.startswith(key)), "other")
    head: dict[str, Any] = {"license": license_id}
    if license_id == "other":
        head["license_name"] = facts.asked.license
    head |= {
        "pretty_name": facts.name,
        "size_categories": [size],
        "task_categories": ["text-generation"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}],
    }
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True)


def _summary(facts: Facts) -> str:
    return (
        f"{facts.rows:,} conversations of {facts.subjects:,} people with language models, {facts.tally.rounds.total:,} "
        f"rounds, in {len(facts.shards)} file(s). Everyone was asked twice and agreed to publication. "
        f"Run by {facts.operator}; release {facts.number} of this collection, frozen at event {facts.input_seq:,} "
        f"of its log."
    )


def _rows(facts: Facts) -> str:
    layout = {
        "compat-1m": "One row is one conversation, in the exact schema of WildChat-1M.",
        "compat-4.8m": "One row is one conversation, in the exact schema of WildChat-4.8M. Ids of the provider and its "
        "clock are null.",
        "native": "One row is one conversation as a tree: `parent_id` names the message that a message follows, so "
        "other answers and edited questions are siblings.",
        "messages": "One row is one conversation: `messages` is a list of `role` and `content`.",
        "sharegpt": "One row is one conversation: `conversations` is a list of `from` (`human`, `gpt`, `system`) "
        "and `value`.",
    }[facts.profile]
    branch = (
        ""
        if facts.profile == "native"
        else f" Of a conversation with several branches the row holds the one its person saw last "
        f"({facts.plan.notes['with_branches']:,} conversations had others)."
    )
    times = (
        "Times of day are published where a date is not coarser than a day."
        if facts.asked.settings.exact_times
        else "Times are dates (midnight UTC); where few people share one it is the Monday of its week or the first of "
        "its month."
    )
    shown = "" if SHOWN[facts.profile] == ("language",) else f" {times}"
    return f"{layout}{branch}{shown} Rows stand in an order that tells nothing of time."


def _collection(facts: Facts) -> str:
    words = ", ".join(facts.asked.settings.selection.consent_versions) or "every version that was shown"
    imported = ", ".join(facts.asked.settings.selection.sources)
    days = facts.asked.quarantine_us // 86_400_000_000
    return (
        "People chatted for free after two steps, both kept by the server: they agreed to the terms, and they "
        f"agreed to publication (versions of the words that count: {words}). A receipt lets them erase what they "
        f"wrote without an account, and nothing is published until {days} days after the last message."
        + (f" Conversations of other sources are among the rows: {imported}." if imported else "")
    )


def _left_out(facts: Facts) -> str:
    rows = ["| gate | left out | why |", "|---|---|---|"]
    for gate in facts.gates:
        why = ", ".join(f"{reason.replace('_', ' ')} {n:,}" for reason, n in sorted(gate.found.counts.items()) if n)
        rows.append(f"| {gate.number}. {gate.name} | {gate.dropped:,} | {why or 'nothing'} |")
    settings = facts.asked.settings.selection
    automated = facts.plan.notes["automated"]
    with_them = facts.plan.rows + (0 if settings.include_automated else automated)
    kept = "are in the release" if settings.include_automated else "are left out"
    rows += [
        "",
        f"{automated:,} conversations look like a program's (score of {settings.automation_threshold:g} or more) "
        f"and {kept}: with them the candidates number {with_them:,}, without {with_them - automated:,}. "
        f"{facts.plan.notes['cut']:,} conversations are cut before a reply that broke off.",
    ]
    return "\n".join(rows)


def _personal(facts: Facts) -> str:
    if not facts.asked.settings.redaction.on:
        return "Nothing was replaced."
    found = facts.counted
    types = ", ".join(f"{name} {n:,}" for name, n in facts.redaction()["redacted_spans"].items()) or "none"
    versions = ", ".join(f"{kind} {facts.versions.get(kind, 'not run')}" for kind in ("pii", "secret"))
    but = " but what these rules leave" if facts.asked.by_published_rules else ""
    scan = f"The redacted text was searched again for shapes and secrets, and nothing was found{but}" + (
        f" ({found.late_spans:,} spans that only then came to light were replaced too)." if found.late_spans else "."
    )
    return (
        f"Replaced in {found.redacted:,} conversations ({found.redacted_messages:,} messages), by type: {types}.\n\n"
        "Three layers ran over every message of every language: shapes with checks (mail addresses, cards, accounts, "
        "telephone and identity numbers, network addresses), secrets (keys, tokens, passwords), and, in "
        f"{', '.join(NAME_LANGUAGES)}, names that people give themselves. Other names, in these languages and in "
        f"all others, were **not** looked for. Pipelines: {versions}. {scan} "
        f"A name that {facts.asked.settings.redaction.public_person_subjects} or more people wrote stays.\n\n"
        f"{_exempt(facts)}"
        "Programs miss things. Who finds personal data in a row should tell the operator."
    )


def _exempt(facts: Facts) -> str:
    if not facts.asked.by_published_rules:
        return ""
    left = ", ".join(f"{name} {n:,}" for name, n in ranked(facts.counted.exempt).items()) or "none"
    return (
        "Only what the published WildChat sets replace was replaced: names in English beside words that introduce "
        "them, telephone numbers beside words that give them away, e-mail addresses but roles and samples, card "
        'numbers near the word "card", LinkedIn profiles; not where a quotation mark stands before them, nor what '
        f"{facts.asked.settings.redaction.public_value_subjects} or more people wrote. **Found and left in the text**, "
        f"by type: {left}.\n\n"
    )


def _anonymity(facts: Facts) -> str:
    anonymous = facts.anonymity()
    lost = ", ".join(f"{n.replace('_', ' ')} {share:.1%}" for n, share in anonymous["share_lost"].items())
    coarser = ", ".join(f"{n.replace('_', ' ')} {share:.1%}" for n, share in anonymous["share_coarser"].items())
    series = (
        "The key is that of a series: **a person can be followed through all releases that share it.**"
        if facts.asked.settings.linkable_series
        else "The key is this release's own, so nobody can be followed into another release."
    )
    alone = SHOWN[facts.profile] == ("language",)
    ladder = "A language that too few people share is taken out." if alone else LADDER_NOTE
    who = "" if alone else f"People, conversations and rounds have keyed pseudonyms. {series} "
    return (
        f"{who}Columns that could together tell who someone is ({', '.join(anonymous['quasi_identifiers'])}) are "
        f"shared by at least **{anonymous['k_reached']}** distinct people in every row ({facts.asked.settings.k} were "
        f"asked for). {ladder}\n\n"
        f"Coarser than collected (share of rows): {coarser}. Lost: {lost}.\n\n"
        + table(
            "people in a class",
            {
                "rows before": anonymous["rows_by_class_size_before"],
                "rows after": anonymous["rows_by_class_size_after"],
            },
        )
        + "\n\n**Free text is not covered**: what someone writes can tell who they are, whatever the columns say."
        + (
            ""
            if alone
            else " Rows of one person share a pseudonym, and what they show together fewer people may share."
        )
    )


def _toxicity(facts: Facts) -> str:
    providers = sorted(name.partition(":")[2] for name in facts.versions if name.startswith("tox:"))
    missing = [
        f"`{provider}_moderation` is null because {name} was not asked"
        for provider, name in (("openai", "OpenAI's moderation"), ("detoxify", "Detoxify"))
        if facts.profile.startswith("compat") and not facts.counted.moderated[provider]
    ]
    shares = ", ".join(
        f"{role} {share:.2%}" for role, share in facts.redaction()["share_toxic_messages"].items() if share is not None
    )
    if not providers and not facts.counted.moderated.total():
        return (
            "**Nobody looked.** No provider of toxicity scores was asked, so `toxic` is false everywhere and says "
            "nothing, and sexual content about minors was not looked for."
        )
    threshold = facts.asked.settings.selection.toxicity_threshold
    return (
        f"Providers: {', '.join(providers) or 'those of the imported source'}. A message is toxic when one of them "
        f"flags it, or Detoxify's score is above {threshold:g}. Toxic: {facts.counted.toxic:,} conversations; of "
        f"messages: {shares}. Conversations that any provider held for sexual content about minors are not in the "
        "release." + (f" {'; '.join(missing)}." if missing else "")
    )


def _figures(facts: Facts) -> str:
    known = {name: value for name, value in facts.figures().items() if value is not None}
    parts = ["| figure | value |", "|---|---|", *(f"| {name} | {value:,} |" for name, value in known.items())]
    for name, counts in facts.rankings().items():
        title, of = name.split(" of ")
        parts += ["", table(title, {of: dict(list(counts.items())[:_TOP])}, cells=escape)]
    return "\n".join([*parts, "", "All of them, and more, are in `statistics.json`."])


def _limits(facts: Facts) -> str:
    return (
        "Who comes to a free chat is nobody's sample of people at large. Answers of models are wrong at times. "
        "Languages, "
        "toxicity and personal data were found by programs with known error rates, and some rows are mislabeled. "
        "Rows may hold what is offensive. Do not try to find out who someone is."
    )


def _removals(facts: Facts) -> str:
    where = f"Write to {facts.contact}." if facts.contact else "Tell the operator."
    return (
        f"`removals-{facts.number}.jsonl` names {facts.removals:,} rows of earlier releases that their people "
        f"erased or "
        "withdrew since; please drop them from your copies. A row is named by the SHA-256 of its key (`id`, or the "
        "first "
        "`turn_identifier`), a line end, and Python's `json.dumps` of the list of `content` and `role` of its "
        "messages. "
        f"You found personal data, or yourself? {where}"
    )


def _license(facts: Facts) -> str:
    return f"{facts.asked.license}. Name {facts.operator} and this data set as the source."


def table(first: str, columns: Mapping[str, Mapping[str, int]], cells: Any = str) -> str:
    """A Markdown table: one row for each key of the columns."""
    keys = list(dict.fromkeys(key for column in columns.values() for key in column))
    rows = [f"| {first} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    rows += [
        f"| {cells(key)} | {' | '.join(f'{column.get(key, 0):,}' for column in columns.values())} |" for key in keys
    ]
    return "\n".join(rows)


def escape(text: str) -> str:
    """Outside text, such as a model's name, inside a Markdown table."""
    return re.sub(r"([\\|`*_<>\[\]])", r"\\\1", " ".join(text.split()))
