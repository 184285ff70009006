"""A key-value cache of fixed rows ("slots"): every row keeps its own length, so ragged rows share a batch unpadded.

Token ``i`` of a row always lies at slot position ``i``, and the attended length is rounded up to ``BLOCK``. Besides
exactness this buys reproducibility: on CPU in float32 the same row gives bit-for-bit the same logits whatever its
neighbors are (see :mod:`agora.engines._generate`).

Shapes: ``R`` rows of the cache, ``N`` rows being written, ``H`` key-value heads, ``Q`` new tokens, ``D`` head size,
``L`` attended length, ``C`` capacity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

BLOCK = 64


def round_up(n: int, multiple: int) -> int:
    """The smallest multiple that is at least ``n``."""
    return -(-n // multiple) * multiple


def attended(n: int, *, queries: int) -> int:
    """How many slots to attend over so that the sum over them is taken in the same order whatever else is attended.

    The kernel works through blocks of 512; MKL halves a matrix product over 193..383 of them at a point that depends on
    the number, so for four query rows or more the last block skips from 192 to 384.
    """
    n = round_up(n, BLOCK)
    rest = n % 512
    return n + 384 - rest if queries >= 4 and 192 < rest < 384 else n


class SlotCache(Cache):
    """Keys and values of ``rows`` sequences, written in place at each row's own position.

    Call :meth:`aim` before each forward pass; the model then writes and reads through :meth:`update`.
    """

    def __init__(
        self, rows: int, capacity: int, *, device: torch.device, dtype: torch.dtype, queries_per_head: int = 1
    ) -> None:
        super().__init__(layers=[])
        self.rows = rows
        self.capacity = attended(capacity, queries=queries_per_head)
        self._queries_per_head = queries_per_head
        self.mask_RC = torch.full((rows, self.capacity), float("-inf"), device=device, dtype=dtype)
        self._tensors: list[tuple[Tensor, Tensor]] = []
        self._slots: Tensor | None = None
        self._position_NQ = torch.zeros((rows, 1), dtype=torch.long, device=device)
        self._length = BLOCK
        self._flat: dict[int, Tensor] = {}

    def aim(self, position_NQ: Tensor, length: int, slots: Tensor | None = None) -> Tensor:
        """Set where the next forward writes; returns its additive mask ``N1QL``.

        Args:
            position_NQ: slot position of each new token.
            length: tokens to attend over, at least the largest position plus one; rounded up.
            slots: the rows written, None for all of them (then ``Q`` is 1).
        """
        self._length = attended(length, queries=self._queries_per_head * position_NQ.shape[1])
        self.grow(self._length)
        self._slots, self._position_NQ = slots, position_NQ
        self._flat.clear()
        if slots is None:
            flat = torch.arange(self.rows, device=position_NQ.device) * self.capacity + position_NQ[:, 0]
            self.mask_RC.view(-1).index_fill_(0, flat, 0.0)
            return self.mask_RC[:, None, None, : self._length]
        reach_L = torch.arange(self._length, device=position_NQ.device)
        hidden_NQL = reach_L > position_NQ[:, :, None]
        return torch.zeros_like(hidden_NQL, dtype=self.mask_RC.dtype).masked_fill_(hidden_NQL, float("-inf"))[:, None]

    def open_rows(self, slots: Sequence[int], lengths: Sequence[int]) -> None:
        """Let rows see exactly their first ``lengths`` positions from now on (a new occupant)."""
        for slot, length in zip(slots, lengths, strict=True):
            self.mask_RC[slot].fill_(float("-inf"))
            self.mask_RC[slot, :length] = 0.0

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write one layer's new keys and values; return all that the aimed rows attend over."""
        while len(self._tensors) <= layer_idx:
            self._tensors.append((self._empty(key_states), self._empty(value_states)))
        found = []
        flat = self._flat_index(key_states.shape[1])
        for store, new in zip(self._tensors[layer_idx], (key_states, value_states), strict=True):
            store.view(-1, new.shape[-1]).index_copy_(0, flat, new.reshape(-1, new.shape[-1]))
            attended = store[:, :, : self._length]
            found.append(attended if self._slots is None else attended.index_select(0, self._slots))
        return found[0], found[1]

    def _empty(self, new: Tensor) -> Tensor:
        # zeros, not garbage: a masked NaN would still poison the sum
        return new.new_zeros((self.rows, new.shape[1], self.capacity, new.shape[-1]))

    def _flat_index(self, heads: int) -> Tensor:
        """Index of each (row, head, token) in the store seen as a list of vectors."""
        if heads not in self._flat:
            device = self._position_NQ.device
            slot_N = torch.arange(self.rows, device=device) if self._slots is None else self._slots
            head_NH = slot_N[:, None] * heads + torch.arange(heads, device=device)
            self._flat[heads] = (head_NH[:, :, None] * self.capacity + self._position_NQ[:, None, :]).reshape(-1)
        return self._flat[heads]

    def grow(self, length: int) -> None:
        """Make room for ``length`` positions, at least doubling so that copying stays cheap."""
        if length <= self.capacity:
            return
        more = round_up(max(length, 2 * self.capacity), BLOCK) - self.capacity
        self.capacity += more
        self.mask_RC = torch.nn.functional.pad(self.mask_RC, (0, more), value=float("-inf"))
        self._tensors = [
            (torch.nn.functional.pad(k, (0, 0, 0, more)), torch.nn.functional.pad(v, (0, 0, 0, more)))
            for k, v in self._tensors
        ]

    def keep(self, slots: Tensor) -> None:
        """Shrink to the given rows, in the given order."""
        self.rows = len(slots)
        self.mask_RC = self.mask_RC.index_select(0, slots)
        self._tensors = [(k.index_select(0, slots), v.index_select(0, slots)) for k, v in self._tensors]

    def wipe(self, slot: int) -> None:
        """Forget a row whose numbers overflowed."""
        for keys, values in self._tensors:
            keys[slot].zero_()
            values[slot].zero_()

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Rows have lengths of their own; callers pass positions, so this only says that the cache is in use."""
        return self._length
