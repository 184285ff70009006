"""Arbitrary rows give pairs or reasons; no format fails in another way, and what it gives can be stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agora.core.errors import AgoraError, DataError
from agora.core.json_text import dumps, loads
from agora.core.jsonl import Rejects
from agora.core.records import PreferencePair, PromptItem
from agora.core.schemas import from_row, to_row
from agora.curate.pairs import PAIR_FORMATS, read_pairs, read_prompts
from tests.examples import examples

from .rows import SAMPLES

texts = st.text(st.characters(), max_size=10)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3), max_leaves=6)
roles = st.sampled_from(["user", "assistant", "system", "tool", "human", "gpt", "narrator", None])


def broken(value: Any) -> st.SearchStrategy[Any]:
    """The value, or one with something in it replaced by anything."""
    if isinstance(value, dict):
        keys = list(value)
        fields = {key: broken(value[key]) for key in keys}
        return values | st.fixed_dictionaries(fields) | st.fixed_dictionaries({}, optional=fields)
    if isinstance(value, list):
        return values | st.tuples(*[broken(item) for item in value]).map(list) | st.lists(values, max_size=2)
    return st.just(value) | st.just(value) | st.just(value) | values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


@pytest.mark.parametrize("sample", SAMPLES, ids=[f"{i}-{s.format}" for i, s in enumerate(SAMPLES)])
@given(data=st.data())
@settings(max_examples=examples(50), deadline=None, suppress_health_check=list(HealthCheck))
def test_broken_rows_of_a_format_are_read_or_refused(sample: Any, data: st.DataObject, folder: Path) -> None:
    rows = [row for given in sample.rows if isinstance(row := data.draw(broken(given)), dict)]
    _read(rows, sample.format, folder)


@pytest.mark.parametrize("name", list(PAIR_FORMATS))
@given(row=st.dictionaries(texts, values, max_size=3), columns=st.data())
@settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
def test_any_values_in_the_columns_of_a_format_are_read_or_refused(
    name: str, row: dict[str, Any], columns: st.DataObject, folder: Path
) -> None:
    row |= {column: columns.draw(values) for column in PAIR_FORMATS[name].columns}
    _read([row], name, folder)


def _read(rows: list[dict[str, Any]], name: str, folder: Path) -> None:
    if not rows:
        return
    try:
        (folder / "rows.jsonl").write_bytes(b"".join(dumps(row) + b"\n" for row in rows))
    except DataError:  # nothing that JSON holds
        return
    readers: list[tuple[Any, Callable[..., Iterator[Any]]]] = [(PreferencePair, read_pairs), (PromptItem, read_prompts)]
    for record, read in readers:
        found: list[Any] = []
        with Rejects(folder / "rejects.jsonl") as rejects:
            try:
                for item in read(folder / "rows.jsonl", format=name, rejects=rejects):
                    found.append(item)
            except AgoraError as error:
                assert "\n" not in str(error)
        assert [from_row(record, loads(dumps(to_row(item)))) for item in found] == found
