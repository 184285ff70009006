"""The one log-probability routine: what SFT, DPO and every later algorithm call.

The vocabulary is projected only at positions that predict a target, in chunks, so that ``[tokens x vocabulary]`` is
never kept whole; with a small hidden size the head dominates the cost (about 2x on DPO by itself, see
docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agora.train.batch import Batch, EncodedSequence, collate, collate_shared, micro_batches
from agora.train.distributed import one_pass

if TYPE_CHECKING:
    import torch

# Logits of one chunk are kept for the backward pass up to this many elements; above it they are recomputed.
KEEP_LOGITS = 32_000_000
CHUNK_ELEMENTS = 8_000_000


@one_pass
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

    hidden_BTH = hidden_states(model, batch)
    hidden_NH = hidden_BTH[batch.row_N, batch.position_N]
    vocabulary = model.get_output_embeddings().weight.shape[0]
    n = hidden_NH.shape[0]
    if n * vocabulary <= KEEP_LOGITS or not torch.is_grad_enabled():
        step = n if torch.is_grad_enabled() else max(1, CHUNK_ELEMENTS // vocabulary)
        parts = [
            _chunk_logprobs(model, hidden_NH[i : i + step], batch.target_N[i : i + step], temperature)
            for i in range(0, n, max(1, step))
        ]
    else:
        step = max(1, CHUNK_ELEMENTS // vocabulary)
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


def sum_by_sequence(batch: Batch, values_N: torch.Tensor) -> torch.Tensor:
    """Sum target values per sequence: [N] -> [R]. Sequences without targets get 0."""
    return values_N.new_zeros(batch.n_rows).index_add(0, batch.sequence_N, values_N)


def hidden_states(model: Any, batch: Batch) -> torch.Tensor:
    """Last hidden states [B, T, H] of a causal or a reward model, without its head; to be called within one pass."""
    more: dict[str, Any] = {}
    if batch.attend_B1TT is not None:
        more = {"attention_mask": batch.attend_B1TT, "position_ids": batch.position_ids_BT}
    states: torch.Tensor = _backbone(model)(input_ids=batch.input_ids_BT, use_cache=False, **more).last_hidden_state
    return states


@one_pass
def can_share_prompts(model: Any) -> bool:
    """Whether a block mask gives this model the same hidden states as separate rows; found out by running it once."""
    import numpy as np
    import torch

    if getattr(model.config, "_attn_implementation", None) != "sdpa":
        return False  # other kernels take other masks
    device = next(model.parameters()).device
    ids, mask = np.asarray([5, 3, 8, 6, 2, 7, 4], dtype=np.int32), np.asarray([0, 0, 0, 0, 1, 1, 1], dtype=np.uint8)
    group = (EncodedSequence("a", ids, mask), EncodedSequence("b", np.r_[ids[:4], ids[:2]], mask[:6]))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            ends = []
            for batch in (collate(group, device=device), collate_shared([group], device=device)):
                ends.append(hidden_states(model, batch)[batch.last_row_R, batch.last_position_R].float())
    except (TypeError, ValueError, RuntimeError):
        return False  # the model takes no such mask
    finally:
        model.train(was_training)
    return bool(torch.allclose(ends[0], ends[1], rtol=1e-3, atol=1e-3))


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
        for indices, batch in micro_batches([(row,) for row in rows], token_budget, device=device):
            sums = sum_by_sequence(batch, target_logprobs(model, batch).double())
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
