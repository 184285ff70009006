from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import DataError, MissingError
from agora.core.tables import write_json, write_jsonl
from agora.rooms.judge import leaderboard, read_judged, read_judged_answers
from agora.rooms.judge.formats.judged_files import judged_paths
from tests.rooms.judge.support import make_pair, make_score

FLAT = {
    "session_id": "s1",
    "model": "m",
    "model_id": "x/m",
    "judge": "judge-1",
    "version": "v2.0522",
    "score": "8",
    "judge_json": {"strengths": "a", "weaknesses": "b", "score": "8"},
    "output": "An answer.",
    "prompt_tokens": 900,
    "completion_tokens": 80,
    "error": None,
}
REFERENCE_SCORE = {
    "session_id": "s1",
    "parsed_result": {"strengths": "a", "weaknesses": "b", "score": "6"},
    "meta_data": {"batch_req_id": "r", "usage": {"prompt_tokens": 9, "completion_tokens": 8}, "error": None},
    "model_test": "m",
    "score": "6",
    "model_output": "Answer",
}
REFERENCE_PAIR = {
    "session_id": "s1",
    "parsed_result": {"choice": "A++"},
    "meta_data": {},
    "model_A": "gpt-4-turbo-2024-04-09",
    "model_B": "m",
    "winner": "m",
    "extent": 1,
    "model_outputs": {"gpt-4-turbo-2024-04-09": "Short", "m": "Longer text"},
}


def flat(session: str, score: object = "8", **fields: Any) -> dict[str, Any]:
    return {**FLAT, "session_id": session, "score": score, **fields}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    write_jsonl(path, rows)
    return path


def test_the_flat_form_is_read_with_judge_version_and_usage(tmp_path: Path) -> None:
    file = read_judged(write(tmp_path / "m.jsonl.zst", [FLAT]))
    (verdict,) = file.verdicts
    assert (file.version, file.num_tasks) == ("v2.0522", 1024)
    assert (verdict.task_id, verdict.model, verdict.judge, verdict.value) == ("s1", "m", "judge-1", 8.0)
    assert verdict.parsed["strengths"] == "a"
    assert (verdict.n_chars, verdict.usage) == (10, {"prompt_tokens": 900, "completion_tokens": 80})


def test_empty_cut_and_unreadable_answers_are_flagged_and_never_invented(tmp_path: Path) -> None:
    rows = [
        flat("s1", "4", output=""),
        flat("s2", output=None),
        flat("s3", output="words ... (truncated)"),
        flat("s4", "nine"),
        flat("s5", None),
        flat("s6", "11"),
    ]
    file = read_judged(write(tmp_path / "m.jsonl", rows))
    by_task = {v.task_id: v for v in file.verdicts}
    assert by_task["s1"].value == 4.0  # what another judge gave an empty answer is kept, and flagged
    assert [t for t, v in by_task.items() if v.meta.get("empty")] == ["s1", "s2"]
    assert file.truncated == {"m": 1}
    assert [(by_task[t].status, by_task[t].value) for t in ("s4", "s5", "s6")] == [("unparsed", None)] * 3
    assert by_task["s6"].parsed["reason"] == "out_of_range"


def test_the_references_own_lists_take_judge_and_version_from_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "gpt-4o-2024-05-13.v2.0625"
    folder.mkdir()
    write_json(folder / "m.json", [REFERENCE_SCORE])
    (verdict,) = read_judged(folder / "m.json").verdicts
    assert (verdict.judge, verdict.meta["version"], verdict.value) == ("gpt-4o-2024-05-13", "v2.0625", 6.0)
    assert verdict.usage == {"prompt_tokens": 9, "completion_tokens": 8}
    write_json(tmp_path / "m.json", [REFERENCE_SCORE])
    (verdict,) = read_judged(tmp_path / "m.json", judge="me").verdicts
    assert verdict.judge == "me"


@pytest.mark.parametrize(
    ("winner", "extent", "value"),
    [
        ("m", 1, 0.5),
        ("m", 2, 1.0),
        ("tie", 0, 0.0),
        ("gpt-4-turbo-2024-04-09", "1", -0.5),
        ("gpt-4-turbo-2024-04-09", 2, -1.0),
    ],
)
def test_the_references_pairs_are_seen_from_the_candidate(
    tmp_path: Path, winner: str, extent: object, value: float
) -> None:
    write_json(tmp_path / "p.json", [{**REFERENCE_PAIR, "winner": winner, "extent": extent}])
    (verdict,) = read_judged(tmp_path / "p.json").verdicts
    assert (verdict.model, verdict.baseline, verdict.value) == ("m", "gpt-4-turbo-2024-04-09", value)
    assert (verdict.order, verdict.n_chars, verdict.baseline_n_chars) == ("candidate_second", 11, 5)


def test_a_pair_file_of_unknown_models_needs_the_baselines_name(tmp_path: Path) -> None:
    row = {**REFERENCE_PAIR, "model_A": "x", "model_B": "m", "model_outputs": {}}
    write_json(tmp_path / "p.json", [row])
    with pytest.raises(DataError, match="--baseline"):
        read_judged(tmp_path / "p.json")
    (verdict,) = read_judged(tmp_path / "p.json", baseline="x").verdicts
    assert (verdict.model, verdict.n_chars) == ("m", None)


def test_own_verdict_files_are_read_and_the_last_verdict_counts(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    write_jsonl(path, [make_score("t1", None), make_score("t1", 7.0), make_score("t2", 5.0)])
    file = read_judged(path)
    assert [(v.task_id, v.value) for v in file.verdicts] == [("t1", 7.0), ("t2", 5.0)]
    assert file.num_tasks is None


def test_the_answers_can_be_taken_out(tmp_path: Path) -> None:
    (answer,) = read_judged_answers(write(tmp_path / "m.jsonl", [FLAT]))
    assert (answer.task_id, answer.model, answer.output) == ("s1", "m", "An answer.")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([FLAT, {k: v for k, v in FLAT.items() if k != "model"}], r"m\.jsonl:2: field 'model' is missing"),
        ([FLAT, FLAT], r"m\.jsonl:2: a second verdict on task s1; keep one"),
        ([{"a": 1}], r"m\.jsonl:1: not a judged file: a row has the keys a; expected"),
        ([FLAT, flat("s2", version="v2.0625")], "mixes evaluation versions: v2.0522, v2.0625"),
        ([flat(5)], r"m\.jsonl:1: session_id and model must be text, got 5 and 'm'"),
        ([{**REFERENCE_PAIR, "winner": "nobody"}], r"m\.jsonl:1: winner 'nobody' or extent 1"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_judged(write(tmp_path / "m.jsonl", rows))


def test_broken_empty_and_missing_files_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl").write_text(json.dumps(FLAT) + "\n{oops\n")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match=r"broken\.jsonl:2: "):
        read_judged(tmp_path / "broken.jsonl")
    with pytest.raises(DataError, match="the file is empty"):
        read_judged(tmp_path / "empty.jsonl")
    with pytest.raises(MissingError, match=r"did you mean .*broken\.jsonl"):
        read_judged(tmp_path / "brokn.jsonl")
    (tmp_path / "none").mkdir()
    with pytest.raises(MissingError, match="holds no judged files"):
        judged_paths([tmp_path / "none"])


def test_a_folder_stands_for_the_files_in_it_and_nothing_twice(tmp_path: Path) -> None:
    a = write(tmp_path / "x" / "a.jsonl.zst", [FLAT])
    (tmp_path / "x" / "notes.txt").write_text("hello")
    assert judged_paths([tmp_path, a]) == [a]


def two_models(tmp_path: Path) -> list[Path]:
    return [
        write(tmp_path / "a.jsonl", [flat(f"s{i}", "9", model="a", output=f"a{i}") for i in range(6)]),
        write(tmp_path / "b.jsonl", [flat(f"s{i}", "3", model="b", output=f"b{i}") for i in range(6)]),
    ]


def test_coverage_is_relative_to_the_benchmark_and_partial_models_have_no_rank(tmp_path: Path) -> None:
    board = leaderboard(two_models(tmp_path))
    (table,) = board.tables
    assert (table.num_tasks, table.basis) == (1024, "WildBench v2.0522 has 1,024 tasks")
    assert [row.rank for row in table.rows] == [None, None]
    row = board.to_json()["models"][0]
    assert (row["coverage"], row["partial"], row["wb_score"], row["rank"]) == (6 / 1024, True, None, None)
    assert row["bounds"] == [
        pytest.approx(20 * ((54 + 1018) / 1024 - 5)),
        pytest.approx(20 * ((54 + 10180) / 1024 - 5)),
    ]
    assert any("0.6 % of the tasks have a score, not ranked" in note for note in board.notes)


def test_partial_models_are_ranked_when_allowed(tmp_path: Path) -> None:
    (table,) = leaderboard(two_models(tmp_path), allow_partial=True).tables
    assert [(row.name, row.rank) for row in table.rows] == [("a", 1), ("b", 2)]
    (step,) = table.neighbors
    assert (step.first, step.second, step.n_common, step.value, step.separable) == ("a", "b", 6, 120.0, True)


def test_own_files_have_the_union_of_tasks_as_denominator(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [make_score(f"t{i}", 6.0, "a") for i in range(20)])
    write_jsonl(tmp_path / "b.jsonl", [make_score(f"t{i}", 8.0, "b") for i in range(20, 40)])
    (table,) = leaderboard([tmp_path / "a.jsonl", tmp_path / "b.jsonl"]).tables
    assert (table.num_tasks, table.basis) == (40, "union of the tasks in this table")
    assert {row.score.coverage for row in table.rows if row.score} == {0.5}


def test_judges_and_versions_never_share_a_table(tmp_path: Path) -> None:
    other = write(tmp_path / "c.jsonl", [flat("s1", model="a", judge="judge-2")])
    newer = write(tmp_path / "d.jsonl", [flat("s1", model="a", version="v2.0625")])
    board = leaderboard([*two_models(tmp_path), other, newer], allow_partial=True)
    assert [(t.judge, t.version) for t in board.tables] == [
        ("judge-1", "v2.0522"),
        ("judge-1", "v2.0625"),
        ("judge-2", "v2.0522"),
    ]
    assert [row.rank for t in board.tables for row in t.rows] == [1, 2, 1, 1]
    assert "their scores are not comparable" in board.notes[0]


def test_two_runs_on_the_same_answers_and_two_prompts_are_refused(tmp_path: Path) -> None:
    files = two_models(tmp_path)
    again = write(tmp_path / "again.jsonl", [flat("s3", "1", model="a")])
    with pytest.raises(DataError, match=r"judge-1 judged a's answer to task s3 here and in .*a\.jsonl"):
        leaderboard([*files, again])
    write_jsonl(tmp_path / "p.jsonl", [make_score("t1", 5.0), make_score("t2", 5.0, prompt_hash="1")])
    with pytest.raises(DataError, match="rest on two prompts"):
        leaderboard([tmp_path / "p.jsonl"])


def test_rewards_stand_beside_scores_and_missing_ones_are_missing(tmp_path: Path) -> None:
    verdicts = [make_score(f"t{i}", 6.0, "m") for i in range(4)]
    verdicts += [make_pair(f"t{i}", 0.5, "m", "b", n_chars=900) for i in range(4)]
    verdicts += [make_pair(f"t{i}", -1.0, "b", "c") for i in range(4)]
    write_jsonl(tmp_path / "v.jsonl", verdicts)
    models = {m["name"]: m for m in leaderboard([tmp_path / "v.jsonl"]).to_json()["models"]}
    assert models["m"]["wb_reward"]["b"]["reward"] == 50.0
    assert models["m"]["wb_reward"]["c"]["reward"] is None
    assert models["m"]["wb_reward_mix"] is None
    assert models["b"]["wb_reward"]["b"]["is_self"]
    assert (models["b"]["wb_reward_mix"], models["b"]["wb_reward_mix_without_self"]) == (-50.0, -100.0)
    assert "wb_score" not in models["c"]
    with_margin = {m["name"]: m for m in leaderboard([tmp_path / "v.jsonl"], margin=500).to_json()["models"]}
    assert with_margin["m"]["wb_reward"]["b"]["reward"] == 0.0
