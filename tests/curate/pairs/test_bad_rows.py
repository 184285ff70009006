"""What makes a pair unfit, who hears of it, and when the whole reading stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import DataError
from agora.core.jsonl import Rejects
from agora.core.tables import read_rows
from agora.curate.pairs import PairRule, ReadTally, read_pairs

from .rows import SAMPLES, A, B, Q, chat, plain, read_all, write_lines

GOOD = [{"prompt": f"{Q} {i}", "chosen": A, "rejected": B} for i in range(9)]


def explicit(prompt: Any = Q, chosen: Any = A, rejected: Any = B, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


FAULTS = [
    (explicit(rejected=f" {A}\n"), "identical sides"),
    (explicit(chosen="  "), "empty answer"),
    (explicit(chosen=[]), "one side is the beginning of the other"),
    (
        explicit(chosen=chat(("assistant", A)), rejected=chat(("assistant", A), ("user", "more"), ("assistant", B))),
        "one side is the beginning of the other",
    ),
    (explicit(prompt=""), "empty prompt"),
    (explicit(prompt=[]), "empty prompt"),
    (explicit(prompt=chat(("user", Q), ("assistant", "Well"))), "prompt ends with assistant"),
    (explicit(prompt=chat(("user", Q), ("user", "Please."))), "a role twice in a row"),
    (explicit(chosen=chat(("assistant", A), ("assistant", B))), "a role twice in a row"),
    (explicit(chosen=chat(("assistant", A), ("user", "thanks"))), "answer is not the assistant's"),
    (explicit(prompt=[{"role": "narrator", "content": Q}]), "unknown role"),
    (explicit(chosen=None), "missing value"),
    (explicit(chosen=3), "not a list of messages"),
    (explicit(chosen=[{"role": "assistant", "content": 3}]), "content is not text"),
    ({"prompt": Q, "chosen": A}, "missing column"),
]


@pytest.mark.parametrize(("row", "reason"), FAULTS, ids=[f"{i}-{reason}" for i, (_, reason) in enumerate(FAULTS)])
def test_a_faulty_row_is_refused_with_its_line_and_reason(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [*GOOD[:4], row, *GOOD[4:]])
    refused = tmp_path / "rejects.jsonl"
    with Rejects(refused) as rejects:
        pairs = list(read_pairs(path, rejects=rejects))
    assert len(pairs) == 9
    [(_, told)] = read_rows(refused)
    assert told["reason"] == reason and told["where"] == f"{path}:5" and told["raw"] == row


def test_without_rejects_the_first_fault_is_an_error_that_names_the_row(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [GOOD[0], explicit(prompt=chat(("assistant", "Hi")), id="row-7")])
    with pytest.raises(DataError) as error:
        list(read_pairs(path))
    assert str(error.value).startswith(f"{path}:2: prompt ends with assistant") and "row-7" in str(error.value)


def test_merging_turns_mends_repeats_in_prompt_and_answers(tmp_path: Path) -> None:
    row = explicit(
        prompt=chat(("user", Q), ("user", "Please.")), chosen=chat(("assistant", A), ("assistant", "Really."))
    )
    [pair] = read_all(write_lines(tmp_path / "r.jsonl", [row]), merge_turns=True)[0]
    assert plain(pair.prompt) == [("user", f"{Q}\n\nPlease.")]
    assert plain(pair.chosen) == [("assistant", f"{A}\n\nReally.")]


def test_merging_turns_mends_a_prompt_that_ends_with_an_answer(tmp_path: Path) -> None:
    row = explicit(prompt=chat(("user", Q), ("assistant", "Well,")))
    [pair] = read_all(write_lines(tmp_path / "r.jsonl", [row]), merge_turns=True)[0]
    assert plain(pair.prompt) == [("user", Q)]
    assert plain(pair.chosen) == [("assistant", f"Well,\n\n{A}")]
    assert plain(pair.rejected) == [("assistant", f"Well,\n\n{B}")]


def test_more_than_a_fifth_of_faulty_rows_stops_with_a_summary(tmp_path: Path) -> None:
    faulty = [explicit(prompt=f"{i}", rejected=A) for i in range(2)] + [explicit(chosen="")]
    path = write_lines(tmp_path / "rows.jsonl", [*GOOD, *faulty])
    with pytest.raises(DataError, match=r"3 of 12 rows were dropped .*identical sides \(2\), empty answer \(1\)"):
        read_all(path)
    assert len(read_all(write_lines(path, [*GOOD, *faulty[:2]]))[0]) == 9


def test_malformed_lines_count_as_faulty_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in GOOD) + "{broken\n" * 3)
    with pytest.raises(DataError, match=r"3 of 12 rows .*malformed row \(3\)"):
        read_all(path)


def test_a_wrong_format_stops_early(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", GOOD * 200)
    tally = ReadTally()
    with pytest.raises(DataError, match="999 of 1,000"):
        list(read_pairs(path, format="hh", rejects=Rejects(), tally=tally))
    assert tally.rows == 1000


def test_ties_and_small_gaps_are_set_aside_and_never_stop_the_reading(tmp_path: Path) -> None:
    def voted(i: int, winner: str) -> dict[str, Any]:
        sides = [chat(("user", f"{Q} {i}"), ("assistant", text)) for text in (A, B)]
        return {"conversation_a": sides[0], "conversation_b": sides[1], "winner": winner}

    rows = [voted(i, "tie (bothbad)" if i % 2 else "model_a") for i in range(10)]
    pairs, rejects, tally = read_all(write_lines(tmp_path / "rows.jsonl", rows))
    assert len(pairs) == 5 and dict(tally.set_aside) == {"tie": 5} and rejects.by_reason["tie"] == 5
    soft = read_all(tmp_path / "rows.jsonl", rule=PairRule(tie_policy="soft"))[0]
    assert sum(p.tie for p in soft) == 5 and all(p.margin == 0 for p in soft if p.tie)
    assert soft[1].meta["rule"] == {"name": "as_released", "tie_policy": "soft"}


def test_the_sides_of_a_soft_tie_change_places_by_a_hash(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": f"{Q} {i}",
            "completion_a": A,
            "completion_b": B,
            "preference": "tie",
            "model_a": "m",
            "model_b": "n",
        }
        for i in range(200)
    ]
    pairs = read_all(write_lines(tmp_path / "rows.jsonl", rows), rule=PairRule(tie_policy="soft"))[0]
    first = [p for p in pairs if p.chosen[0].content == A]
    assert 70 < len(first) < 130
    assert all(p.meta["chosen_model"] == ("m" if p in first else "n") for p in pairs)


@pytest.mark.parametrize("scores", [{"score_chosen": 1, "score_rejected": 2}, {"margin": -0.5}])
def test_labels_that_contradict_their_scores_are_an_error(scores: dict[str, float], tmp_path: Path) -> None:
    right = [row | {"score_chosen": 2, "score_rejected": 1} for row in GOOD]
    path = write_lines(tmp_path / "rows.jsonl", [*right, explicit(**scores)])
    with pytest.raises(DataError, match="labels look inverted in 1 of 10 rows"):
        read_all(path)
    assert len(read_all(path, trust_labels=True)[0]) == 10


def test_a_small_margin_does_not_hide_inverted_labels(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [explicit(score_chosen=1, score_rejected=2), *GOOD])
    with pytest.raises(DataError, match="inverted"):
        read_all(path, rule=PairRule(min_margin=5))


def test_the_helpsteer_fault_of_the_reference_is_caught(tmp_path: Path) -> None:
    """Sorting ascending and taking the first made the worst answer the chosen one."""
    rows = [explicit(prompt=f"{i}", score_chosen=1.5, score_rejected=3.5) for i in range(20)]
    with pytest.raises(DataError, match="labels look inverted in 20 of 20 rows"):
        read_all(write_lines(tmp_path / "rows.jsonl", rows))


def test_a_file_of_ties_alone_gives_no_pair_and_says_why(tmp_path: Path) -> None:
    rows = [{"instruction": Q, "output_1": A, "output_2": B, "preference": 1.5}]
    with pytest.raises(DataError, match=r"no pair came of 1 rows: tie \(1\)"):
        read_all(write_lines(tmp_path / "rows.jsonl", rows))


def test_the_limit_counts_rows(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", GOOD)
    assert len(read_all(path, limit=4)[0]) == 4


@pytest.mark.parametrize("sample", SAMPLES, ids=[f"{i}-{s.format}" for i, s in enumerate(SAMPLES)])
def test_ids_are_hashes_of_the_content(sample: Any, tmp_path: Path) -> None:
    first = read_all(write_lines(tmp_path / "a.jsonl", sample.rows), format=sample.format)[0]
    second = read_all(write_lines(tmp_path / "b.jsonl", sample.rows), format=sample.format)[0]
    assert [p.id for p in first] == [p.id for p in second]
