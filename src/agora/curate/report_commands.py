"""``agora curate report``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agora.curate.curate_commands import File, FormatName, Json, On, Workers, app

if TYPE_CHECKING:
    from agora.curate.dataset.facts import Count


@app.command("report")
def report(
    file: File,
    out: Annotated[Path, typer.Option(help="HTML page to write.")],
    against: Annotated[Path | None, typer.Option(metavar="FILE2", help="Another data set to show beside it.")] = None,
    tokenizer: Annotated[
        str, typer.Option(help="Folder, hf:NAME or microcosm:chat: count its tokens; words otherwise.")
    ] = "",
    embedder: Annotated[str, typer.Option(help="For map and coverage: tfidf, minilm, st:NAME or an engine.")] = "tfidf",
    map: Annotated[bool, typer.Option("--map/--no-map", help="Draw the topic map.")] = True,
    seed: Annotated[int, typer.Option(help="Of the choice of examples and of the map.")] = 0,
    format: FormatName = "auto",
    on: On = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Describe a data set on one page: funnel, sizes, labels, rewards, topics, examples, what was left out."""
    from agora.core.jobs import check_place
    from agora.curate.dataset import collect, dataset_report
    from agora.curate.dataset.coverage import coverage
    from agora.curate.dataset.vectors import embed_samples, map_points
    from agora.curate.row_parts import PARTS
    from agora.curate.write import beside

    check_place(on)
    count, unit = _counter(tokenizer)
    paths = [file, *([against] if against else [])]
    same = len({path.name for path in paths}) < len(paths)
    names = [str(path) if same else path.name for path in paths]
    sets = [
        collect(
            p,
            format=format if p is file else "auto",
            name=n,
            seed=seed,
            count=count,
            unit=unit,
            work=beside(out, PARTS),
            on=on,
            workers=workers,
        )
        for p, n in zip(paths, names, strict=True)
    ]
    vectors = embed_samples(sets, embedder) if all(data.sample for data in sets) and (map or len(sets) > 1) else []
    covered = coverage(vectors[0], vectors[1]) if len(vectors) == 2 else None
    page = dataset_report(
        *sets,
        covered=covered,
        points=map_points(sets, vectors, seed) if map and vectors else (),
        command=shlex.join(["agora", *sys.argv[1:]]),
    )
    page.write(out)
    if json:
        from agora.core.json_text import dumps

        typer.echo(dumps({"out": out, "data_sets": [data.as_json() for data in sets], "coverage": covered}).decode())
        return
    for data in sets:
        typer.echo(f"{data.name}: {data.n:,} rows" + (f", {data.unreadable:,} unreadable" if data.unreadable else ""))
    typer.echo(f"written: {out}; open it in a browser")


def _counter(tokenizer: str) -> tuple[Count | None, str]:
    """What counts the size of a message, and what it counts."""
    if not tokenizer:
        return None, "words"
    from agora.curate.dataset.tokens import TokenCount
    from agora.engines.registry import microcosm_folder

    scheme, colon, rest = tokenizer.partition(":")
    name = str(microcosm_folder(rest)) if scheme == "microcosm" and colon else tokenizer.removeprefix("hf:")
    return TokenCount(name), f"tokens of {tokenizer}"
