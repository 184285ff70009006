"""The family of pairwise preference losses as pure functions of summed log-probabilities.

Forms and golden values: Ivison et al. 2024 (arXiv:2406.09279) for ``sigmoid``; each other entry names its paper. With
``c``/``r`` the policy's log-ratio to the reference on the chosen/rejected completion and ``d = c - r``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agora.core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class PairTerms:
    """What a pairwise loss may look at; every tensor is float [B], one entry a pair. Log-probabilities are sums."""

    policy_chosen: Tensor
    policy_rejected: Tensor
    reference_chosen: Tensor
    reference_rejected: Tensor
    n_chosen: Tensor  # completion tokens, end token included
    n_rejected: Tensor

    @property
    def c(self) -> Tensor:
        """log pi(chosen) - log ref(chosen)."""
        return self.policy_chosen - self.reference_chosen

    @property
    def r(self) -> Tensor:
        """log pi(rejected) - log ref(rejected)."""
        return self.policy_rejected - self.reference_rejected


@dataclass(frozen=True, slots=True)
class PairLossSettings:
    """Numbers that a loss may take. ``delta`` is BCO's running mean of rewards, 0 at the first step."""

    beta: float
    label_smoothing: float = 0.0
    gamma_ratio: float = 0.3  # SimPO's target margin over beta
    delta: float = 0.0


@dataclass(frozen=True, slots=True)
class PairLoss:
    """A named loss with the settings it is used with.

    Args:
        function: per-pair loss [B]; its mean over the step is minimized.
        formula: what is computed, for logs and reports.
        beta: the usual value.
        plausible: range of beta outside of which users are warned.
        needs_reference: looks at the reference's log-probabilities.
        whole_step: depends on all pairs of a step at once, so a step is never split.
        smoothing: what ``label_smoothing`` may be: None (not taken) or an upper bound.
    """

    function: Callable[[PairTerms, PairLossSettings], Tensor]
    formula: str
    beta: float = 0.1
    plausible: tuple[float, float] = (0.001, 1.0)
    needs_reference: bool = True
    whole_step: bool = False
    smoothing: float | None = None


def get_pair_loss(name: str) -> PairLoss:
    """The loss of that name.

    Raises:
        ConfigError: there is none; the nearest names are given.
    """
    import difflib

    if name not in PAIR_LOSSES:
        near = difflib.get_close_matches(name, PAIR_LOSSES, n=2) or sorted(PAIR_LOSSES)
        raise ConfigError(f"unknown preference loss {name!r}", hint=f"did you mean {' or '.join(near)}?")
    return PAIR_LOSSES[name]


def beta_warning(name: str, beta: float) -> str | None:
    """A sentence when beta lies far from what the loss is used with, else None."""
    loss = get_pair_loss(name)
    low, high = loss.plausible
    if low <= beta <= high:
        return None
    return f"beta {beta:g} is unusual for {name} ({loss.formula}); its usual value is {loss.beta:g}"


def _ls(x: Tensor) -> Tensor:
    from torch.nn.functional import logsigmoid

    return logsigmoid(x)


def _smoothed(d: Tensor, s: PairLossSettings) -> Tensor:
    """cDPO; with no smoothing the sigmoid form. Mitchell 2023, "a note on DPO with noisy preferences"."""
    e = s.label_smoothing
    return -(1 - e) * _ls(s.beta * d) - e * _ls(-s.beta * d)


def _sigmoid(t: PairTerms, s: PairLossSettings) -> Tensor:
    return _smoothed(t.c - t.r, s)


def _robust(t: PairTerms, s: PairLossSettings) -> Tensor:
    e, x = s.label_smoothing, s.beta * (t.c - t.r)
    return (-(1 - e) * _ls(x) + e * _ls(-x)) / (1 - 2 * e)


def _hinge(t: PairTerms, s: PairLossSettings) -> Tensor:
    return (1 - s.beta * (t.c - t.r)).clamp(min=0)


def _ipo(t: PairTerms, s: PairLossSettings) -> Tensor:
    gap: Tensor = t.c / t.n_chosen - t.r / t.n_rejected - 1 / (2 * s.beta)
    return gap.square()


def _ipo_sum(t: PairTerms, s: PairLossSettings) -> Tensor:
    return (t.c - t.r - 1 / (2 * s.beta)).square()


def _sigmoid_norm(t: PairTerms, s: PairLossSettings) -> Tensor:
    return _smoothed(t.c / t.n_chosen - t.r / t.n_rejected, s)


def _simpo(t: PairTerms, s: PairLossSettings) -> Tensor:
    return _smoothed(t.policy_chosen / t.n_chosen - t.policy_rejected / t.n_rejected - s.gamma_ratio, s)


def _exo_pair(t: PairTerms, s: PairLossSettings) -> Tensor:
    x, e = s.beta * (t.c - t.r), s.label_smoothing or 1e-3
    return x.sigmoid() * (_ls(x) - math.log1p(-e)) + (-x).sigmoid() * (_ls(-x) - math.log(e))


def _nca_pair(t: PairTerms, s: PairLossSettings) -> Tensor:
    c, r = s.beta * t.c, s.beta * t.r
    return -_ls(c) - 0.5 * _ls(-c) - 0.5 * _ls(-r)


def _bco_pair(t: PairTerms, s: PairLossSettings) -> Tensor:
    return -_ls(s.beta * t.c - s.delta) - _ls(-(s.beta * t.r - s.delta))


def _sppo_hard(t: PairTerms, s: PairLossSettings) -> Tensor:
    half = 1 / (2 * s.beta)
    return (t.c - half).square() + (t.r + half).square()


def _aot(t: PairTerms, s: PairLossSettings) -> Tensor:
    policy = (t.policy_chosen - t.policy_rejected).sort().values
    reference = (t.reference_chosen - t.reference_rejected).sort().values
    return _smoothed(policy - reference, s)


def _aot_unpaired(t: PairTerms, s: PairLossSettings) -> Tensor:
    return _smoothed(t.c.sort().values - t.r.sort().values, s)


def _apo_zero(t: PairTerms, s: PairLossSettings) -> Tensor:
    return 1 - (s.beta * t.c).sigmoid() + (s.beta * t.r).sigmoid()


def _apo_down(t: PairTerms, s: PairLossSettings) -> Tensor:
    return (s.beta * t.c).sigmoid() + 1 - (s.beta * (t.c - t.r)).sigmoid()


def _discopop(t: PairTerms, s: PairLossSettings) -> Tensor:
    x = s.beta * (t.c - t.r)
    blend = (x / 0.05).sigmoid()
    return -_ls(x) * (1 - blend) + (-x).exp() * blend


PAIR_LOSSES: dict[str, PairLoss] = {
    "sigmoid": PairLoss(_sigmoid, "-log s(beta d)", smoothing=0.5),
    "cdpo": PairLoss(_sigmoid, "-(1-e) log s(beta d) - e log s(-beta d)", smoothing=0.5),
    "robust": PairLoss(_robust, "(-(1-e) log s(beta d) + e log s(-beta d)) / (1-2e)", smoothing=0.5),
    "hinge": PairLoss(_hinge, "max(0, 1 - beta d)"),
    "ipo": PairLoss(_ipo, "(c/n_w - r/n_l - 1/(2 beta))^2"),
    "ipo_sum": PairLoss(_ipo_sum, "(d - 1/(2 beta))^2"),
    "sigmoid_norm": PairLoss(
        _sigmoid_norm, "-log s(beta (c/n_w - r/n_l))", beta=5.0, plausible=(1.0, 20.0), smoothing=0.5
    ),
    "simpo": PairLoss(
        _simpo,
        "-log s(beta (log pi(w)/n_w - log pi(l)/n_l - gamma_ratio))",
        beta=2.0,
        plausible=(0.5, 20.0),
        needs_reference=False,
        smoothing=0.5,
    ),
    "exo_pair": PairLoss(_exo_pair, "KL(s(beta d) || 1-e)", smoothing=0.5),
    "nca_pair": PairLoss(_nca_pair, "-log s(beta c) - log s(-beta c)/2 - log s(-beta r)/2"),
    "bco_pair": PairLoss(_bco_pair, "-log s(beta c - delta) - log s(-(beta r - delta))"),
    "sppo_hard": PairLoss(_sppo_hard, "(c - 1/(2 beta))^2 + (r + 1/(2 beta))^2"),
    "aot": PairLoss(_aot, "-log s(beta (sort(log pi_w - log pi_l) - sort(ref_w - ref_l)))", whole_step=True),
    "aot_unpaired": PairLoss(_aot_unpaired, "-log s(beta (sort(c) - sort(r)))", whole_step=True),
    "apo_zero": PairLoss(_apo_zero, "1 - s(beta c) + s(beta r)"),
    "apo_down": PairLoss(_apo_down, "s(beta c) + 1 - s(beta d)"),
    "discopop": PairLoss(_discopop, "-log s(x) (1-m) + exp(-x) m, x = beta d, m = s(x/0.05)"),
}
