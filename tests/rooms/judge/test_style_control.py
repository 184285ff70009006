from __future__ import annotations

import random
from pathlib import Path

import pytest

from agora.core.errors import DataError
from agora.core.records import Answer
from agora.core.tables import write_jsonl
from agora.rooms.judge import leaderboard
from agora.rooms.judge.ranking.style_control import read_styles, style_strengths
from agora.rooms.judge.ranking.style_counts import StyleCounts, style_counts
from agora.rooms.judge.ranking.votes import pair_votes
from tests.rooms.judge.support import make_pair


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 0, 0)),
        ("# Title\n## Part\nplain # not", (2, 0, 0)),
        ("1. one\n2. two\n- three\n  * four\n+ five\n-six", (0, 5, 0)),
        ("**bold** and __strong__ and ** not", (0, 0, 2)),
        ("```\n# comment\n- item\n**x**\n```\n# real", (1, 0, 0)),
        ("text\n```python\n# open block never closed", (0, 0, 0)),
    ],
)
def test_markdown_is_counted_outside_of_code(text: str, expected: tuple[int, ...]) -> None:
    assert style_counts(text)[1:] == expected
    assert style_counts(text).tokens == len(text) / 4


def study(taste: float, n: int = 800) -> tuple[list[object], dict[tuple[str, str], StyleCounts]]:
    """The judge likes lists; model `dressed` writes them and is no better."""
    rng = random.Random(0)
    rows, styles = [], {}
    for i in range(n):
        lists = {"dressed": rng.choice([0, 4, 8, 12]), "plain": rng.choice([0, 0, 1, 6])}
        for name, count in lists.items():
            styles[name, f"t{i}"] = StyleCounts(200.0, 0, count, 0)
        chance = 0.5 + taste * (lists["dressed"] - lists["plain"]) / 24
        rows.append(make_pair(f"t{i}", 1.0 if rng.random() < chance else -1.0, "dressed", "plain"))
    return rows, styles


def test_control_takes_back_what_lists_bought() -> None:
    rows, styles = study(0.9)
    votes = pair_votes(rows)  # type: ignore[arg-type]
    from agora.rooms.judge.ranking.strengths import strengths

    plain, controlled = strengths(votes, n_boot=100), style_strengths(votes, styles, n_boot=100)
    assert plain.ratings["dressed"].estimate > 1025
    assert abs(controlled.ratings["dressed"].estimate - 1000) < 15
    assert controlled.coefficients["lists"].low > 0


def test_zero_is_equal_style_whoever_is_called_first() -> None:
    rows, styles = study(0.9)
    turned = [make_pair(v.task_id, -v.value, "plain", "dressed") for v in rows]  # type: ignore[attr-defined]
    one = style_strengths(pair_votes(rows), styles, n_boot=100)  # type: ignore[arg-type]
    other = style_strengths(pair_votes(turned), styles, n_boot=100)
    assert one.ratings["dressed"][:3] == pytest.approx(other.ratings["dressed"][:3], abs=1e-6)


def test_an_answer_without_counts_means_no_ratings_and_says_so() -> None:
    rows, styles = study(0.5, n=20)
    del styles["plain", "t3"]
    found = style_strengths(pair_votes(rows), styles)  # type: ignore[arg-type]
    assert not found.ratings and found.reason == "not every answer's length or style is known"


def test_answers_are_read_in_three_forms(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [Answer("t0", "m", "# Title\n- x")])
    (tmp_path / "b.jsonl").write_text(
        '{"uid": "u", "model": "n", "messages": [{"content": "q"}, {"content": {"answer": "**b**"}}], "metadata": '
        '{"token_len": 7, "header_count": {"h1": 1, "h2": 2}, "list_count": {"ordered": 3, "unordered": 1}, '
        '"bold_count": {"**": 2, "__": 0}}}\n'
        '{"question_id": "v", "model_id": "o", "choices": [{"turns": [{"content": "- x", "token_len": 9}]}]}\n'
    )
    assert read_styles([tmp_path]) == {
        ("m", "t0"): StyleCounts(2.75, 1, 1, 0),
        ("n", "u"): StyleCounts(7, 3, 4, 2),
        ("o", "v"): StyleCounts(9, 0, 1, 0),
    }
    (tmp_path / "c.jsonl").write_text('{"x": 1}\n')
    with pytest.raises(DataError, match=r"c\.jsonl:1"):
        read_styles([tmp_path / "c.jsonl"])


def test_the_board_shows_ratings_at_equal_style(tmp_path: Path) -> None:
    rows, styles = study(0.7, n=200)
    write_jsonl(tmp_path / "v.jsonl", rows)
    (table,) = leaderboard([tmp_path / "v.jsonl"], styles=styles, n_boot=100).tables
    assert table.rating_at_equal_style("dressed") is not None
    found = leaderboard([tmp_path / "v.jsonl"], styles={}, n_boot=100)
    assert any("no ratings at equal style by j: not every answer" in note for note in found.notes)
