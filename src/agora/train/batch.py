"""The one batch format: right-padded rows, and the positions whose tokens count.

Rows are padded on the right and no attention mask is needed: under causal attention a real token never sees what comes
after it, so padding cannot change a result, and the fast causal kernel stays available (Ivison et al. 2024 pad every
row to the full length instead). Rows that share a long prompt, as the two sides of a pair do, may also travel as one
physical row ``prompt, answer, answer, ...`` under a block mask, so that the prompt is computed once.

Shapes: ``B`` physical rows, ``T`` columns, ``N`` target tokens, ``R`` sequences (``R == B`` unless prompts are shared).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

# A block mask loses the fast causal kernel, so sharing pays only when it saves this share of all tokens
# (`python benchmarks/micro_batches.py`).
_SHARE_WHEN_SAVED = 0.2
# On a CPU a larger micro-batch is slower: its activations leave the cache and it is padded more (same benchmark).
_CPU_TOKENS = 1024


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
    token to predict, ``sequence_N`` the sequence it belongs to; targets come in the order of ``rows``.
    ``last_row_R``/``last_position_R`` address the last token of each sequence.
    """

    rows: tuple[EncodedSequence, ...]
    input_ids_BT: torch.Tensor
    row_N: torch.Tensor
    position_N: torch.Tensor
    sequence_N: torch.Tensor
    target_N: torch.Tensor
    last_row_R: torch.Tensor
    last_position_R: torch.Tensor
    position_ids_BT: torch.Tensor | None = None  # only where prompts are shared
    attend_B1TT: torch.Tensor | None = None  # bool, only where prompts are shared

    @property
    def n_rows(self) -> int:
        """Number of sequences R."""
        return len(self.rows)


class MicroBatch(NamedTuple):
    """Which groups of a step travel together, and how they look on the device."""

    indices: list[int]
    batch: Batch


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
    row_N = torch.from_numpy(row_n).to(device)
    return Batch(
        tuple(rows),
        torch.from_numpy(input_ids).to(device),
        row_N,
        torch.from_numpy(column_n - 1).to(device),
        row_N,
        torch.from_numpy(input_ids[row_n, column_n]).to(device),
        torch.arange(len(rows), device=device),
        torch.tensor([len(r) - 1 for r in rows], device=device),
    )


def collate_shared(groups: Sequence[Group], *, pad_id: int = 0, device: torch.device | str = "cpu") -> Batch:
    """One physical row per group: the prompt that its sequences share, then each sequence's own tokens.

    A token attends to the prompt and to what precedes it in its own sequence; positions restart after the prompt, so
    each sequence is computed as if it stood alone.
    """
    import torch

    prompts = [shared_prompt(group) for group in groups]
    widths = [_shared_width(group, p) for group, p in zip(groups, prompts, strict=True)]
    width = max(widths)
    input_ids = np.full((len(groups), width), pad_id, dtype=np.int64)
    position_ids = np.zeros((len(groups), width), dtype=np.int64)
    segment = np.full((len(groups), width), -1, dtype=np.int64)  # 0 is the prompt, then one number a sequence
    targets: list[np.ndarray] = []  # per sequence: [4, n] of row, column before, sequence, token
    last: list[tuple[int, int]] = []
    for g, (group, p) in enumerate(zip(groups, prompts, strict=True)):
        input_ids[g, :p], position_ids[g, :p], segment[g, :p] = group[0].input_ids[:p], np.arange(p), 0
        start = p
        for k, row in enumerate(group):
            own = len(row) - p
            at = slice(start, start + own)
            input_ids[g, at], position_ids[g, at], segment[g, at] = row.input_ids[p:], np.arange(p, len(row)), k + 1
            columns = np.flatnonzero(row.loss_mask[p:])
            before = np.where(columns == 0, p - 1, start + columns - 1)  # the prompt's end predicts every first token
            targets.append(
                np.stack(
                    [np.full(len(columns), g), before, np.full(len(columns), len(last)), row.input_ids[p + columns]]
                )
            )
            last.append((g, start + own - 1))
            start += own
    row_n, position_n, sequence_n, target_n = np.concatenate(targets, axis=1).astype(np.int64)
    causal = np.tri(width, dtype=bool)[None]
    attend = causal & ((segment[:, None, :] == 0) | (segment[:, None, :] == segment[:, :, None]))
    return Batch(
        tuple(row for group in groups for row in group),
        torch.from_numpy(input_ids).to(device),
        torch.from_numpy(row_n).to(device),
        torch.from_numpy(position_n).to(device),
        torch.from_numpy(sequence_n).to(device),
        torch.from_numpy(target_n).to(device),
        torch.tensor([row for row, _ in last], device=device),
        torch.tensor([position for _, position in last], device=device),
        torch.from_numpy(position_ids).to(device),
        torch.from_numpy(attend[:, None]).to(device),
    )


def shared_prompt(group: Group) -> int:
    """Leading tokens that all sequences of a group share and of which none is a target."""
    limit = min(int(np.argmax(row.loss_mask)) if row.loss_mask.any() else len(row) - 1 for row in group)
    first = group[0].input_ids[:limit]
    for row in group[1:]:
        differs = np.flatnonzero(first[:limit] != row.input_ids[:limit])
        limit = min(limit, int(differs[0])) if len(differs) else limit
    return limit


def plan_micro_batches(widths: Sequence[int], rows: Sequence[int], token_budget: int) -> Iterator[list[int]]:
    """Split items into micro-batches of similar width, each at most ``token_budget`` padded tokens.

    Args:
        widths: columns that each item needs.
        rows: physical rows that each item needs.
        token_budget: rows times columns of a micro-batch; a single item beyond it travels alone.

    Yields:
        Indices, widest first. Sorting is stable, so the plan depends on the sizes alone.
    """
    current: list[int] = []
    width = n_rows = 0
    for index in sorted(range(len(widths)), key=lambda i: -widths[i]):
        if current and (n_rows + rows[index]) * width > token_budget:
            yield current
            current, n_rows = [], 0
        if not current:
            width = widths[index]
        current.append(index)
        n_rows += rows[index]
    if current:
        yield current


def micro_batches(
    groups: Sequence[Group],
    token_budget: int | None,
    *,
    share_prompts: bool = False,
    device: torch.device | str = "cpu",
) -> Iterator[MicroBatch]:
    """The micro-batches of one step.

    Args:
        groups: rows that must stay together.
        token_budget: padded tokens of a micro-batch, at most; a CPU takes fewer. None: everything in one.
        share_prompts: compute a prompt once for all sequences of a group, where that saves enough.
        device: where the tensors go.
    """
    if token_budget is not None and str(device).startswith("cpu"):
        token_budget = min(token_budget, _CPU_TOKENS)
    shared = [share_prompts and token_budget is not None and _saves_enough(group) for group in groups]
    for layout in (True, False):
        members = [i for i, is_shared in enumerate(shared) if is_shared == layout]
        chosen = [groups[i] for i in members]
        if layout:
            widths, rows = [_shared_width(group, shared_prompt(group)) for group in chosen], [1] * len(chosen)
        else:
            widths, rows = [max(map(len, group)) for group in chosen], [len(group) for group in chosen]
        whole = sum(rows) * max(widths, default=0)
        for plan in plan_micro_batches(widths, rows, whole if token_budget is None else token_budget):
            micro = [chosen[i] for i in plan]
            if layout:
                batch = collate_shared(micro, device=device)
            else:
                batch = collate([row for group in micro for row in group], device=device)
            yield MicroBatch([members[i] for i in plan], batch)


def _shared_width(group: Group, prompt: int) -> int:
    return prompt + sum(len(row) - prompt for row in group)


def _saves_enough(group: Group) -> bool:
    if len(group) < 2:
        return False
    prompt = shared_prompt(group)
    total = sum(map(len, group))
    return prompt > 0 and (total - _shared_width(group, prompt)) > _SHARE_WHEN_SAVED * total
