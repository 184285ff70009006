"""Code tests: pass@k, programs from answers, HumanEval and MBPP."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import ConfigError, DataError
from agora.rooms.preferences.suite.code import HumanEval, Mbpp, build_program
from agora.rooms.preferences.suite.passing import pass_at_k
from agora.rooms.preferences.suite.run import run_suite
from agora.rooms.preferences.suite.sandbox import run_programs
from tests.rooms.preferences.suite.support import FunctionEngine, answered

PROBLEM = {
    "task_id": "T/0",
    "prompt": 'import math\n\n\ndef helper(x):\n    return x\n\n\ndef area(r):\n    """Area of a circle."""\n',
    "entry_point": "area",
    "canonical_solution": "    return math.pi * helper(r) ** 2\n",
    "test": "def check(candidate):\n    assert abs(candidate(2) - 12.566) < 1e-2\n",
}


@given(st.integers(1, 60), st.data())
def test_pass_at_k_equals_the_binomials(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    c = data.draw(st.lists(st.integers(0, n), min_size=1, max_size=8))
    expected = [1 - comb(n - x, k) / comb(n, k) for x in c]
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-12)


def test_pass_at_k_is_stable_for_large_counts() -> None:
    n, k = 1_000_000, 1000
    assert pass_at_k(n, 1, k) == pytest.approx(k / n, rel=1e-9)
    assert pass_at_k(n, [0, n], k).tolist() == [0.0, 1.0]
    assert str(pass_at_k(20, 0, 10)) == "0.0"  # not -0.0


def test_pass_at_k_takes_different_numbers_of_samples() -> None:
    assert pass_at_k([10, 20], [1, 1], 1).tolist() == pytest.approx([0.1, 0.05])


@pytest.mark.parametrize(("n", "c", "k"), [(5, 1, 6), (5, 6, 1), (5, -1, 1), (5, 1, 0)])
def test_pass_at_k_refuses_impossible_counts(n: int, c: int, k: int) -> None:
    with pytest.raises(ConfigError):
        pass_at_k(n, c, k)


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


WHOLE = PROBLEM["prompt"] + PROBLEM["canonical_solution"]


@pytest.mark.parametrize(
    ("text", "shape", "passes"),
    [
        (PROBLEM["canonical_solution"], "template", True),
        (PROBLEM["canonical_solution"] + "\n\nprint('done', undefined)\n", "template", True),
        (PROBLEM["canonical_solution"] + "\n```\nThis works.", "template", True),
        (PROBLEM["canonical_solution"] + "\ndef other():\n", "raw", True),
        (f"Here it is:\n```python\n{WHOLE}```\nDone.", "chat+prefix", True),
        ("```python\ndef area(r):\n    return math.pi * helper(r) ** 2\n```", "chat+prefix", True),
        ("```python\ndef area(r):\n    return math.pi * helper(r) ** 2\n```", "template", True),
        ("    return 3 * r\n", "template", False),
        ("", "template", False),
        ("I cannot do that.", "chat+prefix", False),
    ],
)
def test_program_is_made_from_a_body_or_a_whole_function(tmp_path: Path, text: str, shape: str, passes: bool) -> None:
    (item,) = HumanEval(write(tmp_path / "h.jsonl", PROBLEM)).items()
    (found,) = run_programs([build_program(item, text, shape)])
    assert found.passed is passes, found


def test_request_has_the_published_sampling(tmp_path: Path) -> None:
    test = HumanEval(write(tmp_path / "h.jsonl", PROBLEM))
    request = test.request(test.items()[0])
    sampling = request.sampling  # type: ignore[union-attr]
    assert (request.n, sampling.temperature, sampling.top_p, sampling.max_tokens) == (20, 0.8, 0.95, 512)  # type: ignore[union-attr]


def test_samples_have_their_own_seeds_and_give_pass_at_k(tmp_path: Path) -> None:
    test = HumanEval(write(tmp_path / "h.jsonl", PROBLEM), n=4, k=2)
    replies = iter([WHOLE, "pass", "pass", "pass"])
    engine = FunctionEngine(lambda prompt: f"```python\n{next(replies)}\n```")
    report = run_suite(engine, [test], tmp_path / "run")
    assert len({request.sampling.seed for request in engine.requests}) == 4  # type: ignore[union-attr]
    figures = report.by_test["humaneval"]
    assert figures.figure.value == pytest.approx(50.0)
    assert figures.more["pass@1"] == pytest.approx(25.0)
    (result,) = report.results()
    assert [sample["outcome"] for sample in result.meta["samples"]] == ["passed", "failed", "failed", "failed"]


def test_mbpp_passes_over_the_first_hundred(tmp_path: Path) -> None:
    rows = [
        {
            "task_id": i,
            "text": f"Write a function f{i} that adds {i}.",
            "code": f"def f{i}(x):\n    return x + {i}",
            "test_list": [f"assert f{i}(1) == {i + 1}"],
            "test_setup_code": "",
        }
        for i in range(103)
    ]
    test = Mbpp(write(tmp_path / "mbpp.jsonl", *rows), n=1, k=1)
    items = test.items()
    assert [item.id for item in items] == ["100", "101", "102"]
    assert items[0].messages[0].content.endswith("assert f100(1) == 101")
    assert test.score(answered(items[0], items[0].target or "")).score == 1.0
    assert test.score(answered(items[0], "def f100(x):\n    return x")).score == 0.0
    with pytest.raises(DataError, match="first 100"):
        Mbpp(write(tmp_path / "few.jsonl", *rows[:100])).items()


@pytest.mark.slow
def test_canonical_solutions_pass_and_empty_bodies_fail(shared_dir: Path) -> None:
    items = HumanEval(shared_dir / "data/preference/code/HumanEval.jsonl.gz").items()
    assert len(items) == 164
    right = run_programs([build_program(item, item.target or "", "template") for item in items])
    empty = run_programs([build_program(item, "", "template") for item in items])
    assert np.sum([found.passed for found in right]) == 164
    assert np.sum([found.passed for found in empty]) == 0
