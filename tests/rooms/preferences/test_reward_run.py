from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

import agora.rooms.preferences.reward_run as module
from agora.core.errors import AgoraError, ConfigError, DataError, MissingError, UsageError
from agora.core.records import Measure, Message, PreferencePair
from agora.core.tables import read_json, read_records, write_jsonl
from agora.rooms.preferences.pair_scores import ScoredPair
from agora.rooms.preferences.reward_run import RewardEvalSettings, evaluate_reward_file
from agora.rooms.preferences.rewardbench import SECTIONS
from agora.rooms.preferences.scorers import OpenedScorer, parse_scorer
from tests.rooms.preferences.rewards import last_word_scorer, make_pair

FEW = RewardEvalSettings(n_boot=100, batch_pairs=4)


def write_pairs(path: Path, pairs: Sequence[PreferencePair]) -> Path:
    write_jsonl(path, pairs)
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rng = random.Random(0)
    made = [
        make_pair(i, f"better {rng.gauss(1, 1):.3f}", f"worse, and longer {rng.gauss(0, 1):.3f}", subset="ab"[i % 2])
        for i in range(40)
    ]
    return write_pairs(tmp_path / "pairs.jsonl", made)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Opens a scorer that reads the number at an answer's end, and notes how often it was opened."""
    calls: list[str] = []

    def open_last_word(uri: str, **options: object) -> OpenedScorer:
        calls.append(uri)
        return OpenedScorer(parse_scorer(uri), last_word_scorer)

    monkeypatch.setattr(module, "open_scorer", open_last_word)
    return calls


def test_length_needs_no_model_and_writes_nothing_without_a_folder(pairs: Path, tmp_path: Path) -> None:
    done = evaluate_reward_file("length:", pairs, FEW)
    assert done.evaluation.overall.accuracy.estimate == 0.0
    assert done.evaluation.calibration is None
    assert (done.report, done.scores) == (None, None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pairs.jsonl"]


def test_a_folder_gets_scores_numbers_measures_and_a_page(pairs: Path, tmp_path: Path, opened: list[str]) -> None:
    done = evaluate_reward_file(
        "reward:rm", pairs, FEW, out=tmp_path / "out", command="agora preferences reward-eval X"
    )
    assert done.report is not None and done.scores is not None
    rows = list(read_records(done.scores, ScoredPair))
    assert [row.id for row in rows] == [f"p{i}" for i in range(40)]
    assert read_json(tmp_path / "out/evaluation.json") == done.as_json()
    measures = {m.name: m for m in read_records(tmp_path / "out/measures.jsonl", Measure)}
    assert measures["pairwise_accuracy"].value == done.evaluation.overall.accuracy.estimate
    assert set(measures) == {"pairwise_accuracy", "longer_wins", "accuracy_over_longer", "brier"}
    page = done.report.read_text()
    for shown in (
        "reward:rm on pairs.jsonl",
        "agora preferences reward-eval X",
        "Reliability",
        "Most confident errors",
    ):
        assert shown in page


def test_a_finished_folder_is_reported_again_without_the_model(pairs: Path, tmp_path: Path, opened: list[str]) -> None:
    first = evaluate_reward_file("reward:rm", pairs, FEW, out=tmp_path / "out")
    half = RewardEvalSettings(n_boot=100, ties="half", errors=2)
    again = evaluate_reward_file("reward:rm", pairs, half, out=tmp_path / "out")
    assert opened == ["reward:rm"]
    assert again.evaluation.ties == "half"
    assert again.evaluation.overall.accuracy.estimate == first.evaluation.overall.accuracy.estimate


def test_a_stopped_evaluation_goes_on_where_it_stopped(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[str] = []

    def dies_after(limit: int) -> object:
        def open_it(uri: str, **options: object) -> OpenedScorer:
            def score(talks: Sequence[tuple[Message, ...]]) -> list[float | None]:
                if len(scored) >= limit:
                    raise KeyboardInterrupt
                scored.extend(t[0].content for t in talks)
                return last_word_scorer(talks)

            return OpenedScorer(parse_scorer(uri), score)

        return open_it

    monkeypatch.setattr(module, "open_scorer", dies_after(20))
    with pytest.raises(KeyboardInterrupt):
        evaluate_reward_file("reward:rm", pairs, FEW, out=tmp_path / "out")
    with (tmp_path / "out/scores.jsonl").open("a") as file:
        file.write('{"schema": "scored_pair/1", "id": "p1')  # a line that a killed process left half-written
    monkeypatch.setattr(module, "open_scorer", dies_after(10**6))
    resumed = evaluate_reward_file("reward:rm", pairs, FEW, out=tmp_path / "out")
    assert len(scored) == 80 and len(set(scored)) == 40
    whole = evaluate_reward_file("reward:rm", pairs, FEW, out=tmp_path / "unbroken")
    assert (tmp_path / "out/scores.jsonl").read_bytes() == (tmp_path / "unbroken/scores.jsonl").read_bytes()
    assert resumed.evaluation.as_json() == whole.evaluation.as_json()


def test_another_model_or_changed_pairs_are_refused_in_the_same_folder(
    pairs: Path, tmp_path: Path, opened: list[str]
) -> None:
    evaluate_reward_file("reward:rm", pairs, FEW, out=tmp_path / "out")
    with pytest.raises(ConfigError, match="model"):
        evaluate_reward_file("reward:other", pairs, FEW, out=tmp_path / "out")
    write_pairs(pairs, [make_pair(0)])
    with pytest.raises(ConfigError, match="data"):
        evaluate_reward_file("reward:rm", pairs, FEW, out=tmp_path / "out")


def test_rows_that_give_no_pair_are_counted_and_kept(tmp_path: Path, opened: list[str]) -> None:
    rows = [
        {"prompt": f"q{i}", "chosen": f"good {i}", "rejected": "bad 0" if i else f"good {i}", "subset": "mine"}
        for i in range(8)
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    done = evaluate_reward_file("reward:rm", tmp_path / "pairs.jsonl", FEW, out=tmp_path / "out")
    assert done.rejected == {"identical sides": 1}
    assert done.evaluation.overall.accuracy.n == 7
    assert (tmp_path / "out/rejects.jsonl").read_text().count("\n") == 1


def test_a_rewardbench_file_gets_its_sections(tmp_path: Path) -> None:
    rows = [
        {
            "id": i,
            "prompt": f"question {i}",
            "chosen": "no" if name.startswith("llmbar") else "a long answer",
            "rejected": "a long answer" if name.startswith("llmbar") else "no",
            "subset": name,
            "chosen_model": "a",
            "rejected_model": "b",
        }
        for i, name in enumerate(name for section in SECTIONS.values() for name in section)
    ]
    (tmp_path / "bench.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    found = evaluate_reward_file("length:", tmp_path / "bench.jsonl", FEW, out=tmp_path / "out").evaluation.rewardbench
    assert found is not None and found.without_prior is not None and found.with_prior is None
    assert found.without_prior.estimate == pytest.approx((3 + 37 / 456) / 4)
    assert "RewardBench" in (tmp_path / "out/report.html").read_text()


def test_the_page_escapes_what_answers_hold_and_cuts_long_texts(tmp_path: Path, opened: list[str]) -> None:
    evil = "<script>alert(1)</script> " + "x" * 900 + " -5"
    made = [make_pair(i, evil, "plain 5", prompt=f"<b>q{i}</b>") for i in range(3)]
    data = write_pairs(tmp_path / "pairs.jsonl", made)
    page = evaluate_reward_file("reward:rm", data, FEW, out=tmp_path / "cut").report
    assert page is not None
    assert "<script>alert(1)" not in page.read_text() and "&lt;script&gt;alert(1)" in page.read_text()
    assert "x" * 500 not in page.read_text()
    whole = RewardEvalSettings(n_boot=100, full_text=True)
    page = evaluate_reward_file("reward:rm", data, whole, out=tmp_path / "whole").report
    assert page is not None and "x" * 500 in page.read_text()


def test_wrong_input_is_told_before_any_model_is_loaded(pairs: Path, tmp_path: Path, opened: list[str]) -> None:
    with pytest.raises(UsageError, match="did you mean length:"):
        evaluate_reward_file("lenght:", pairs)
    with pytest.raises(MissingError, match=r"pairs\.json"):
        evaluate_reward_file("reward:rm", tmp_path / "pairs.json")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DataError):
        evaluate_reward_file("reward:rm", tmp_path / "empty.jsonl")
    assert opened == []


def test_a_broken_scorer_leaves_the_scores_so_far(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def score(talks: Sequence[tuple[Message, ...]]) -> list[float | None]:
        if any(t[0].content == "question 20" for t in talks):
            raise AgoraError("the server is gone")
        return last_word_scorer(talks)

    monkeypatch.setattr(module, "open_scorer", lambda uri, **more: OpenedScorer(parse_scorer(uri), score))
    with pytest.raises(AgoraError, match="the server is gone"):
        evaluate_reward_file("reward:rm", pairs, FEW, out=tmp_path / "out")
    assert len(list(read_records(tmp_path / "out/scores.jsonl", ScoredPair))) == 20


def test_length_on_human_preferences(shared_dir: Path) -> None:
    """The longer of two answers was chosen in 1,025 of 2,308 pairs of the harmless test set, with 11 ties."""
    data = shared_dir / "data/preference/hh_rlhf/harmless_base_test.jsonl.gz"
    done = evaluate_reward_file("length:", data, FEW)
    overall = done.evaluation.overall
    assert (round(overall.accuracy.estimate * overall.accuracy.n), overall.accuracy.n, overall.ties) == (1025, 2308, 11)
    assert done.rejected == {"empty answer": 4}
    demo = evaluate_reward_file("length:", shared_dir / "data/preference/llama_factory/dpo_en_demo.json.gz", FEW)
    assert round(300 * demo.evaluation.overall.accuracy.estimate) == 131


def test_subsets_of_llmbar_stay_apart(shared_dir: Path) -> None:
    done = evaluate_reward_file("length:", shared_dir / "data/preference/llmbar/llmbar_pairs.jsonl.gz", FEW)
    found = {g.name: round(100 * g.accuracy.estimate, 1) for g in done.evaluation.by_subset}
    assert found["natural"] == 56.0 and found["adver_neighbor"] == 11.9 and len(found) == 8
    assert sum(done.rejected.values()) == 2  # one pair has equal sides, one an empty answer
