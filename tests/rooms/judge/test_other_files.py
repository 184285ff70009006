"""AlpacaEval's annotations, Arena-Hard's judgments and single grades as verdicts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.rooms.judge import leaderboard, read_judged
from agora.rooms.judge.formats.alpaca_files import token_preference
from agora.rooms.judge.formats.arena_files import arena_verdict, single_rating
from agora.rooms.judge.formats.judged_files import judged_paths


def annotation(i: int, preference: float | None, **fields: Any) -> dict[str, Any]:
    row = {
        "instruction": f"do {i}",
        "output_1": "b" * 30,
        "generator_1": "base",
        "output_2": f"m{i}" * 20,
        "generator_2": "model",
        "annotator": "gpt",
        "preference": preference,
    }
    return {**row, **fields}


def raw(m: float | None, big: float | None) -> dict[str, Any]:
    top = [{"token": t, "logprob": p} for t, p in (("m", m), ("M", big), ("x", -9.0)) if p is not None]
    return {"logprobs": {"content": [{"top_logprobs": top}]}}


def test_preferences_become_outcomes_and_missing_stays_missing(tmp_path: Path) -> None:
    rows = [annotation(i, p) for i, p in enumerate([1.0, 2.0, 1.5, 0.0, 1.75, None, math.nan])]
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    verdicts = read_judged(tmp_path / "annotations.json").verdicts
    assert [v.value for v in verdicts] == [-1.0, 1.0, 0.0, 0.0, 0.5, None, None]
    assert {v.status for v in verdicts if v.value is None} == {"missing"}
    assert {(v.judge, v.baseline, v.baseline_n_chars) for v in verdicts} == {("gpt", "base", 30)}
    (table,) = leaderboard([tmp_path], n_boot=100, allow_partial=True).tables
    assert {row.name: row.rank for row in table.rows} == {"model": 1, "base": 2}
    model = next(row for row in table.rows if row.name == "model")
    assert model.coverage == 5 / 7 and model.reward is not None
    assert model.reward.baselines["base"].win_rate == pytest.approx(55.0)


def test_a_preference_outside_its_range_is_refused(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text(json.dumps([annotation(0, 3.0)]))
    with pytest.raises(DataError, match=r"annotations\.json:1: a preference is 0 or from 1 to 2, got 3\.0"):
        read_judged(tmp_path / "annotations.json")


@given(st.floats(-20, 0), st.floats(-20, 0), st.booleans())
def test_switching_the_outputs_mirrors_the_preference(m: float, big: float, switched: bool) -> None:
    one, other = (token_preference(m, big, switched=s) for s in (switched, not switched))
    assert one is not None and other is not None and one + other == pytest.approx(3)
    assert token_preference(None, None) is None
    assert token_preference(m, None) == 1.0 and token_preference(None, big) == 2.0


def test_the_place_of_the_candidate_is_read_from_the_log_probabilities(tmp_path: Path) -> None:
    told = token_preference(-0.1, -2.4)
    assert told is not None
    rows = [
        annotation(0, told, raw_completion=raw(-0.1, -2.4)),
        annotation(1, 3 - told, raw_completion=json.dumps(raw(-0.1, -2.4))),
        annotation(2, 1.2, raw_completion="broken"),
        annotation(3, 1.2, is_switched_outputs=True),
    ]
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    verdicts = read_judged(tmp_path / "annotations.json").verdicts
    assert [v.order for v in verdicts] == ["candidate_second", "candidate_first", None, "candidate_first"]


def test_the_form_without_texts_knows_tasks_by_their_index(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "model,row,index,preference,len_baseline,len_model,is_switched\nm,0,0,1.2,100,90,0\nm,1,2,1.9,100,90,1\n"
    )
    verdicts = read_judged(tmp_path / "a.csv", judge="j", baseline="b").verdicts
    assert [v.task_id for v in verdicts] == ["0", "2"]
    assert [v.order for v in verdicts] == ["candidate_second", "candidate_first"]


def test_games_are_two_verdicts_and_one_without_a_verdict_does_not_take_the_other_along(tmp_path: Path) -> None:
    folder = tmp_path / "model_judgment" / "gpt-4"
    folder.mkdir(parents=True)
    rows = [
        {"uid": "u0", "model": "m", "judge": "gpt-4", "games": [{"score": "A>>B"}, {"score": "A>B"}]},
        {"uid": "u1", "model": "m", "judge": "gpt-4", "games": [{"score": None, "judgment": "hm"}, {"score": "A=B"}]},
        {"uid": "u2", "model": "m", "judge": "gpt-4", "baseline": "x", "games": [{"judgment": "so [[b>a]]"}]},
    ]
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "question.jsonl").write_text('{"uid": "u0"}\n')
    assert judged_paths([tmp_path]) == [folder / "m.jsonl"]
    verdicts = read_judged(folder / "m.jsonl").verdicts
    assert [(v.task_id, v.order, v.value) for v in verdicts] == [
        ("u0", "candidate_second", -1.0),
        ("u0", "candidate_first", 0.5),
        ("u1", "candidate_second", None),
        ("u1", "candidate_first", 0.0),
        ("u2", "candidate_second", 0.5),
    ]
    assert [v.baseline for v in verdicts] == ["gpt-4-0314"] * 4 + ["x"]
    (folder / "m.jsonl").write_text('{"uid": "u0", "model": "m", "games": [{"score": "C>A"}]}\n')
    with pytest.raises(DataError, match="'C>A' is no verdict of Arena-Hard"):
        read_judged(folder / "m.jsonl")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("My verdict: [[A>>B]]", "A>>B"),
        ("First [[A>B]], no, [[b=a]]", "B=A"),
        ("[A>B] only single", "A>B"),
        ("[[A]] [[==]]", None),
        ("", None),
    ],
)
def test_the_last_verdict_counts(text: str, verdict: str | None) -> None:
    assert arena_verdict(text) == verdict


@pytest.mark.parametrize(
    ("text", "grade"), [("Rating: [[7]]", 7), ("[[8.5]] then [[2]]", 8.5), ("[3]", 3), ("seven", None)]
)
def test_single_grades(text: str, grade: float | None, tmp_path: Path) -> None:
    assert single_rating(text) == grade
    row = {"model": "m", "question_id": 81, "turn": 2, "judge": ["gpt-4", "single"], "judgment": text, "score": grade}
    (tmp_path / "j.jsonl").write_text(json.dumps(row) + "\n")
    (verdict,) = read_judged(tmp_path / "j.jsonl").verdicts
    assert (verdict.task_id, verdict.judge, verdict.value) == ("81/turn 2", "gpt-4", grade)
    assert verdict.status == ("ok" if grade else "unparsed")
