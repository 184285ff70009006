"""What differs between algorithms: the loss of a micro-batch.

An objective returns a micro-batch's share of the step's mean loss: sums are divided by totals of the *whole* step, so
that results never depend on how rows were batched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agora.core.errors import ConfigError
from agora.train.batch import Batch, Group
from agora.train.distributed import from_all, shared_micro_batches
from agora.train.logprobs import can_share_prompts, sum_by_sequence, target_logprobs
from agora.train.losses import PairLossSettings, PairTerms, get_pair_loss

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class StepTotals:
    """Counts over all rows of one optimizer step; at least 1 each, so that they can divide."""

    groups: float
    sequences: float
    targets: float
    first_targets: float  # targets of each group's first sequence: the chosen side of a pair

    @classmethod
    def of(cls, groups: Sequence[Group]) -> StepTotals:
        """Totals of a step's groups."""
        return cls(
            max(1.0, len(groups)),
            max(1.0, sum(len(group) for group in groups)),
            max(1.0, sum(row.n_targets for group in groups for row in group)),
            max(1.0, sum(group[0].n_targets for group in groups)),
        )


class Objective:
    """A training objective over groups of rows. Subclasses give :meth:`loss` and a ``name``."""

    name: str = ""
    whole_step: bool = False  # the loss looks at all groups of a step at once

    def loss(
        self, model: Any, batch: Batch, groups: Sequence[Group], totals: StepTotals
    ) -> tuple[Tensor, Mapping[str, float]]:
        """A micro-batch's share of the step's loss (scalar) and of its metrics; shares add up to the step's means."""
        raise TypeError(f"{type(self).__name__} has no loss")

    def end_step(self) -> None:
        """Called after each optimizer step, for objectives that keep running figures."""

    def state(self) -> dict[str, float]:
        """Running figures that a checkpoint must hold."""
        return {}

    def load_state(self, state: Mapping[str, float]) -> None:
        """Restore :meth:`state`."""


class SFT(Objective):
    """Mean negative log-likelihood over target tokens of the whole step: L = -sum log p / number of targets."""

    name = "sft"

    def loss(
        self, model: Any, batch: Batch, groups: Sequence[Group], totals: StepTotals
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Negative log-likelihood."""
        return -target_logprobs(model, batch).sum() / totals.targets, {}


class DPO(Objective):
    """Direct preference optimization (Rafailov et al. 2023) and its family, see :mod:`agora.train.losses`.

    Args:
        reference: log-probability under the reference per sequence, see :func:`reference_key`; may be empty for losses
            that need none.
        loss: a name of :data:`agora.train.losses.PAIR_LOSSES`.
        beta: strength of the pull toward the reference, > 0; None: the loss's usual value.
        label_smoothing: assumed share of flipped labels e, 0 <= e < 0.5.
        sft_weight: weight of an added token-mean negative log-likelihood of chosen completions (RPO, Pang et al. 2024).
        gamma_ratio: SimPO's target margin over beta.
    """

    name = "dpo"

    def __init__(
        self,
        reference: Mapping[str, float],
        *,
        loss: str = "sigmoid",
        beta: float | None = None,
        label_smoothing: float = 0.0,
        sft_weight: float = 0.0,
        gamma_ratio: float = 0.3,
    ) -> None:
        form = get_pair_loss(loss)
        beta = form.beta if beta is None else beta
        if beta <= 0:
            raise ConfigError(f"beta must be > 0, got {beta}", hint=f"{form.beta:g} is the usual value for {loss}")
        if not 0 <= label_smoothing < 0.5:
            raise ConfigError(f"label_smoothing must lie in [0, 0.5), got {label_smoothing}")
        if label_smoothing and form.smoothing is None:
            raise ConfigError(f"{loss} takes no label_smoothing", hint="use cdpo or robust")
        self.name = "dpo" if loss == "sigmoid" else f"dpo:{loss}"
        self.whole_step = form.whole_step
        self._form = form
        self._reference = reference
        self._settings = PairLossSettings(beta, label_smoothing, gamma_ratio)
        self._is_running = loss == "bco_pair"
        self._sft_weight = sft_weight
        self._running = {"count": 0.0, "mean": 0.0}
        self._seen: list[float] = []

    def loss(
        self, model: Any, batch: Batch, groups: Sequence[Group], totals: StepTotals
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Mean over pairs; sequences of the batch alternate chosen, rejected."""
        import torch

        policy_R = sum_by_sequence(batch, target_logprobs(model, batch))
        if self._form.needs_reference:
            known = [self._reference[reference_key(group, side)] for group in groups for side in range(2)]
            reference_R = torch.tensor(known, dtype=policy_R.dtype, device=policy_R.device)
        else:
            reference_R = torch.zeros_like(policy_R)
        lengths_R = torch.tensor([row.n_targets for row in batch.rows], dtype=policy_R.dtype, device=policy_R.device)
        lengths_R = lengths_R.clamp(min=1)
        terms = PairTerms(
            policy_R[0::2], policy_R[1::2], reference_R[0::2], reference_R[1::2], lengths_R[0::2], lengths_R[1::2]
        )
        total = self._form.function(terms, self._current_settings()).sum() / totals.groups
        if self._sft_weight:
            total = total - self._sft_weight * policy_R[0::2].sum() / totals.first_targets
        return total, self._metrics(terms, totals)

    def end_step(self) -> None:
        """Fold the step's rewards into BCO's running mean."""
        if self._is_running and self._seen:
            count = self._running["count"] + len(self._seen)
            self._running["mean"] += (sum(self._seen) - len(self._seen) * self._running["mean"]) / count
            self._running["count"] = count
        self._seen = []

    def state(self) -> dict[str, float]:
        """BCO's running mean; nothing for the others."""
        return dict(self._running) if self._is_running else {}

    def load_state(self, state: Mapping[str, float]) -> None:
        """Restore BCO's running mean."""
        self._running.update(state)

    def _current_settings(self) -> PairLossSettings:
        if not self._is_running:
            return self._settings
        s = self._settings
        return PairLossSettings(s.beta, s.label_smoothing, s.gamma_ratio, self._running["mean"])

    def _metrics(self, terms: PairTerms, totals: StepTotals) -> dict[str, float]:
        beta = self._settings.beta
        chosen, rejected = beta * terms.c.detach(), beta * terms.r.detach()
        if self._is_running:
            self._seen += [*chosen.tolist(), *rejected.tolist()]
        sums = {
            "rewards/chosen": chosen,
            "rewards/rejected": rejected,
            "rewards/margins": chosen - rejected,
            "rewards/accuracies": (chosen > rejected).float(),
            "logps/chosen": terms.policy_chosen.detach(),
            "logps/rejected": terms.policy_rejected.detach(),
        }
        if self._form.needs_reference:
            sums["logps/chosen_change_per_token"] = terms.c.detach() / terms.n_chosen
            sums["logps/chosen_fell"] = (terms.c.detach() < 0).float()
        return {name: float(value.sum()) / totals.groups for name, value in sums.items()}


class RewardLoss(Objective):
    """Bradley-Terry loss of a scalar reward model: L = -mean log s(r(x, y_w) - r(x, y_l) - margin).

    Args:
        margins: required gap per pair id (Llama 2); pairs not named have none.
        center: k of the centering term k * mean((r_w + r_l)^2) (Eisenstein et al. 2023).
        label_smoothing: assumed share of flipped labels e, 0 <= e < 0.5.
    """

    name = "reward"

    def __init__(
        self, *, margins: Mapping[str, float] | None = None, center: float = 0.0, label_smoothing: float = 0.0
    ) -> None:
        if center < 0:
            raise ConfigError(f"center_rewards_coefficient must be >= 0, got {center}")
        if not 0 <= label_smoothing < 0.5:
            raise ConfigError(f"label_smoothing must lie in [0, 0.5), got {label_smoothing}")
        self._margins = margins or {}
        self._center = center
        self._smoothing = label_smoothing

    def loss(
        self, model: Any, batch: Batch, groups: Sequence[Group], totals: StepTotals
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Mean over pairs; sequences of the batch alternate chosen, rejected."""
        import torch
        from torch.nn.functional import logsigmoid

        from agora.train.reward_model import last_token_rewards

        reward_R = last_token_rewards(model, batch)
        chosen, rejected = reward_R[0::2], reward_R[1::2]
        required = [self._margins.get(group[0].id, 0.0) for group in groups]
        gap = chosen - rejected - torch.tensor(required, dtype=reward_R.dtype, device=reward_R.device)
        loss = -(1 - self._smoothing) * logsigmoid(gap) - self._smoothing * logsigmoid(-gap)
        loss = loss + self._center * (chosen + rejected).square()
        metrics = {
            "rewards/chosen": chosen,
            "rewards/rejected": rejected,
            "rewards/margins": chosen - rejected,
            "rewards/accuracies": (chosen > rejected).float(),
        }
        shares = {name: float(value.detach().sum()) / totals.groups for name, value in metrics.items()}
        return loss.sum() / totals.groups, shares


def reference_key(group: Group, side: int) -> str:
    """Key of a pair's reference log-probability; side 0 is chosen, 1 rejected."""
    return f"{group[0].id}/{side}"


def reference_logprobs(
    model: Any, groups: Sequence[Group], *, token_budget: int = 16384, bf16: bool = False
) -> dict[str, float]:
    """Reference log-probabilities of every pair, computed once before training and batched by length.

    Args:
        model: the reference.
        groups: (chosen, rejected) rows.
        token_budget: padded tokens of a micro-batch.
        bf16: compute as a training with this setting does, so that the ratio to the reference starts at 1.

    Returns:
        Summed log-probability (nats) by :func:`reference_key`.
    """
    import torch

    found: dict[str, float] = {}
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    share = can_share_prompts(model)
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        for own, batch, _ in shared_micro_batches(groups, token_budget, share_prompts=share, device=device):
            sums = sum_by_sequence(batch, target_logprobs(model, batch).double()).tolist()
            keys = [reference_key(group, side) for group in own for side in range(len(group))]
            found.update(zip(keys, sums, strict=True))
    model.train(was_training)
    return from_all(found)
