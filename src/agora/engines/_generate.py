"""The generation loop: ragged rows share one cache, finished rows make room for waiting ones, and a row's tokens do not
depend on its neighbors.

On CPU in float32 a row's logits are the same to the last bit in any batch, because every shape that reaches a kernel is
one whose per-row arithmetic is fixed: at least four rows, attention over multiples of 64 slots, prompts in chunks of at
most 128 tokens rounded up to 16. (Measured for MKL; a kernel without that property leaves rounding of about 1e-6, and
so does every accelerator: then a draw can differ where two tokens are equally near.)

Shapes: ``R`` rows of the cache, ``N`` rows being written, ``Q`` new tokens, ``V`` vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agora.engines._net import Net
from agora.engines._sampling import Plan, choose
from agora.engines._slots import BLOCK, SlotCache, round_up
from agora.engines.types import FinishReason, Sampling

CHUNK = 128  # prompt tokens per prefill call on CPU: from 192 queries on, attention splits its work another way
_ACCELERATOR_CHUNK = 2048
_MOST_ROWS = 512
_USUAL_TOKENS = 256  # new tokens that a slot is first made for; longer rows make the cache grow


@dataclass(slots=True)
class Row:
    """One request on its way through the loop; the loop fills the second half."""

    id: str
    prompt: Sequence[int]
    sampling: Sampling
    limit: int  # most new tokens
    stop_ids: frozenset[int]
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    reason: FinishReason | None = None
    stopped_by: str | None = None
    text: str | None = None  # set when a stop string cut it
    error: str | None = None

    @property
    def need(self) -> int:
        """Slots the row will usually take."""
        return len(self.prompt) + min(self.limit, _USUAL_TOKENS)

    def restart(self) -> None:
        """Forget what was generated; seeds make the second time equal to the first."""
        self.tokens.clear()
        self.logprobs.clear()


StopCheck = Callable[[Row], bool]


def generate(net: Net, rows: Sequence[Row], *, batch_tokens: int, stops: StopCheck) -> Iterator[Row]:
    """Run every row to its end and yield each as it finishes.

    Args:
        net: the model.
        rows: in any order; they are sorted by length.
        batch_tokens: rows times slots that a batch may take (at least four rows are run).
        stops: called after each token of a row that has stop strings; true ends the row.
    """
    kind = SlotLoop if net.ragged else EqualLoop
    waiting = deque(_cohorts(rows, batch_tokens))
    while waiting:
        cohort, size = waiting.popleft()
        loop = kind(net, cohort, size, stops)
        try:
            while loop.busy:
                with torch.inference_mode():  # never across a yield: the mode would leak into the caller
                    done = loop.step()
                yield from done
        except torch.OutOfMemoryError as error:
            left = loop.unfinished()
            for row in left:
                row.restart()
                if size == 1:
                    row.reason, row.error = "error", f"out of memory: {str(error).splitlines()[0]}"
            if size == 1:
                yield from left
            else:
                waiting.appendleft((left, size // 2))


def _cohorts(rows: Sequence[Row], batch_tokens: int) -> Iterator[tuple[list[Row], int]]:
    """Sorted rows in groups whose needs are within a factor of two, each with its batch size."""
    group: list[Row] = []
    for row in sorted(rows, key=lambda r: (r.need, len(r.prompt), r.id)):
        if group and row.need > 2 * max(group[0].need, BLOCK):
            yield group, _batch_size(group, batch_tokens)
            group = []
        group.append(row)
    if group:
        yield group, _batch_size(group, batch_tokens)


def _batch_size(group: Sequence[Row], batch_tokens: int) -> int:
    room = batch_tokens // round_up(group[-1].need, BLOCK)
    return max(1, min(room, len(group), _MOST_ROWS))


def prefill(net: Net, cache: SlotCache, prompts: Sequence[Sequence[int]], slots: Sequence[int]) -> Tensor:
    """Write prompts into slots, chunk by chunk; returns the logits ``NV`` after each prompt's last token."""
    on_cpu = net.device.type == "cpu"
    chunk = CHUNK if on_cpu else _ACCELERATOR_CHUNK
    lengths = [len(p) for p in prompts]
    found: dict[int, Tensor] = {}
    for start in range(0, max(lengths), chunk):
        part = [i for i, n in enumerate(lengths) if n > start]
        width = round_up(min(chunk, max(lengths) - start), 16)
        ids_NQ = torch.zeros((len(part), width), dtype=torch.long)
        for row, i in enumerate(part):
            piece = prompts[i][start : start + width]
            ids_NQ[row, : len(piece)] = torch.tensor(piece)
        at_NQ = torch.arange(start, start + width, device=net.device).expand(len(part), width)
        last = [min(lengths[i] - start, width) - 1 for i in part]
        logits_NV = net.forward(
            cache,
            ids_NQ.to(net.device),
            at_NQ,
            start + width,
            slots=torch.tensor([slots[i] for i in part], device=net.device),
            last_N=torch.tensor(last, device=net.device),
        )
        found.update({i: logits_NV[row] for row, i in enumerate(part) if lengths[i] <= start + width})
    cache.open_rows(slots, lengths)
    return torch.stack([found[i] for i in range(len(prompts))])


def accept(row: Row, token: int, logprob: float, stops: StopCheck) -> bool:
    """Record one token; true when the row is finished, with its reason set."""
    if logprob != logprob:
        row.reason, row.error = "error", "the model's logits are not finite"
        return True
    row.tokens.append(token)
    row.logprobs.append(logprob)
    if token in row.stop_ids:
        row.reason = "stop_token" if len(row.tokens) > 1 else "empty"
        return True
    if row.sampling.stop and stops(row):
        return True
    if len(row.tokens) >= row.limit:
        row.reason = "length"
        return True
    return False


class SlotLoop:
    """Rows in slots of one cache. A freed slot is refilled once an eighth of them are free."""

    def __init__(self, net: Net, rows: Sequence[Row], size: int, stops: StopCheck) -> None:
        self.net, self.stops = net, stops
        self.pending = deque(rows)
        size = round_up(size, 4)
        self.slots: list[Row | None] = [None] * size
        need = max((r.need for r in rows), default=1)
        self.cache = net.new_cache(size, need)
        self.at_R = np.zeros(size, dtype=np.int64)  # where the newest token of each row goes
        self.live_R = np.zeros(size, dtype=np.int64)
        self.count_R = np.zeros(size, dtype=np.uint64)  # tokens drawn so far
        self.token_R = torch.zeros(size, dtype=torch.long, device=net.device)
        self.plan: Plan | None = None

    @property
    def busy(self) -> bool:
        """Whether any row is unfinished."""
        return bool(self.pending) or bool(self.live_R.any())

    def unfinished(self) -> list[Row]:
        """Rows that are running or waiting."""
        return [row for row in self.slots if row is not None] + list(self.pending)

    def step(self) -> list[Row]:
        """Admit rows if there is room, then draw one token for every live row; returns the rows that finished."""
        done: list[Row] = []
        free = [i for i, row in enumerate(self.slots) if row is None] if self.pending else []
        if free and (len(free) * 8 >= len(self.slots) or len(free) >= len(self.pending)):
            done += self._admit(free)
        if self.live_R.any():
            done += self._decode()
        if not self.pending:
            self._shrink()
        return done

    def _admit(self, free: list[int]) -> list[Row]:
        rows = [self.pending.popleft() for _ in range(min(len(free), len(self.pending)))]
        slots = free[: len(rows)]
        for slot, row in zip(slots, rows, strict=True):
            self.slots[slot] = row
        logits_NV = prefill(self.net, self.cache, [row.prompt for row in rows], slots)
        plan = Plan.of([row.sampling for row in rows], self.net.device)
        token_N, logprob_N = choose(logits_NV, plan, np.zeros(len(rows), dtype=np.uint64))
        self.token_R[torch.tensor(slots, device=self.net.device)] = token_N
        self.at_R[slots] = [len(row.prompt) for row in rows]
        self.live_R[slots] = 1
        self.count_R[slots] = 1
        self.plan = None
        return self._collect(slots, token_N, logprob_N)

    def _decode(self) -> list[Row]:
        if self.plan is None:
            some = next(row for row in self.slots if row is not None).sampling  # idle slots copy a live one: no branch
            self.plan = Plan.of([row.sampling if row else some for row in self.slots], self.net.device)
        at_R1 = torch.from_numpy(self.at_R).to(self.net.device)[:, None]
        logits_RV = self.net.forward(self.cache, self.token_R[:, None], at_R1, int(self.at_R.max()) + 1)
        self.token_R, logprob_R = choose(logits_RV, self.plan, self.count_R)
        self.at_R += self.live_R
        self.count_R += np.uint64(1)
        return self._collect(range(len(self.slots)), self.token_R, logprob_R)

    def _collect(self, slots: Sequence[int], token_N: Tensor, logprob_N: Tensor) -> list[Row]:
        done = []
        for slot, token, logprob in zip(slots, token_N.tolist(), logprob_N.tolist(), strict=True):
            row = self.slots[slot]
            if row is not None and accept(row, token, logprob, self.stops):
                done.append(row)
                self.slots[slot] = None
                self.live_R[slot] = self.at_R[slot] = 0
                if row.reason == "error":
                    self.cache.wipe(slot)
        return done

    def _shrink(self) -> None:
        """Nothing is waiting: drop idle slots once a quarter of the work would be theirs."""
        live = [i for i, row in enumerate(self.slots) if row is not None]
        size = round_up(len(live), 4)
        if not live or size * 4 > len(self.slots) * 3:
            return
        kept = live + [i for i, row in enumerate(self.slots) if row is None][: size - len(live)]
        index = torch.tensor(kept, device=self.net.device)
        self.cache.keep(index)
        self.slots = [self.slots[i] for i in kept]
        self.at_R, self.live_R, self.count_R = self.at_R[kept], self.live_R[kept], self.count_R[kept]
        self.token_R = self.token_R[index]
        self.plan = None


class EqualLoop:
    """For models with a cache of their own kind (sliding windows, recurrent states): one prompt length at a time."""

    def __init__(self, net: Net, rows: Sequence[Row], size: int, stops: StopCheck) -> None:
        self.net, self.stops, self.size = net, stops, size
        self.pending = sorted(rows, key=lambda r: len(r.prompt), reverse=True)
        self.rows: list[Row] = []
        self.past: Any = None
        self.plan: Plan | None = None
        self.token_R = torch.zeros(0, dtype=torch.long, device=net.device)

    @property
    def busy(self) -> bool:
        """Whether any row is unfinished."""
        return bool(self.pending or self.rows)

    def unfinished(self) -> list[Row]:
        """Rows that are running or waiting."""
        return self.rows + self.pending

    def step(self) -> list[Row]:
        """Draw one token for every row of the batch, starting a new batch when the last one is done."""
        if not self.rows:
            length = len(self.pending[-1].prompt)
            while self.pending and len(self.pending[-1].prompt) == length and len(self.rows) < self.size:
                self.rows.append(self.pending.pop())
            self.past, self.plan = None, None
            ids_RQ = torch.tensor([list(row.prompt) for row in self.rows], device=self.net.device)
        else:
            ids_RQ = self.token_R[:, None]
        output = self.net.model(input_ids=ids_RQ, past_key_values=self.past, use_cache=True, logits_to_keep=1)
        self.past = output.past_key_values
        self.plan = self.plan or Plan.of([row.sampling for row in self.rows], self.net.device)
        count_R = np.array([len(row.tokens) for row in self.rows], dtype=np.uint64)
        self.token_R, logprob_R = choose(output.logits[:, -1], self.plan, count_R)
        return self._collect(logprob_R)

    def _collect(self, logprob_R: Tensor) -> list[Row]:
        done, kept = [], []
        for i, (token, logprob) in enumerate(zip(self.token_R.tolist(), logprob_R.tolist(), strict=True)):
            if accept(self.rows[i], token, logprob, self.stops):
                done.append(self.rows[i])
            else:
                kept.append(i)
        if done and kept:
            index = torch.tensor(kept, device=self.net.device)
            self.past.reorder_cache(index)
            self.token_R, self.plan = self.token_R[index], None
        self.rows = [self.rows[i] for i in kept]
        return done
