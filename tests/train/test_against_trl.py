"""Loss and gradient of SFT and DPO equal TRL's own trainers on the same rows of text."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from agora.core.records import Message, PreferencePair
from agora.train.batch import Group, micro_batches
from agora.train.objectives import DPO, SFT, Objective, StepTotals, reference_logprobs
from agora.train.render import encode_chat, encode_pair
from tests.tiny import make_model, make_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # TRL warns of what it will change one day
BETA = 0.3
WORDS = ("apple", "river", "seven", "story", "quick", "lazy", "fox", "answers", "basket", "name", "twice", "person")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture(scope="module")
def pairs() -> list[PreferencePair]:
    rng = random.Random(0)

    def text(most: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))

    return [
        PreferencePair(
            str(i),
            (Message("user", text(30)),),
            (Message("assistant", text(25)),),
            (Message("assistant", text(25)),),
        )
        for i in range(12)
    ]


def flat_gradient(model: Any) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def ours(model: Any, groups: list[Group], objective: Objective) -> tuple[float, torch.Tensor]:
    total = 0.0
    for indices, batch in micro_batches(groups, 200):  # several micro-batches of unlike length
        loss, _ = objective.loss(model, batch, [groups[i] for i in indices], StepTotals.of(groups))
        loss.backward()
        total += float(loss.detach())
    return total, flat_gradient(model)


def theirs(trainer: Any) -> tuple[float, torch.Tensor]:
    """One batch of all rows through the trainer's own collator and loss."""
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    return float(loss.detach()), flat_gradient(trainer.model)


def options(folder: Path, rows: int) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": rows,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "max_length": None,
        "dataloader_pin_memory": False,
    }


def assert_equal(here: tuple[float, torch.Tensor], there: tuple[float, torch.Tensor]) -> None:
    assert here[0] == pytest.approx(there[0], rel=1e-5)
    assert float((here[1] - there[1]).norm() / there[1].norm()) < 1e-5


def test_sft(tmp_path: Path, tokenizer: Any, pairs: list[PreferencePair]) -> None:
    trl = pytest.importorskip("trl", reason="the extra bench is not installed")
    datasets = pytest.importorskip("datasets")
    model = make_model(len(tokenizer))
    groups: list[Group] = [
        (row,) for p in pairs if (row := encode_chat(tokenizer, (*p.prompt, *p.chosen), id=p.id)) is not None
    ]
    rows = [{"prompt": [p.prompt[0].as_chat()], "completion": [p.chosen[0].as_chat()]} for p in pairs]
    trainer = trl.SFTTrainer(
        model=copy.deepcopy(model),
        args=trl.SFTConfig(**options(tmp_path, len(rows))),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    assert_equal(ours(model, groups, SFT()), theirs(trainer))


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "hinge"])
def test_dpo(tmp_path: Path, tokenizer: Any, pairs: list[PreferencePair], loss: str) -> None:
    trl = pytest.importorskip("trl", reason="the extra bench is not installed")
    datasets = pytest.importorskip("datasets")
    model, reference = make_model(len(tokenizer)), make_model(len(tokenizer), seed=1)
    groups: list[Group] = [sides for p in pairs if (sides := encode_pair(tokenizer, p)) is not None]
    objective = DPO(reference_logprobs(reference, groups), loss=loss, beta=BETA)
    rows = [
        {
            "prompt": [p.prompt[0].as_chat()],
            "chosen": [p.chosen[0].as_chat()],
            "rejected": [p.rejected[0].as_chat()],
        }
        for p in pairs
    ]
    trainer = trl.DPOTrainer(
        model=copy.deepcopy(model),
        ref_model=reference,
        args=trl.DPOConfig(beta=BETA, loss_type=loss, **options(tmp_path, len(rows))),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    assert_equal(ours(model, groups, objective), theirs(trainer))
