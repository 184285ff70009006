"""From a URI to an engine."""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from agora.core.errors import ConfigError, MissingError, UsageError
from agora.engines.budget import Budget
from agora.engines.types import Engine

if TYPE_CHECKING:
    from agora.engines._http import Retry
    from agora.engines._wire import Prices

SCHEMES = ("microcosm", "hf", "openai", "http", "https")
MICROCOSM = ("chat", "base")
_OPENAI_URL = "https://api.openai.com/v1"


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
    from agora.engines.openai import without_password

    shown = without_password(uri)
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"malformed URL ({error})", where=shown, hint="write http://HOST:PORT/v1#MODEL") from None
    if not host:
        raise UsageError("the URL names no host", where=shown, hint="write http://HOST:PORT/v1#MODEL")
    if not parts.fragment:
        raise UsageError("the URL names no model", where=shown, hint=f"write {shown.rstrip('#')}#MODEL")
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
        what = f"the embedded model {name!r} is not built"
        raise MissingError(what, where=str(folder), hint="run: agora microcosm build")
    return folder


def open_engine(
    uri: str,
    *,
    cache: Path | None = None,
    budget: Budget | None = None,
    batch_tokens: int | None = None,
    concurrency: int = 32,
    device: str | None = None,
    prices: Prices | None = None,
    retry: Retry | None = None,
) -> Engine:
    """Open a model by its URI.

    Keys come from the environment: ``OPENAI_API_KEY`` (and ``OPENAI_BASE_URL``) for ``openai:``, ``AGORA_API_KEY`` for
    ``http:`` and ``https:``, so that one server's key never reaches another.

    Args:
        uri: ``microcosm:chat``, ``microcosm:base``, ``hf:NAME-OR-PATH``, ``openai:MODEL``,
            ``http(s)://host:port/v1#MODEL``.
        cache: a SQLite file (or a folder for ``answers.sqlite``); answers in it are not computed again.
        budget: tokens and money; answers from the cache cost nothing.
        batch_tokens: in-process: rows times slots of a batch; None: 16,384 on CPU, 131,072 on a GPU.
        concurrency: servers: most requests in flight, at least 1.
        device: in-process: a torch device; None: GPU if there is one.
        prices: servers: for cost accounting; needed for a budget in money.
        retry: servers: when to try again.

    Raises:
        UsageError: the URI is malformed, or an option is.
        MissingError: the model or the key is not on this machine.
        EngineError: the server is down or refuses the key.
    """
    parsed = parse_uri(uri)
    if concurrency < 1:
        raise ConfigError(f"concurrency must be at least 1, got {concurrency}")
    if parsed.scheme in ("microcosm", "hf"):
        from agora.engines.hf import HfEngine

        name = str(microcosm_folder(parsed.name)) if parsed.scheme == "microcosm" else parsed.name
        engine: Engine = HfEngine.load(name, uri=uri, batch_tokens=batch_tokens, device=device, budget=budget)
    else:
        engine = _open_server(parsed, uri, budget, concurrency, prices, retry)
    if cache is None:
        return engine
    from agora.engines.cache import CachedEngine

    return CachedEngine(engine, cache)


def find_engine(uri: str) -> None:
    """See that :func:`open_engine` would not fail at once: a folder is looked for, a server asked. Loads no weights.

    Raises:
        UsageError: the URI is malformed.
        MissingError: the model or the key is not on this machine.
        EngineError: the server is down or refuses the key.
    """
    parsed = parse_uri(uri)
    if parsed.scheme == "microcosm":
        microcosm_folder(parsed.name)
    elif parsed.scheme == "hf":
        from agora.engines._load import model_folder

        model_folder(parsed.name)
    else:
        open_engine(uri).close()


class Server(NamedTuple):
    """Where an OpenAI-compatible server is, and the key for it with the environment variable it came from."""

    base_url: str
    key: str | None
    key_env: str


def server_of(uri: str) -> Server:
    """The server of an ``openai:``, ``http:`` or ``https:`` URI; keys come from the environment.

    Raises:
        MissingError: a vendor's server without its key.
    """
    parsed = parse_uri(uri)
    key_env = "OPENAI_API_KEY" if parsed.scheme == "openai" else "AGORA_API_KEY"
    key = os.environ.get(key_env) or None
    base_url = parsed.base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI_URL
    if key is None and base_url == _OPENAI_URL:
        raise MissingError(f"{key_env} is not set", where=uri, hint=f"export {key_env}=...")
    return Server(base_url.rstrip("/"), key, key_env)


def _open_server(
    parsed: EngineUri, uri: str, budget: Budget | None, concurrency: int, prices: Prices | None, retry: Retry | None
) -> Engine:
    from agora.engines.openai import OpenAIEngine

    if budget is not None and budget.max_cost_usd is not None and prices is None:
        raise ConfigError("a budget in money needs the server's prices", where=uri, hint="give Prices, or max_tokens")
    server = server_of(uri)
    engine = OpenAIEngine(
        server.base_url,
        parsed.name,
        uri=uri,
        key=server.key,
        key_env=server.key_env,
        concurrency=concurrency,
        retry=retry,
        prices=prices,
        budget=budget,
    )
    engine.connect()
    return engine
