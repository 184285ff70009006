"""Filtering a file: exact rows, a reason for every other row, and the whole way in the funnel."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import ConfigError, DataError
from agora.curate.curation import read_funnel
from agora.curate.expressions import PRESETS
from agora.curate.filter_file import filter_file
from agora.curate.scales import CATEGORY, DIFFICULTY, QUALITY
from agora.curate.text import repeated_share
from tests.curate.labeled import ids, read, talk, write

Q, D = QUALITY.values, DIFFICULTY.values


def tagged(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with every label that the presets look at."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        words = " ".join(str(rng.random()) for _ in range(rng.randint(1, 30)))
        rows.append(
            talk(
                f"Question {i}" + rng.choice(["?", ":", "."]),
                words if rng.random() < 0.95 else "again and again we say " * 30,
                id=f"row{i}",
                quality=rng.choice(Q),
                difficulty=rng.choice(D),
                category=rng.choice([*CATEGORY.values[:-1], "Other", "Others"]),
                language=rng.choice(["EN", "ZH"]),
                reward=rng.uniform(-20, 0),
                reward_diff=rng.uniform(-5, 5),
                dedup={"keeper_id": f"row{i}" if rng.random() < 0.8 else "row0", "nn_distance": rng.random()},
            )
        )
    return rows


def _value(row: dict[str, Any], name: str) -> Any:
    return row["tags"][name]["value"]


def _at_least(row: dict[str, Any], name: str, level: str) -> bool:
    scale = Q if name == "quality" else D
    return scale.index(_value(row, name)) >= scale.index(level)


def _answer(row: dict[str, Any]) -> str:
    return str(row["messages"][-1]["content"])


def _conditions(preset: str, row: dict[str, Any]) -> bool:
    """The conditions of table 5 and of the cards, written apart from the expressions."""
    keeper = row["tags"]["dedup"]["keeper_id"] == row["id"]
    reward, diff = _value(row, "reward"), _value(row, "reward_diff")
    easy = _at_least(row, "quality", "good") and _at_least(row, "difficulty", "easy")
    whole = not row["messages"][0]["content"].endswith(":")
    average = _at_least(row, "quality", "average")
    chinese = _value(row, "language") == "ZH"
    table = {
        "air": _at_least(row, "quality", "good") and _at_least(row, "difficulty", "medium") and keeper and diff > 0,
        "pro": average and keeper and reward > -12,
        "pro-2": easy and keeper and reward > -12,
        "pro-3": keeper and reward > -12,
        "pro-4": easy and keeper and diff > 0,
        "pro-5": easy and keeper and reward > -12,
        "pro-6": keeper and reward > -12,
        "pro-card": average and keeper and reward >= -10,
        "qwen2-pro": _at_least(row, "quality", "good") and reward > -10 and whole and keeper,
        "zh": average and reward >= -10 and chinese and whole and keeper,
        "mt": _at_least(row, "quality", "good"),
        "basics": True,
    }
    return table[preset]


@pytest.mark.parametrize("n", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_keeps_exactly_the_rows_of_its_definition(preset: str, n: int, tmp_path: Path) -> None:
    """Acceptance check I."""
    rows = tagged(n)
    report = filter_file(write(tmp_path / "in.jsonl", rows), tmp_path / "kept.jsonl", preset=preset)
    harmless = preset == "pro-5"  # no pick by length, so no look at repetition
    expected = [r["id"] for r in rows if _conditions(preset, r) and (harmless or repeated_share(_answer(r)) < 0.5)]
    if preset == "pro-6":
        expected = [i for i in expected if _value(rows[int(i[3:])], "difficulty") != "very easy"]
    assert ids(report.out) == expected
    assert report.n_in == len(rows) == report.n_out + sum(report.reasons.values())
    assert len(read(tmp_path / "kept.rejects.jsonl")) == len(rows) - len(expected)


def test_a_pick_takes_the_longest_of_each_quota_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    rows = tagged(400)
    expression = (
        "true then top 30 by len(answer) where difficulty == easy plus top 40 by len(answer) where difficulty > easy"
    )
    whole = [r for r in rows if repeated_share(_answer(r)) < 0.5]
    easy = sorted((r for r in whole if _value(r, "difficulty") == "easy"), key=lambda r: -len(_answer(r)))[:30]
    hard = [r for r in whole if D.index(_value(r, "difficulty")) > D.index("easy")]
    expected = {r["id"] for r in easy + sorted(hard, key=lambda r: -len(_answer(r)))[:40]}
    first = filter_file(write(tmp_path / "a.jsonl", rows), tmp_path / "x.jsonl", expression)
    random.Random(1).shuffle(rows)
    second = filter_file(write(tmp_path / "b.jsonl", rows), tmp_path / "y.jsonl", expression)
    assert set(ids(first.out)) == set(ids(second.out)) == expected
    assert first.reasons["meets no quota"] == sum(_value(r, "difficulty") == "very easy" for r in whole)


def test_ties_are_broken_by_id_and_not_by_place(tmp_path: Path) -> None:
    rows = [talk(f"Question {i}?", "same length", id=f"row{i}") for i in range(60)]
    first = filter_file(write(tmp_path / "a.jsonl", rows), tmp_path / "x.jsonl", "top 10 by len(answer)")
    second = filter_file(write(tmp_path / "b.jsonl", rows[::-1]), tmp_path / "y.jsonl", "top 10 by len(answer)")
    assert set(ids(first.out)) == set(ids(second.out))
    assert ids(first.out) != [f"row{i}" for i in range(10)]


def test_fewer_rows_than_asked_for_are_what_is_left_and_that_is_said(tmp_path: Path) -> None:
    report = filter_file(write(tmp_path / "a.jsonl", tagged(5)), tmp_path / "x.jsonl", "top 50 by reward")
    assert report.n_out == 5
    assert report.facts["shortfall"] == {"top 50": {"asked": 50, "found": 5}}


def test_reasons_name_the_first_clause_that_a_row_fails(tmp_path: Path) -> None:
    rows = [talk(id="a", quality="good", reward=-5.0), talk(id="b", quality="poor", reward=-50.0)]
    rows += [talk(id="c", quality="good", reward=-50.0), talk(id="d", reward=-5.0)]
    report = filter_file(
        write(tmp_path / "in.jsonl", rows), tmp_path / "kept.jsonl", "quality >= good and reward > -12"
    )
    found = {r["where"]: r["reason"] for r in read(tmp_path / "kept.rejects.jsonl")}
    assert found == {"b": "not quality >= good", "c": "not reward > -12", "d": "unknown: quality >= good"}
    assert report.facts["unknown_rows"] == 1


def test_unknown_rows_stay_when_asked_to(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [talk(id="a", quality="good"), talk(id="b"), talk(id="c", quality="poor")])
    report = filter_file(source, tmp_path / "kept.jsonl", "quality >= good", unknown="keep")
    assert ids(report.out) == ["a", "b"]
    assert report.facts["unknown_rows"] == 1


def test_a_field_that_no_row_has_is_said_before_anything_is_written(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [talk(id="a")])
    with pytest.raises(DataError, match=r"no row has 'reward'.*agora curate label"):
        filter_file(source, tmp_path / "kept.jsonl", "reward > 0")
    assert not (tmp_path / "kept.jsonl").exists()


def test_the_funnel_goes_on_from_file_to_file(tmp_path: Path) -> None:
    rows = tagged(100)
    first = filter_file(write(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl", "quality >= average")
    second = filter_file(first.out, tmp_path / "c.jsonl.gz", "dup.keeper and reward > -12")
    funnel = read_funnel(second.out)
    assert [s.label for s in funnel.steps] == ["rows", "quality >= average", "dup.keeper", "reward > -12"]
    assert funnel.n_in == 100 and funnel.n_out == second.n_out
    assert sum(funnel.reasons().values()) == 100 - second.n_out


def test_a_file_that_was_changed_by_hand_begins_a_funnel_of_its_own(tmp_path: Path) -> None:
    first = filter_file(write(tmp_path / "a.jsonl", tagged(100)), tmp_path / "b.jsonl", "quality >= average")
    write(first.out, read(first.out)[:10])
    assert filter_file(first.out, tmp_path / "c.jsonl", "true").funnel.n_in == 10


def test_marked_and_unreadable_rows_are_counted_and_kept_aside(tmp_path: Path) -> None:
    marked = talk(id="m")
    marked["tags"] |= {"kept": False, "reason": "near duplicate"}
    source = write(tmp_path / "in.jsonl", [talk(id="a"), marked, talk(id="b"), talk(id="c")])
    with source.open("a") as file:
        file.write('{"schema": "conversation/1", "id": "half')
    report = filter_file(source, tmp_path / "kept.jsonl", "true")
    assert ids(report.out) == ["a", "b", "c"]
    assert report.reasons == {"near duplicate": 1, "cut off: the last line is not finished": 1}
    assert [s.label for s in report.funnel.steps] == ["rows", "readable", "kept before", "true"]


def test_an_empty_result_is_a_result(tmp_path: Path) -> None:
    report = filter_file(write(tmp_path / "a.jsonl", [talk()]), tmp_path / "x.jsonl", "len(answer) > 100")
    assert report.n_out == 0 and report.out.read_text() == ""


def test_nothing_to_filter_by_and_unknown_presets_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [talk()])
    with pytest.raises(ConfigError, match="nothing to filter by"):
        filter_file(source, tmp_path / "x.jsonl")
    with pytest.raises(ConfigError, match="did you mean pro-2"):
        filter_file(source, tmp_path / "x.jsonl", preset="pro2")


@pytest.mark.parametrize("name", ["kept.jsonl", "kept.jsonl.zst", "kept.json", "kept.parquet"])
def test_what_was_kept_is_read_again(name: str, tmp_path: Path) -> None:
    rows = tagged(20)
    first = filter_file(write(tmp_path / "a.jsonl", rows), tmp_path / name, "quality >= average")
    again = filter_file(first.out, tmp_path / "again.jsonl", "true")
    assert ids(again.out) == [r["id"] for r in rows if _at_least(r, "quality", "average")]
    assert again.funnel.n_in == 20


@pytest.mark.slow
def test_repetition_is_removed_before_length_is_chosen(shared_dir: Path, tmp_path: Path) -> None:
    """6,128 answers of six models with their scores: the longest third, with and without the repetitive ones."""
    with gzip.open(shared_dir / "data/magpie/wildbench_sft6_scored.jsonl.gz", "rt") as file:
        stored = [json.loads(line) for line in file]
    rows = [talk(f"Task {r['session_id']}", r["response"], id=str(i), score=r["score"]) for i, r in enumerate(stored)]
    source, longest = write(tmp_path / "a.jsonl", rows), f"top {len(rows) // 3} by len(answer)"

    def mean_score(report: Any) -> float:
        kept = [_value(row, "score") for row in read(report.out)]
        return sum(kept) / len(kept)

    trapped = filter_file(source, tmp_path / "trapped.jsonl", f"repeats(answer) <= 1 then {longest}")
    guarded = filter_file(source, tmp_path / "guarded.jsonl", longest)
    assert len(rows) == 6128
    assert guarded.reasons["not repeats(answer) < 0.5"] == 177
    assert round(mean_score(trapped), 2) == 6.32
    assert round(mean_score(guarded), 2) == 6.58


def test_rows_of_ours_that_lack_what_curation_looks_at_are_set_aside_with_what_is_wrong(tmp_path: Path) -> None:
    good, no_user, no_text, odd = talk(id="a"), talk(id="b"), talk(id="c"), talk(id="d")
    no_user["messages"] = no_user["messages"][1:]
    no_text["messages"][0]["content"] = None
    odd["tags"] = ["quality"]
    other = {**talk(id="e"), "schema": "task/1"}
    lacking = {k: v for k, v in talk(id="f").items() if k != "provenance"}
    source = write(tmp_path / "in.jsonl", [good, no_user, no_text, odd, other, lacking])
    report = filter_file(source, tmp_path / "kept.jsonl", "true")
    assert ids(report.out) == ["a"] and report.reasons == {"not a conversation/1 row": 5}
    told = [row["detail"] for row in read(tmp_path / "kept.rejects.jsonl")]
    assert told == [
        "no user turn",
        "a message has no known role, or no text",
        "'tags' is no object",
        "its schema is 'task/1'",
        "it has no 'provenance'",
    ]


def test_repeated_ids_are_made_anew_so_that_every_row_can_be_told_apart(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [talk("One?", id="a"), talk("Two?", id="a"), talk("Three?", id="b")])
    found = ids(filter_file(source, tmp_path / "kept.jsonl", "true").out)
    assert len(set(found)) == 3 and found[0] == "a" and found[2] == "b"


def test_a_clause_that_reads_whole_texts_is_asked_only_of_rows_that_still_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agora.curate.expressions import fields

    read_texts: list[str] = []
    slow = fields.FUNCTIONS["repeats"]

    def counted(text: str) -> float:
        read_texts.append(text)
        return repeated_share(text)

    monkeypatch.setitem(fields.FUNCTIONS, "repeats", slow.__class__(slow.takes, slow.kind, counted, slow.means))
    rows = [talk(f"Q{i}?", f"Answer {i}", id=f"r{i}", quality="good" if i < 3 else "poor") for i in range(20)]
    report = filter_file(
        write(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl", "quality >= good and repeats(answer) < 0.5"
    )
    assert ids(report.out) == ["r0", "r1", "r2"] and len(read_texts) == 3
