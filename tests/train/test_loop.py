"""The step loop: resume is exact, batching does not matter, bad input is one line."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agora.core.errors import AgoraError, ConfigError, DataError
from agora.train.batch import EncodedSequence, Group
from agora.train.config import TrainConfig
from agora.train.loop import groups_of_step, num_steps, train
from agora.train.objectives import DPO, SFT, reference_logprobs
from tests.train import naive
from tests.train.conftest import tiny_llama
from tests.train.kills import exits_of

CONFIG = TrainConfig(learning_rate=1e-3, epochs=3, batch_size=4, token_budget=200, checkpoint_every_s=1e-6)


def sft_groups(n: int = 10) -> list[Group]:
    rng = np.random.default_rng(0)
    return [(naive.random_row(rng, str(i), int(rng.integers(3, 30)), 2),) for i in range(n)]


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_lowers_the_loss(optimizer: str) -> None:
    config = CONFIG.model_copy(update={"epochs": 20, "optimizer": optimizer, "learning_rate": 3e-3})
    result = train(tiny_llama(), sft_groups(), SFT(), config)
    assert result.log[-1]["loss"] < 0.5 * result.log[0]["loss"]


def test_micro_batch_size_does_not_change_the_weights() -> None:
    finals = []
    for budget in (30, 100, 5000):
        model = tiny_llama()
        train(model, sft_groups(), SFT(), CONFIG.model_copy(update={"token_budget": budget}))
        finals.append(weights(model))
    # AdamW divides by the gradient's own size, so rounding in tiny gradients shows more than in the loss
    assert torch.allclose(finals[0], finals[2], atol=2e-4) and torch.allclose(finals[1], finals[2], atol=2e-4)


class _StopError(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("stop_after", [1, 4, 8])
def test_resume_ends_with_the_same_bits_as_an_unbroken_run(tmp_path: Path, stop_after: int, optimizer: str) -> None:
    config = CONFIG.model_copy(update={"optimizer": optimizer})
    unbroken = tiny_llama()
    whole = train(unbroken, sft_groups(), SFT(), config)

    def stop(entry: Any) -> None:
        if entry.step > stop_after:
            raise _StopError

    with pytest.raises(_StopError):
        train(tiny_llama(), sft_groups(), SFT(), config, checkpoint_dir=tmp_path, on_step=stop)
    resumed = tiny_llama(seed=123)  # the checkpoint must overwrite whatever the model held
    result = train(resumed, sft_groups(), SFT(), config, checkpoint_dir=tmp_path)
    assert torch.equal(weights(resumed), weights(unbroken))
    assert result.log == whole.log


def test_kill_nine_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    imports = """
        from pathlib import Path
        from tests.train.test_loop import CONFIG, sft_groups
        from tests.train.conftest import tiny_llama
        from agora.train.loop import train
        from agora.train.objectives import SFT
        tiny_llama()  # loads the model class, which takes longer than the training
    """
    body = f"""
        model = tiny_llama()
        train(model, sft_groups(), SFT(), CONFIG, checkpoint_dir=Path({str(tmp_path)!r}), on_step=die)
        torch.save(model.state_dict(), {str(tmp_path / "final.pt")!r})
    """
    assert exits_of(imports, body, (3, 6, 0)) == [-signal.SIGKILL, -signal.SIGKILL, 0]
    torch.set_num_threads(1)
    unbroken = tiny_llama()
    train(unbroken, sft_groups(), SFT(), CONFIG)
    final = torch.load(tmp_path / "final.pt", weights_only=True)
    assert all(torch.equal(v, final[k]) for k, v in unbroken.state_dict().items())


def test_resume_under_other_settings_is_refused_and_names_them(tmp_path: Path) -> None:
    train(tiny_llama(), sft_groups(), SFT(), CONFIG, checkpoint_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"learning_rate: 0.001 -> 0.002"):
        changed = CONFIG.model_copy(update={"learning_rate": 2e-3})
        train(tiny_llama(), sft_groups(), SFT(), changed, checkpoint_dir=tmp_path)
    with pytest.raises(ConfigError, match="rows"):
        train(tiny_llama(), sft_groups(9), SFT(), CONFIG, checkpoint_dir=tmp_path)


def test_every_row_is_seen_once_an_epoch() -> None:
    config = CONFIG.model_copy(update={"epochs": 2, "batch_size": 4})
    steps = num_steps(10, config)
    assert steps == 6
    for epoch in (range(3), range(3, 6)):
        assert sorted(i for step in epoch for i in groups_of_step(10, config.batch_size, config.seed, step)) == list(
            range(10)
        )


def test_dpo_raises_the_chosen_above_the_rejected() -> None:
    model = tiny_llama()
    groups = naive.random_pairs(np.random.default_rng(0), 12, longest=12)
    objective = DPO(reference_logprobs(model, groups), beta=0.1)
    result = train(model, groups, objective, CONFIG.model_copy(update={"epochs": 12, "learning_rate": 3e-3}))
    assert result.log[0]["loss"] == pytest.approx(np.log(2), abs=1e-5)
    assert result.log[-1]["rewards/accuracies"] == 1.0


def test_nothing_to_train_on_is_said() -> None:
    empty = EncodedSequence("0", np.zeros(4, dtype=np.int32), np.zeros(4, dtype=np.uint8))
    for groups in ([], [(empty,)]):
        with pytest.raises(DataError, match="nothing to train on"):
            train(tiny_llama(), groups, SFT(), CONFIG)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_weights() -> None:
    class Broken(SFT):
        def loss(self, model: Any, batch: Any, groups: Any, totals: Any) -> Any:
            loss, metrics = super().loss(model, batch, groups, totals)
            return loss * float("nan"), metrics

    model = tiny_llama()
    before = weights(model).clone()
    with pytest.raises(AgoraError, match="not finite in 3 steps"):
        train(model, sft_groups(), Broken(), CONFIG)
    assert torch.equal(weights(model), before)


def test_a_step_that_does_not_fit_is_split_further_with_the_same_result() -> None:
    class Small(SFT):
        def loss(self, model: Any, batch: Any, groups: Any, totals: Any) -> Any:
            if batch.input_ids_BT.numel() > 64:
                raise torch.OutOfMemoryError("too many tokens")
            return super().loss(model, batch, groups, totals)

    finals = []
    for objective in (SFT(), Small()):
        model = tiny_llama()
        train(model, sft_groups(), objective, CONFIG)
        finals.append(weights(model))
    assert torch.allclose(finals[0], finals[1], atol=2e-4)


def test_one_group_that_does_not_fit_is_said() -> None:
    class Full(SFT):
        def loss(self, model: Any, batch: Any, groups: Any, totals: Any) -> Any:
            raise torch.OutOfMemoryError("full")

    with pytest.raises(AgoraError, match=r"one group of \d+ tokens does not fit into memory"):
        train(tiny_llama(), sft_groups(), Full(), CONFIG)


def test_dpo_in_bf16_starts_where_its_reference_is() -> None:
    model, groups = tiny_llama(), naive.random_pairs(np.random.default_rng(0), 13, longest=12)
    config = CONFIG.model_copy(update={"bf16": True, "batch_size": 13})
    gaps = [
        abs(
            train(tiny_llama(), groups, DPO(reference_logprobs(model, groups, bf16=bf16)), config).log[0]["loss"]
            - np.log(2)
        )
        for bf16 in (True, False)
    ]
    assert gaps[0] < 2e-4 < gaps[1]
