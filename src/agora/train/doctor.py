"""Checks before preference training: is the start model one that such training makes sense for?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agora.train.batch import EncodedSequence, Group
from agora.train.logprobs import sequence_logprobs

MIN_END_PROBABILITY = 0.01
MAX_NATS_PER_TOKEN = 4.0


def check_start(model: Any, groups: Sequence[Group], *, n: int = 64) -> list[str]:
    """Sentences about what is likely wrong; empty when all is well.

    The most common mistake is to start from a model that has never seen the template: then the end token is nearly
    impossible after good answers, or the answers themselves are.

    Args:
        model: the start model.
        groups: (chosen, rejected) rows.
        n: how many chosen sides are looked at.
    """
    chosen = [group[0] for group in groups[:n]]
    device = next(model.parameters()).device
    ends = [_last_target_only(row) for row in chosen]
    end = float(np.exp(sequence_logprobs(model, ends, device=device)).mean())
    nats = -sum(sequence_logprobs(model, chosen, device=device)) / sum(row.n_targets for row in chosen)
    found = []
    if end < MIN_END_PROBABILITY:
        found.append(
            f"the start model gives the end of chosen answers a mean probability of {end:.2%}: it has probably "
            "not been trained on this chat template; train it with `agora train sft` first"
        )
    if nats > MAX_NATS_PER_TOKEN:
        found.append(
            f"the start model's loss on chosen answers is {nats:.1f} nats a token (a trained one has less than "
            f"{MAX_NATS_PER_TOKEN:g}): wrong template, wrong language, or no fine-tuning yet"
        )
    return found


def _last_target_only(row: EncodedSequence) -> EncodedSequence:
    mask = np.zeros_like(row.loss_mask)
    mask[np.flatnonzero(row.loss_mask)[-1]] = 1
    return EncodedSequence(row.id, row.input_ids, mask)
