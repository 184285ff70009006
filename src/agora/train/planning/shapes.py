"""The shape of a decoder, without its weights: what memory and operations depend on."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from agora.core.errors import UsageError
from agora.core.yaml_text import parse_yaml

_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*([bBmM])(?![a-zA-Z])")
_NEAR = 0.1  # a published shape within a tenth of a size stands for it
_MULTIPLE = 128  # hidden sizes of scaled shapes


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder with a vocabulary head.

    Attributes:
        name: as given.
        layers: blocks.
        hidden: width of the residual stream.
        heads: query heads of ``head_size``; ``kv_heads`` of them have keys and values of their own.
        ffn: width inside the feed-forward part.
        vocabulary: rows of the embedding.
        tied: the head is the embedding.
        block_matrices: parameters of one block in matrices that every token is multiplied with. Of a mixture of experts
            these are the chosen experts alone.
        block_parameters: all parameters of one block.
        source: where the shape is from, for people.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    ffn: int
    vocabulary: int
    tied: bool
    block_matrices: int
    block_parameters: int
    source: str = ""

    @property
    def outer_parameters(self) -> int:
        """Embedding, last norm and head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2) + self.hidden

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.layers * self.block_parameters + self.outer_parameters

    @property
    def reward_parameters(self) -> int:
        """With a scalar head instead of one over the vocabulary."""
        return self.layers * self.block_parameters + self.vocabulary * self.hidden + 2 * self.hidden

    def adapter_parameters(self, rank: int) -> int:
        """Of low-rank adapters on every linear layer of a gated decoder."""
        query, key = self.heads * self.head_size, self.kv_heads * self.head_size
        ends = 2 * (self.hidden + query) + 2 * (self.hidden + key) + 3 * (self.hidden + self.ffn)
        return self.layers * rank * ends

    def cut(self, layers: int) -> ModelShape:
        """The first layers alone."""
        return replace(self, layers=layers, name=f"{self.name}, {layers} layers")


def gated_decoder(name: str, *, source: str = "", **shape: Any) -> ModelShape:
    """A Llama-like decoder: attention without biases, a gated feed-forward part, two norms a block.

    Args:
        name: for people.
        source: where the shape is from.
        shape: ``layers, hidden, heads, kv_heads, ffn, vocabulary`` and perhaps ``head_size, tied``.
    """
    hidden, heads, kv_heads, ffn = (int(shape[k]) for k in ("hidden", "heads", "kv_heads", "ffn"))
    head_size = int(shape.get("head_size") or hidden // heads)
    matrices = 2 * hidden * head_size * (heads + kv_heads) + 3 * hidden * ffn
    return ModelShape(
        name,
        int(shape["layers"]),
        hidden,
        heads,
        kv_heads,
        head_size,
        ffn,
        int(shape["vocabulary"]),
        bool(shape.get("tied", False)),
        matrices,
        matrices + 2 * hidden,
        source,
    )


def find_shape(model: str) -> ModelShape:
    """The shape of a model that need not be on this machine.

    Args:
        model: a folder with a config.json, ``microcosm:NAME``, ``hf:NAME-OR-PATH``, or a size such as ``13B``.

    Raises:
        UsageError: it is no folder here, and its name tells neither a known model nor a size.
    """
    folder = _folder(model)
    if folder is not None:
        return shape_of_config(folder, name=model)
    low = model.lower()
    for name, row in _published().items():
        if any(known in low for known in row["names"]):
            return gated_decoder(model, source=f"the published shape of {name}", **row)
    sizes = _SIZE.findall(re.sub(r"[-_/:]", " ", model))
    if not sizes:
        raise UsageError(
            f"nothing is known of the size of {model!r}", hint="give a folder with a config.json, or a size such as 13B"
        )
    number, unit = sizes[-1]
    return _of_size(model, float(number) * (1e9 if unit in "bB" else 1e6))


def shape_of_config(folder: Path | str, *, name: str | None = None) -> ModelShape:
    """The shape of a model folder, counted on the model that `transformers` makes of its config.json, without weights.

    Raises:
        UsageError: the folder's config is none of a decoder.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    causal: Any = AutoModelForCausalLM
    try:
        config: Any = AutoConfig.from_pretrained(str(folder), local_files_only=True)
        text = config.get_text_config()
        with torch.device("meta"):
            model = causal.from_config(config)
        body = model.get_decoder()
        blocks = max((m for m in body.children() if isinstance(m, torch.nn.ModuleList)), key=len)
    except (OSError, ValueError, AttributeError) as error:
        what = f"no decoder can be read from its config.json: {str(error).splitlines()[0]}"
        raise UsageError(what, where=str(folder)) from error
    every = sum(p.numel() for block in blocks for p in block.parameters())
    heads = int(text.num_attention_heads)
    return ModelShape(
        name or str(folder),
        len(blocks),
        int(text.hidden_size),
        heads,
        int(getattr(text, "num_key_value_heads", None) or heads),
        int(getattr(text, "head_dim", None) or text.hidden_size // heads),
        int(getattr(text, "intermediate_size", None) or 4 * text.hidden_size),
        int(text.vocab_size),
        bool(text.tie_word_embeddings),
        sum(_multiplied(p, text) for block in blocks for p in block.parameters()) // len(blocks),
        every // len(blocks),
        "its config.json",
    )


def _multiplied(parameter: Any, config: Any) -> int:
    """Parameters that one token is multiplied with: none of a norm or bias, of stacked experts those it is sent to."""
    if parameter.ndim < 2:
        return 0
    chosen = getattr(config, "num_experts_per_tok", None)
    if parameter.ndim == 3 and chosen:
        return int(parameter.numel() * chosen // parameter.shape[0])
    return int(parameter.numel())


def _folder(model: str) -> Path | None:
    scheme, _, rest = model.partition(":")
    if scheme == "microcosm" and rest:
        from agora.engines.registry import microcosm_folder

        return microcosm_folder(rest)
    path = Path(rest if scheme in ("hf", "reward") and rest else model).expanduser()
    path = path.parent if path.name == "config.json" else path
    return path if (path / "config.json").is_file() else None


def _of_size(name: str, parameters: float) -> ModelShape:
    shapes = [gated_decoder(known, source=known, **row) for known, row in _published().items()]
    fitting = [shape for shape in shapes if abs(shape.parameters - parameters) <= _NEAR * parameters]
    if fitting:
        return replace(fitting[0], name=name, source=f"taken for {fitting[0].source}")
    near = min(shapes, key=lambda s: abs(s.parameters - parameters))
    scale = (parameters / near.parameters) ** (1 / 3)
    head_size = near.head_size
    heads = max(1, round(near.heads * scale))
    return gated_decoder(
        name,
        source=f"scaled from {near.source}",
        layers=max(1, round(near.layers * scale)),
        hidden=max(_MULTIPLE, round(near.hidden * scale / _MULTIPLE) * _MULTIPLE),
        heads=heads,
        kv_heads=max(1, min(heads, round(near.kv_heads * scale))),
        head_size=head_size,
        ffn=max(_MULTIPLE, round(near.ffn * scale / _MULTIPLE) * _MULTIPLE),
        vocabulary=near.vocabulary,
        tied=near.tied,
    )


@functools.cache
def _published() -> dict[str, dict[str, Any]]:
    text = (files(__package__) / "shapes.yaml").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = parse_yaml(text, "shapes.yaml")[0]
    return rows
