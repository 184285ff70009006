"""The one batch format: right-padded rows, and the positions whose tokens count.

Rows are padded on the right and no attention mask is needed: under causal attention a real token never sees what comes
after it, so padding cannot change a result, and the fast causal kernel stays available (Ivison et al. 2024 pad every
row to the full length instead).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class EncodedSequence:
    """One tokenized row.

    Args:
        id: where the row came from.
        input_ids: token ids, int32 [T].
        loss_mask: 1 where the token is a target that counts, uint8 [T]; position 0 is never a target.
        truncated: the row was cut to a length limit.
    """

    id: str
    input_ids: np.ndarray
    loss_mask: np.ndarray
    truncated: bool = False

    def __len__(self) -> int:
        """Number of tokens T."""
        return len(self.input_ids)

    @property
    def n_targets(self) -> int:
        """Number of tokens that count in a loss."""
        return int(self.loss_mask[1:].sum())


Group = tuple[EncodedSequence, ...]  # rows that one loss term needs together: one for SFT, (chosen, rejected) for DPO


@dataclass(frozen=True, slots=True)
class Batch:
    """A micro-batch on a device.

    ``row_N``/``position_N`` address the token *before* each target (the position that predicts it), ``target_N`` is the
    token to predict. ``rows`` are the sequences in row order.
    """

    rows: tuple[EncodedSequence, ...]
    input_ids_BT: torch.Tensor
    row_N: torch.Tensor
    position_N: torch.Tensor
    target_N: torch.Tensor

    @property
    def n_rows(self) -> int:
        """Number of rows B."""
        return len(self.rows)


def collate(rows: Sequence[EncodedSequence], *, pad_id: int = 0, device: torch.device | str = "cpu") -> Batch:
    """Pad rows on the right to the longest one and index their targets.

    The pad id is arbitrary: it is never attended to and never a target.
    """
    import torch

    width = max(len(row) for row in rows)
    input_ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=bool)
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = row.input_ids
        mask[i, 1 : len(row)] = row.loss_mask[1:] > 0
    row_n, column_n = np.nonzero(mask)
    return Batch(
        tuple(rows),
        torch.from_numpy(input_ids).to(device),
        torch.from_numpy(row_n).to(device),
        torch.from_numpy(column_n - 1).to(device),
        torch.from_numpy(input_ids[row_n, column_n]).to(device),
    )


def plan_micro_batches(groups: Sequence[Group], token_budget: int) -> Iterator[list[int]]:
    """Split groups into micro-batches of similar length, each at most ``token_budget`` padded tokens.

    Yields indices into ``groups``, longest first. A single group longer than the budget travels alone. Sorting is
    stable, so the plan depends on lengths alone.
    """
    widths = [max(map(len, group)) for group in groups]
    current: list[int] = []
    width = n_rows = 0
    for index in sorted(range(len(groups)), key=lambda i: -widths[i]):
        if current and (n_rows + len(groups[index])) * width > token_budget:
            yield current
            current, n_rows = [], 0
        if not current:
            width = widths[index]
        current.append(index)
        n_rows += len(groups[index])
    if current:
        yield current
