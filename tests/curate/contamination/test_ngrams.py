"""Shared runs of words: complete, without false hits, and the published counts on real paraphrases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import ConfigError
from agora.core.tables import read_rows, write_jsonl
from agora.curate.contamination import NgramIndex, Overlap
from agora.curate.text import normalize
from tests.examples import examples

words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=14)


def runs(text: str, n: int) -> list[tuple[str, ...]]:
    found = re.findall(r"\w+", text.lower())
    return [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]


@given(st.lists(words, max_size=6), st.lists(words, max_size=6), st.integers(2, 7))
@settings(deadline=None, max_examples=examples(150))
def test_overlaps_are_those_of_a_comparison_of_sets(tests: list[list[str]], texts: list[list[str]], n: int) -> None:
    index = NgramIndex(n)
    for i, item in enumerate(tests):
        index.add(" ".join(item), f"t:{i}")
    asked = [" ".join(text) for text in texts]
    for text, found in zip(asked, index.meet_each(asked), strict=True):
        own = runs(text, n)
        equal = next((f"t:{i}" for i, item in enumerate(tests) if normalize(" ".join(item)) == text != ""), None)
        expected = {}
        for i, item in enumerate(tests):
            theirs = set(runs(" ".join(item), n))
            if shared := [run for run in own if run in theirs]:
                expected[f"t:{i}"] = Overlap(f"t:{i}", "ngram", " ".join(shared[0]), len(shared))
        if equal is not None:
            expected[equal] = Overlap(equal, "exact", text)
        assert {o.test: o for o in found} == expected
        assert [o.kind for o in found[1:]] == ["ngram"] * len(found[1:])


def test_copies_are_found_across_case_and_punctuation_and_short_ones_whole() -> None:
    index = NgramIndex(5)
    index.add("Which of these, if any, is a prime number?", "math:7")
    index.add("Who?", "short:1")
    met = list(index.meet_each(["IF ANY... is a -- prime?", "who? ", "Who else?", ""]))
    assert met[0] == [Overlap("math:7", "ngram", "if any is a prime", 1)]
    assert met[1] == [Overlap("short:1", "exact", "who?")]
    assert met[2:] == [[], []]
    assert index.meet("nothing in common") is None


def test_a_run_that_all_items_share_names_the_first_of_them_only() -> None:
    index = NgramIndex(4)
    for i in range(60):
        index.add(f"choose the right answer below number{i}", f"quiz:{i}")
    found = index.meet_each(["please choose the right answer"])
    assert [o.test for o in next(found)] == [f"quiz:{i}" for i in range(20)]


def test_files_give_prompts_answers_or_both(tmp_path: Path) -> None:
    path = tmp_path / "quiz.jsonl"
    chat = [{"role": "user", "content": "three four five six"}, {"role": "assistant", "content": "seven eight nine"}]
    write_jsonl(path, [{"question": "one two three", "answer": "four five six"}, {"messages": chat}])
    texts = ["one two three", "four five six", "two three four five", "six seven eight", "seven eight nine"]

    def met(part: str) -> list[list[str]]:
        index = NgramIndex(3)
        index.add_file(path, part)  # type: ignore[arg-type]
        return [[o.test for o in found] for found in index.meet_each(texts)]

    assert met("instruction") == [["quiz:1"], ["quiz:2"], ["quiz:2"], [], []]
    assert met("answer") == [[], ["quiz:1"], [], [], ["quiz:2"]]
    assert met("both") == [["quiz:1"], ["quiz:1", "quiz:2"], ["quiz:1", "quiz:2"], ["quiz:2"], ["quiz:2"]]


def test_an_index_may_grow_after_it_was_asked_and_be_empty() -> None:
    index = NgramIndex(2)
    assert index.meet("a b") is None
    index.add("a b", "t:1")
    assert index.meet("x a b") == Overlap("t:1", "ngram", "a b")
    with pytest.raises(ConfigError, match="at least 2"):
        NgramIndex(1)


def originals_and_twins(
    shared_dir: Path, name: str, original: str, twin: str, **only: str
) -> tuple[list[str], list[str]]:
    """All originals of a set, and their twins that are not empty."""
    rows = [r.data for r in read_rows(shared_dir / f"data/magpie/decon_{name}_rephrase.jsonl.gz")]
    rows = [r for r in rows if all(r[k] == v for k, v in only.items())]
    return [r[original] for r in rows], [r[twin] for r in rows if (r[twin] or "").strip()]


def flagged(originals: Sequence[str], twins: Sequence[str], n: int) -> int:
    """How many twins share a run with any original."""
    index = NgramIndex(n)
    for i, original in enumerate(originals):
        index.add(original, f"t:{i}")
    return sum(bool(found) for found in index.meet_each(twins))


@pytest.mark.parametrize(
    ("name", "original", "twin", "only", "size", "published"),
    [
        ("gsm8k", "original", "rephrased", {}, 1315, (0, 11, 90)),
        ("humaneval", "original", "python", {}, 147, (2, 6, 18)),
        ("humaneval", "original", "c", {}, 157, (7, 23, 46)),
        ("humaneval", "original", "js", {}, 151, (7, 21, 42)),
        ("mmlu", "question", "rephrased_en", {"subject": "abstract_algebra"}, 96, (0, 2, 12)),
        ("mmlu", "question", "rephrased_en", {"subject": "sociology"}, 197, (0, 0, 0)),
        ("mmlu", "question", "rephrased_en", {"subject": "high_school_us_history"}, 192, (0, 0, 2)),
        ("mmlu", "question", "chinese", {"subject": "abstract_algebra"}, 100, (0, 1, 1)),
    ],
)
def test_published_counts_of_paraphrases_that_runs_of_words_see(
    shared_dir: Path, name: str, original: str, twin: str, only: dict[str, str], size: int, published: Sequence[int]
) -> None:
    originals, twins = originals_and_twins(shared_dir, name, original, twin, **only)
    assert len(twins) == size
    assert [flagged(originals, twins, n) for n in (13, 10, 8)] == [pytest.approx(figure, abs=2) for figure in published]
