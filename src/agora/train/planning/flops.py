"""Operations of passes through a decoder, counted as `torch.utils.flop_counter` counts them: a multiplication and an
addition are two. (The causal kernel skips up to half of attention's share; it is counted whole, as usual for
utilization.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agora.train.planning.shapes import ModelShape

Head = Literal["vocabulary", "scalar"]
# Lengths of chats spread widely, so their squares are larger than those of equal rows.
_SPREAD = 1.5


@dataclass(frozen=True, slots=True)
class Rows:
    """Sequences that go through a model, by what their cost depends on.

    Attributes:
        count: sequences.
        tokens: mean a sequence.
        targets: mean tokens a sequence whose predictions are looked at.
        squares: mean squared tokens a sequence.
        longest: tokens of the longest.
    """

    count: int
    tokens: float
    targets: float
    squares: float
    longest: float

    @classmethod
    def of(cls, lengths: Sequence[int], targets: Sequence[int]) -> Rows:
        """Counted on real rows."""
        n = np.asarray(lengths, dtype=np.float64)
        return cls(len(n), float(n.mean()), float(np.mean(targets)), float((n**2).mean()), float(n.max()))

    @classmethod
    def expected(cls, count: int, prompt: float, answer: float, *, longest: float | None = None) -> Rows:
        """From mean lengths alone.

        Args:
            count: sequences.
            prompt: tokens before the answer.
            answer: tokens of the answer, all of them targets.
            longest: the length limit.
        """
        n = prompt + answer
        return cls(count, n, answer, _SPREAD * n**2, longest or 4 * n)

    @property
    def total(self) -> int:
        """Tokens of all rows."""
        return round(self.count * self.tokens)

    def times(self, passes: float) -> Rows:
        """The same rows several times."""
        return Rows(round(self.count * passes), self.tokens, self.targets, self.squares, self.longest)


def forward_flops(shape: ModelShape, rows: Rows, head: Head = "vocabulary") -> float:
    """One forward pass over rows, the head applied where a prediction is looked at."""
    return block_flops(shape, rows) + head_flops(shape, rows, head)


def block_flops(shape: ModelShape, rows: Rows) -> float:
    """The blocks alone: 2 operations a parameter and token, and two products of every pair of tokens a row."""
    return rows.count * (rows.tokens * 2 * shape.layers * shape.block_matrices) + attention_flops(shape, rows)


def attention_flops(shape: ModelShape, rows: Rows) -> float:
    """Products of queries with keys and of weights with values."""
    return rows.count * rows.squares * 4 * shape.layers * shape.heads * shape.head_size


def head_flops(shape: ModelShape, rows: Rows, head: Head) -> float:
    """The head at the targets; a scalar head at one position a row."""
    if head == "scalar":
        return rows.count * 2 * shape.hidden
    return rows.count * rows.targets * 2 * shape.hidden * shape.vocabulary


def training_flops(
    shape: ModelShape, rows: Rows, head: Head = "vocabulary", *, rank: int | None = None, recompute: bool = False
) -> float:
    """Forward and backward pass over rows.

    Args:
        shape: the model.
        rows: what it learns from.
        head: what is computed from hidden states.
        rank: of low-rank adapters on every linear layer, whose frozen matrices need no gradient of their own.
        recompute: the blocks' activations are computed again for the backward pass.
    """
    forward = forward_flops(shape, rows, head)
    # recomputing stops at what the backward pass needs: the last product of a block is not among it
    last = rows.count * rows.tokens * 2 * shape.layers * shape.hidden * shape.ffn
    again = block_flops(shape, rows) - last if recompute else 0.0
    if rank is None:
        return 3 * forward + again
    adapters = 2 * shape.adapter_parameters(rank) * rows.count * rows.tokens
    frozen = forward - attention_flops(shape, rows)
    return 2 * frozen + 3 * attention_flops(shape, rows) + 3 * adapters + again + (adapters if recompute else 0.0)


def sampling_flops(shape: ModelShape, count: float, prompt: float, answer: float) -> float:
    """Sampling with a cache: every token goes through the blocks once, the head is applied once a sampled token."""
    n = prompt + answer
    tokens = count * n * 2 * shape.layers * shape.block_matrices
    # token t looks at t keys, the prompt's at each other at once
    pairs = prompt**2 + answer * prompt + answer**2 / 2
    return (
        tokens
        + count * (pairs * 4 * shape.layers * shape.heads * shape.head_size)
        + (count * answer * 2 * shape.hidden * shape.vocabulary)
    )
