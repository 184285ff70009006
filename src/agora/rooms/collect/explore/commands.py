"""``agora collect search``: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agora.rooms.collect.terminal import Db, Json, KeyFile, opened

if TYPE_CHECKING:
    from agora.rooms.collect.explore.find import Counts, Hit
    from agora.rooms.collect.explore.selection import Selection
    from agora.store import Store

Text = str | None


def search_command(
    query: Annotated[str, typer.Argument(help='Words, "phrases", -words to leave out; empty for all.')] = "",
    db: Db = "agora.db",
    part: Annotated[Text, typer.Option("--part", help="Look in prompt or reply alone.")] = None,
    language: Annotated[Text, typer.Option("--language", help="Most frequent language, such as en.")] = None,
    country: Annotated[Text, typer.Option("--country", help="Two letters, such as DE.")] = None,
    model: Annotated[Text, typer.Option("--model", help="Model of the last reply.")] = None,
    source: Annotated[Text, typer.Option("--source", help="Where conversations came from.")] = None,
    category: Annotated[Text, typer.Option("--category", help="Category of the prompt, if annotated.")] = None,
    topic: Annotated[int | None, typer.Option("--topic", help="Number of a topic.")] = None,
    toxic: Annotated[bool | None, typer.Option("--toxic/--not-toxic", help="Whether a message was flagged.")] = None,
    redacted: Annotated[
        bool | None, typer.Option("--redacted/--not-redacted", help="Whether personal data was found.")
    ] = None,
    min_turns: Annotated[int | None, typer.Option("--min-turns", min=0, help="Least number of user messages.")] = None,
    since: Annotated[Text, typer.Option("--since", metavar="DAY", help="First day, such as 2026-01-31.")] = None,
    until: Annotated[Text, typer.Option("--until", metavar="DAY", help="Last day.")] = None,
    rating: Annotated[Text, typer.Option("--rating", help="up or down: has a reply rated so.")] = None,
    max_automation: Annotated[float | None, typer.Option("--max-automation", help="Highest automation score.")] = None,
    conversation: Annotated[Text, typer.Option("--conversation", help="Id of one conversation.")] = None,
    person: Annotated[Text, typer.Option("--person", help="A subject's id or an address's pseudonym.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Conversations shown.")] = 20,
    after: Annotated[int | None, typer.Option("--after", help="Go on after a page; a page names the number.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write all that fit as conversation records.")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the index anew first.")] = False,
    keys: KeyFile = None,
    json: Json = False,
) -> None:
    """Search stored conversations: words and filters, counts by facet, pages without end, export of what fits."""
    from agora.rooms.collect.explore.selection import Selection

    filters = (
        ("part", part),
        ("language", language),
        ("country", country),
        ("model", model),
        ("source", source),
        ("category", category),
        ("topic", topic),
        ("toxic", _yes_no(toxic)),
        ("redacted", _yes_no(redacted)),
        ("min_turns", min_turns),
        ("since", since),
        ("until", until),
        ("rating", rating),
        ("max_automation", max_automation),
        ("conversation", conversation),
        ("person", person),
    )
    selection = Selection.of({"words": query, **{name: str(v) for name, v in filters if v is not None}})
    selection.query()  # a query that cannot be is told before the index is touched
    with opened(db, keys) as store:
        indexed = _bring_up_to_date(store, rebuild)
        if out is not None:
            _export(store, selection, out, json)
        else:
            _search(store, selection, limit, after, {"indexed": indexed}, json)


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def _bring_up_to_date(store: Store, rebuild: bool) -> int:
    """Messages that are new in the index; tells its progress when there are many."""
    from agora.rooms.collect.explore.indexer import index_all

    total = 0
    for added in index_all(store, rebuild=rebuild):
        total += added
        if sys.stderr.isatty():
            typer.echo(f"\rindexed {total:,} messages", err=True, nl=False)
    if total:
        typer.echo(f"{chr(13) if sys.stderr.isatty() else ''}indexed {total:,} messages", err=True)
    return total


def _export(store: Store, selection: Selection, out: Path, json: bool) -> None:
    from agora.core.json_text import dumps
    from agora.core.records import Conversation
    from agora.curate.write import write_records
    from agora.rooms.collect.explore.find import find_all
    from agora.rooms.collect.records import records_of

    with store.reading() as connection:
        written = write_records(records_of(connection, find_all(connection, selection)), out, Conversation)
    found = {"conversations": written, "out": str(out)}
    typer.echo(dumps(found).decode() if json else f"{written:,} conversations in {out}; nothing in it is redacted")


def _search(
    store: Store, selection: Selection, limit: int, after: int | None, found: dict[str, Any], json: bool
) -> None:
    from agora.core.json_text import dumps
    from agora.rooms.collect.explore.find import count, find

    with store.reading() as connection:
        counts = count(connection, selection)
        hits, more = find(connection, selection, limit=limit, after=after)
    if json:
        shown = {**found, **counts.as_json(), "hits": [hit.as_json() for hit in hits], "after": more}
        typer.echo(dumps(shown).decode())
        return
    _print(counts, hits)
    if more is not None:
        typer.echo(f"\nnext page: --after {more}")


def _print(counts: Counts, hits: list[Hit]) -> None:
    in_messages = "" if counts.messages is None else f", {counts.messages:,} messages with the words"
    typer.echo(f"{counts.conversations:,} conversations{in_messages}")
    for name, values in counts.facets.items():
        known = [(value, n) for value, n in values if value is not None]
        if known:
            listed = "; ".join(f"{_facet_value(value)} {n:,}" for value, n in known[:8])  # categories have commas
            typer.echo(f"  {name}: {listed}{'; ...' if len(known) > 8 else ''}")
    for hit in hits:
        typer.echo(f"\n{hit.conversation_id}  {hit.facts['turns']} turns, {hit.role}")
        shown = [(_printable(p.text), p.hit) for p in hit.pieces]
        typer.echo("  " + "".join(typer.style(text, bold=True) if is_hit else text for text, is_hit in shown))


def _printable(text: str) -> str:
    """Outside text cannot speak to the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def _facet_value(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
