"""Folders that `datasets` saved, folders of shards, and names on the hub."""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agora.core.errors import DataError, MissingError, UsageError
from agora.curate.pairs import read_pairs
from agora.curate.sources import open_source, source_name

from .rows import CHOSEN_CHAT, REJECTED_CHAT, A, B, Q, read_all, write_lines

ROWS = [{"chosen": CHOSEN_CHAT, "rejected": REJECTED_CHAT, "source": f"s{i}"} for i in range(5)]


def save(folder: Path, rows: list[dict[str, Any]], shards: int = 2, *, stream: bool = True) -> Path:
    """What ``Dataset.save_to_disk`` leaves: Arrow streams and a state file."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05}-of-{shards:05}.arrow" for i in range(shards)]
    for i, name in enumerate(names):
        table = pa.Table.from_pylist(rows[i::shards], schema=pa.Table.from_pylist(rows).schema)
        with pa.OSFile(str(folder / name), "wb") as out:
            make = pa.ipc.new_stream if stream else pa.ipc.new_file
            with make(out, table.schema) as writer:
                writer.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": n} for n in names]}))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def save_dict(folder: Path, **splits: list[dict[str, Any]]) -> Path:
    for name, rows in splits.items():
        save(folder / name, rows, shards=1)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    return folder


@pytest.mark.parametrize("stream", [True, False])
def test_a_saved_data_set_is_read_shard_by_shard(stream: bool, tmp_path: Path) -> None:
    folder = save(tmp_path / "prefs", ROWS, stream=stream)
    pairs = read_all(folder)[0]
    assert [p.meta["origin"] for p in pairs] == ["s0", "s2", "s4", "s1", "s3"]
    assert pairs[3].provenance is not None
    assert pairs[3].provenance.path == str(folder / "data-00001-of-00002.arrow") and pairs[3].provenance.line == 1
    assert pairs[0].provenance is not None and pairs[0].provenance.source == "prefs"


def test_what_the_library_itself_saves_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the optional library that writes such folders")
    datasets.disable_progress_bars()
    both = datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS), test=datasets.Dataset.from_list(ROWS[:1]))
    both.save_to_disk(str(tmp_path / "saved"))
    assert len(read_all(tmp_path / "saved")[0]) == 5
    assert len(read_all(Path(f"{tmp_path}/saved#test"))[0]) == 1


def test_of_several_splits_the_training_one_is_read_unless_another_is_named(tmp_path: Path) -> None:
    folder = save_dict(tmp_path / "prefs", train=ROWS[:3], test=ROWS[3:])
    assert len(read_all(folder)[0]) == 3
    assert len(read_all(Path(f"{folder}#test"))[0]) == 2
    assert len(read_all(folder / "test")[0]) == 2
    with pytest.raises(MissingError, match="no split 'dev'; it has test, train"):
        read_pairs(Path(f"{folder}#dev"))


def test_splits_without_a_training_one_must_be_named(tmp_path: Path) -> None:
    folder = save_dict(tmp_path / "prefs", hh=ROWS[:3], shp=ROWS[3:])
    with pytest.raises(DataError, match=r"several splits and none is called train: hh, shp; choose one: .*#hh"):
        read_pairs(folder)


def test_a_downloaded_folder_of_shards_has_splits_by_file_name(tmp_path: Path) -> None:
    folder = tmp_path / "repo" / "data"
    folder.mkdir(parents=True)
    for split, rows in {"nectar": ROWS[:3], "helpsteer": ROWS[3:]}.items():
        for i in range(2):
            pq.write_table(pa.Table.from_pylist(rows[i::2]), folder / f"{split}-{i:05}-of-00002.parquet")
    assert len(read_all(Path(f"{tmp_path}/repo#nectar"))[0]) == 3
    assert len(read_all(Path(f"{tmp_path}/repo#helpsteer"))[0]) == 2


def test_an_empty_folder_and_a_lost_shard_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no table"):
        read_pairs(tmp_path / "empty")
    folder = save(tmp_path / "prefs", ROWS)
    (folder / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(MissingError, match=r"data-00001-of-00002\.arrow"):
        read_pairs(folder)


def test_a_damaged_arrow_file_is_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "prefs", ROWS)
    (folder / "data-00000-of-00002.arrow").write_bytes(b"nonsense" * 9)
    with pytest.raises(DataError, match="not a readable Arrow file"):
        read_pairs(folder)


def test_a_missing_file_is_told_the_nearest(tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", ROWS)
    with pytest.raises(MissingError, match=r"did you mean .*pairs\.jsonl"):
        read_pairs(tmp_path / "pair.jsonl")


def fake_hub(monkeypatch: pytest.MonkeyPatch, load: Any) -> None:
    fake = types.ModuleType("datasets")
    fake.load_dataset = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", fake)


def test_a_hub_name_is_loaded_with_its_configuration_and_split(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def load(name: str, config: str | None, *, split: str) -> list[dict[str, Any]]:
        calls.append((name, config, split))
        return [{"prompt": Q, "chosen": A, "rejected": B}]

    fake_hub(monkeypatch, load)
    [pair] = read_all(Path("hub:allenai/prefs:core#dev"))[0]
    assert set(calls) == {("allenai/prefs", "core", "dev")}
    assert pair.provenance is not None and pair.provenance.source == "allenai/prefs:core#dev"
    assert source_name(Path("hub:a/b")) == "a/b"


def test_a_hub_that_cannot_be_reached_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no route to host")

    fake_hub(monkeypatch, load)
    with pytest.raises(MissingError, match=r"no route to host.*download the files"):
        read_pairs(Path("hub:allenai/prefs"))


def test_without_the_package_the_hub_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", gone)
    with pytest.raises(MissingError, match="pip install datasets"):
        list(open_source(Path("hub:allenai/prefs")))


def test_a_name_that_is_none_on_the_hub_is_refused() -> None:
    with pytest.raises(UsageError, match="hub:OWNER/NAME"):
        list(open_source(Path("hub:prefs")))
