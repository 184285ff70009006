"""Prompts that a test asks."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from agora.core.errors import ConfigError, DataError
from agora.core.records import Message, PreferencePair
from agora.curate.contamination import NgramIndex
from agora.curate.pairs.decontaminate import decontaminate

from .rows import pair, write_lines

QUESTION = "A train leaves the station at noon and travels ninety miles before it stops."


def asked(*texts: str, n: int = 8) -> NgramIndex:
    found = NgramIndex(n)
    for i, text in enumerate(texts):
        found.add(text, f"test:{i}")
    return found


def test_copies_are_found_by_runs_of_eight_words_and_short_ones_whole() -> None:
    tests = asked(QUESTION, "What is 2+2?")
    pairs = [
        pair(prompt=f"Solve this. {QUESTION.upper()} When?"),
        pair(prompt="what  IS 2+2?"),
        pair(prompt="A train leaves the station at noon, then stops."),
        pair(prompt="What is 2+3?"),
    ]
    result = decontaminate(pairs, tests)
    assert result.pairs == pairs[2:]
    assert dict(result.removed) == {"8 words of test": 1, "equals test": 1}
    assert [(h.kind, h.test) for h in result.hits] == [("ngram", "test:0"), ("exact", "test:1")]
    assert result.hits[0].shared == "a train leaves the station at noon and"


def test_later_user_turns_are_met_too_and_answers_are_not() -> None:
    base = pair()
    more = (Message("assistant", "Yes."), Message("user", QUESTION), Message("assistant", "90."))
    later = PreferencePair("later", base.prompt, more, base.rejected)
    answered = PreferencePair("answered", base.prompt, (Message("assistant", QUESTION),), base.rejected)
    assert decontaminate([later, answered], asked(QUESTION)).pairs == [answered]


def test_shorter_runs_find_more() -> None:
    near = pair(prompt="A train leaves the station at noon, then stops.")
    assert decontaminate([near], asked(QUESTION, n=6)).pairs == []
    with pytest.raises(ConfigError, match="at least 2"):
        NgramIndex(1)


def test_tests_are_read_from_tables_by_their_prompt_column(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": QUESTION}]
    for name, row in {"a": {"question": QUESTION}, "b": {"messages": chat}, "c": {"id": 1, "input": QUESTION}}.items():
        tests = NgramIndex(8)
        tests.add_file(write_lines(tmp_path / f"{name}.jsonl", [row]))
        hit = tests.meet(QUESTION)
        assert hit is not None and hit.test == f"{name}:1" and tests.num_texts == 1


def test_a_table_without_prompts_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the columns are 'label'"):
        NgramIndex(8).add_file(write_lines(tmp_path / "a.jsonl", [{"label": 1}]))


def test_published_paraphrases_show_what_runs_of_words_find(shared_dir: Path) -> None:
    """Word 8-grams find the copies and miss most rephrasings: the report must not promise more."""
    packed = (shared_dir / "data/magpie/decon_gsm8k_rephrase.jsonl.gz").read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    tests = NgramIndex(8)
    for row in rows:
        tests.add(row["original"], f"gsm8k:{row['i']}")
    copies = [pair(prompt=row["original"], id=str(row["i"])) for row in rows]
    assert decontaminate(copies, tests).pairs == []
    rephrased = [pair(prompt=row["rephrased"]) for row in rows if row["rephrased"].strip()]
    found = len(rephrased) - len(decontaminate(rephrased, tests).pairs)
    assert 0 < found < 0.6 * len(rephrased)
