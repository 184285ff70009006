from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agora.core.errors import ConfigError
from agora.core.tables import write_jsonl
from agora.rooms.preferences import reward_commands
from tests.rooms.preferences.rewards import make_pair

app = typer.Typer()
app.command("reward-eval")(reward_commands.reward_eval)
app.command("best-of-n")(reward_commands.best_of_n)
app.command("published")(reward_commands.published)


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    write_jsonl(
        path, [make_pair(i, "a longer one" if i % 4 else "short", "medium", subset="ab"[i % 2]) for i in range(20)]
    )
    return path


def test_the_table_shows_accuracy_beside_its_baselines(pairs: Path) -> None:
    shown = run("reward-eval", "--model", "length:", "--data", pairs)
    for word in ("accuracy", "longer wins", "random", "all pairs", "chosen is longer", "rank correlation", "warning:"):
        assert word in shown
    assert "75.0" in shown


def test_json_is_one_object_on_stdout(pairs: Path) -> None:
    shown = json.loads(run("reward-eval", "--model", "length:", "--data", pairs, "--json"))
    assert shown["model"] == "length:" and shown["report"] is None
    assert shown["overall"]["accuracy"]["estimate"] == 0.75
    assert shown["overall"]["longer"]["estimate"] == 0.75


def test_the_report_holds_the_command_that_reproduces_it(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "my folder"
    shown = run("reward-eval", "--model", "length:", "--data", pairs, "--out", out, "--set", "ties=half")
    assert f"Report: {out / 'report.html'}" in shown
    page = (out / "report.html").read_text()
    assert f"agora preferences reward-eval --model length: --data {pairs} --out &#39;{out}&#39; --set ties=half" in page


def test_a_setting_with_a_typo_names_the_nearest(pairs: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean ties"):
        run("reward-eval", "--model", "length:", "--data", pairs, "--set", "tie=half")


def test_published_figures_are_recomputed(shared_dir: Path) -> None:
    folder = shared_dir / "data/preference"
    assert "1,625" in run("published", folder)
    figures = json.loads(run("published", folder, "--json"))["figures"]
    assert len(figures) == 1725 and all(figure["equal"] for figure in figures)


def test_a_figure_that_differs_is_shown_and_exits_1(shared_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agora.rooms.preferences import published

    monkeypatch.setitem(published._LLMBAR_LONGER, "natural", 57.0)
    shown = run("published", shared_dir / "data/preference", code=1)
    assert "differs: LLMBar, longer wins (%), natural: published 57.0, ours 56.0" in shown
