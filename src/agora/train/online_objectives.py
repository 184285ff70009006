"""Losses on the policy's own samples: the clipped policy loss and the clipped value loss.

What a rollout fixed (old log-probabilities, advantages, old values, returns) is kept per row id and never recomputed
inside a step, so that the ratio leaves 1 after the first inner update and the clip can act.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from agora.train.batch import Batch, Group
from agora.train.logprobs import target_logprobs
from agora.train.objectives import Objective, StepTotals
from agora.train.reward_model import token_values

if TYPE_CHECKING:
    from torch import Tensor

Aggregation = Literal["token_mean_batch", "sequence_mean", "constant"]


@dataclass(frozen=True, slots=True)
class ResponseTerms:
    """What a rollout fixed for one response; every array is float [T], one entry a response token."""

    old_logp: np.ndarray
    reference_logp: np.ndarray
    advantage: np.ndarray
    old_value: np.ndarray
    return_: np.ndarray


def clipped_policy_loss(
    new_logp: Tensor, old_logp: Tensor, advantage: Tensor, cliprange: float
) -> tuple[Tensor, Tensor]:
    """PPO's loss per token, max(-A rho, -A clip(rho, 1 - e, 1 + e)) with rho = exp(new - old), and whether clipped."""
    ratio = (new_logp - old_logp).exp()
    plain = -advantage * ratio
    clipped = -advantage * ratio.clamp(1 - cliprange, 1 + cliprange)
    return plain.maximum(clipped), (clipped > plain).detach()


def clipped_value_loss(new_value: Tensor, old_value: Tensor, return_: Tensor, cliprange: float) -> Tensor:
    """Half the larger of the squared errors of the value and of the value kept within ``cliprange`` of the old one."""
    kept = old_value + (new_value - old_value).clamp(-cliprange, cliprange)
    return 0.5 * (new_value - return_).square().maximum((kept - return_).square())


class PolicyLoss(Objective):
    """Clipped policy gradient over rows whose targets are response tokens.

    Args:
        terms: by row id.
        cliprange: e of the clip.
        temperature: at which log-probabilities are taken, that of the sampling unless told otherwise.
        aggregation: ``token_mean_batch`` (PPO, DAPO): mean over all tokens of the mini-batch; ``sequence_mean`` (GRPO):
            mean of each response's token mean; ``constant`` (Dr. GRPO): sum over ``max_tokens`` per response.
        kl_weight: weight of the k3 estimate of the KL to the reference inside the loss (GRPO); 0 for PPO and RLOO.
        max_tokens: divisor of ``constant``.
        kept: passes that were made already, by :func:`row_ids`; each is learned from once.
    """

    name = "policy"

    def __init__(
        self,
        terms: Mapping[str, ResponseTerms],
        *,
        cliprange: float = 0.2,
        temperature: float = 1.0,
        aggregation: Aggregation = "token_mean_batch",
        kl_weight: float = 0.0,
        max_tokens: int = 1,
        kept: dict[tuple[str, ...], Tensor] | None = None,
    ) -> None:
        self._terms = terms
        self._kept = {} if kept is None else kept
        self._cliprange = cliprange
        self._temperature = temperature
        self._aggregation = aggregation
        self._kl_weight = kl_weight
        self._max_tokens = max_tokens

    def loss(
        self, model: Any, batch: Batch, groups: Sequence[Group], totals: StepTotals
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Policy loss with its clip fraction, mean ratio and KL to the sampling policy."""
        new_N = _take(self._kept, batch)
        if new_N is None:
            new_N = target_logprobs(model, batch, temperature=self._temperature)
        old_N, advantage_N = (_gather(self._terms, batch, name, new_N) for name in ("old_logp", "advantage"))
        loss_N, clipped_N = clipped_policy_loss(new_N, old_N, advantage_N, self._cliprange)
        if self._kl_weight:
            k1_N = new_N - _gather(self._terms, batch, "reference_logp", new_N)
            loss_N = loss_N + self._kl_weight * ((-k1_N).exp() - 1 + k1_N)
        change_N = (new_N - old_N).detach()
        metrics = {
            "policy/clip_fraction": float(clipped_N.float().sum()) / totals.targets,
            "policy/ratio": float(change_N.exp().sum()) / totals.targets,
            "policy/approx_kl": float((change_N.square() / 2).sum()) / totals.targets,
        }
        return (loss_N * self._weights(batch, totals, new_N)).sum(), metrics

    def _weights(self, batch: Batch, totals: StepTotals, like: Tensor) -> Tensor:
        if self._aggregation == "token_mean_batch":
            return like.new_full(like.shape, 1 / totals.targets)
        if self._aggregation == "constant":
            return like.new_full(like.shape, 1 / (self._max_tokens * totals.sequences))
        lengths_R = like.new_tensor([max(1, row.n_targets) for row in batch.rows])
        return 1 / (lengths_R[batch.sequence_N] * totals.sequences)


class ValueLoss(Objective):
    """Clipped value regression, token mean over the mini-batch, times PPO's value coefficient; ``kept`` as above."""

    name = "value"

    def __init__(
        self,
        terms: Mapping[str, ResponseTerms],
        *,
        cliprange: float = 0.2,
        coefficient: float = 0.1,
        kept: dict[tuple[str, ...], Tensor] | None = None,
    ) -> None:
        self._terms = terms
        self._kept = {} if kept is None else kept
        self._cliprange = cliprange
        self._coefficient = coefficient

    def loss(
        self, model: Any, batch: Batch, groups: Sequence[Group], totals: StepTotals
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Weighted value loss; the unweighted one is the metric."""
        new_N = _take(self._kept, batch)
        if new_N is None:
            new_N = token_values(model, batch)
        old_N, return_N = (_gather(self._terms, batch, name, new_N) for name in ("old_value", "return_"))
        loss = clipped_value_loss(new_N, old_N, return_N, self._cliprange).sum() / totals.targets
        return self._coefficient * loss, {"value/loss": float(loss.detach())}


def row_ids(batch: Batch) -> tuple[str, ...]:
    """What a micro-batch is known by."""
    return tuple(row.id for row in batch.rows)


def _take(kept: dict[tuple[str, ...], Tensor], batch: Batch) -> Tensor | None:
    """The pass that was kept of a micro-batch; None, and the rest is dropped, where rows travel together otherwise."""
    found = kept.pop(row_ids(batch), None)
    if found is None:
        kept.clear()
    return found


def _gather(terms: Mapping[str, ResponseTerms], batch: Batch, name: str, like: Tensor) -> Tensor:
    """One rollout array of all rows of a batch, in the order of its targets."""
    joined = np.concatenate([getattr(terms[row.id], name) for row in batch.rows])
    return like.new_tensor(joined)
