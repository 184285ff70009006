"""Where a chat template and a tokenizer come from: an object, a folder, a model URI, or Jinja text alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agora.core.errors import ConfigError, MissingError
from agora.engines.registry import microcosm_folder, parse_uri
from agora.rooms.synthesize.chat_template import DEFAULT_SPECIAL_TOKENS


@dataclass(frozen=True, slots=True)
class Source:
    """An opened source. ``template`` is None when the tokenizer has none; ``tokenizer`` is None for bare Jinja text."""

    name: str
    tokenizer: Any | None
    template: str | None
    special_tokens: dict[str, str] = field(default_factory=dict)
    eos_ids: tuple[int, ...] = ()


def open_source(
    source: Any, *, chat_template: str | None = None, special_tokens: Mapping[str, str] | None = None
) -> Source:
    """Open what :func:`agora.rooms.synthesize.derive_prefix` takes. No weights are loaded.

    Raises:
        UsageError: the microcosm has no such model.
        ConfigError: the URI names a server, whose template cannot be seen from here.
        MissingError: the file, folder or model is not there.
    """
    more = dict(special_tokens or {})
    if isinstance(source, Source):
        return replace(
            source, template=chat_template or source.template, special_tokens={**source.special_tokens, **more}
        )
    if not isinstance(source, (str, Path)):
        return _from_tokenizer(source, str(getattr(source, "name_or_path", "") or "tokenizer"), chat_template, more)
    text = str(source)
    if "{{" in text or "{%" in text:
        return Source("chat template", None, chat_template or text, {**DEFAULT_SPECIAL_TOKENS, **more})
    path = Path(text).expanduser()
    if path.suffix in (".jinja", ".j2") or path.is_file():
        return Source(text, None, chat_template or read_template(path), {**DEFAULT_SPECIAL_TOKENS, **more})
    folder = _folder_of(text)
    tokenizer = _load_tokenizer(folder, text)
    return _from_tokenizer(tokenizer, text, chat_template, more, eos_ids=_eos_of_folder(folder))


def read_template(path: Path) -> str:
    """The text of a Jinja file.

    Raises:
        MissingError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MissingError(f"cannot read the chat template: {error}", where=str(path)) from error


def _folder_of(uri: str) -> str:
    """The folder or hub name behind a URI."""
    scheme, colon, rest = uri.partition(":")
    if scheme == "microcosm" and colon:
        return str(microcosm_folder(parse_uri(uri).name))
    if scheme == "hf" and colon:
        return rest
    if scheme in ("http", "https", "openai") and colon:
        raise ConfigError(
            "the chat template of a served model cannot be seen from here",
            where=uri,
            hint="pass the tokenizer of that model: hf:NAME or a folder",
        )
    if not Path(uri).expanduser().is_dir():
        raise MissingError(
            "no such tokenizer folder",
            where=uri,
            hint="pass a folder, hf:NAME-OR-PATH, microcosm:chat or a .jinja file",
        )
    return uri


def _load_tokenizer(name: str, uri: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name)
    except Exception as error:  # transformers raises many kinds for one cause: nothing usable is there
        raise MissingError(f"cannot load a tokenizer: {_first_line(error)}", where=uri) from error


def _from_tokenizer(
    tokenizer: Any, name: str, chat_template: str | None, more: dict[str, str], *, eos_ids: tuple[int, ...] = ()
) -> Source:
    template = chat_template
    if template is None and getattr(tokenizer, "chat_template", None):
        try:
            template = tokenizer.get_chat_template()
        except ValueError as error:  # several named templates and none called "default"
            raise ConfigError(
                f"the tokenizer's chat template is ambiguous: {_first_line(error)}", where=name, hint="--chat-template"
            ) from error
    special = {key: str(value) for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    own_eos = (tokenizer.eos_token_id,) if tokenizer.eos_token_id is not None else ()
    return Source(name, tokenizer, template, {**special, **more}, tuple(dict.fromkeys((*own_eos, *eos_ids))))


def _eos_of_folder(folder: str) -> tuple[int, ...]:
    """End-of-sequence ids in generation_config.json and config.json of a local folder."""
    found: list[int] = []
    for file in ("generation_config.json", "config.json"):
        path = _local_file(folder, file)
        if path is None:
            continue
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8")).get("eos_token_id")
        except (OSError, ValueError, AttributeError):
            continue  # a broken config only costs extra stop ids; loading the model will name it
        found += [i for i in (value if isinstance(value, list) else [value]) if isinstance(i, int)]
    return tuple(dict.fromkeys(found))


def _local_file(folder: str, file: str) -> str | None:
    path = Path(folder).expanduser() / file
    if path.parent.is_dir():
        return str(path) if path.is_file() else None
    from transformers.utils.hub import cached_file

    found = cached_file(folder, file, _raise_exceptions_for_missing_entries=False)
    return str(found) if found else None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
