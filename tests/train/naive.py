"""The slow, obvious implementations that training is compared with: one row at a time, all logits, no tricks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agora.train.batch import EncodedSequence, Group


def random_row(rng: np.random.Generator, name: str, length: int, n_targets: int, vocab: int = 97) -> EncodedSequence:
    """A row whose last ``n_targets`` tokens count."""
    mask = np.zeros(length, dtype=np.uint8)
    mask[length - n_targets :] = 1
    return EncodedSequence(name, rng.integers(0, vocab, length).astype(np.int32), mask)


def random_pairs(rng: np.random.Generator, n: int, longest: int = 40) -> list[Group]:
    """Pairs that share a prompt, with real length spread."""
    pairs: list[Group] = []
    for i in range(n):
        prompt = rng.integers(0, 97, rng.integers(1, longest)).astype(np.int32)
        sides = []
        for _ in range(2):
            answer = rng.integers(0, 97, rng.integers(1, longest)).astype(np.int32)
            mask = np.r_[np.zeros(len(prompt)), np.ones(len(answer))].astype(np.uint8)
            sides.append(EncodedSequence(f"p{i}", np.r_[prompt, answer], mask))
        pairs.append((sides[0], sides[1]))
    return pairs


def row_logprob(model: Any, row: EncodedSequence) -> Any:
    """log p of the row's targets from a forward pass of this row alone over the whole vocabulary."""
    import torch

    ids = torch.from_numpy(row.input_ids.astype(np.int64))[None]
    logp = torch.log_softmax(model(input_ids=ids).logits[0].float(), dim=-1)
    return sum(logp[t - 1, int(row.input_ids[t])] for t in range(1, len(row)) if row.loss_mask[t])


def sft_loss(model: Any, groups: Sequence[Group]) -> Any:
    """Token mean of the negative log-likelihood over all rows."""
    rows = [row for group in groups for row in group]
    return -sum(row_logprob(model, row) for row in rows) / sum(row.n_targets for row in rows)


def dpo_loss(model: Any, reference: Any, groups: Sequence[Group], beta: float) -> Any:
    """Mean of -log sigmoid(beta d), the reference run live."""
    import torch

    total = 0.0
    for chosen, rejected in groups:
        with torch.no_grad():
            ref = row_logprob(reference, chosen) - row_logprob(reference, rejected)
        d = row_logprob(model, chosen) - row_logprob(model, rejected) - ref
        total = total - torch.nn.functional.logsigmoid(beta * d)
    return total / len(groups)
