"""What a log says about a conversation beside its words: language, toxicity, user, time; and how long a text is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from agora.core.errors import ConfigError, MissingError
from agora.core.json_text import dumps
from agora.core.records import Conversation, Message, stable_id

Count = Callable[[str], int]

# a word, one CJK character (they stand without spaces), or one sign
_PIECE = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_]+|[^\w\s]|_")
_USER_KEYS = ("hashed_ip", "user_id", "user", "visitor", "device")
_CODES = {
    "ar": "arabic", "bg": "bulgarian", "bn": "bengali", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german",
    "el": "greek", "en": "english", "es": "spanish", "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french",
    "gl": "galician", "he": "hebrew", "hi": "hindi", "hr": "croatian", "hu": "hungarian", "id": "indonesian",
    "it": "italian", "ja": "japanese", "ko": "korean", "la": "latin", "lt": "lithuanian", "ms": "malay",
    "nb": "bokmal", "nl": "dutch", "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian",
    "sk": "slovak", "sl": "slovene", "sr": "serbian", "sv": "swedish", "sw": "swahili", "ta": "tamil", "th": "thai",
    "tl": "tagalog", "tr": "turkish", "uk": "ukrainian", "ur": "urdu", "vi": "vietnamese", "zh": "chinese",
}  # fmt: skip


def language_name(language: str) -> str:
    """A language's English name in lower case, from a name or a code (``en``, ``en-US``, ``English``)."""
    plain = language.strip().lower()
    return _CODES.get(re.split(r"[-_]", plain)[0], plain)


def is_toxic(conversation: Conversation) -> bool | None:
    """Whether the source flags the conversation, as a whole or one of its turns; None when it says nothing."""
    row = _row(conversation)
    flags = [row.get("toxic"), *(m.meta.get("toxic") for m in conversation.messages)]
    moderation = row.get("openai_moderation")
    if isinstance(moderation, list):
        flags += [entry.get("flagged") for entry in moderation if isinstance(entry, Mapping)]
    known = [flag for flag in flags if isinstance(flag, bool)]
    return any(known) if known else None


def user_of(conversation: Conversation) -> str | None:
    """A pseudonym of whoever asked: of the hashed address with the browser's header, or of a user's id; None without.

    WildChat tells devices apart by address and header.
    """
    row = _row(conversation)
    first = next((m.meta for m in conversation.messages if m.role == "user"), {})
    for key in _USER_KEYS:
        for place in (row, first):
            if place.get(key):
                header = place.get("header") if key == "hashed_ip" else None
                return stable_id("user", key, place[key], dumps(header).decode())
    return None


def created_of(conversation: Conversation) -> str:
    """When the conversation took place, ISO 8601 in UTC; empty when the log does not say."""
    return conversation.provenance.created or ""


def _row(conversation: Conversation) -> Mapping[str, Any]:
    row = conversation.meta.get("row")
    return row if isinstance(row, Mapping) else conversation.meta


@cache
def token_counter(tokenizer: str) -> Count:
    """How tokens are counted.

    Args:
        tokenizer: ``pieces`` (needs no file; English BPE gives about 1.2 tokens a piece), ``hf:FOLDER``,
            ``microcosm:chat``, or a folder with a ``tokenizer.json`` or such a file.

    Raises:
        MissingError: no tokenizer there.
        ConfigError: the file is none.
    """
    if tokenizer == "pieces":
        return lambda text: len(_PIECE.findall(text))
    from tokenizers import Tokenizer

    path = _tokenizer_file(tokenizer)
    try:
        loaded = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise ConfigError(f"not a tokenizer ({error})", where=str(path)) from None
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def _tokenizer_file(tokenizer: str) -> Path:
    if tokenizer.startswith("microcosm:"):
        from agora.engines.registry import microcosm_folder

        return microcosm_folder(tokenizer.partition(":")[2]) / "tokenizer.json"
    path = Path(tokenizer.removeprefix("hf:")).expanduser()
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        hint = "name pieces, microcosm:chat, or a folder with a tokenizer.json"
        raise MissingError("no such tokenizer", where=tokenizer, hint=hint)
    return path


def last_request(path: tuple[Message, ...], workable: Callable[[str], bool] | None = None) -> tuple[Message, ...]:
    """The turns up to and including the last one of the user; none when there is none.

    Args:
        workable: turns for which it is false are passed over as long as one is left for which it is true.
    """
    asked = [i for i, message in enumerate(path) if message.role == "user"]
    if workable is not None:
        asked = [i for i in asked if workable(path[i].content)] or asked
    return path[: asked[-1] + 1] if asked else ()
