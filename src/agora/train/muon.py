"""Muon in fp32: momentum, orthogonalized by Newton-Schulz iteration (Jordan et al. 2024; scaling of Liu et al. 2025).

`torch.optim.Muon` orthogonalizes in bf16, which a CPU without bf16 units runs 20 times slower; this one keeps the
parameter's own dtype and stacks matrices of one shape into one batched product.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # quintic whose iteration drives singular values to about 1
_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and updates scaled to AdamW's typical size, so one learning rate serves both.

    Args:
        params: two-dimensional matrices.
        lr: step size, > 0.
        momentum: share of the old momentum, 0..1.
        weight_decay: decoupled.
    """

    def __init__(
        self, params: Iterable[torch.Tensor], lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One update of every matrix that has a gradient."""
        loss = closure() if closure else None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[torch.Tensor, torch.Tensor]]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                buffer = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                by_shape[p.shape].append((p, p.grad.lerp(buffer, group["momentum"])))
            for shape, pairs in by_shape.items():
                updates = orthogonalize(torch.stack([update for _, update in pairs]))
                scale = 0.2 * max(shape) ** 0.5  # root mean square of AdamW updates is about 0.2
                for (p, _), update in zip(pairs, updates, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)
        return loss


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """Push the singular values of each matrix [..., m, n] to about 1, keeping the singular vectors."""
    a, b, c = _COEFFICIENTS
    transposed = matrices.shape[-2] > matrices.shape[-1]
    x: torch.Tensor = matrices.mT if transposed else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if transposed else x
