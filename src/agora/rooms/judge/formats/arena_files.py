"""Arena-Hard's judgments and FastChat's single grades, read as verdicts, and the style counts of Arena-Hard's answers.

An Arena-Hard row holds two games with swapped order: in the first the baseline is A, in the second the candidate. Each
game is a verdict of its own; a game without one is missing and does not take the other with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agora.core.errors import DataError
from agora.core.records import Verdict, VerdictStatus
from agora.rooms.judge.ranking.style_counts import StyleCounts, style_counts

BASELINE = "gpt-4-0314"

_DOUBLE = re.compile(r"\[\[([AB<>=]+)\]\]")
_SINGLE = re.compile(r"\[([AB<>=]+)\]")
_RATING = (re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]"))
_VALUES = {"A>>B": 1.0, "A>B": 0.5, "A=B": 0.0, "B=A": 0.0, "A<B": -0.5, "A<<B": -1.0}
_VALUES |= {"B>A": -0.5, "B>>A": -1.0, "B<A": 0.5, "B<<A": 1.0}


def arena_verdict(text: str) -> str | None:
    """The last verdict of a judge's text, such as ``A>>B``, in double brackets or else in single ones."""
    for pattern in (_DOUBLE, _SINGLE):
        found = [match for match in pattern.findall(text.upper()) if match in _VALUES]
        if found:
            return str(found[-1])
    return None


def single_rating(text: str) -> float | None:
    """The grade of a single answer: the first ``[[n]]``, or else the first ``[n]``; None without one."""
    for pattern in _RATING:
        found = pattern.search(text)
        if found:
            return float(found[1])
    return None


def arena_rows(row: Mapping[str, Any], judge: str, baseline: str | None) -> Iterator[Verdict]:
    """The two verdicts of an Arena-Hard row.

    Raises:
        KeyError: a field is missing.
        DataError: a verdict outside the five.
    """
    task, model = row.get("uid") or row["question_id"], row["model"]
    against = row.get("baseline") or baseline or BASELINE
    who = row.get("judge") or judge
    if not isinstance(row["games"], list):
        raise DataError("games must be a list")
    for number, game in enumerate(row["games"][:2]):
        if not isinstance(game, Mapping):
            continue
        text = str(game.get("judgment") or "")
        said = game.get("score") or arena_verdict(text)
        if said is not None and said not in _VALUES:
            raise DataError(f"{said!r} is no verdict of Arena-Hard (A>>B, A>B, A=B, B>A, B>>A)")
        order = "candidate_first" if number else "candidate_second"
        value = None if said is None else _VALUES[said] if number else 0.0 - _VALUES[said]
        status: VerdictStatus = "unparsed" if value is None else "ok"
        yield Verdict(
            f"{who}/{model}/{against}/{task}/{order}",
            "pair",
            str(task),
            model,
            who,
            status,
            value,
            text,
            who,
            "",
            baseline=against,
            order=order,
            meta={"category": row["category"]} if row.get("category") else {},
        )


def single_grade(row: Mapping[str, Any], judge: str) -> Verdict:
    """A grade of one answer to one turn (MT-Bench); -1 and null are no grades."""
    task, model = row["question_id"], row["model"]
    who = row.get("judge") or judge
    who = who[0] if isinstance(who, list) else who
    name = task if row.get("turn") in (None, 1) else f"{task}/turn {row['turn']}"
    given = row["score"]
    value = float(given) if isinstance(given, int | float) and 1 <= given <= 10 else None
    status: VerdictStatus = "unparsed" if value is None else "ok"
    text = str(row.get("judgment") or "")
    return Verdict(f"{who}/{model}/{name}", "score", str(name), model, who, status, value, text, who, "")


def arena_answer(row: Mapping[str, Any]) -> tuple[str, str, StyleCounts]:
    """Model, task and style counts of a row of Arena-Hard's answers.

    Raises:
        KeyError: the row is no answer.
    """
    task = str(row.get("uid") or row["question_id"])
    if "choices" in row:  # the form of v0.1
        turn = row["choices"][0]["turns"][-1]
        counted = style_counts(turn["content"])
        return row["model_id"], task, counted._replace(tokens=float(turn.get("token_len") or counted.tokens))
    content = row["messages"][-1]["content"]
    counted = style_counts(content["answer"] if isinstance(content, Mapping) else content)
    meta = row.get("metadata") or {}
    if "header_count" not in meta:
        return row["model"], task, counted._replace(tokens=float(meta.get("token_len") or counted.tokens))
    headers, lists, bold = (sum(meta[name].values()) for name in ("header_count", "list_count", "bold_count"))
    return row["model"], task, StyleCounts(float(meta["token_len"]), headers, lists, bold)
