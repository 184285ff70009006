"""Choosing pairs: the published example, the WildBench file (acceptance check G), and the guards."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import ConfigError
from agora.rooms.synthesize.choose import Candidate, Choice, ChoiceRules, choose
from agora.rooms.synthesize.pairs import longer_share

FREE = ChoiceRules(max_repetition=1.0)


def test_the_papers_example_chooses_the_published_sides(shared_dir: Path) -> None:
    rows = json.loads((shared_dir / "data/magpie/po_example_5res_armorm.json").read_text(encoding="utf-8"))
    found = []
    for row in rows:
        candidates = [
            Candidate(text, reward["score"])
            for text, reward in zip(row["responses"], row["rewards_armorm"], strict=True)
        ]
        choice = choose(row["uuid"], candidates)
        assert isinstance(choice, Choice)
        found.append((choice.chosen, choice.rejected))
    assert found == [(3, 1), (2, 3), (4, 2), (0, 3), (2, 0)]


@pytest.fixture(scope="module")
def groups(shared_dir: Path) -> dict[str, list[dict[str, Any]]]:
    by_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with gzip.open(shared_dir / "data/magpie/wildbench_sft6_scored.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            by_task[row["session_id"]].append(row)
    return {task: rows for task, rows in by_task.items() if len(rows) == 6}


def test_of_1012_real_groups_954_make_pairs_and_ties_do_not_favor_a_source(groups: dict[str, Any]) -> None:
    assert len(groups) == 1012
    kinds = [isinstance(_real(task, rows), Choice) for task, rows in groups.items()]
    reasons = Counter(r for t, rows in groups.items() if isinstance(r := _real(t, rows), str))
    assert sum(kinds) == 954 and reasons == {"equal scores": 58}
    pairs = [(rows, c) for t, rows in groups.items() if isinstance(c := _real(t, rows), Choice)]
    gaps = [rows[c.chosen]["score"] - rows[c.rejected]["score"] for rows, c in pairs]
    assert sum(gap >= 3 for gap in gaps) == 436
    best = [max(r["score"] for r in rows) - min(r["score"] for r in rows) for rows in groups.values()]
    assert sum(best) / len(best) == pytest.approx(2.458, abs=5e-4)
    tied = [
        rows[c.chosen]["sft_data"] for rows, c in pairs if sum(r["score"] == rows[c.chosen]["score"] for r in rows) > 1
    ]
    assert len(tied) == 566
    assert max(Counter(tied).values()) / len(tied) <= 0.30
    longer = longer_share((len(rows[c.chosen]["response"]), len(rows[c.rejected]["response"])) for rows, c in pairs)
    assert longer == pytest.approx(0.64, abs=0.03)
    position = Counter(max(rows, key=lambda r: r["score"])["sft_data"] for rows, _ in pairs)
    seeded = Counter(rows[c.chosen]["sft_data"] for rows, c in pairs)
    # the first position makes the source with the lowest mean score a winner twice as often
    assert position["OpenHermes-243K"] > 1.7 * seeded["OpenHermes-243K"]


def _real(task: str, rows: list[dict[str, Any]]) -> Choice | str:
    # positions stand for sources; equal texts are kept apart by a mark that changes nothing else
    candidates = [Candidate(f"{row['response'].strip() or 'x'} {i}", float(row["score"])) for i, row in enumerate(rows)]
    return choose(task, candidates, FREE)


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.text("abc ", max_size=8),
        st.one_of(st.none(), st.just(float("nan")), st.integers(0, 3).map(float)),
        st.sampled_from(["stop_token", "length", "error"]),
    ),
    max_size=6,
)


@given(CANDIDATES, st.text(max_size=4), st.integers(0, 3))
def test_a_pair_has_two_usable_sides_and_the_best_against_the_worst(
    candidates: list[Candidate], prompt: str, seed: int
) -> None:
    found = choose(prompt, candidates, ChoiceRules(seed=seed))
    assert found == choose(prompt, candidates, ChoiceRules(seed=seed))
    if isinstance(found, str):
        return
    best, worst = candidates[found.chosen], candidates[found.rejected]
    assert best.score is not None and worst.score is not None and best.score > worst.score
    assert best.text != worst.text
    assert {best.finish_reason, worst.finish_reason} == {"stop_token"} and best.text.strip() and worst.text.strip()


@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        ([Candidate("a b", 1.0), Candidate("c d", 1.0)], "equal scores"),
        ([Candidate("a b", 1.0), Candidate("a b", 2.0)], "equal answers"),
        ([Candidate("a b", None), Candidate("c d", float("nan"))], "no scores"),
        ([Candidate("a b", 1.0), Candidate("c d", 2.0, "length")], "answers: truncated"),
        ([Candidate("a b", 1.0), Candidate("", 2.0)], "answers: empty"),
        ([Candidate("a b", 1.0), Candidate("one two three " * 40, 2.0)], "answers: repetition"),
        ([Candidate("a b", 1.0), Candidate("", None, "error")], "answers: error"),
        ([], "too few answers"),
    ],
)
def test_no_pair_has_a_reason(candidates: list[Candidate], reason: str) -> None:
    assert choose("p", candidates) == reason


def test_a_margin_can_be_asked_for() -> None:
    candidates = [Candidate("a b", 1.0), Candidate("c d", 1.5)]
    assert choose("p", candidates, ChoiceRules(min_margin=0.5)) == Choice(1, 0, False)
    assert choose("p", candidates, ChoiceRules(min_margin=0.6)) == "margin too small"
    with pytest.raises(ConfigError, match="min_margin must be at least 0"):
        ChoiceRules(min_margin=-1)


def test_sides_of_like_length_can_be_asked_for() -> None:
    candidates = [Candidate("x" * 10, 0.0), Candidate("y" * 100, 5.0), Candidate("z" * 12, 3.0)]
    assert choose("p", candidates) == Choice(1, 0, False)
    assert choose("p", candidates, ChoiceRules(length_ratio=1.5)) == Choice(2, 0, False)
    assert choose("p", candidates[:2], ChoiceRules(length_ratio=1.5)) == "no pair of like length"


def test_seeds_choose_among_equals_and_every_equal_gets_its_turn() -> None:
    candidates = [Candidate("a b", 1.0), Candidate("c d", 3.0), Candidate("e f", 3.0), Candidate("g h", 3.0)]
    found = [choose(str(i), candidates) for i in range(60)]
    assert all(isinstance(c, Choice) and c.tie_break for c in found)
    assert {c.chosen for c in found if isinstance(c, Choice)} == {1, 2, 3}
