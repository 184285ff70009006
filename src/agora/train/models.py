"""Models that are trained: where they come from and how they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agora.core.errors import MissingError, UsageError
from agora.engines.registry import microcosm_folder, parse_uri


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


def load_policy(uri: str) -> tuple[Any, Any]:
    """(model, tokenizer): a causal model in fp32, on a GPU where there is one.

    Raises:
        MissingError: no such model on this machine.
    """
    import torch
    from transformers import AutoModelForCausalLM

    path = model_path(uri)
    _hide_loading_bars()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise MissingError(f"cannot load {uri}: {str(error).splitlines()[0]}", hint="give a model folder") from error
    return model.to(device=pick_device()), load_tokenizer(path)


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


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a plain `transformers` folder: whole or not at all."""
    part = folder.with_name(folder.name + ".part")
    _remove(part)
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    _remove(folder)
    part.rename(folder)


def pick_device() -> str:
    """``cuda`` where there is one, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _hide_loading_bars() -> None:
    from transformers.utils import logging

    quiet: Any = logging.disable_progress_bar
    quiet()  # commands show their own


def _remove(folder: Path) -> None:
    import shutil

    if folder.is_dir():
        shutil.rmtree(folder)
