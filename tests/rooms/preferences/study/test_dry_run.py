"""Recipes on paper: cells, stages, rows, steps and what is shared, without network, data or models."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agora.core.errors import AgoraError
from agora.rooms.preferences.study.dry_run import dry_run
from agora.rooms.preferences.study.recipe import load_recipe
from agora.rooms.preferences.study_commands import study

app = typer.Typer()
app.command()(study)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_the_papers_experiments_are_planned_with_its_sizes() -> None:
    found = dry_run(load_recipe("paper"))
    arms = {(arm.study, arm.value): arm for arm in found.arms}
    ppo = arms["algorithm on UltraFeedback", "PPO"]
    assert (ppo.pairs, ppo.rollouts, ppo.policy_updates) == (60_908, 119, 952)  # 60,908 prompts, 512 a step, by 64
    dpo = arms["preference data", "UltraFeedback fine-grained"]
    assert dpo.policy_updates == 3 * 1904  # three epochs of 60,908 pairs by 32
    assert arms["reward model", "13B, mix"].pairs == 60_908
    assert len([arm for arm in found.arms if arm.study == "preference data"]) == 14
    assert not found.confounded


def test_what_is_shared_is_planned_once() -> None:
    found = dry_run(load_recipe("paper"))
    assert found.stages["sft"][0] == 1
    # PPO: five data sets, three more reward models, three sets of prompts under each of two reward models
    assert found.stages["online"] == (14, 17)
    assert found.stages["reward"] == (8, 17)
    baseline = [arm for arm in found.arms if arm.value in ("13B, UltraFeedback", "UltraFeedback's")]
    assert [arm.own_stages for arm in baseline] == [0, 0, 0]


def test_the_microcosms_studies_share_start_answers_and_baseline() -> None:
    found = dry_run(load_recipe("microcosm"))
    assert found.stages["sft"][0] == found.stages["answers"][0] == 1
    assert {arm.study for arm in found.arms} == {"data", "algorithm", "reward model", "prompts"}
    shared = [arm for arm in found.arms if arm.study in ("reward model", "prompts")]
    assert shared[0].own_stages == 0


def test_the_plan_is_printed_as_json() -> None:
    done = CliRunner().invoke(app, ["paper", "--dry-run", "--json", "--only", "reward model"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert [arm["value"] for arm in told["arms"]] == [
        "13B, UltraFeedback",
        "13B, mix",
        "70B, UltraFeedback",
        "70B, mix",
    ]
    assert all(not proof["outside"] for proof in told["proofs"])


def test_the_plan_is_printed_as_tables() -> None:
    done = CliRunner().invoke(app, ["microcosm", "--dry-run", "--set", "seeds=[4]"])
    assert done.exit_code == 0 and "seeds: 4" in done.output and "if nothing were shared" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["microcosmo"], "did you mean microcosm?"),
        (["microcosm", "--dry-run", "--only", "promts"], "did you mean prompts?"),
        (["microcosm", "--set", "fixed.matsh=epochs"], "did you mean match?"),
        (["nowhere.yaml"], "no such file"),
        (
            ["microcosm", "--set", "studies.prompts.values.math and data only.with={fixed: {match: updates}}"],
            "fixed.match: ",
        ),
    ],
)
def test_a_mistake_is_told_before_anything_is_made(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, AgoraError) and said in str(done.exception)
    assert list(tmp_path.iterdir()) == []
