"""Bytes a GPU holds while a decoder is trained or sampled from, by part.

Activations are counted as the tensors that the backward pass keeps of a Llama block in `transformers` (tests count the
real ones); other architectures keep about as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agora.train.config import TrainConfig
from agora.train.logprobs import CHUNK_ELEMENTS, KEEP_LOGITS
from agora.train.lora import LoraSettings
from agora.train.planning.flops import Head
from agora.train.planning.shapes import ModelShape

Precision = Literal["fp32", "autocast", "bf16"]
When = Literal["always", "updating", "sampling"]
# Bytes kept a token and block, per unit of: hidden size, query heads, key-value heads, feed-forward width.
_KEPT: dict[Precision, tuple[int, int, int, int]] = {
    "fp32": (24, 8, 8, 16),
    "autocast": (26, 4, 4, 8),  # bf16 products around an fp32 residual stream
    "bf16": (16, 4, 4, 8),  # weights gathered in bf16, so the residual stream is bf16 too
}
_ADAM = 8  # bytes a parameter: two moments in fp32
_GATHERED_BLOCKS = 2  # of a spread model: the one that computes and the next


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """Bytes of one part on one GPU, and when they are held."""

    name: str
    bytes: float
    when: When = "always"


def peak_bytes(parts: list[MemoryPart]) -> float:
    """The most that is held at once: what is always held, and the larger of updating and sampling."""
    held = {when: sum(p.bytes for p in parts if p.when == when) for when in ("always", "updating", "sampling")}
    return held["always"] + max(held["updating"], held["sampling"])


def block_activations(shape: ModelShape, precision: Precision) -> float:
    """Bytes that the backward pass keeps of one token in one block."""
    of_hidden, of_query, of_key, of_ffn = _KEPT[precision]
    query, key = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    # and the statistics of two norms and of attention, in fp32
    return of_hidden * shape.hidden + of_query * query + of_key * key + of_ffn * shape.ffn + 4 * shape.heads + 8


def kv_bytes(shape: ModelShape, slots: float, *, bytes_each: int = 2) -> float:
    """Keys and values of cached tokens."""
    return 2 * shape.layers * shape.kv_heads * shape.head_size * bytes_each * slots


def state_parts(
    shape: ModelShape, head: Head, train: TrainConfig, lora: LoraSettings | None, *, gpus: int, who: str
) -> list[MemoryPart]:
    """Weights, gradients and optimizer of one model in training, spread over GPUs as FSDP2 does.

    Args:
        shape: the model.
        head: over the vocabulary or scalar.
        train: how it is stepped.
        lora: adapters, where only they learn.
        gpus: that share weights, gradients and optimizer.
        who: the model's role, for people.
    """
    every = shape.parameters if head == "vocabulary" else shape.reward_parameters
    learned = every if lora is None else shape.adapter_parameters(lora.r)
    frozen = 0 if lora is None else every
    frozen_bytes = 2 if lora is not None and lora.bf16_base else 4
    parts = [
        MemoryPart(f"{who}: weights", (4 * (learned if lora else every) + frozen_bytes * frozen) / gpus),
        MemoryPart(f"{who}: gradients", 4 * learned / gpus),
        MemoryPart(f"{who}: optimizer", _ADAM * learned / gpus),
    ]
    outer = every - shape.layers * shape.block_parameters
    if gpus > 1:
        gathered = _GATHERED_BLOCKS * shape.block_parameters + outer
        parts.append(MemoryPart(f"{who}: gathered weights", (2 if train.bf16 else 4) * gathered, "updating"))
    elif train.bf16 and not (lora and lora.bf16_base):
        parts.append(MemoryPart(f"{who}: bf16 copies of weights", 2 * every, "updating"))
    return parts


def activation_parts(
    shape: ModelShape,
    head: Head,
    train: TrainConfig,
    *,
    tokens: float,
    targets: float,
    gpus: int,
    half: bool = False,
) -> list[MemoryPart]:
    """What one micro-batch keeps for its backward pass.

    Args:
        shape: the model.
        head: over the vocabulary or scalar.
        train: how it is stepped.
        tokens: padded tokens of the micro-batch.
        targets: of them, those whose predictions are looked at.
        gpus: that share the weights.
        half: the residual stream is bf16 because the weights are.
    """
    precision: Precision = "fp32" if not train.bf16 else "bf16" if gpus > 1 or half else "autocast"
    block = block_activations(shape, precision)
    width = 2 if precision == "bf16" else 4
    if train.gradient_checkpointing:
        kept = tokens * shape.layers * width * shape.hidden
    else:
        kept = tokens * shape.layers * block
    # the last norm; and while the backward pass is in a block, its own gradients beside what it kept
    parts = [
        MemoryPart("activations", kept + tokens * 2 * 4 * shape.hidden, "updating"),
        MemoryPart("inside one block", tokens * block * (2 if train.gradient_checkpointing else 1), "updating"),
    ]
    if head == "vocabulary":
        elements = targets * shape.vocabulary
        kept_logits = elements if elements <= KEEP_LOGITS else CHUNK_ELEMENTS
        # logits, their log-softmax and its gradient, in fp32
        parts.append(MemoryPart("logits", 3 * 4 * kept_logits, "updating"))
    return parts
