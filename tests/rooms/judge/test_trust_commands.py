from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agora.core.errors import DataError, UsageError
from agora.core.tables import write_json, write_jsonl
from agora.rooms.judge.commands import app
from tests.rooms.judge.support import make_score

run = CliRunner().invoke


@pytest.fixture
def verdicts(tmp_path: Path) -> Path:
    base = {"good": 8, "fair": 6, "poor": 3}
    rows = [
        make_score(f"t{i}", float(min(10, v + i % 3 - (j == "k"))), m, j)
        for m, v in base.items()
        for i in range(40)
        for j in ("j", "k")
    ]
    write_jsonl(tmp_path / "v.jsonl", rows)
    return tmp_path / "v.jsonl"


def invoke(*arguments: str) -> str:
    result = run(app, list(arguments))
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_correlate_reads_what_leaderboard_prints(verdicts: Path, tmp_path: Path) -> None:
    (tmp_path / "board.json").write_text(invoke("leaderboard", str(verdicts), "--json"))
    (tmp_path / "human.csv").write_text("model,elo\nGood,1200\nfair,1100\npoor,900\nother,1000\n")
    write_json(tmp_path / "names.json", {"good": "Good"})
    arguments = ["correlate", str(tmp_path / "board.json"), str(tmp_path / "human.csv")]
    found = json.loads(
        invoke(*arguments, "--names", str(tmp_path / "names.json"), "--metric", "wb_score by j", "--json")
    )
    (row,) = found["metrics"]
    assert (row["metric"], row["n"]) == ("wb_score by j", 3)
    assert row["spearman"]["value"] == pytest.approx(1.0)
    assert row["pearson"]["ci"] == [None, None]  # three models say nothing of the error
    assert row["separability"] == 1.0
    text = invoke(*arguments)
    assert "Correlation with human.csv" in text and "note: no human rating of good" in text


def test_agree_shows_agreement_shift_and_family(verdicts: Path) -> None:
    found = json.loads(invoke("agree", str(verdicts), "--family", "j=good", "--json"))
    (pair,) = found["pairs"]
    assert (pair["n"], pair["mean_first"] - pair["mean_second"]) == (120, pytest.approx(1.0, abs=0.1))
    assert found["self_preference"][0]["family"] == ["good"]
    text = invoke("agree", str(verdicts), "--family", "j=good")
    assert "Judges on the same answers" in text and "its family" in text
    assert isinstance(run(app, ["agree", str(verdicts), "--family", "good"]).exception, UsageError)


def test_power_says_how_many_tasks_a_gap_needs(verdicts: Path) -> None:
    found = json.loads(invoke("power", str(verdicts), "--gap", "1", "--json"))
    assert [t["judge"] for t in found] == ["j", "k"]
    assert found[0]["tasks_needed"] >= 2 and found[0]["num_tasks"] == 40
    assert found[0]["stability"][0]["num_tasks"] == 32
    assert "a gap of 1 points needs" in invoke("power", str(verdicts), "--gap", "1")


def test_correct_uses_labels_on_the_scale_of_the_verdicts(verdicts: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("model,task_id,value\n" + "".join(f"good,t{i},{7 + i % 3}\n" for i in range(12)))
    found = json.loads(invoke("correct", str(verdicts), "--labels", str(labels), "--json"))
    good = found[0]["models"]["good"]
    assert good["human"]["value"] == pytest.approx(60.0)
    assert good["corrected"]["value"] == pytest.approx(60.0, abs=5)
    assert good["judge"]["value"] > good["corrected"]["value"]
    assert "labels -> worth" in invoke("correct", str(verdicts), "--labels", str(labels))
    labels.write_text("model,task_id,value\ngood,t0,70\ngood,t1,80\n")
    error = run(app, ["correct", str(verdicts), "--labels", str(labels)]).exception
    assert isinstance(error, DataError) and "outside 1 to 10" in str(error)
    labels.write_text("model,task_id,value\nnobody,t0,5\n")
    error = run(app, ["correct", str(verdicts), "--labels", str(labels)]).exception
    assert isinstance(error, DataError) and "no labeled model has a verdict" in str(error)


def test_published_rebuilds_the_real_leaderboard(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "wildbench" / "leaderboard" / "final_2024-08-01"
    right = json.loads(invoke("published", str(folder), "--json"))
    legacy = json.loads(invoke("published", str(folder), "--legacy", "--margin", "500", "--json"))
    assert right["gpt-4o-mini-2024-07-18"]["mixture_of_rewards.K=-1"] is None
    assert legacy["gpt-4o-mini-2024-07-18"]["mixture_of_rewards.K=500"] == 0.0
    assert "missing" in invoke("published", str(folder))


def test_the_options_are_frozen() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {
        name: sorted(o for p in commands[name].params for o in p.opts if o.startswith("--"))
        for name in ("correlate", "agree", "power", "correct", "published")
    }
    assert options == {
        "correlate": ["--column", "--json", "--metric", "--names", "--top"],
        "agree": ["--baseline", "--family", "--json", "--judge", "--seed"],
        "power": ["--baseline", "--gap", "--json", "--judge", "--power", "--seed"],
        "correct": ["--baseline", "--json", "--judge", "--labels"],
        "published": ["--json", "--legacy", "--margin"],
    }
