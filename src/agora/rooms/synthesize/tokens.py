"""The token side of a prefix: where it may end, what ends a user's turn, which ids are only markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from itertools import takewhile
from typing import Any, NamedTuple

from agora.core.errors import ConfigError
from agora.rooms.synthesize.header import CONTROL
from agora.rooms.synthesize.sources import Source

# first words that start in as many ways as real ones do: the tokens they share are the ones that never merge
PROBES = (
    "What is it?", "how do I", "3 apples", "42", '"Quote', "'single", "(a) first", "[1, 2]", "{x}", "你好吗",
    "日本語で", "École", "über alles", "Привет", "def f(x):", "# Title", "- item", "`code`", "<b>bold</b>", "I am",
    "/usr/bin", "$5",
)  # fmt: skip
MARKDOWN = re.compile(r"\s*[#*\-`]+\s*")


class TokenPart(NamedTuple):
    """The token side of a prefix template."""

    sent_text: str
    prefix_ids: tuple[int, ...] | None
    stop_ids: tuple[int, ...]
    stop_strings: tuple[str, ...]
    markdown_ids: tuple[int, ...]
    tokenizer_sha: str | None
    warnings: tuple[str, ...]


def token_part(
    source: Source, prefix: str, post_query: str, *, lead_in: str | None = None, more_stop_ids: Sequence[int] = ()
) -> TokenPart:
    """Token ids, stops and hashes for a prefix; without a tokenizer, text and stop strings alone."""
    if source.tokenizer is None:
        strings, warnings = text_stops(post_query, special=CONTROL.match(post_query.strip()) is not None, known=False)
        return TokenPart(prefix, None, tuple(more_stop_ids), strings, (), None, ("no tokenizer: text only", *warnings))
    tokenizer = source.tokenizer
    ids, sent = common_prefix(tokenizer, prefix, post_query, source.name)
    boundary = _boundary_tokens(tokenizer, prefix + post_query + (lead_in or ""))
    special = any(text in post_query for text in boundary)
    strings, warnings = text_stops(post_query, special=special)
    warnings += _bos_warnings(tokenizer, prefix, ids, source.special_tokens.get("bos_token", ""))
    stop_ids = sorted({*boundary.values(), *source.eos_ids, *more_stop_ids})
    return TokenPart(
        sent, ids, tuple(stop_ids), strings, markdown_ids(tokenizer), tokenizer_sha(tokenizer), tuple(warnings)
    )


def common_prefix(tokenizer: Any, prefix: str, post_query: str, name: str) -> tuple[tuple[int, ...], str]:
    """The longest run of token ids that starts every probe's encoding, and the text it covers.

    Tokenizing ``prefix`` alone would keep a trailing space as a token that never precedes a real word.

    Raises:
        ConfigError: nothing is shared, so there is no prefix to send.
    """
    rows = [tokenizer.encode(prefix + probe + post_query, add_special_tokens=False) for probe in PROBES]
    shared = tuple(column[0] for column in takewhile(lambda c: len(set(c)) == 1, zip(*rows, strict=False)))
    if not shared:
        raise ConfigError(
            f"no token of the prefix {prefix!r} survives the user's first word",
            where=name,
            hint="pass mode custom:STRING with a longer prefix",
        )
    return shared, _text_of(tokenizer, prefix, post_query, shared)


def _text_of(tokenizer: Any, prefix: str, post_query: str, ids: tuple[int, ...]) -> str:
    if tokenizer.is_fast:
        encoded = tokenizer(prefix + PROBES[0] + post_query, add_special_tokens=False, return_offsets_mapping=True)
        return prefix[: encoded["offset_mapping"][len(ids) - 1][1]]
    for end in range(len(prefix), 0, -1):  # a slow tokenizer has no offsets: the longest cut that encodes to the ids
        if tuple(tokenizer.encode(prefix[:end], add_special_tokens=False)) == ids:
            return prefix[:end]
    return prefix


def _boundary_tokens(tokenizer: Any, rendered: str) -> dict[str, int]:
    """Text to id of every special token, and of the other added tokens that the template itself writes.

    DeepSeek's ``<｜User｜>``, for one, is an added token that is not marked special.
    """
    added = {str(token): (int(i), bool(token.special)) for i, token in tokenizer.added_tokens_decoder.items()}
    chosen = {text: i for text, (i, special) in added.items() if special or text in rendered}
    for text, i in zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=False):
        if i is not None:
            chosen[str(text)] = int(i)
    return {text: i for text, i in chosen.items() if text.strip()}


def text_stops(post_query: str, *, special: bool, known: bool = True) -> tuple[tuple[str, ...], list[str]]:
    """Stop strings, and warnings.

    A special token after the user's text is stop enough. Otherwise the marker that follows the text ("ASSISTANT:",
    "### Response:") stops it when whitespace comes before; a bare word never does, since requests contain words.

    Args:
        post_query: text after the user's words.
        special: whether a special token is in it.
        known: False without a tokenizer, where a look-alike (``<|im_end|>``) is all there is and is stopped at.
    """
    marker = post_query.strip()
    if special and known:
        return (), []
    if special:
        match = CONTROL.match(marker)
        return (match.group() if match else marker,), []
    if not marker:
        return (), ["nothing follows the user's text: only special tokens end a turn"]
    if re.fullmatch(r"[\w ]+", marker):
        return (), [f"the user's text is followed by a bare word ({marker!r}), which is not used as a stop"]
    return (f" {marker}", f"\n{marker}"), []


def _bos_warnings(tokenizer: Any, prefix: str, ids: tuple[int, ...], bos: str) -> list[str]:
    bos_id = tokenizer.convert_tokens_to_ids(bos) if bos else None
    if not bos or bos_id is None:
        return []
    if prefix.startswith(bos) and ids[0] != bos_id:
        return [f"the tokenizer does not read {bos!r} at the start of the prefix as its BOS token"]
    if bos_id != tokenizer.eos_token_id and ids.count(bos_id) > 1:
        return ["BOS occurs again inside the prefix"]
    return []


def markdown_ids(tokenizer: Any) -> tuple[int, ...]:
    """Ids of the tokens that decode to nothing but ``#``, ``*``, ``-`` or backticks (and spaces)."""
    # the vocabulary is scanned in its own spelling first, because decoding 150,000 ids takes seconds
    spaces = str.maketrans(dict.fromkeys("Ġ▁ĊĉčĠ", " "))
    candidates = (i for text, i in tokenizer.get_vocab().items() if MARKDOWN.fullmatch(text.translate(spaces)))
    return tuple(i for i in sorted(candidates) if MARKDOWN.fullmatch(tokenizer.decode([i])))


def tokenizer_sha(tokenizer: Any) -> str:
    """sha256 (hex) of what the tokenizer computes: its backend's JSON, or its vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        # truncation and padding are the last caller's settings, not the tokenizer's
        state = {k: v for k, v in json.loads(backend.to_str()).items() if k not in ("truncation", "padding")}
    else:
        state = {"vocab": tokenizer.get_vocab()}
    return sha256(json.dumps(state, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()
