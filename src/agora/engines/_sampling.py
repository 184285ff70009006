"""Choosing tokens from logits so that a draw depends on the item alone: (seed, position) gives the uniform number.

Shapes: ``R`` rows, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agora.engines.types import Sampling

_MASK = (1 << 64) - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014): every input bit reaches every output bit."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def streams(seeds: Sequence[int]) -> npt.NDArray[np.uint64]:
    """One stream per seed; any Python integer is a seed (taken modulo 2**64)."""
    return _mix(np.array([seed & _MASK for seed in seeds], dtype=np.uint64) + _GOLDEN)


def uniforms(stream: npt.NDArray[np.uint64], position: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) for each (stream, position): a counter, so nothing has to be drawn in order."""
    bits = _mix(stream + (position + np.uint64(1)) * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(slots=True)
class Plan:
    """The sampling settings of ``R`` rows as tensors, rebuilt only when rows come or go."""

    temperature_R: Tensor
    top_p_R: Tensor
    greedy_R: Tensor
    stream_R: npt.NDArray[np.uint64]
    all_greedy: bool
    any_greedy: bool
    any_nucleus: bool
    touches_first: bool
    settings: tuple[Sampling, ...]

    @classmethod
    def of(cls, settings: Sequence[Sampling], device: torch.device) -> Plan:
        """Gather the settings of the rows, in row order."""
        greedy = [s.temperature <= 0 for s in settings]
        return cls(
            temperature_R=torch.tensor([1.0 if g else s.temperature for s, g in zip(settings, greedy, strict=True)]).to(
                device, torch.float64
            ),
            top_p_R=torch.tensor([s.top_p for s in settings], dtype=torch.float64, device=device),
            greedy_R=torch.tensor(greedy, device=device),
            stream_R=streams([s.seed for s in settings]),
            all_greedy=all(greedy),
            any_greedy=any(greedy),
            any_nucleus=any(s.top_p < 1 and not g for s, g in zip(settings, greedy, strict=True)),
            touches_first=any(s.first_token_temperature != 1 or s.banned_first_ids for s in settings),
            settings=tuple(settings),
        )


def choose(logits_RV: Tensor, plan: Plan, position_R: npt.NDArray[np.uint64]) -> tuple[Tensor, Tensor]:
    """One token per row, and its log-probability in nats under the model itself (temperature 1, nothing banned).

    Sampling inverts the cumulative distribution, in float64 and in vocabulary order; greedy takes the first maximum.
    """
    logits_RV = logits_RV.float()
    scores_RV = _adjust_first(logits_RV, plan, position_R)
    if plan.all_greedy:
        tokens_R = scores_RV.argmax(-1)
    else:
        tokens_R = _invert(scores_RV, plan, uniforms(plan.stream_R, position_R))
        if plan.any_greedy:
            tokens_R = torch.where(plan.greedy_R, scores_RV.argmax(-1), tokens_R)
    chosen_R = logits_RV.gather(1, tokens_R[:, None]).squeeze(1)
    return tokens_R, chosen_R - torch.logsumexp(logits_RV, -1)


def _adjust_first(logits_RV: Tensor, plan: Plan, position_R: npt.NDArray[np.uint64]) -> Tensor:
    """Flatten or ban at position 0 only (Magpie's first-token controls); the input is not changed."""
    rows = [(i, s) for i, s in enumerate(plan.settings) if position_R[i] == 0] if plan.touches_first else []
    if not rows:
        return logits_RV
    scores_RV = logits_RV.clone()
    for i, setting in rows:
        if setting.first_token_temperature != 1:
            scores_RV[i] /= setting.first_token_temperature
        if setting.banned_first_ids:
            scores_RV[i, list(setting.banned_first_ids)] = float("-inf")
    return scores_RV


def _invert(scores_RV: Tensor, plan: Plan, uniform_R: npt.NDArray[np.float64]) -> Tensor:
    weights_RV = torch.softmax(scores_RV.double() / plan.temperature_R[:, None], -1)
    if plan.any_nucleus:
        rows = plan.top_p_R < 1
        weights_RV[rows] = _nucleus(weights_RV[rows], plan.top_p_R[rows])
    cdf_RV = weights_RV.cumsum(-1)
    total_R = cdf_RV[:, -1]
    point_R = torch.from_numpy(uniform_R).to(total_R.device) * total_R
    # strictly below the total, or the search would fall off the end onto a token of weight zero
    point_R = torch.minimum(point_R, torch.nextafter(total_R, torch.zeros_like(total_R)))
    found_R = torch.searchsorted(cdf_RV, point_R[:, None], right=True).squeeze(1)
    return found_R.clamp_(max=scores_RV.shape[-1] - 1)  # only NaN rows reach the clamp; they are reported as errors


def _nucleus(weights_RV: Tensor, top_p_R: Tensor) -> Tensor:
    """Keep the smallest set of most likely tokens whose weight reaches ``top_p`` (Holtzman et al. 2020)."""
    sorted_RV, order_RV = weights_RV.sort(dim=-1, descending=True, stable=True)
    before_RV = sorted_RV.cumsum(-1) - sorted_RV
    kept_RV = sorted_RV.masked_fill(before_RV >= top_p_R[:, None], 0.0)
    kept_RV[:, 0] = sorted_RV[:, 0]  # top_p 0 still leaves the best token
    return torch.zeros_like(weights_RV).scatter_(1, order_RV, kept_RV)
