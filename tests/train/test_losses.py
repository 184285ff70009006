"""SFT and DPO equal a naive implementation and the published golden values, however rows are batched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import ConfigError
from agora.train.batch import (
    EncodedSequence,
    Group,
    collate,
    collate_shared,
    micro_batches,
    plan_micro_batches,
    shared_prompt,
)
from agora.train.logprobs import sequence_logprobs, sum_by_sequence, target_logprobs
from agora.train.losses import PAIR_LOSSES, beta_warning
from agora.train.objectives import DPO, SFT, Objective, StepTotals, reference_logprobs
from tests.examples import examples
from tests.train import naive
from tests.train.conftest import tiny_llama


def loss_and_gradient(
    model: Any, groups: list[Group], objective: Objective, budget: int, *, share: bool = False
) -> tuple[float, torch.Tensor]:
    """The step loop's forward and backward without an optimizer."""
    model.zero_grad()
    total = 0.0
    for indices, batch in micro_batches(groups, None if objective.whole_step else budget, share_prompts=share):
        loss, _ = objective.loss(model, batch, [groups[i] for i in indices], StepTotals.of(groups))
        loss.backward()
        total += float(loss.detach())
    return total, flat_gradient(model)


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
        batch = collate([row for g in pairs for row in g])
        _, sums = objective.loss(model, batch, pairs, StepTotals.of(pairs))
        return sums["rewards/margins"]

    assert margins(groups) == pytest.approx(-margins([(b, a) for a, b in groups]), rel=1e-5)


@settings(max_examples=examples(25), deadline=None)
@given(st.data())
def test_log_probabilities_never_depend_on_the_batch_or_the_pad(data: st.DataObject) -> None:
    model = tiny_llama()
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    lengths = data.draw(st.lists(st.integers(2, 40), min_size=1, max_size=8))
    rows = [naive.random_row(rng, str(i), n, int(rng.integers(1, n))) for i, n in enumerate(lengths)]
    pad = data.draw(st.sampled_from([0, 1, 96]))
    with torch.no_grad():
        batch = collate(rows, pad_id=pad)
        together = sum_by_sequence(batch, target_logprobs(model, batch))
        alone = torch.stack([naive.row_logprob(model, row) for row in rows])
    assert torch.allclose(together, alone, atol=1e-4, rtol=1e-5)
    budget = data.draw(st.integers(16, 500))
    assert np.allclose(sequence_logprobs(model, rows, token_budget=budget), alone.numpy(), atol=1e-4)


def test_recomputing_logits_in_chunks_changes_nothing(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    groups: list[Group] = [(naive.random_row(rng, str(i), 30, 20),) for i in range(6)]
    whole = loss_and_gradient(model, groups, SFT(), 10_000)
    monkeypatch.setattr("agora.train.logprobs.KEEP_LOGITS", 1)
    monkeypatch.setattr("agora.train.logprobs.CHUNK_ELEMENTS", 97 * 7)
    chunked = loss_and_gradient(model, groups, SFT(), 10_000)
    assert chunked[0] == pytest.approx(whole[0], rel=1e-6)
    assert relative(chunked[1], whole[1]) < 1e-6


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(16, 400))
def test_every_group_travels_once_and_within_the_budget(lengths: list[int], budget: int) -> None:
    plan = list(plan_micro_batches(lengths, [1] * len(lengths), budget))
    assert sorted(i for indices in plan for i in indices) == list(range(len(lengths)))
    for indices in plan:
        assert len(indices) == 1 or len(indices) * max(lengths[i] for i in indices) <= budget


def test_wrong_beta_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="beta must be > 0, got -1"):
        DPO({}, beta=-1)


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_sharing_a_prompt_changes_neither_log_probabilities_nor_gradients(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    groups: list[Group] = []
    for i in range(5):
        prompt, group = rng.integers(0, 97, rng.integers(1, 40)).astype(np.int32), []
        for _ in range(k):
            answer = rng.integers(0, 97, rng.integers(1, 12)).astype(np.int32)
            mask = np.r_[np.zeros(len(prompt)), np.ones(len(answer))].astype(np.uint8)
            group.append(EncodedSequence(f"p{i}", np.r_[prompt, answer], mask))
        groups.append(tuple(group))
    model = tiny_llama()
    padded, shared = collate([row for g in groups for row in g]), collate_shared(groups)
    assert shared.input_ids_BT.shape[0] == 5 and shared.n_rows == padded.n_rows
    gradients = []
    for batch in (padded, shared):
        model.zero_grad()
        logp = target_logprobs(model, batch)
        logp.sum().backward()
        gradients.append((sum_by_sequence(batch, logp).detach(), flat_gradient(model)))
    assert torch.allclose(gradients[0][0], gradients[1][0], atol=1e-4, rtol=1e-5)
    assert relative(gradients[0][1], gradients[1][1]) < 1e-4


def test_a_prompt_ends_before_the_first_target_and_the_first_difference() -> None:
    def row(ids: list[int], targets: int) -> EncodedSequence:
        mask = np.asarray([0] * (len(ids) - targets) + [1] * targets, dtype=np.uint8)
        return EncodedSequence("", np.asarray(ids, dtype=np.int32), mask)

    assert shared_prompt((row([1, 2, 3, 4], 1), row([1, 2, 3, 5], 1))) == 3
    assert shared_prompt((row([1, 2, 3, 4], 2), row([1, 2, 3, 5], 1))) == 2
    assert shared_prompt((row([9, 2, 3, 4], 1), row([1, 2, 3, 5], 1))) == 0


def test_a_pair_loss_that_sorts_over_the_step_is_never_split(model: Any) -> None:
    groups = naive.random_pairs(np.random.default_rng(7), 6)
    objective = DPO(reference_logprobs(tiny_llama(seed=2), groups), loss="aot")
    losses = {loss_and_gradient(model, groups, objective, budget)[0] for budget in (16, 10_000)}
    assert len(losses) == 1


@pytest.mark.parametrize(("name", "beta"), [("sigmoid", 5.0), ("sigmoid_norm", 0.1), ("simpo", 0.1)])
def test_a_beta_that_belongs_to_another_loss_is_warned_about(name: str, beta: float) -> None:
    assert "usual value" in (beta_warning(name, beta) or "")
    assert beta_warning(name, PAIR_LOSSES[name].beta) is None


def test_an_unknown_loss_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean sigmoid"):
        DPO({}, loss="sigmod")
    with pytest.raises(ConfigError, match="takes no label_smoothing"):
        DPO({}, loss="hinge", label_smoothing=0.1)


def test_the_running_mean_of_bco_moves_after_a_step_and_survives_a_checkpoint(model: Any) -> None:
    groups = naive.random_pairs(np.random.default_rng(8), 4)
    objective = DPO(reference_logprobs(tiny_llama(seed=3), groups), loss="bco_pair")
    before, _ = loss_and_gradient(model, groups, objective, 10_000)
    objective.end_step()
    after, _ = loss_and_gradient(model, groups, objective, 10_000)
    assert before != after
    restored = DPO(reference_logprobs(tiny_llama(seed=3), groups), loss="bco_pair")
    restored.load_state(objective.state())
    assert loss_and_gradient(model, groups, restored, 10_000)[0] == after
