"""What the engine must know about a `transformers` causal model: how to get logits for some positions only, and whether
ragged rows may share a cache. Both are found out by running the model once on a few tokens, not from a list of names.

Shapes: ``N`` rows, ``Q`` tokens, ``V`` vocabulary, ``F`` hidden size.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from agora.engines._lean import LeanLlama
from agora.engines._plain import PlainLlama
from agora.engines._slots import SlotCache

# In the strict mode a row of a product does not depend on how many rows stand beside it or how its buffers happen to be
# aligned, which makes an answer independent of its neighbors to the last bit. Without STRICT, some processors round
# products of few rows (up to 15, more for a longer sum) in another way. It costs up to 1.7 times for a handful of rows
# and nothing for many. MKL reads it at the first matrix product; a user's own choice is kept.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

_MIN_ROWS = 4  # where MKL has no strict mode, it takes a matrix-vector path below this that rounds differently


class Net:
    """A causal language model seen through the few calls that the engine makes.

    Attributes:
        plain_head: logits are the output embedding applied to the last hidden state (no scaling, no soft cap).
        ragged: rows of different lengths may share a :class:`~agora.engines._slots.SlotCache`.
        lean: our own forward pass for such batches, where the model has one that agrees with the library's.
        context: most positions the model takes; None when it does not say.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
        weight = next(model.parameters())
        self.device: torch.device = weight.device
        self.dtype: torch.dtype = weight.dtype
        self.context: int | None = getattr(self.config, "max_position_embeddings", None)
        self.vocabulary = int(self.config.vocab_size)
        self.plain_head = self.ragged = True
        self.lean: LeanLlama | None = None
        if isinstance(model, PlainLlama):
            self.lean = LeanLlama(model)
            return
        with torch.inference_mode():
            self.plain_head = self._check_head()
            self.lean = LeanLlama.of(model) if self.plain_head else None
            self.ragged = _attends_to_everything(self.config) and self._check_ragged()
            if self.lean is not None and not self.ragged:
                self.lean = None
                self.ragged = _attends_to_everything(self.config) and self._check_ragged()

    def new_cache(self, rows: int, capacity: int) -> SlotCache:
        """An empty cache for ragged rows."""
        heads = int(getattr(self.config, "num_attention_heads", 1) or 1)
        groups = heads // int(getattr(self.config, "num_key_value_heads", heads) or heads)
        return SlotCache(rows, capacity, device=self.device, dtype=self.dtype, queries_per_head=groups)

    @property
    def body(self) -> Any:
        """The model without its vocabulary projection."""
        return self.model.base_model

    def hidden(self, ids_NQ: Tensor, **more: Any) -> Tensor:
        """Last hidden states ``NQF``."""
        states: Tensor = self.body(input_ids=ids_NQ, **more).last_hidden_state
        return states

    def project(self, hidden_NF: Tensor) -> Tensor:
        """Logits ``NV`` of chosen hidden states; only when :attr:`plain_head`."""
        rows = len(hidden_NF)
        if rows < _MIN_ROWS:
            hidden_NF = torch.nn.functional.pad(hidden_NF, (0, 0, 0, _MIN_ROWS - rows))
        logits: Tensor = self.model.get_output_embeddings()(hidden_NF)
        return logits[:rows]

    def forward(
        self,
        cache: SlotCache,
        ids_NQ: Tensor,
        at_NQ: Tensor,
        length: int,
        *,
        slots: Tensor | None = None,
        last_N: Tensor | None = None,
    ) -> Tensor:
        """Write new tokens into the cache; returns logits ``NV`` after one token of each row.

        Args:
            cache: from :meth:`new_cache`.
            ids_NQ: the tokens.
            at_NQ: their positions.
            length: tokens to attend over, at least the largest position plus one.
            slots: the rows written; None: all.
            last_N: which token's logits; None where each row has one token.
        """
        mask_N1QL = cache.aim(at_NQ, length, slots)
        if self.context:
            at_NQ = at_NQ.clamp(max=self.context - 1)  # padding may stand beyond the last learned position
        if not self.plain_head:
            return self._wrapped(cache, ids_NQ, at_NQ, mask_N1QL, last_N)
        if self.lean is not None:
            states_NQF = self.lean.hidden(ids_NQ, at_NQ, mask_N1QL, cache)
        else:
            states_NQF = self.hidden(
                ids_NQ, position_ids=at_NQ, attention_mask=mask_N1QL, past_key_values=cache, use_cache=True
            )
        if last_N is None:
            return self.project(states_NQF[:, 0])
        return self.project(states_NQF[torch.arange(len(last_N), device=self.device), last_N])

    def _wrapped(
        self, cache: SlotCache, ids_NQ: Tensor, at_NQ: Tensor, mask_N1QL: Tensor, last_N: Tensor | None
    ) -> Tensor:
        """Through the whole model, for heads that do more than project."""
        if last_N is None:
            last_N = torch.zeros(len(ids_NQ), dtype=torch.long, device=self.device)
        kept, column_N = torch.unique(last_N, return_inverse=True)
        logits: Tensor = self.model(
            input_ids=ids_NQ,
            position_ids=at_NQ,
            attention_mask=mask_N1QL,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=kept,
        ).logits
        return logits[torch.arange(len(ids_NQ), device=self.device), column_N]

    def all_logits(self, ids_NQ: Tensor, **more: Any) -> Tensor:
        """Logits at every position, ``NQV``."""
        logits: Tensor = self.model(input_ids=ids_NQ, use_cache=False, **more).logits
        return logits

    def _probe_ids(self, rows: int, tokens: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, self.vocabulary, (rows, tokens), generator=generator).to(self.device)

    def _close(self, a: Tensor, b: Tensor) -> bool:
        scale = float(b.float().abs().max()) or 1.0
        bound = 1e-4 if self.dtype == torch.float32 else 5e-2
        return a.shape == b.shape and float((a.float() - b.float()).abs().max()) <= bound * scale

    def _check_head(self) -> bool:
        ids = self._probe_ids(2, 6)
        try:
            projected = self.model.get_output_embeddings()(self.hidden(ids, use_cache=False))
            return self._close(projected, self.all_logits(ids))
        except (AttributeError, TypeError):  # a wrapper without base_model or output embeddings
            return False

    def _check_ragged(self) -> bool:
        """Two rows of unlike length through the slot cache must give what each gives alone."""
        from agora.engines._generate import prefill

        prompts = [self._probe_ids(1, n)[0].tolist() for n in (3, 19)]
        try:
            cache = self.new_cache(_MIN_ROWS, 32)
            first = prefill(self, cache, prompts, [2, 0])
            at = torch.tensor([[19], [0], [3], [0]], device=self.device)
            step = torch.tensor([[5], [0], [7], [0]], device=self.device)
            second = self.forward(cache, step, at, 20)
            whole = [[*prompts[0], 7], [*prompts[1], 5]]
            alone = [self.all_logits(torch.tensor([ids], device=self.device))[0] for ids in whole]
        except (AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError, NotImplementedError):
            return False  # the model keeps its cache in another way; equal-length batches still work
        same_first = all(self._close(first[i], alone[i][-2]) for i in (0, 1))
        return same_first and self._close(second[2], alone[0][-1]) and self._close(second[0], alone[1][-1])


def _attends_to_everything(config: Any) -> bool:
    """False for sliding windows and recurrent layers, whose cache is not one slot per token."""
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return all(kind == "full_attention" for kind in kinds)
    return getattr(config, "sliding_window", None) is None or getattr(config, "use_sliding_window", True) is False
