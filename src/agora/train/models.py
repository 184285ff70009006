"""Models that are trained: where they come from and how they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agora.core.errors import ConfigError, MissingError, UsageError
from agora.engines.registry import microcosm_folder, parse_uri
from agora.train.distributed import is_spread, spread, whole_weights, world
from agora.train.lora import Adapters, add_adapters
from agora.train.settings import ModelSettings


def model_path(uri: str) -> str:
    """Folder or hub name of an in-process model: ``microcosm:NAME``, ``hf:NAME-OR-PATH`` or a plain folder.

    Raises:
        UsageError: the URI names a server, whose weights are out of reach.
    """
    if Path(uri).is_dir():
        return uri
    parsed = parse_uri(uri)
    if parsed.scheme not in ("microcosm", "hf"):
        raise UsageError(f"{uri} cannot be trained: it is not loaded in process", hint="use microcosm:base or hf:PATH")
    return str(microcosm_folder(parsed.name)) if parsed.scheme == "microcosm" else parsed.name


def load_policy(uri: str, *, place: bool = True) -> tuple[Any, Any]:
    """(model, tokenizer): a causal model in fp32, on a GPU where there is one.

    Args:
        uri: see :func:`model_path`.
        place: False leaves the model in the memory of the CPU, to be moved by :func:`prepare`.

    Raises:
        MissingError: no such model on this machine.
    """
    import torch
    from transformers import AutoModelForCausalLM

    path = model_path(uri)
    hide_loading_bars()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise MissingError(f"cannot load {uri}: {str(error).splitlines()[0]}", hint="give a model folder") from error
    return model.to(device=pick_device()) if place else model, load_tokenizer(path)


@dataclass(frozen=True, slots=True)
class Trainee:
    """A model that is ready to train."""

    model: Any
    tokenizer: Any
    adapters: Adapters | None = None


def prepare(model: Any, tokenizer: Any, settings: ModelSettings) -> Trainee:
    """Make a loaded model ready to train: adapters where they are asked for, weights where they are computed with.

    Args:
        model: changed and moved in place.
        tokenizer: kept beside it.
        settings: of the training.
    """
    adapters = add_adapters(model, settings.lora, seed=settings.train.seed) if settings.lora is not None else None
    placed = spread(model, bf16=settings.train.bf16) if world().size > 1 else model.to(pick_device())
    return Trainee(placed, tokenizer, adapters)


def recompute_activations(model: Any) -> None:
    """Keep only the inputs of a model's layers for the backward pass and compute what is inside them again.

    Raises:
        ConfigError: the architecture cannot.
    """
    try:
        if hasattr(model, "activation_checkpointing_enable"):
            model.activation_checkpointing_enable()
        else:  # its name before transformers 5.20
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    except ValueError as error:
        raise ConfigError("this model cannot recompute", hint="leave gradient_checkpointing off") from error
    model.disable_input_require_grads()  # a hook that reentrant checkpointing would need


def load_tokenizer(path: str) -> Any:
    """The tokenizer of a model folder.

    Raises:
        MissingError: the folder has none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise MissingError(f"cannot load the tokenizer of {path}: {str(error).splitlines()[0]}") from error


def same_tokens(one: Any, other: Any) -> bool:
    """Whether two tokenizers mean the same by every token id."""
    return bool(one.get_vocab() == other.get_vocab())


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a plain `transformers` folder: whole or not at all. Of several processes the first writes."""
    part = folder.with_name(folder.name + ".part")
    more = {"state_dict": whole_weights(model)} if is_spread(model) else {}
    if not world().is_first:
        return
    _remove(part)
    model.save_pretrained(part, **more)
    tokenizer.save_pretrained(part)
    _remove(folder)
    part.rename(folder)


def pick_device() -> str:
    """``cuda`` where there is one, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def hide_loading_bars() -> None:
    """Silence the library's bars for loading and storing; commands show their own."""
    from transformers.utils import logging

    quiet: Any = logging.disable_progress_bar
    quiet()


def _remove(folder: Path) -> None:
    import shutil

    if folder.is_dir():
        shutil.rmtree(folder)
