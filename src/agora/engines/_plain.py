"""A folder of plain Llama weights, read without the library's model classes, whose import alone takes seconds.

Only what :class:`~agora.engines._lean.LeanLlama` computes exactly as with the library's model is taken: no biases, no
scaled positions, no quantization, no adapters, one weight file. Everything else is the library's to load.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor

_PLAIN = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
}


@dataclass(frozen=True, slots=True)
class PlainLlama:
    """What generation needs of a Llama, under the library's names; ``load`` gives the library's own model."""

    config: SimpleNamespace
    generation_config: SimpleNamespace
    model: Any
    lm_head: Tensor
    load: Callable[[], Any]
    training: bool = False

    def parameters(self) -> Iterator[Tensor]:
        """One weight, which tells device and dtype."""
        yield self.lm_head

    def get_output_embeddings(self) -> Callable[[Tensor], Tensor]:
        """From hidden states to logits."""
        return lambda hidden_NF: F.linear(hidden_NF, self.lm_head)


def read_plain(folder: Path, load: Callable[[], Any]) -> PlainLlama | None:
    """The model of a folder on CPU in fp32, or None when it is not plain or not whole.

    Args:
        folder: what ``save_pretrained`` wrote.
        load: gives the library's model of the same folder.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        ends = json.loads((folder / "generation_config.json").read_text()).get("eos_token_id")
        if not _is_plain(config) or (folder / "adapter_config.json").exists():
            return None
        with safe_open(folder / "model.safetensors", "pt") as file:
            names = list(file.keys())
            if {name: tuple(file.get_slice(name).get_shape()) for name in names} != _shapes(config):
                return None
            # copied: a mapped file may be replaced while the engine is open
            tree = _nested({name: file.get_tensor(name).to(torch.float32, copy=True) for name in names})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        return None  # the library says what is wrong
    tree.model.rotary_emb = _rotary(config["rope_parameters"]["rope_theta"], config["head_dim"])
    head: Tensor = getattr(tree, "lm_head", tree.model.embed_tokens).weight
    return PlainLlama(SimpleNamespace(**config), SimpleNamespace(eos_token_id=ends), tree.model, head, load)


def _is_plain(config: dict[str, Any]) -> bool:
    rope, unusual = config["rope_parameters"], config.keys() & {"quantization_config", "auto_map"}
    as_default = rope.keys() == {"rope_theta", "rope_type"} and rope["rope_type"] == "default"
    return as_default and not unusual and all(config[key] == value for key, value in _PLAIN.items())


def _shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every weight the folder must have, and no other."""
    wide, inner, words = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    q, kv = (config[key] * config["head_dim"] for key in ("num_attention_heads", "num_key_value_heads"))
    of_layer: dict[str, tuple[int, ...]] = {
        "input_layernorm": (wide,), "post_attention_layernorm": (wide,),
        "self_attn.q_proj": (q, wide), "self_attn.k_proj": (kv, wide), "self_attn.v_proj": (kv, wide),
        "self_attn.o_proj": (wide, q),
        "mlp.gate_proj": (inner, wide), "mlp.up_proj": (inner, wide), "mlp.down_proj": (wide, inner),
    }  # fmt: skip
    found = {"model.embed_tokens": (words, wide), "model.norm": (wide,)}
    found |= {} if config["tie_word_embeddings"] else {"lm_head": (words, wide)}
    layers = range(config["num_hidden_layers"])
    found |= {f"model.layers.{number}.{part}": shape for number in layers for part, shape in of_layer.items()}
    return {f"{name}.weight": shape for name, shape in found.items()}


def _nested(weights: Mapping[str, Tensor]) -> Any:
    """Dotted names as attributes; numbered ones as a list."""
    if "" in weights:
        return weights[""]
    parts: dict[str, dict[str, Tensor]] = {}
    for name, weight in weights.items():
        head, _, rest = name.partition(".")
        parts.setdefault(head, {})[rest] = weight
    if all(part.isdigit() for part in parts):
        return [_nested(parts[part]) for part in sorted(parts, key=int)]
    return SimpleNamespace(**{part: _nested(inner) for part, inner in parts.items()})


def _rotary(theta: float, size: int) -> Callable[..., tuple[Tensor, Tensor]]:
    """Cosines and sines of default rotary positions, each ``NQD``."""
    inverse_D = 1.0 / (theta ** (torch.arange(0, size, 2, dtype=torch.float) / size))

    def turns(x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        angle_NQD = position_ids[..., None].float() * inverse_D
        angle_NQD = torch.cat((angle_NQD, angle_NQD), -1)
        return angle_NQD.cos(), angle_NQD.sin()

    return turns
