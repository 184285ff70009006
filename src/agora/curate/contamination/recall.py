"""What each layer is known to find: measured on published rephrased tests by ``benchmarks/decontamination.py``."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from agora.core.records import JsonMap


def recall_of(words: int, retrieval: str | None, top: int) -> JsonMap:
    """For each layer the share of the twins that it finds, by rephrased test; only for settings that were measured.

    What retrieval finds is what the judge gets to see. For ``top`` rows the figure is that of the largest number up to
    it that was measured.

    Args:
        words: length of the runs of words.
        retrieval: its method, None without retrieval.
        top: rows an item.
    """
    layers = [f"{words}-gram"]
    sets = _measured()["sets"]
    if retrieval is not None:
        known = (k for k in range(top, 0, -1) if any(f"{retrieval} top {k}" in figures for figures in sets.values()))
        layers += [f"{retrieval} top {k}" for k in known][:1]
    found: JsonMap = {}
    for layer in layers:
        shares = {name: figures[layer] for name, figures in sets.items() if layer in figures}
        if shares:
            found[layer] = shares
    return found


@cache
def _measured() -> JsonMap:
    text = files("agora.curate.contamination").joinpath("recall.json").read_text("utf-8")
    measured: JsonMap = json.loads(text)
    return measured
