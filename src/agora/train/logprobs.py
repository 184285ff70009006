"""The one log-probability routine: what SFT, DPO and every later algorithm call.

The vocabulary is projected only at positions that predict a target, in chunks, so that ``[tokens x vocabulary]`` is
never kept whole; with a small hidden size the head dominates the cost (about 2x on DPO by itself, see
docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agora.train.batch import Batch, EncodedSequence, collate, plan_micro_batches

if TYPE_CHECKING:
    import torch

# Logits of one chunk are kept for the backward pass up to this many elements; above it they are recomputed.
_KEEP_LOGITS = 32_000_000
_CHUNK_ELEMENTS = 8_000_000


def target_logprobs(model: Any, batch: Batch, *, temperature: float = 1.0) -> torch.Tensor:
    """Log-probability of every target token, in the order of ``batch.target_N``.

    Args:
        model: a `transformers` causal language model.
        batch: from :func:`agora.train.batch.collate`.
        temperature: logits are divided by it.

    Returns:
        float tensor [N], nats; differentiable.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    hidden_BTH = _backbone(model)(input_ids=batch.input_ids_BT, use_cache=False).last_hidden_state
    hidden_NH = hidden_BTH[batch.row_N, batch.position_N]
    vocabulary = model.get_output_embeddings().weight.shape[0]
    n = hidden_NH.shape[0]
    if n * vocabulary <= _KEEP_LOGITS or not torch.is_grad_enabled():
        step = n if torch.is_grad_enabled() else max(1, _CHUNK_ELEMENTS // vocabulary)
        parts = [
            _chunk_logprobs(model, hidden_NH[i : i + step], batch.target_N[i : i + step], temperature)
            for i in range(0, n, max(1, step))
        ]
    else:
        step = max(1, _CHUNK_ELEMENTS // vocabulary)
        parts = [
            checkpoint(
                _chunk_logprobs,
                model,
                hidden_NH[i : i + step],
                batch.target_N[i : i + step],
                temperature,
                use_reentrant=False,
            )
            for i in range(0, n, step)
        ]
    return torch.cat(parts) if parts else hidden_NH.new_zeros(0)


def sum_by_row(batch: Batch, values_N: torch.Tensor) -> torch.Tensor:
    """Sum target values per row: [N] -> [B]. Rows without targets get 0."""
    return values_N.new_zeros(batch.n_rows).index_add(0, batch.row_N, values_N)


def sequence_logprobs(
    model: Any,
    rows: Sequence[EncodedSequence],
    *,
    token_budget: int = 16384,
    device: torch.device | str = "cpu",
) -> list[float]:
    """log p(targets) of each row, without gradients, batched by length; results come in the order given."""
    import torch

    out = [0.0] * len(rows)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for indices in plan_micro_batches([(row,) for row in rows], token_budget):
            batch = collate([rows[i] for i in indices], device=device)
            sums = sum_by_row(batch, target_logprobs(model, batch).double())
            for i, value in zip(indices, sums.tolist(), strict=True):
                out[i] = value
    model.train(was_training)
    return out


def _backbone(model: Any) -> Any:
    """The decoder without its head. `get_decoder` is the name transformers gives it on every causal model."""
    return model.get_decoder()


def _chunk_logprobs(model: Any, hidden_NH: torch.Tensor, target_N: torch.Tensor, temperature: float) -> torch.Tensor:
    from torch.nn.functional import cross_entropy

    logits_NV = model.get_output_embeddings()(hidden_NH).float()
    logits_NV = _finish_logits(model.config, logits_NV)
    if temperature != 1.0:
        logits_NV = logits_NV / temperature
    return -cross_entropy(logits_NV, target_N, reduction="none")


def _finish_logits(config: Any, logits_NV: torch.Tensor) -> torch.Tensor:
    """What some families do to logits after the head: Granite divides, Cohere multiplies, Gemma 2 caps."""
    import torch

    if (scaling := getattr(config, "logits_scaling", None)) is not None:
        logits_NV = logits_NV / scaling
    if (scale := getattr(config, "logit_scale", None)) is not None:
        logits_NV = logits_NV * scale
    if (cap := getattr(config, "final_logit_softcapping", None)) is not None:
        logits_NV = torch.tanh(logits_NV / cap) * cap
    return logits_NV
