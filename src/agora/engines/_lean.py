"""The Llama forward pass with a third of the library's operations, for generation with a slot cache.

At the microcosm's size a decoding step is mostly the cost of launching operations, not of arithmetic: fused residual
additions and fewer views make it about twice as fast. The weights are the model's own, read at every call, so a model
in training may be used. :class:`~agora.engines._net.Net` compares it with the library's pass before it is trusted; what
:mod:`~agora.engines._plain` reads is of a kind that tests compare.

Shapes: ``N`` rows, ``Q`` tokens each, ``F`` hidden size, ``H`` query heads, ``K`` key-value heads, ``D`` head size.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agora.engines._slots import SlotCache

_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LeanLlama:
    """The decoder of a plain ``LlamaForCausalLM``, the library's or :class:`~agora.engines._plain.PlainLlama`."""

    def __init__(self, model: Any) -> None:
        self._body = model.model
        config = model.config
        self._eps = float(config.rms_norm_eps)
        self._heads, self._kv_heads = int(config.num_attention_heads), int(config.num_key_value_heads)
        self._groups, self._size = self._heads // self._kv_heads, int(config.head_dim)

    @classmethod
    def of(cls, model: Any) -> LeanLlama | None:
        """The lean pass of a model, or None when the model is of another kind (adapters, hooks, biases)."""
        if type(model).__name__ != "LlamaForCausalLM" or model.config.hidden_act != "silu":
            return None
        for name, module in model.named_modules():
            if module._forward_hooks or module._forward_pre_hooks or nn.utils.parametrize.is_parametrized(module):
                return None
            if name.endswith(_LINEAR) and (type(module) is not nn.Linear or module.bias is not None):
                return None
        return cls(model)

    def hidden(self, ids_NQ: Tensor, position_NQ: Tensor, mask_N1QL: Tensor, cache: SlotCache) -> Tensor:
        """Last hidden states ``NQF`` of new tokens; the cache must be aimed at their positions."""
        rows, width = ids_NQ.shape
        x = F.embedding(ids_NQ, self._body.embed_tokens.weight).view(rows * width, -1)
        cos, sin = self._body.rotary_emb(x, position_ids=position_NQ)
        half = sin.shape[-1] // 2
        signed_sin = torch.cat((-sin[..., :half], sin[..., half:]), -1)[:, :, None]
        rope = (cos[:, :, None], signed_sin, half)
        for number, layer in enumerate(self._body.layers):
            x = self._layer(layer, number, x, rows, rope, mask_N1QL, cache)
        x = F.rms_norm(x, (x.shape[-1],), self._body.norm.weight, self._eps)
        return x.view(rows, width, -1)

    def _layer(
        self,
        layer: Any,
        number: int,
        x: Tensor,
        rows: int,
        rope: tuple[Tensor, Tensor, int],
        mask_N1QL: Tensor,
        cache: SlotCache,
    ) -> Tensor:
        attention, mlp = layer.self_attn, layer.mlp
        normed = F.rms_norm(x, (x.shape[-1],), layer.input_layernorm.weight, self._eps)
        q = _rotate(F.linear(normed, attention.q_proj.weight).view(rows, -1, self._heads, self._size), rope)
        k = _rotate(F.linear(normed, attention.k_proj.weight).view(rows, -1, self._kv_heads, self._size), rope)
        v = F.linear(normed, attention.v_proj.weight).view(rows, -1, self._kv_heads, self._size)
        keys, values = cache.update(k.transpose(1, 2), v.transpose(1, 2), number)
        mixed = self._attend(q, keys, values, mask_N1QL).reshape(x.shape[0], -1)
        x = torch.addmm(x, mixed, attention.o_proj.weight.t())
        normed = F.rms_norm(x, (x.shape[-1],), layer.post_attention_layernorm.weight, self._eps)
        gated = F.silu(F.linear(normed, mlp.gate_proj.weight)).mul_(F.linear(normed, mlp.up_proj.weight))
        return torch.addmm(x, gated, mlp.down_proj.weight.t())

    def _attend(self, q_NQHD: Tensor, keys: Tensor, values: Tensor, mask_N1QL: Tensor) -> Tensor:
        """Attention output as ``NQHD``. One query token needs no copy of shared heads: its groups become queries."""
        rows, width, _, size = q_NQHD.shape
        if width == 1:
            packed = q_NQHD.view(rows, self._kv_heads, self._groups, size)
            return F.scaled_dot_product_attention(packed, keys, values, attn_mask=mask_N1QL)
        if self._groups > 1:
            keys, values = keys.repeat_interleave(self._groups, 1), values.repeat_interleave(self._groups, 1)
        mixed = F.scaled_dot_product_attention(q_NQHD.transpose(1, 2), keys, values, attn_mask=mask_N1QL)
        return mixed.transpose(1, 2)


def _rotate(x_NQHD: Tensor, rope: tuple[Tensor, Tensor, int]) -> Tensor:
    """Rotary positions: the halves change places under a signed sine."""
    cos, signed_sin, half = rope
    return torch.addcmul(x_NQHD * cos, x_NQHD.roll(half, -1), signed_sin)
