"""SFT and DPO equal a naive implementation and the published golden values, however rows are batched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import ConfigError
from agora.train.batch import EncodedSequence, Group, collate, plan_micro_batches
from agora.train.logprobs import sequence_logprobs, sum_by_row, target_logprobs
from agora.train.objectives import DPO, SFT, Objective, reference_logprobs
from tests.train import naive
from tests.train.conftest import tiny_llama


def loss_and_gradient(model: Any, groups: list[Group], objective: Objective, budget: int) -> tuple[float, torch.Tensor]:
    """The step loop's forward and backward without an optimizer."""
    model.zero_grad()
    total = 0.0
    for indices in plan_micro_batches(groups, budget):
        micro = [groups[i] for i in indices]
        loss, _ = objective.loss_sum(model, collate([row for g in micro for row in g]), micro)
        (loss / objective.normalizer(groups)).backward()
        total += float(loss.detach())
    return total / objective.normalizer(groups), flat_gradient(model)


def flat_gradient(model: Any) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("budget", [16, 64, 300, 100_000])
def test_sft_loss_and_gradient_equal_one_row_at_a_time(model: Any, budget: int) -> None:
    rng = np.random.default_rng(0)
    groups: list[Group] = [(naive.random_row(rng, str(i), n, max(1, n // 2)),) for i, n in enumerate([3, 50, 7, 21, 2])]
    loss, gradient = loss_and_gradient(model, groups, SFT(), budget)
    model.zero_grad()
    expected = naive.sft_loss(model, groups)
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    assert relative(gradient, flat_gradient(model)) < 1e-5


@pytest.mark.parametrize("budget", [16, 200, 100_000])
def test_dpo_loss_and_gradient_equal_one_row_at_a_time(model: Any, budget: int) -> None:
    groups = naive.random_pairs(np.random.default_rng(1), 6)
    reference = tiny_llama(seed=5)
    objective = DPO(reference_logprobs(reference, groups), beta=0.1)
    loss, gradient = loss_and_gradient(model, groups, objective, budget)
    model.zero_grad()
    expected = naive.dpo_loss(model, reference, groups, 0.1)
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    assert relative(gradient, flat_gradient(model)) < 1e-5


def test_dpo_of_a_model_against_itself_is_log_two(model: Any) -> None:
    groups = naive.random_pairs(np.random.default_rng(2), 5)
    loss, _ = loss_and_gradient(model, groups, DPO(reference_logprobs(model, groups), beta=0.3), 500)
    assert loss == pytest.approx(np.log(2), abs=1e-5)  # sums of hundreds of nats in fp32


def test_swapping_chosen_and_rejected_flips_the_margin(model: Any) -> None:
    groups = naive.random_pairs(np.random.default_rng(3), 4)
    reference = tiny_llama(seed=9)

    def margins(pairs: list[Group]) -> float:
        objective = DPO(reference_logprobs(reference, pairs))
        _, sums = objective.loss_sum(model, collate([row for g in pairs for row in g]), pairs)
        return sums["rewards/margins"]

    assert margins(groups) == pytest.approx(-margins([(b, a) for a, b in groups]), rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_log_probabilities_never_depend_on_the_batch_or_the_pad(data: st.DataObject) -> None:
    model = tiny_llama()
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    lengths = data.draw(st.lists(st.integers(2, 40), min_size=1, max_size=8))
    rows = [naive.random_row(rng, str(i), n, int(rng.integers(1, n))) for i, n in enumerate(lengths)]
    pad = data.draw(st.sampled_from([0, 1, 96]))
    with torch.no_grad():
        batch = collate(rows, pad_id=pad)
        together = sum_by_row(batch, target_logprobs(model, batch))
        alone = torch.stack([naive.row_logprob(model, row) for row in rows])
    assert torch.allclose(together, alone, atol=1e-4, rtol=1e-5)
    budget = data.draw(st.integers(16, 500))
    assert np.allclose(sequence_logprobs(model, rows, token_budget=budget), alone.numpy(), atol=1e-4)


def test_recomputing_logits_in_chunks_changes_nothing(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    groups: list[Group] = [(naive.random_row(rng, str(i), 30, 20),) for i in range(6)]
    whole = loss_and_gradient(model, groups, SFT(), 10_000)
    monkeypatch.setattr("agora.train.logprobs._KEEP_LOGITS", 1)
    monkeypatch.setattr("agora.train.logprobs._CHUNK_ELEMENTS", 97 * 7)
    chunked = loss_and_gradient(model, groups, SFT(), 10_000)
    assert chunked[0] == pytest.approx(whole[0], rel=1e-6)
    assert relative(chunked[1], whole[1]) < 1e-6


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(16, 400))
def test_every_group_travels_once_and_within_the_budget(lengths: list[int], budget: int) -> None:
    ones = [np.ones(n, dtype=np.uint8) for n in lengths]
    groups: list[Group] = [(EncodedSequence(str(i), m.astype(np.int32), m),) for i, m in enumerate(ones)]
    plan = list(plan_micro_batches(groups, budget))
    assert sorted(i for indices in plan for i in indices) == list(range(len(lengths)))
    for indices in plan:
        assert len(indices) == 1 or len(indices) * max(lengths[i] for i in indices) <= budget


def test_wrong_beta_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="beta must be > 0, got -1"):
        DPO({}, beta=-1)


def test_golden_values_of_the_preference_specification(shared_dir: Path) -> None:
    from safetensors.torch import load_file
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = shared_dir / "data/preference/golden"
    golden = json.loads((folder / "model_level.json").read_text())
    settings_ = {k: v for k, v in golden["config"].items() if k != "architecture"}
    models = []
    for name in ("policy", "reference"):
        model = LlamaForCausalLM(LlamaConfig(**settings_, attn_implementation="eager")).eval()
        missing = model.load_state_dict(load_file(folder / f"{name}.safetensors"), strict=False)
        assert not missing.unexpected_keys
        models.append(model)
    groups: list[Group] = []
    for i, example in enumerate(golden["examples"]):
        sides = [
            EncodedSequence(
                str(i),
                np.asarray(example["prompt_ids"] + example[side], dtype=np.int32),
                np.asarray([0] * len(example["prompt_ids"]) + [1] * len(example[side]), dtype=np.uint8),
            )
            for side in ("chosen_ids", "rejected_ids")
        ]
        groups.append((sides[0], sides[1]))
    reference = reference_logprobs(models[1], groups)
    expected = golden["dpo_losses"]
    for label, objective in {
        "sigmoid|beta=0.1|label_smoothing=0": DPO(reference, beta=0.1),
    }.items():
        loss, gradient = loss_and_gradient(models[0], groups, objective, 60)
        assert loss == pytest.approx(expected[label]["own_loss"], abs=1e-6)
        assert float(gradient.norm()) == pytest.approx(expected[label]["grad_norm"], rel=1e-4)
    smoothed, _ = loss_and_gradient(models[0], groups, DPO(reference, beta=0.1, label_smoothing=0.1), 60)
    assert smoothed == pytest.approx(0.906808, abs=1e-6)
    sft, gradient = loss_and_gradient(models[0], [(group[0],) for group in groups], SFT(), 60)
    assert sft == pytest.approx(expected["sft|beta=0.1|label_smoothing=0"]["own_loss"], abs=1e-6)
    assert float(gradient.norm()) == pytest.approx(expected["sft|beta=0.1|label_smoothing=0"]["grad_norm"], rel=1e-4)
