"""Loading a `transformers` model, with errors that say what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path
from typing import Any

from agora.core.errors import EngineError, MissingError

_DECIDING = frozenset({".json", ".safetensors", ".bin", ".model", ".jinja", ".txt"})


def model_folder(name: str) -> Path | None:
    """The folder that ``name`` means, or None when it is a hub name.

    Raises:
        MissingError: ``name`` is a path and there is no model there.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise MissingError("this folder holds no model (no config.json)", where=str(folder))
        return folder
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        beside = [p.name for p in folder.parent.iterdir() if p.is_dir()] if folder.parent.is_dir() else []
        near = get_close_matches(folder.name, beside, n=1)
        hint = (
            f"did you mean {folder.parent / near[0]}?"
            if near
            else f"hf: takes a model folder or NAME/MODEL, got {name}"
        )
        raise MissingError("no such model folder", where=str(folder), hint=hint)
    return None


def load_model(name: str, device: str | None) -> tuple[Any, Any]:
    """Model in evaluation mode, and its tokenizer. ``device`` None: the GPUs if there are any, else CPU."""
    folder = model_folder(name)

    import torch

    from agora.engines._plain import read_plain

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    source = str(folder or name)
    tokenizer = _load_tokenizer(source, folder)

    def load() -> Any:
        return _load_library_model(source, folder, device)

    plain = read_plain(folder, load) if folder is not None and device == "cpu" else None
    return plain or load(), tokenizer


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model folder or a hub name; no weights are loaded.

    Raises:
        MissingError: it is not on this machine.
    """
    folder = model_folder(name)
    source = str(folder) if folder is not None else name
    with _said_in_one_line(source, folder):
        return _load_tokenizer(source, folder)


def _load_library_model(source: str, folder: Path | None, device: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": torch.float32 if device == "cpu" else "auto"}
    if folder is not None:
        options["local_files_only"] = True
    spread = device == "cuda" and torch.cuda.device_count() > 1 and _has_accelerate()
    if spread:
        options["device_map"] = "auto"
    with _said_in_one_line(source, folder), _no_bars():
        model: Any = AutoModelForCausalLM.from_pretrained(source, **options)
    if not spread:
        model.to(device)
    model.eval()
    return model


def _load_tokenizer(source: str, folder: Path | None) -> Any:
    with _said_in_one_line(source, folder):
        if folder is not None and _is_plain_tokenizer(folder):
            from transformers import PreTrainedTokenizerFast

            return PreTrainedTokenizerFast.from_pretrained(source, local_files_only=True)
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(source, local_files_only=folder is not None)


def _is_plain_tokenizer(folder: Path) -> bool:
    """Whether the folder names the class itself, so that the table of all models need not be imported to find it."""
    try:
        said = json.loads((folder / "tokenizer_config.json").read_text())
        named = said.get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast")
    except (OSError, ValueError, AttributeError):
        return False
    return named and "auto_map" not in said and (folder / "tokenizer.json").is_file()


@contextmanager
def _said_in_one_line(source: str, folder: Path | None) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        raise MissingError(f"cannot load the model: {_first_line(error)}", where=source, hint=_hint(folder)) from error
    except SafetensorError as error:
        what = f"the weights are damaged: {_first_line(error)}"
        raise EngineError(what, where=source, hint="copy or build the model again") from error
    except (ValueError, KeyError, RuntimeError) as error:
        raise EngineError(
            f"not a causal language model that can be read: {_first_line(error)}", where=source
        ) from error


def revision_of(folder: Path) -> str:
    """A hash of every file in a model folder that decides what it answers (of files beyond 1 GiB, of their ends)."""
    found = blake2b(digest_size=12)
    for file in sorted(p for p in folder.iterdir() if p.suffix in _DECIDING):
        size = file.stat().st_size
        found.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as source:
            if size <= 1 << 30:
                while block := source.read(1 << 22):
                    found.update(block)
            else:
                found.update(source.read(1 << 24))
                source.seek(-(1 << 24), 2)
                found.update(source.read())
    return found.hexdigest()


def _hint(folder: Path | None) -> str:
    if folder is not None:
        return "the folder needs config.json, weights and tokenizer files"
    return "give a local folder, or fetch the model first (HF_HUB_OFFLINE must be unset to download)"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def _no_bars() -> Iterator[None]:
    """The library draws a bar even for weights that load in a blink."""
    from transformers.utils import logging as library_logging

    logging: Any = library_logging
    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


def _has_accelerate() -> bool:
    from importlib.util import find_spec

    return find_spec("accelerate") is not None
