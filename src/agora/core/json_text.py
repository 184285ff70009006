"""JSON as it is met in the wild and as we write it.

Reading accepts what Python and JavaScript writers emit beside the standard: ``NaN`` (read as missing) and lone
surrogates (read as U+FFFD, since no tokenizer, file or page could hold them). Writing gives the standard only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson

from agora.core.errors import DataError


def loads(raw: bytes) -> Any:
    """Parse one JSON text.

    Args:
        raw: UTF-8 bytes without a byte order mark.

    Raises:
        ValueError: the bytes are not JSON; the message says where.
    """
    try:
        return orjson.loads(raw)
    except ValueError as strict:
        try:
            text = raw.decode("utf-8")
            return _without_surrogates(json.loads(text, parse_constant=_constant))
        except (ValueError, RecursionError):
            raise ValueError(str(strict)) from None


def dumps(value: Any, *, indent: bool = False) -> bytes:
    """One JSON text without a line end; dataclasses, dates, paths, tuples and numpy values are understood.

    A float that is not finite is written as null.

    Raises:
        DataError: the value holds something that JSON has no word for.
    """
    options = orjson.OPT_SERIALIZE_NUMPY | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        return orjson.dumps(value, default=_plain, option=options)
    except TypeError:
        return _dumps_slowly(value, indent)


def _dumps_slowly(value: Any, indent: bool) -> bytes:
    """What orjson refuses: lone surrogates and integers of more than 64 bits."""
    try:
        clean = _without_surrogates(json.loads(json.dumps(value, default=_plain), parse_constant=_null))
        layout: dict[str, Any] = {"indent": 2} if indent else {"separators": (",", ":")}
        return json.dumps(clean, ensure_ascii=False, **layout).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as err:
        raise DataError(f"a value cannot be written as JSON: {err}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "item"):  # a numpy scalar that orjson does not know
        return value.item()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _constant(name: str) -> None:
    if name != "NaN":  # an infinity is a number; dropping it would be a lie
        raise ValueError(f"{name} is not JSON")


def _null(_: str) -> None:
    return None


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(k) if isinstance(k, str) else k: _without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(v) for v in value]
    return value


def clean_text(text: str) -> str:
    """``text`` with lone surrogates replaced by U+FFFD; surrogate pairs become the character they stand for."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
