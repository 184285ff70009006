"""Score every message of a file, and say how many would count as toxic at which threshold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from agora.core.progress import progress
from agora.core.records import JsonMap
from agora.curate.curation import CurateReport, curate
from agora.curate.rows import with_tag
from agora.curate.toxicity.providers import ToxicityProvider, open_provider
from agora.curate.toxicity.rule import COMPAT_THRESHOLD, counts_at, is_toxic

_ROWS = 256


def score_file(
    path: Path,
    out: Path,
    providers: Sequence[str],
    *,
    threshold: float = COMPAT_THRESHOLD,
    format: str = "auto",
) -> CurateReport:
    """Score a file; nothing is removed.

    Each message's ``meta`` gets ``toxicity`` (the providers' results), each row the tag ``toxic``: value true where any
    message is toxic by :func:`agora.curate.toxicity.rule.is_toxic`, and the highest score.

    Args:
        path: any readable file.
        out: all its rows.
        providers: see :func:`agora.curate.toxicity.providers.open_provider`.
        threshold: of Detoxify's toxicity.
        format: of the input.

    Raises:
        MissingError, DataError, EngineError: a provider is not there, damaged or fails.
    """
    opened = [open_provider(name) for name in providers]
    config = {"providers": [p.version for p in opened], "threshold": threshold}
    highest: list[float] = []
    n_toxic = {"messages": 0, "rows": 0}
    with curate(path, out, verb="toxicity", steps=[], config=config, format=format) as work:

        def scored() -> Iterator[JsonMap]:
            with progress(None, "toxicity", "rows") as bar:
                for rows in _batches(work.rows()):
                    for row, judged in zip(rows, _judged(rows, opened), strict=True):
                        yield _marked(row, judged, threshold, highest, n_toxic)
                    bar.advance(len(rows))

        work.write(scored())
        work.facts |= {"messages": len(highest), "toxic": n_toxic, "above": counts_at(highest), "threshold": threshold}
    return work.report


def _batches(rows: Iterable[JsonMap]) -> Iterator[list[JsonMap]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, _ROWS)):
        yield batch


def _judged(rows: list[JsonMap], providers: Sequence[ToxicityProvider]) -> list[list[list[dict[str, Any]]]]:
    """For each row, for each message, the result of each provider; equal texts are asked about once."""
    texts = list(dict.fromkeys(str(m["content"]) for row in rows for m in row["messages"]))
    by_provider = [dict(zip(texts, provider.annotate(texts), strict=True)) for provider in providers]
    return [[[known[str(m["content"])] for known in by_provider] for m in row["messages"]] for row in rows]


def _marked(
    row: JsonMap, judged: list[list[dict[str, Any]]], threshold: float, highest: list[float], n_toxic: dict[str, int]
) -> JsonMap:
    verdicts = []
    top = 0.0
    messages = []
    for message, results in zip(row["messages"], judged, strict=True):
        verdict = is_toxic(str(message["content"]), results, threshold=threshold)
        best = max((s for r in results for s in r["scores"].values()), default=0.0)
        highest.append(best)
        top = max(top, best)
        n_toxic["messages"] += bool(verdict)
        verdicts.append(verdict)
        messages.append({**message, "meta": {**(message.get("meta") or {}), "toxicity": results}})
    toxic = any(verdicts)
    n_toxic["rows"] += toxic
    tag = {"value": toxic, "score": round(top, 4), "status": "ok", "generator": "toxicity"}
    return with_tag({**row, "messages": messages}, "toxic", tag)
