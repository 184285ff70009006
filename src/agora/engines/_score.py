"""Exact log-probabilities and embeddings, batched by length. Causal attention lets rows end unpadded on the right.

Shapes: ``N`` rows, ``Q`` tokens, ``F`` hidden size, ``T`` scored tokens of a batch, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agora.engines._net import Net

_CHUNK_NUMBERS = 1 << 24  # logits held at once: 64 MiB in fp32


@dataclass(frozen=True, slots=True)
class Scored:
    """A prompt followed by the tokens whose probability is asked."""

    id: str
    prompt: Sequence[int]
    continuation: Sequence[int]

    @property
    def tokens(self) -> int:
        """Length of both parts."""
        return len(self.prompt) + len(self.continuation)


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, each at most ``batch_tokens`` with its padding (at least one row)."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and lengths[i] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def score_batch(net: Net, items: Sequence[Scored]) -> list[list[float]]:
    """Log-probabilities in nats, one list per item; the vocabulary is projected at scored positions only."""
    with torch.inference_mode():
        width = max(item.tokens for item in items) - 1  # the last token is only a target
        ids_NQ = torch.zeros((len(items), width), dtype=torch.long)
        for row, item in enumerate(items):
            ids = [*item.prompt, *item.continuation][:-1]
            ids_NQ[row, : len(ids)] = torch.tensor(ids)
        row_T = torch.tensor([row for row, item in enumerate(items) for _ in item.continuation], device=net.device)
        at_T = torch.tensor([a for i in items for a in range(len(i.prompt) - 1, i.tokens - 1)], device=net.device)
        target_T = torch.tensor([token for item in items for token in item.continuation], device=net.device)
        states = net.hidden(ids_NQ.to(net.device), use_cache=False) if net.plain_head else None
        logits = None if states is not None else net.all_logits(ids_NQ.to(net.device))
        found: list[float] = []
        step = max(1, _CHUNK_NUMBERS // net.vocabulary)
        for start in range(0, len(target_T), step):
            part = slice(start, start + step)
            source = states if states is not None else logits
            assert source is not None
            picked = source[row_T[part], at_T[part]]
            logits_TV = (net.project(picked) if states is not None else picked).float()
            found += _log_probability(logits_TV, target_T[part]).tolist()
    split, start = [], 0
    for item in items:
        split.append(found[start : start + len(item.continuation)])
        start += len(item.continuation)
    return split


def _log_probability(logits_TV: Tensor, target_T: Tensor) -> Tensor:
    return logits_TV.gather(1, target_T[:, None]).squeeze(1) - torch.logsumexp(logits_TV, -1)


def embed_batch(net: Net, texts: Sequence[Sequence[int]]) -> list[list[float]]:
    """Mean of the last hidden states over each text's tokens, scaled to length one."""
    with torch.inference_mode():
        width = max(len(ids) for ids in texts)
        ids_NQ = torch.zeros((len(texts), width), dtype=torch.long)
        kept_NQ = torch.zeros((len(texts), width))
        for row, ids in enumerate(texts):
            ids_NQ[row, : len(ids)] = torch.tensor(list(ids))
            kept_NQ[row, : len(ids)] = 1.0
        states_NQF = net.hidden(ids_NQ.to(net.device), use_cache=False).float()
        sum_NF = torch.einsum("nqf,nq->nf", states_NQF, kept_NQ.to(net.device))
        vectors: list[list[float]] = torch.nn.functional.normalize(sum_NF, dim=-1).tolist()
    return vectors
