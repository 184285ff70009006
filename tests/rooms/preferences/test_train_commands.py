"""``agora train`` as a user types it, on tiny models made on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agora.core.records import Message, PreferencePair
from agora.core.schemas import to_row
from agora.core.tables import read_json, write_jsonl
from agora.rooms.preferences.stages import RewardTerm
from tests.loop.conftest import agora
from tests.tiny import make_tiny_model

QUICK = ("train.learning_rate=3e-3", "train.batch_size=4", "train.epochs=1", "max_tokens=128")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    make_tiny_model(folder / "start")
    rows = [
        to_row(
            PreferencePair(
                str(i),
                (Message("user", f"question {i}"),),
                (Message("assistant", "good answer"),),
                (Message("assistant", "bad"),),
            )
        )
        for i in range(12)
    ]
    write_jsonl(folder / "pairs.jsonl", rows)
    return folder


def settings(*items: str) -> list[str]:
    return [x for item in items for x in ("--set", item)]


def trained(*arguments: str) -> dict[str, Any]:
    done = agora("train", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.slow  # four starts of the command
def test_a_reward_model_then_ppo_against_it_from_the_command_line(folder: Path) -> None:
    start, data = str(folder / "start"), str(folder / "pairs.jsonl")
    reward = trained(
        "reward", "--model", start, "--data", data, "--out", str(folder / "rm"), *settings(*QUICK, "valid_share=0.3")
    )
    assert reward["metrics"]["held_out/pairs"] + reward["rows"] == 12
    ppo = trained(
        "ppo", "--model", start, "--data", data, "--out", str(folder / "ppo"),
        "--reward", f"reward:{reward['model']}", "--reward", "0.01*length:",
        *settings("steps=2", "prompts_per_step=4", "response_length=8", "train.batch_size=4", "temperature=1.0"),
    )  # fmt: skip
    assert ppo["steps"] == 2 and {f"reward/reward:{reward['model']}", "reward/length:"} <= set(ppo["metrics"])
    assert ppo["settings"]["train"]["schedule"] == "constant", "the section keeps its own defaults"
    run = read_json(folder / "ppo/run.json")
    assert run["status"] == "done" and "agora train ppo" in run["command"]


def test_a_wrong_setting_and_a_wrong_loss_are_one_line_each(folder: Path) -> None:
    given = ["train", "dpo", "--model", str(folder / "start"), "--data", str(folder / "pairs.jsonl")]
    typo = agora(*given, "--out", str(folder / "a"), "--set", "train.epoch=1")
    assert typo.returncode == 2 and "did you mean" in typo.stderr and "epochs" in typo.stderr
    loss = agora(*given, "--out", str(folder / "b"), "--set", "loss=sigmod")
    assert loss.returncode == 2 and "did you mean sigmoid" in loss.stderr
    nothing = agora(*given, "--out", str(folder / "c"), "--resume")
    assert nothing.returncode == 3 and "nothing to resume" in nothing.stderr
    for done in (typo, loss, nothing):
        assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow  # three starts of the command
def test_the_same_folder_with_other_settings_is_refused_and_the_difference_named(folder: Path) -> None:
    given = ["train", "dpo", "--model", str(folder / "start"), "--data", str(folder / "pairs.jsonl")]
    out = ["--out", str(folder / "dpo")]
    first = agora(*given, *out, "--json", *settings(*QUICK))
    assert first.returncode == 0, first.stderr
    again = agora(*given, *out, "--json", *settings(*QUICK))
    assert json.loads(again.stdout) == json.loads(first.stdout)
    other = agora(*given, *out, *settings(*QUICK, "beta=0.5"))
    assert other.returncode == 2 and "beta" in other.stderr and other.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("length:", RewardTerm("length:")),
        ("0.5*length:", RewardTerm("length:", 0.5)),
        ("-1*normalized:reward:runs/rm", RewardTerm("reward:runs/rm", -1.0, normalize=True)),
        ("judge:http://127.0.0.1:1/v1#m", RewardTerm("judge:http://127.0.0.1:1/v1#m")),
    ],
)
def test_a_reward_is_written_with_its_weight(text: str, expected: RewardTerm) -> None:
    assert RewardTerm.parse(text) == expected
