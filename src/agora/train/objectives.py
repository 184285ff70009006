"""What differs between algorithms: the loss of a micro-batch and what it is divided by.

An objective returns the *sum* of its loss terms over a micro-batch; the step loop divides by the normalizer of the
whole step, so that results never depend on how rows were batched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agora.core.errors import ConfigError
from agora.train.batch import Batch, Group
from agora.train.logprobs import sum_by_row, target_logprobs

if TYPE_CHECKING:
    import torch


class Objective(Protocol):
    """A training objective over groups of rows."""

    @property
    def name(self) -> str:
        """What the objective is called in logs and checkpoints."""

    def normalizer(self, groups: Sequence[Group]) -> float:
        """What the summed loss of a whole step is divided by; positive."""

    def loss_sum(self, model: Any, batch: Batch, groups: Sequence[Group]) -> tuple[torch.Tensor, Mapping[str, float]]:
        """Summed loss of a micro-batch (scalar) and summed metrics; metrics are divided by the number of groups."""


@dataclass(frozen=True, slots=True)
class SFT:
    """Mean negative log-likelihood over target tokens of the whole step: L = -sum log p / number of targets."""

    name: str = "sft"

    def normalizer(self, groups: Sequence[Group]) -> float:
        """Target tokens in the step."""
        return float(max(1, sum(row.n_targets for group in groups for row in group)))

    def loss_sum(self, model: Any, batch: Batch, groups: Sequence[Group]) -> tuple[torch.Tensor, Mapping[str, float]]:
        """Negative log-likelihood summed over the micro-batch."""
        return -target_logprobs(model, batch).sum(), {}


@dataclass(frozen=True, slots=True)
class DPO:
    """Direct preference optimization (Rafailov et al. 2023), sigmoid form with optional label smoothing (cDPO).

    With c and r the policy's log-ratio to the reference on the chosen and rejected completion (sums over completion
    tokens, end token included) and d = c - r: L = -(1-e) log s(beta d) - e log s(-beta d), mean over pairs.

    Args:
        reference: log-probability under the reference per row id, see :func:`reference_key`.
        beta: strength of the pull toward the reference, > 0.
        label_smoothing: assumed share of flipped labels e, 0 <= e < 0.5.
        sft_weight: weight of an added mean negative log-likelihood of the chosen completion (RPO, Pang et al. 2024).
    """

    reference: Mapping[str, float]
    beta: float = 0.1
    label_smoothing: float = 0.0
    sft_weight: float = 0.0
    name: str = "dpo"

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise ConfigError(f"beta must be > 0, got {self.beta}", hint="0.1 is the usual value for DPO")
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(f"label_smoothing must lie in [0, 0.5), got {self.label_smoothing}")

    def normalizer(self, groups: Sequence[Group]) -> float:
        """Pairs in the step."""
        return float(max(1, len(groups)))

    def loss_sum(self, model: Any, batch: Batch, groups: Sequence[Group]) -> tuple[torch.Tensor, Mapping[str, float]]:
        """Loss summed over pairs; rows of the batch alternate chosen, rejected."""
        import torch
        from torch.nn.functional import logsigmoid

        logp_N = target_logprobs(model, batch)
        policy_B = sum_by_row(batch, logp_N)
        reference_B = torch.tensor(
            [self.reference[reference_key(group, side)] for group in groups for side in range(2)],
            dtype=policy_B.dtype,
            device=policy_B.device,
        )
        ratio_B = policy_B - reference_B
        chosen, rejected = ratio_B[0::2], ratio_B[1::2]
        margin = self.beta * (chosen - rejected)
        loss = -(1 - self.label_smoothing) * logsigmoid(margin) - self.label_smoothing * logsigmoid(-margin)
        total = loss.sum()
        if self.sft_weight:
            lengths = torch.tensor([group[0].n_targets for group in groups], device=policy_B.device)
            total = total - self.sft_weight * (policy_B[0::2] / lengths.clamp(min=1)).sum()
        metrics = {
            "rewards/chosen": self.beta * float(chosen.detach().sum()),
            "rewards/rejected": self.beta * float(rejected.detach().sum()),
            "rewards/margins": float(margin.detach().sum()),
            "rewards/accuracies": float((margin.detach() > 0).float().sum()),
            "logps/chosen": float(policy_B[0::2].detach().sum()),
            "logps/rejected": float(policy_B[1::2].detach().sum()),
        }
        return total, metrics


def reference_key(group: Group, side: int) -> str:
    """Key of a pair's reference log-probability; side 0 is chosen, 1 rejected."""
    return f"{group[0].id}/{side}"


def reference_logprobs(model: Any, groups: Sequence[Group], *, token_budget: int = 16384) -> dict[str, float]:
    """Reference log-probabilities of every pair, computed once before training and batched by length."""
    from agora.train.logprobs import sequence_logprobs

    device = next(model.parameters()).device
    keys = [reference_key(group, side) for group in groups for side in range(len(group))]
    rows = [row for group in groups for row in group]
    return dict(zip(keys, sequence_logprobs(model, rows, token_budget=token_budget, device=device), strict=True))
