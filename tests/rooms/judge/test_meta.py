from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import DataError, UsageError
from agora.core.tables import write_json, write_jsonl
from agora.rooms.judge import leaderboard
from agora.rooms.judge.trust.meta import Rated, confidence, correlate
from agora.rooms.judge.trust.meta_files import ratings_of, read_human, read_metrics
from tests.examples import examples
from tests.rooms.judge.support import make_pair, make_score


def rated(**values: float) -> dict[str, Rated]:
    return {name: Rated(v, v - 1, v + 1, v, 0.25) for name, v in values.items()}


def test_agreement_gives_full_half_and_no_credit() -> None:
    human = rated(a=10, b=5, c=0)
    same = confidence(rated(a=30, b=20, c=10), human)
    assert (same.separability, same.agreement, same.strict, same.num_human) == (1.0, 1.0, 1.0, 3)
    assert same.brier == pytest.approx(0, abs=1e-9)
    reverse = confidence(rated(a=10, b=20, c=30), human)
    assert (reverse.agreement, reverse.strict) == (0.0, 0.0)
    assert reverse.brier == pytest.approx(1)
    unsure = confidence(rated(a=1.0, b=0.9, c=1.1), human)
    assert (unsure.separability, unsure.agreement) == (0.0, 0.5)


def test_an_interval_without_width_overlaps_what_lies_around_it() -> None:
    human = {"anchor": Rated(5, 5, 5, 5, 0), "b": Rated(5.2, 4, 6, 5.2, 0.3)}
    assert confidence(human, human).num_human == 0
    assert confidence(human, human, as_published=True).num_human == 1


def test_without_intervals_there_is_no_separability_and_no_brier() -> None:
    found = confidence({m: Rated(v) for m, v in {"a": 1.0, "b": 2.0}.items()}, rated(a=1, b=2))
    assert (found.separability, found.agreement, found.brier, found.strict) == (None, None, None, 1.0)


@settings(deadline=None, max_examples=examples(30))
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9, unique=True), st.randoms())
def test_the_order_of_models_changes_nothing(values: list[float], rng: object) -> None:
    names = [f"m{i}" for i in range(len(values))]
    human = {n: Rated(v) for n, v in zip(names, values, strict=True)}
    metric = {n: Rated(v**3, v**3 - 1, v**3 + 1) for n, v in zip(names, values, strict=True)}
    forward = correlate({"m": metric}, human)
    back = correlate({"m": dict(reversed(metric.items()))}, dict(reversed(human.items())))
    assert repr(forward) == repr(back)


def test_top_takes_the_models_that_people_rate_highest_of_those_that_all_metrics_have() -> None:
    human = rated(a=4, b=3, c=2, d=1)
    report = correlate({"x": rated(a=1, b=2, c=3, d=4), "y": rated(b=1, c=2, d=3)}, human, top=2)
    assert [row.n for row in report.correlations] == [2, 2]
    assert {row.confidence.num_pairs for row in report.correlations} == {1}


def test_models_without_a_human_rating_are_named() -> None:
    report = correlate({"x": rated(a=1, b=2, new=3)}, rated(a=1, b=2))
    assert report.unmatched == ("new",)
    with pytest.raises(DataError, match="no model of the leaderboard has a human rating"):
        correlate({"x": rated(z=1)}, rated(a=1))


def test_our_own_board_is_read_with_its_errors_and_judges_apart(tmp_path: Path) -> None:
    scores = {"a": [9, 8, 9, 7], "b": [5, 4, 6, 5], "c": [2, 1, 2, 3]}
    rows = [make_score(f"t{i}", float(v), m, j) for m, s in scores.items() for i, v in enumerate(s) for j in ("j", "k")]
    write_jsonl(tmp_path / "v.jsonl", [*rows, *[make_pair(f"t{i}", 0.5, "a", "c") for i in range(4)]])
    board = leaderboard([tmp_path / "v.jsonl"], n_boot=100).to_json()
    write_json(tmp_path / "board.json", board)
    metrics = read_metrics(tmp_path / "board.json")
    assert {"wb_score by j", "wb_score by k", "mean_chars by j"} <= set(metrics)
    assert metrics["wb_score by j"]["a"].value == board["models"][0]["wb_score"]
    assert metrics["wb_score by j"]["a"].variance > 0
    write_json(
        tmp_path / "one.json",
        leaderboard([tmp_path / "v.jsonl"], n_boot=100).to_json()
        | {"models": [m for m in board["models"] if m["judge"] == "j"]},
    )
    assert "wb_score" in read_metrics(tmp_path / "one.json")


def test_tables_of_other_people_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Model,score,kind\na,1,x\nb,-,y\n")
    assert read_metrics(tmp_path / "t.csv") == {"score": {"a": Rated(1.0)}}
    (tmp_path / "t.json").write_text(json.dumps({"a": {"x": "1.5", "y": "-"}, "b": {"x": 2, "g": {"z": 1}}}))
    assert read_metrics(tmp_path / "t.json", names={"a": "A"}) == {"x": {"A": Rated(1.5), "b": Rated(2.0)}}
    (tmp_path / "t.jsonl").write_text('{"model": "a", "score": 2, "lower": 1, "upper": 3, "results": [1, 3]}\n')
    assert read_metrics(tmp_path / "t.jsonl") == {"score": {"a": Rated(2.0, 1.0, 3.0, 2.0, 1.0)}}
    with pytest.raises(DataError, match="two models of the table are given one name"):
        read_metrics(tmp_path / "t.json", names={"a": "b"})
    (tmp_path / "bad.jsonl").write_text('{"name": "a"}\n')
    with pytest.raises(DataError, match=r"bad\.jsonl:1"):
        read_metrics(tmp_path / "bad.jsonl")
    with pytest.raises(UsageError, match="no metric 'z'; there are x"):
        ratings_of({"x": {}}, ["z"])


def test_human_ratings_with_and_without_bounds(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("model,rating,variance,rating_q975,rating_q025\na,10,4,14,6\nb,,,,\n")
    assert read_human(tmp_path / "h.csv") == {"a": Rated(10, 6, 14, 10, 4)}
    (tmp_path / "plain.csv").write_text("name,hard elo\na,10\n")
    (only,) = read_human(tmp_path / "plain.csv", "hard elo").values()
    assert only.value == 10 and math.isnan(only.low)
    with pytest.raises(UsageError, match="no column 'elo'"):
        read_human(tmp_path / "plain.csv", "elo")
    (tmp_path / "twice.csv").write_text("model,elo\na,1\na,2\n")
    with pytest.raises(DataError, match="two human ratings of a"):
        read_human(tmp_path / "twice.csv")


def test_a_heading_of_several_lines_is_named_in_one(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text('model,"Elo\n[April]"\na,1000\nb,900\n')
    assert {name: rated.value for name, rated in read_human(tmp_path / "h.csv", "Elo [April]").items()} == {
        "a": 1000,
        "b": 900,
    }
