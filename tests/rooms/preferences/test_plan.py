"""`agora plan` as its users type it, and its tokens against those of real trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agora.cli import app
from agora.core.errors import ConfigError, UsageError
from agora.core.records import Message, PreferencePair
from agora.core.tables import write_jsonl
from agora.microcosm.world.world import World
from agora.rooms.preferences.plan_recipe import microcosm_lengths, works_of
from agora.rooms.preferences.study.recipe import load_recipe

SMALL = ["train.batch_size=4", "train.learning_rate=1e-4"]


def plan(*args: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["plan", *args, "--json"], catch_exceptions=False)
    assert done.exit_code == code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def sets(*values: str) -> list[str]:
    return [part for value in (*SMALL, *values) for part in ("--set", value)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import random

    folder, world, rng = tmp_path_factory.mktemp("data"), World(0), random.Random(0)
    exercises = list(world.exercises(rng, 12, split="train"))
    asked = [(Message("user", e.instruction), world.answer(e, rng), world.flawed_answer(e, rng)) for e in exercises]
    chats = [{"messages": [q.as_chat(), {"role": "assistant", "content": a}]} for q, a, _ in asked]
    pairs = [
        PreferencePair(str(i), (q,), (Message("assistant", a),), (Message("assistant", b),))
        for i, (q, a, b) in enumerate(asked)
        if a != b
    ]
    write_jsonl(folder / "chats.jsonl", chats)
    write_jsonl(folder / "pairs.jsonl", pairs)
    return {"chats": folder / "chats.jsonl", "pairs": folder / "pairs.jsonl"}


@pytest.mark.parametrize("kind", ["sft", "dpo", "reward"])
def test_tokens_and_updates_are_those_of_the_real_training(kind: str, files: dict[str, Path], tmp_path: Path) -> None:
    from agora.core.config import load_config
    from agora.rooms.preferences import stages
    from agora.rooms.preferences.plan_training import SETTINGS

    data = files["chats" if kind == "sft" else "pairs"]
    more = ["valid_share=0.25"] if kind == "reward" else []
    found = plan(kind, "--model", "microcosm:base", "--data", str(data), *sets(*more, "train.epochs=1"))
    settings: Any = load_config(SETTINGS[kind], None, [*SMALL, *more, "train.epochs=1"])
    train = {"sft": stages.train_sft, "dpo": stages.train_dpo, "reward": stages.train_reward}[kind]
    real = train("microcosm:base", data, tmp_path / "run", settings)  # type: ignore[operator]
    (work,) = found["work"]
    assert work["phases"][0]["tokens"] == real.tokens
    assert work["updates"] == real.steps


def test_prompts_of_ppo_are_counted_and_its_responses_expected(files: dict[str, Path], tmp_path: Path) -> None:
    from agora.core.config import load_config
    from agora.rooms.preferences.stages import RewardTerm, train_ppo
    from agora.train.settings import PpoSettings

    given = [*SMALL, "prompts_per_step=4", "response_length=8", "temperature=1.0"]
    settings = load_config(PpoSettings, None, given)
    real = train_ppo("microcosm:base", files["pairs"], [RewardTerm("length:")], tmp_path / "run", settings)
    answer = real.target_tokens / real.rows
    command = ["ppo", "--model", "microcosm:base", "--data", str(files["pairs"]), "--answer-tokens", str(answer)]
    (work,) = plan(*command, *sets(*given[len(SMALL) :]))["work"]
    assert {p["name"]: p["tokens"] for p in work["phases"]}["sampling"] == pytest.approx(real.tokens, rel=0.1)
    assert work["updates"] == real.steps * 1


def test_the_papers_recipe_is_planned_with_what_does_not_fit_and_what_would() -> None:
    found = plan("paper", "--gpus", "8xH100", code=1)
    assert not found["fits"] and found["usd"] == pytest.approx(found["gpu_hours"] * 3.0)
    kinds = {work["kind"] for work in found["work"]}
    assert kinds == {"sft", "reward", "dpo", "ppo", "sampling", "scoring"}
    assert found["changes"] and any("70" in note for note in found["notes"])
    first = next(work for work in found["work"] if work["kind"] == "reward")
    parts = " ".join(first["memory_gib"])
    assert all(name in parts for name in ("weights", "gradients", "optimizer", "activations"))
    ppo = next(work for work in found["work"] if work["kind"] == "ppo")
    assert {"KV cache", "logits", "reference: weights", "reward: weights"} <= set(ppo["memory_gib"])


def test_a_study_in_the_microcosm_fits_anywhere_and_its_lengths_are_measured() -> None:
    works, notes = works_of(load_recipe("microcosm"), only=["algorithm"])
    assert any("rendered" in note for note in notes) and not any("assumed" in note for note in notes)
    lengths = microcosm_lengths()
    dpo = next(work for work in works if work.kind == "dpo")
    assert 10 < lengths.prompt < 300 and 3 < lengths.answer < 200
    assert dpo.models["model"].parameters < 3e6
    found = plan("microcosm", "--gpus", "L4", "--only", "algorithm")
    assert found["fits"] and 0 < found["hours"] < 1


def test_price_and_utilization_are_the_users_own() -> None:
    usual = plan("sft", "--model", "8B", "--rows", "1000", "--gpus", "8xH100", *sets("train.bf16=true"))
    own = plan(
        "sft", "--model", "8B", "--rows", "1000", "--gpus", "8xH100", "--price", "1.5", "--utilization", "0.7",
        *sets("train.bf16=true"),
    )  # fmt: skip
    assert own["hours"] == pytest.approx(usual["hours"] / 2) and own["usd"] == pytest.approx(usual["usd"] / 4)
    assert own["assumptions"]["usd"] == 1.5


def test_tables_say_what_is_assumed(capsys: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(app, ["plan", "sampling", "--model", "8B", "--rows", "1000", "--gpus", "H100"])
    assert done.exit_code == 0
    for word in ("KV cache", "assumed:", "NVIDIA H100", "--prompt-tokens", "USD 3.00"):
        assert word in done.output


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["dpo", "--rows", "5"], "--model"),
        (["dpo", "--model", "8B"], "--data"),
        (["dpo", "--model", "8B", "--data", "no.jsonl"], "tokenizer"),
        (["sampling", "--model", "8B"], "number of calls"),
        (["paper", "--rows", "5"], "one training"),
        (["paper", "--gpus", "8xH101"], "did you mean"),
        (["dpo", "--model", "8B", "--rows", "5", "--set", "bta=1"], "did you mean beta"),
    ],
)
def test_wrong_use_is_told_what_to_type(args: list[str], told: str) -> None:
    with pytest.raises((UsageError, ConfigError), match=told):
        CliRunner().invoke(app, ["plan", *args], catch_exceptions=False)
