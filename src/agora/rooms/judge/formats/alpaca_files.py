"""AlpacaEval's annotations, read as pair verdicts; the candidate is ``output_2``.

A preference runs from 1 (baseline) to 2 (model); 0 and 1.5 are ties, an empty one is missing. Two forms: the published
JSON list (``annotations.json``), and a table without texts (``model``, ``index``, ``preference``, ``len_baseline``,
``len_model``). Tasks are known by their instruction or their index, never by their place in a file: a model with a
missing row keeps its other tasks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from agora.core.errors import DataError
from agora.core.records import Verdict, VerdictStatus, stable_id
from agora.rooms.judge.types import text_hash

_SAME = 1e-6


def token_preference(logprob_m: float | None, logprob_big_m: float | None, *, switched: bool = False) -> float | None:
    """The preference that a one-token reply means (1 baseline, 2 model).

    The judge says ``m`` where the output shown first is better and ``M`` for the second; a token that is not among the
    most likely ones has probability 0. Unless the outputs were switched, the baseline is shown first.

    Args:
        logprob_m, logprob_big_m: natural log-probabilities; None where a token is not among the most likely.

    Returns:
        None without either token.
    """
    weights = [0.0 if logprob is None else math.exp(logprob) for logprob in (logprob_m, logprob_big_m)]
    if not sum(weights):
        return None
    preference = 2 - weights[0] / sum(weights)
    return 3 - preference if switched else preference


def alpaca_row(row: Mapping[str, Any], judge: str) -> Verdict:
    """An annotation of the published form.

    Raises:
        KeyError: a field is missing.
        DataError: a preference outside 0 and 1..2.
    """
    ours, theirs = row["output_2"], row["output_1"]
    first, second = token_logprobs(row.get("raw_completion"))
    preference = _number(row.get("preference"))
    return _verdict(
        task=stable_id(row["instruction"]),
        model=row["generator_2"],
        baseline=row["generator_1"],
        judge=row.get("annotator") or judge,
        preference=preference,
        switched=_switched(row.get("is_switched_outputs", row.get("is_switched")), preference, first, second),
        lengths=(len(ours or ""), len(theirs or "")),
        answer=text_hash(ours or ""),
    )


def compact_row(row: Mapping[str, Any], judge: str, baseline: str) -> Verdict:
    """An annotation of the form without texts.

    Raises:
        KeyError: a column is missing.
        DataError: a cell that is no number.
    """
    preference = _number(row["preference"])
    logprobs = _number(row.get("logprob_m")), _number(row.get("logprob_M"))
    return _verdict(
        task=str(row["index"]),
        model=str(row["model"]),
        baseline=baseline,
        judge=judge,
        preference=preference,
        switched=_switched(row.get("is_switched"), preference, *logprobs),
        lengths=(int(row["len_model"]), int(row["len_baseline"])),
        answer=str(row.get("output_sha1_8") or ""),
    )


def _verdict(
    *,
    task: str,
    model: str,
    baseline: str,
    judge: str,
    preference: float | None,
    switched: bool | None,
    lengths: tuple[int, int],
    answer: str,
) -> Verdict:
    if not (isinstance(model, str) and isinstance(baseline, str)):
        raise DataError(f"generator_1 and generator_2 must be names, got {baseline!r} and {model!r}")
    if preference is not None and preference != 0 and not 1 <= preference <= 2:
        raise DataError(f"a preference is 0 or from 1 to 2, got {preference}")
    value = None if preference is None else 0.0 if preference == 0 else 2 * preference - 3
    order = None if switched is None else "candidate_first" if switched else "candidate_second"
    status: VerdictStatus = "missing" if value is None else "ok"
    return Verdict(
        f"{judge}/{model}/{baseline}/{task}",
        "pair",
        task,
        model,
        judge,
        status,
        value,
        "",
        judge,
        "",
        baseline=baseline,
        order=order,
        n_chars=lengths[0],
        baseline_n_chars=lengths[1],
        meta={"answer": answer} if answer else {},
    )


def _switched(stated: Any, preference: float | None, first: float | None, second: float | None) -> bool | None:
    """Whether the candidate was shown first: as stated, else as preference and log-probabilities tell."""
    if stated in (True, 1, "1", "1.0", "True", "true"):
        return True
    if stated in (False, 0, "0", "0.0", "False", "false"):
        return False
    told = token_preference(first, second)
    if told is None or preference is None or abs(told - 1.5) < _SAME:
        return None
    return False if abs(told - preference) < _SAME else True if abs(3 - told - preference) < _SAME else None


def token_logprobs(raw: Any) -> tuple[float | None, float | None]:
    """Log-probabilities of ``m`` and ``M`` in a stored completion; None where they are not among the most likely."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError:
            return None, None
    try:
        top = raw["logprobs"]["content"][0]["top_logprobs"]
        found = {entry["token"]: float(entry["logprob"]) for entry in top}
    except (KeyError, IndexError, TypeError, ValueError):
        return None, None
    return found.get("m"), found.get("M")


def _number(cell: Any) -> float | None:
    if cell is None or cell == "" or cell != cell:
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise DataError(f"{cell!r} is not a number") from None
