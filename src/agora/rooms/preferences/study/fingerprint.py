"""What makes two stages the same: settings, rows after rendering, parents, and the code of the loss."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agora.core.errors import DataError
from agora.core.files import sha256_file
from agora.core.json_text import dumps
from agora.core.jsonl import JsonlWriter
from agora.core.records import PreferencePair, PromptItem
from agora.core.tables import read_records, read_rows

# The code that decides what a kind of stage computes. Rendering is not among it: its outcome, the token ids, is.
_LOSS_CODE = {
    "sft": ("objectives", "loop", "optim"),
    "reward": ("objectives", "loop", "optim", "reward_model"),
    "dpo": ("objectives", "losses", "loop", "optim"),
    "online": ("online", "experience", "advantages", "online_objectives", "rewards", "optim", "reward_model"),
}


def fingerprint(
    kind: str, config: Mapping[str, Any], parents: Mapping[str, str], inputs: Mapping[str, str], code: str
) -> str:
    """SHA-256 over the canonical form of all that decides a stage.

    Args:
        parents: role -> fingerprint of the models it starts from.
        inputs: role -> digest of the rows it reads.
        code: see :func:`loss_code`.
    """
    parts = {"kind": kind, "config": config, "parents": parents, "inputs": inputs, "code": code}
    return hashlib.sha256(canonical(parts)).hexdigest()


def canonical(value: Any) -> bytes:
    """JSON with sorted keys; equal values give equal bytes (1 and 1.0 are equal, as they are in Python)."""
    return dumps(_sorted(value))


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_sorted(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@cache
def loss_code(kind: str) -> str:
    """Digest of the code that computes a kind's loss and steps; comments and docstrings do not count."""
    digest = hashlib.sha256()
    for name in _LOSS_CODE.get(kind, ()):
        spec = find_spec(f"agora.train.{name}")
        if spec is None or spec.origin is None:
            raise DataError(f"the module agora.train.{name} has no source to take the version of")
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        digest.update(ast.dump(_without_docstrings(tree)).encode())
    return digest.hexdigest()[:16]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


@dataclass(frozen=True, slots=True)
class Rendered:
    """Rows as a model sees them.

    Attributes:
        digest: of all token ids and masks, in order.
        rows: rows, pairs or prompts that fit.
        too_long: those that do not.
        tokens: of all sequences together.
        targets: tokens that count in a loss, of first sequences (the chosen sides of pairs).
    """

    digest: str
    rows: int
    too_long: int
    tokens: int
    targets: int


class Renderings:
    """Renders files and remembers the outcome by the files' contents.

    Args:
        memory: a JSON Lines file that keeps what was found.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, Rendered] = {}
        if memory.is_file():
            for _, row in read_rows(memory):
                key = row.pop("key")
                self._known[key] = Rendered(**row)

    def of(self, kind: str, data: Path, model: str, *, max_tokens: int | None, margins: bool = False) -> Rendered:
        """The rendering of a stage's rows.

        Args:
            kind: ``sft`` (conversations), ``reward`` or ``dpo`` (pairs), ``online`` (prompts).
            data: the file of rows.
            model: folder or name that the tokenizer comes from.
            max_tokens: longer rows do not count.
            margins: the pairs' margins decide the loss too.
        """
        tokenizer_files = [Path(model) / name for name in ("tokenizer.json", "chat_template.jinja")]
        identity = [sha256_file(path) for path in tokenizer_files if path.is_file()] or [model]
        shape = "pairs" if kind in ("reward", "dpo") else kind
        key = hashlib.sha256(canonical([shape, sha256_file(data), identity, max_tokens, margins])).hexdigest()
        if key not in self._known:
            self._known[key] = _render(shape, data, model, max_tokens, margins)
            with JsonlWriter(self._memory) as memory:
                memory.write({"key": key, **asdict(self._known[key])})
        return self._known[key]


def _render(shape: str, data: Path, model: str, max_tokens: int | None, margins: bool) -> Rendered:
    import numpy as np
    from transformers import AutoTokenizer

    digest = hashlib.sha256()
    rows = too_long = tokens = targets = 0
    for group, margin in _groups(shape, data, AutoTokenizer.from_pretrained(model), max_tokens):
        if group is None:
            too_long += 1
            continue
        rows += 1
        targets += group[0].n_targets
        for row in group:
            tokens += len(row)
            digest.update(np.int64(len(row)).tobytes())
            digest.update(np.ascontiguousarray(row.input_ids, dtype=np.int32).tobytes())
            digest.update(np.ascontiguousarray(row.loss_mask, dtype=np.uint8).tobytes())
        if margins:
            digest.update(repr(margin).encode())
    return Rendered(digest.hexdigest(), rows, too_long, tokens, targets)


def _groups(shape: str, data: Path, tokenizer: Any, max_tokens: int | None) -> Iterator[tuple[Any, float | None]]:
    import numpy as np

    from agora.train.batch import EncodedSequence
    from agora.train.render import encode_chat, encode_pair, encode_prompt

    if shape == "pairs":
        for pair in read_records(data, PreferencePair):
            yield encode_pair(tokenizer, pair, max_tokens=max_tokens), pair.margin
    elif shape == "sft":
        for _, row in read_rows(data):
            encoded = encode_chat(tokenizer, row["messages"], max_tokens=max_tokens)
            yield None if encoded is None else (encoded,), None
    else:
        for item in read_records(data, PromptItem):
            ids = np.asarray(encode_prompt(tokenizer, item.prompt), dtype=np.int32)
            fits = max_tokens is None or len(ids) <= max_tokens
            yield (EncodedSequence(item.id, ids, np.zeros(len(ids), np.uint8)),) if fits else None, None
