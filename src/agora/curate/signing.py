"""MinHash signatures of many texts, made by several processes or machines: the same arrays wherever they are made."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agora.core.files import atomic_file, make_folder, write_bytes
from agora.core.jobs import run_tasks
from agora.core.json_text import dumps, loads
from agora.curate.minhash import Signatures, signatures

_TEXTS_A_PART = 20_000


@dataclass(frozen=True, slots=True)
class _Part:
    """A file of texts, and the file for their signatures."""

    texts: Path
    out: Path


def signatures_apart(
    texts: Sequence[str], folder: Path, *, on: str = "local", workers: int | None = None
) -> Signatures:
    """The signatures of normalized texts.

    Args:
        texts: in normal form (:func:`agora.curate.text.normalize`).
        folder: for what passes between the processes; all of them must see it, and it is gone afterwards.
        on: see :func:`agora.core.jobs.run_tasks`.
        workers: see :func:`agora.core.jobs.run_tasks`.
    """
    import numpy as np

    folder = Path(folder).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    try:
        parts = []
        for start in range(0, len(texts), _TEXTS_A_PART):
            part = _Part(folder / f"texts-{start}.json", folder / f"signatures-{start}.npz")
            write_bytes(part.texts, dumps(list(texts[start : start + _TEXTS_A_PART])))
            parts.append(part)
        run_tasks(_sign, parts, on=on, workers=workers, label="signatures")
        found = []
        for part in parts:
            with np.load(part.out) as saved:
                found.append(Signatures(saved["keys"], saved["low"]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not found:
        return signatures([])
    return Signatures(np.concatenate([one.keys for one in found]), np.concatenate([one.low for one in found]))


def _sign(part: _Part) -> None:
    import numpy as np

    made = signatures(loads(part.texts.read_bytes()))
    with atomic_file(part.out) as out:
        np.savez(out, keys=made.keys, low=made.low)
