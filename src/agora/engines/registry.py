"""From a URI to an engine."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ..core.errors import MissingError, UsageError
from .types import Engine

SCHEMES = ("microcosm", "hf", "openai", "http", "https")
MICROCOSM = ("chat", "base")


class EngineUri(NamedTuple):
    """A URI taken apart. ``name`` is the model; ``base_url`` is set for servers only."""

    scheme: str
    name: str
    base_url: str | None = None


def parse_uri(uri: str) -> EngineUri:
    """Take an engine URI apart.

    Raises:
        UsageError: unknown scheme or a part is missing; the hint says what to write.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon:
        raise UsageError(f"{uri!r} is not an engine URI", hint=_advice(uri))
    if scheme not in SCHEMES:
        near = get_close_matches(scheme, SCHEMES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}:{rest}?" if near else f"known schemes: {', '.join(SCHEMES)}"
        raise UsageError(f"unknown engine scheme {scheme!r}", where=uri, hint=hint)
    if scheme in ("http", "https"):
        return _server_uri(uri)
    if not rest:
        raise UsageError("the URI names no model", where=uri, hint=f"write {scheme}:NAME")
    if scheme == "microcosm" and rest not in MICROCOSM:
        near = get_close_matches(rest, MICROCOSM, n=1, cutoff=0.4)
        hint = f"did you mean microcosm:{near[0]}?" if near else "there are microcosm:chat and microcosm:base"
        raise UsageError(f"the microcosm has no model {rest!r}", where=uri, hint=hint)
    return EngineUri(scheme, rest)


def _server_uri(uri: str) -> EngineUri:
    parts = urlsplit(uri)
    if not parts.hostname:
        raise UsageError("the URL names no host", where=uri, hint="write http://HOST:PORT/v1#MODEL")
    if not parts.fragment:
        raise UsageError("the URL names no model", where=uri, hint=f"write {uri.rstrip('#')}#MODEL")
    return EngineUri(parts.scheme, parts.fragment, uri.partition("#")[0].rstrip("/"))


def _advice(uri: str) -> str:
    if Path(uri).expanduser().is_dir():
        return f"write hf:{uri}"
    if uri in MICROCOSM:
        return f"write microcosm:{uri}"
    return "write e.g. microcosm:chat, hf:FOLDER, openai:MODEL or http://HOST:PORT/v1#MODEL"


def microcosm_folder(name: str) -> Path:
    """Where the embedded model lies.

    Raises:
        MissingError: it has not been built.
    """
    folder = Path(str(files("agora"))) / "microcosm" / "models" / name
    if not (folder / "config.json").is_file():
        raise MissingError(
            f"the embedded model {name!r} is not built", where=str(folder), hint="run: agora microcosm build"
        )
    return folder


def open_engine(
    uri: str,
    *,
    batch_tokens: int | None = None,
    device: str | None = None,
) -> Engine:
    """Open a model by its URI.

    Args:
        uri: ``microcosm:chat``, ``microcosm:base``, ``hf:NAME-OR-PATH``.
        batch_tokens: rows times slots of an in-process batch; None: 16,384 on CPU, 131,072 on a GPU.
        device: torch device of an in-process model; None: GPU if there is one.

    Raises:
        UsageError: the URI is malformed.
        MissingError: the model is not on this machine.
    """
    from .hf import HfEngine

    parsed = parse_uri(uri)
    folder = str(microcosm_folder(parsed.name)) if parsed.scheme == "microcosm" else parsed.name
    return HfEngine.load(folder, uri=uri, batch_tokens=batch_tokens, device=device)
