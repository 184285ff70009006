"""Where rows come from: one file, a folder that ``datasets`` saved or that was downloaded, or a name on the hub."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from agora.core.errors import DataError, MissingError, UsageError
from agora.core.files import missing
from agora.core.jsonl import Rejects, read_json
from agora.core.tables import Row, read_rows
from agora.curate.importers.base import clean_json

HUB = "hub:"
_TABLES = (".jsonl", ".json", ".parquet", ".arrow")
_NOT_ROWS = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_SHARD = re.compile(r"-\d{5}-of-\d{5}.*$")
_HUB_NAME = re.compile(r"hub:(?P<name>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]+))?(?:#(?P<split>[\w.-]+))?")


def open_source(path: Path, *, rejects: Rejects | None = None, limit: int | None = None) -> Iterator[tuple[str, Row]]:
    """Stream the rows of a source with the name of the file that each is in.

    Args:
        path: a file (see :func:`agora.core.tables.read_rows`), a folder, or ``hub:OWNER/NAME[:CONFIG][#SPLIT]``. Of a
            folder with several splits the one called ``train`` is read, unless ``FOLDER#SPLIT`` or ``FOLDER/SPLIT``
            names another.
        rejects: takes malformed rows; without it the first one is an error.
        limit: stop after this many rows.

    Raises:
        MissingError: no such file or split; the hub cannot be reached or its package is not installed.
        DataError: damaged or empty, or several splits of which none is called ``train``.
    """
    path = Path(path)
    if str(path).startswith(HUB):
        rows = _hub_rows(str(path))
    else:
        folder, split = _folder_and_split(path)
        if folder is None:
            rows = ((str(path), row) for row in read_rows(path, rejects=rejects))
        else:
            rows = _folder_rows(folder, split, rejects)
    return rows if limit is None else islice(rows, max(limit, 0))


def source_name(path: Path) -> str:
    """What a source is called unless the user says otherwise: the name without suffixes, or the hub's name."""
    if str(path).startswith(HUB):
        return str(path)[len(HUB) :]
    name = Path(path).name
    while (bare := Path(name)).suffix in (".gz", ".zst", *_TABLES):
        name = bare.stem
    return name


def _folder_and_split(path: Path) -> tuple[Path | None, str | None]:
    if path.is_dir():
        return path, None
    stem, sign, split = str(path).rpartition("#")
    if sign and not path.exists() and Path(stem).is_dir():
        return Path(stem), split
    if not path.exists():
        raise missing(path, "file or folder")
    return None, None


def _folder_rows(folder: Path, split: str | None, rejects: Rejects | None) -> Iterator[tuple[str, Row]]:
    for file in _split_files(folder, split):
        if file.suffix == ".arrow":
            yield from ((str(file), row) for row in _arrow_rows(file))
        else:
            yield from ((str(file), row) for row in read_rows(file, rejects=rejects))


def _split_files(folder: Path, split: str | None) -> list[Path]:
    """The files of one split, in order."""
    if (folder / "state.json").is_file():  # one data set as `datasets` saved it
        return _saved_files(folder)
    splits: dict[str, list[Path]] = {}
    if (folder / "dataset_dict.json").is_file():
        names = read_json(folder / "dataset_dict.json").get("splits") or []
        splits = {name: _saved_files(folder / name) for name in names}
    else:
        for file in sorted(folder.rglob("*")):
            bare = file.with_suffix("") if file.suffix in (".gz", ".zst") else file
            if file.is_file() and bare.suffix in _TABLES and file.name not in _NOT_ROWS:
                splits.setdefault(_SHARD.sub("", bare.stem), []).append(file)
    return _chosen(splits, split, folder)


def _chosen(splits: dict[str, list[Path]], split: str | None, folder: Path) -> list[Path]:
    if not splits:
        raise DataError(f"the folder holds no table ({', '.join(_TABLES)})", where=str(folder), hint="name a file")
    wanted = split or (next(iter(splits)) if len(splits) == 1 else "train")
    if wanted in splits:
        return splits[wanted]
    names = ", ".join(sorted(splits))
    if split:
        raise MissingError(f"no split {split!r}", where=str(folder), hint=f"it has {names}")
    hint = f"choose one: {folder}#{sorted(splits)[0]}"
    raise DataError(f"several splits and none is called train: {names}", where=str(folder), hint=hint)


def _saved_files(folder: Path) -> list[Path]:
    state = read_json(folder / "state.json")
    try:
        files = [folder / item["filename"] for item in state["_data_files"]]
    except (KeyError, TypeError):
        raise DataError("state.json does not name the data files", where=str(folder)) from None
    for file in files:
        if not file.is_file():
            raise missing(file)
    return files


def _arrow_rows(path: Path) -> Iterator[Row]:
    """The rows of an Arrow file, which ``datasets`` writes as a stream; other writers use the file layout."""
    import pyarrow as pa

    number = 0
    try:
        with pa.OSFile(str(path)) as source:
            for batch in _arrow_batches(source):
                for row in batch.to_pylist():
                    number += 1
                    yield Row(number, row)
    except (pa.ArrowException, OSError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"not a readable Arrow file ({first})", where=str(path)) from error


def _arrow_batches(source: Any) -> Iterator[Any]:
    import pyarrow as pa

    if source.read(6) == b"ARROW1":
        source.seek(0)
        reader = pa.ipc.open_file(source)
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
        return
    source.seek(0)
    yield from pa.ipc.open_stream(source)


def _hub_rows(text: str) -> Iterator[tuple[str, Row]]:
    found = _HUB_NAME.fullmatch(text)
    if found is None:
        raise UsageError("not a name on the hub", where=text, hint="write hub:OWNER/NAME, with :CONFIG or #SPLIT after")
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        hint = "pip install datasets, or download the files and name them or their folder"
        raise MissingError("reading from the hub needs the package datasets", where=text, hint=hint) from None
    split = found["split"] or "train"
    try:
        table = datasets.load_dataset(found["name"], found["config"], split=split)
    except Exception as error:  # whatever the network, the hub or its client raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        hint = "check the name and the network, or download the files and name their folder"
        raise MissingError(f"cannot be read from the hub ({first})", where=text, hint=hint) from None
    return ((text, Row(number, clean_json(row))) for number, row in enumerate(table, 1))
