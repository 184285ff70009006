"""Gradient checkpointing: less is kept, loss and gradient are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agora.train.batch import collate
from agora.train.logprobs import target_logprobs
from agora.train.loop import train
from agora.train.lora import LoraSettings, add_adapters
from agora.train.models import recompute_activations
from agora.train.objectives import DPO, SFT, reference_logprobs
from tests.train import naive
from tests.train.conftest import tiny_llama
from tests.train.test_loop import CONFIG, sft_groups, weights


def saved_bytes(model: Any) -> int:
    """Bytes that a forward pass keeps for the backward pass, parameters not counted."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        target_logprobs(model, collate([group[0] for group in sft_groups()])).sum()
    return sum(seen.values())


@pytest.mark.parametrize("lora", [None, LoraSettings(r=4)])
def test_loss_and_gradient_are_the_same_and_less_is_kept(lora: LoraSettings | None) -> None:
    batch = collate([group[0] for group in sft_groups()])
    found = []
    for recompute in (False, True):
        model = tiny_llama()
        if lora is not None:
            add_adapters(model, lora, seed=0)
        if recompute:
            recompute_activations(model)
        model.train()
        kept = saved_bytes(model)
        loss = -target_logprobs(model, batch).mean()
        torch.autograd.backward(loss)
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found.append((kept, loss.detach(), gradient))
    (all_kept, loss, gradient), (few_kept, same_loss, same_gradient) = found
    assert torch.equal(loss, same_loss) and torch.allclose(gradient, same_gradient, rtol=1e-6, atol=1e-9)
    assert few_kept < 0.6 * all_kept


def test_training_with_the_setting_ends_with_the_same_weights() -> None:
    groups = naive.random_pairs(np.random.default_rng(0), 8, longest=12)
    finals = []
    for on in (False, True):
        model = tiny_llama()
        objective = DPO(reference_logprobs(model, groups))
        train(model, groups, objective, CONFIG.model_copy(update={"gradient_checkpointing": on}))
        finals.append(weights(model))
    assert torch.allclose(finals[0], finals[1], atol=2e-5)


def test_the_setting_may_change_between_restarts(tmp_path: Any) -> None:
    train(tiny_llama(), sft_groups(), SFT(), CONFIG, checkpoint_dir=tmp_path)
    changed = CONFIG.model_copy(update={"gradient_checkpointing": True})
    assert train(tiny_llama(), sft_groups(), SFT(), changed, checkpoint_dir=tmp_path).steps == 9
