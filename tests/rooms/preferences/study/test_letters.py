"""The letters task at full size: every training reaches what it should, and what goes wrong on purpose is shown.

Thresholds are those that three seeds of an independent implementation cleared with room to spare.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from agora.core.records import Message, PreferencePair
from agora.core.tables import read_rows, write_jsonl
from agora.rooms.preferences.stages import train_sft
from agora.rooms.preferences.study.measuring import _sample
from agora.rooms.preferences.study.result import ArmResult, StudyReport
from agora.train.settings import SftSettings
from tests.rooms.preferences.study.conftest import run
from tests.rooms.preferences.toy import make_base, true_reward, write_demonstrations, write_prompts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]
TRAIN = {"learning_rate": 2e-4, "batch_size": 64, "schedule": "constant", "warmup": 0.0}
PPO: dict[str, Any] = {
    "steps": 60,
    "prompts_per_step": 128,
    "num_ppo_epochs": 2,
    "temperature": 1.0,
    "max_prompt_tokens": 16,
    "response_length": 16,
    "missing_eos_penalty": -10.0,
    "value_learning_rate": 2e-4,
    "kl_coef": 0.05,
    "train": TRAIN,
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    folder = tmp_path_factory.mktemp("letters")
    data = write_demonstrations(folder / "sft.jsonl", 19_200)
    settings = SftSettings.model_validate(
        {"max_tokens": 32, "train": {"learning_rate": 3e-3, "schedule": "constant", "epochs": 1, "batch_size": 64}}
    )
    done = train_sft(str(make_base(folder / "base")), data, folder / "sft", settings)
    assert done.steps == 300
    return folder, done.metrics


def write_sampled_pairs(folder: Path) -> Path:
    """Two samples for 4,000 prompts, labelled by the true reward; ties dropped."""
    from agora.core.records import PromptItem
    from agora.core.tables import read_records

    prompts = list(read_records(write_prompts(folder / "prompts.jsonl", 4000), PromptItem))
    drawn = _sample(str(folder / "sft" / "model"), prompts, each=2, temperature=1.0, max_tokens=16, seed=0)
    pairs = []
    for a, b in zip(drawn[::2], drawn[1::2], strict=True):
        better, worse = sorted((a, b), key=lambda answer: true_reward(answer.text), reverse=True)
        if true_reward(a.text) != true_reward(b.text) and a.text and b.text:
            sides = [(Message("assistant", answer.text),) for answer in (better, worse)]
            pairs.append(PreferencePair(f"pair-{a.prompt_id}", a.prompt, *sides))
    random.Random(0).shuffle(pairs)
    write_jsonl(folder / "pairs.jsonl", pairs)
    return folder / "pairs.jsonl"


@pytest.fixture(scope="module")
def study(start: tuple[Path, dict[str, float]]) -> tuple[Path, StudyReport]:
    folder, _ = start
    prompts = folder / "prompts.jsonl"
    data = write_sampled_pairs(folder)
    rows = {"learning_rate": 5e-4, "epochs": 2, "batch_size": 32}
    dpo = {"beta": 0.1, "max_tokens": 32, "train": {"learning_rate": 2e-4, "epochs": 1, "batch_size": 32}}
    measure = {"kind": "files", "sources": [{"path": str(write_prompts(folder / "held.jsonl", 400, seed=1))}]}
    values = {
        "title": "Letters at full size",
        "fixed": {
            "model": f"hf:{folder / 'sft' / 'model'}",
            "measure": {"prompts": measure, "rows": 400, "max_tokens": 16, "best_of": 8, "truth": "toy"},
        },
        "data": {"kind": "files", "sources": [{"path": str(data)}]},
        "algorithm": {"name": "ppo", "settings": PPO},
        "reward_model": {"settings": {"max_tokens": 32, "valid_share": 0.14, "train": rows}},
        "prompts": {"kind": "files", "sources": [{"path": str(prompts)}]},
        "studies": {
            "algorithm": {
                "vary": "algorithm",
                "baseline": "pull 0.05",
                "values": {
                    "pull 0.5": {"settings": {"kl_coef": 0.5}},
                    "no pull": {"settings": {"kl_coef": 0.0}},
                    "no penalty": {"settings": {"missing_eos_penalty": None}},
                    "length pays": {"model_reward": 0.0, "length_reward": 0.2},
                    "DPO": {"name": "dpo", "settings": dpo},
                },
            }
        },
    }
    report, _ = run(folder / "run", values)
    return folder / "run", report


def arm(study: tuple[Path, StudyReport], value: str) -> ArmResult:
    return next(a for a in study[1].studies[0].arms if a.arm.value == value)


def sampled(study: tuple[Path, StudyReport], value: str, name: str) -> float:
    found = arm(study, value).sampled(name)
    assert found is not None
    return found


def test_the_start_model_speaks_uniform_letters(
    start: tuple[Path, dict[str, float]], study: tuple[Path, StudyReport]
) -> None:
    assert 3.0 <= start[1]["final_loss"] <= 3.2
    eos, truth = (study[1].start.sampled(name) for name in ("eos_rate", "truth"))
    assert eos is not None and eos >= 0.98 and truth == pytest.approx(5 / 26, abs=0.03)


def test_the_reward_model_learns_what_is_good_and_not_what_is_long(study: tuple[Path, StudyReport]) -> None:
    (row,) = study[1].rewards
    assert row.own_accuracy is not None and row.own_accuracy >= 0.93
    assert row.accuracy is not None and row.longer is not None and row.accuracy.low > 0.9 > 0.5 > row.longer
    assert row.best_of is not None and row.best_of.estimate > 0.15


def test_dpo_moves_toward_the_good_letters(study: tuple[Path, StudyReport]) -> None:
    assert sampled(study, "DPO", "truth") >= 0.38
    assert sampled(study, "DPO", "kl1") > 0.5
    (log,) = (study[0] / "stages").glob("dpo-*/train_log.jsonl")
    last = [row["rewards/accuracies"] for _, row in read_rows(log)][-20:]
    assert sum(last) / len(last) >= 0.8


@pytest.mark.parametrize(("value", "least"), [("pull 0.5", 0.42), ("pull 0.05", 0.58), ("no pull", 0.62)])
def test_ppo_reaches_more_the_less_it_is_pulled_back(study: tuple[Path, StudyReport], value: str, least: float) -> None:
    assert sampled(study, value, "truth") >= least and sampled(study, value, "eos_rate") >= 0.95


def test_kl_rises_strictly_as_its_coefficient_falls(study: tuple[Path, StudyReport]) -> None:
    kl = [sampled(study, value, "kl1") for value in ("pull 0.5", "pull 0.05", "no pull")]
    assert 0 < kl[0] < kl[1] < kl[2]
    assert [sampled(study, value, "kl3") > 0 for value in ("pull 0.5", "pull 0.05", "no pull")] == [True] * 3


def test_clipping_acts(study: tuple[Path, StudyReport]) -> None:
    logs = list((study[0] / "stages").glob("online-*/train_log.jsonl"))
    assert len(logs) == 5
    assert all(max(row["policy/clip_fraction"] for _, row in read_rows(log)) > 0 for log in logs)


def test_a_reward_for_length_alone_raises_the_alarm(study: tuple[Path, StudyReport]) -> None:
    longer, before = sampled(study, "length pays", "chars_an_answer"), study[1].start.sampled("chars_an_answer")
    assert before is not None and longer > before + 1
    alarms = arm(study, "length pays").alarms
    assert "short" in {alarm.test for alarm in alarms}
    page = (study[0] / "report.html").read_text()
    assert "Over-optimization in algorithm: length pays" in page
    assert not arm(study, "pull 0.5").alarms


def test_a_missing_penalty_shows_in_length_and_ends(study: tuple[Path, StudyReport]) -> None:
    with_it, without = arm(study, "pull 0.05"), arm(study, "no penalty")
    for name in ("eos_rate", "tokens_an_answer"):
        assert with_it.sampled(name) is not None and without.sampled(name) is not None
    page = (study[0] / "report.html").read_text()
    assert "ended by itself" in page and "algorithm: no penalty" in page
