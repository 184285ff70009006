"""Multiple choice by log-probabilities: MMLU-like files and TruthfulQA."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import CapabilityError, DataError
from agora.engines.hf import HfEngine
from agora.rooms.preferences.suite.choice import MultipleChoice, read_letter
from agora.rooms.preferences.suite.run import run_suite
from agora.rooms.preferences.suite.truthfulqa import TruthfulQa
from tests.rooms.preferences.suite.support import FunctionEngine
from tests.tiny import make_tiny_model

ROWS: list[dict[str, Any]] = [
    {"question": "Two and two?", "choices": ["3", "4", "5", "6"], "answer": 1, "subject": "elementary_mathematics"},
    {"question": "Sky?", "choices": ["blue", "red"], "answer": "A"},
    {"question": "Grass?", "choices": ["blue", "green", "red"], "answer": "green"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_questions_are_shown_with_lettered_options(tmp_path: Path) -> None:
    items = MultipleChoice(write(tmp_path / "mmlu.jsonl", ROWS)).items()
    assert [item.target for item in items] == ["B", "A", "B"]
    text = items[0].messages[0].content
    assert "about elementary mathematics" in text
    assert text.endswith("Two and two?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:")
    assert items[0].prefix == "The answer is:"


@pytest.mark.parametrize(
    "head", ["", "question,A,B,C,D,answer\n", "\ufeffQuestion,A,B,C,D,Answer\n".replace("Q", "q", 1)]
)
def test_csv_is_read_with_and_without_a_head_line(tmp_path: Path, head: str) -> None:
    path = tmp_path / "mmlu.csv"
    path.write_text(head.replace("Answer", "answer") + '"Two, and two?",3,4,5,6,B\n', encoding="utf-8")
    (item,) = MultipleChoice(path).items()
    assert item.target == "B" and "Two, and two?" in item.messages[0].content


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"question": "Q?", "choices": ["x"], "answer": 0}, "two or more"),
        ({"question": "Q?", "choices": ["x", "y"], "answer": "C"}, "none of the 2"),
        ({"question": "Q?", "choices": ["x", "y"], "answer": -1}, "none of the 2"),
        ({"choices": ["x", "y"], "answer": 1}, "no column"),
    ],
)
def test_bad_row_is_named(tmp_path: Path, row: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=f"mmlu.jsonl:2.*{what}"):
        MultipleChoice(write(tmp_path / "mmlu.jsonl", [ROWS[1], row])).items()


def test_most_probable_letter_is_the_answer(tmp_path: Path) -> None:
    test = MultipleChoice(write(tmp_path / "mmlu.jsonl", ROWS))
    engine = FunctionEngine(logprob=lambda prompt, text: -0.1 if text == " B" else -3.0, capabilities=("score",))
    report = run_suite(engine, [test], tmp_path / "run")
    assert [(r.prediction, r.score) for r in report.results()] == [("B", 1.0), ("B", 0.0), ("B", 1.0)]
    assert report.by_test["mmlu"].figure.value == pytest.approx(200 / 3)
    assert all(prompt.endswith("Answer:\n The answer is:") or "The answer is:" in prompt for prompt in engine.asked)


def test_engine_without_log_probabilities_is_told_what_would_do(tmp_path: Path) -> None:
    test = MultipleChoice(write(tmp_path / "mmlu.jsonl", ROWS))
    with pytest.raises(CapabilityError, match=r"lacks 'score'.*hf:MODEL"):
        run_suite(FunctionEngine(), [test], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_generated_letters_are_a_test_of_their_own(tmp_path: Path) -> None:
    test = MultipleChoice(write(tmp_path / "mmlu.jsonl", ROWS), name="mmlu-text", by_text=True)
    report = run_suite(FunctionEngine(lambda prompt: " B."), [test], tmp_path / "run")
    assert report.by_test["mmlu-text"].figure.value == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" (c) because", "C"),
        ("The answer is D.", "D"),
        ("I think A. is wrong; the answer is B", "B"),
        ("E", None),
        ("Apples", None),
        ("A dog is (b)", "B"),
        ("", None),
    ],
)
def test_written_letter_is_read(text: str, letter: str | None) -> None:
    assert read_letter(text, "ABCD") == letter


def test_scores_of_a_real_model_are_next_token_probabilities(tmp_path: Path) -> None:
    import torch

    engine = HfEngine.load(str(make_tiny_model(tmp_path / "model", seed=0)))
    test = MultipleChoice(write(tmp_path / "mmlu.jsonl", ROWS[:1]))
    (result,) = run_suite(engine, [test], tmp_path / "run").results()
    assert result.meta["shape"] == "template"
    rendered = engine.tokenizer.apply_chat_template(
        [{"role": "user", "content": test.items()[0].messages[0].content}], add_generation_prompt=True, tokenize=False
    )
    for letter, logprob in result.meta["logprobs"].items():
        prompt = engine.tokenizer.encode(rendered + " The answer is:")
        ids = engine.tokenizer.encode(f" {letter}")
        with torch.no_grad():
            logits = engine.model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
        expected = sum(float(logits[len(prompt) - 1 + i, token]) for i, token in enumerate(ids))
        assert logprob == pytest.approx(expected, abs=1e-4)


TRUTH = {
    "question": "What do cats eat?",
    "mc1_targets": {"choices": ["Mice", "Stones"], "labels": [1, 0]},
    "mc2_targets": {"choices": ["Mice", "Birds", "Stones"], "labels": [1, 1, 0]},
}


def test_truthfulqa_counts_the_likeliest_answer_and_the_true_mass(tmp_path: Path) -> None:
    chances = {" Mice": 0.5, " Birds": 0.2, " Stones": 0.1}
    engine = FunctionEngine(logprob=lambda prompt, text: math.log(chances[text]), capabilities=("score",))
    report = run_suite(engine, [TruthfulQa(write(tmp_path / "t.jsonl", [TRUTH]))], tmp_path / "run")
    figures = report.by_test["truthfulqa-mc"]
    assert figures.figure.value == 100.0
    assert figures.more["mc2"] == pytest.approx(100 * 0.7 / 0.8)
    assert engine.asked[0].count("Q: ") == 7 and "A:" in engine.asked[0]


def test_truthfulqa_tie_is_not_knowledge(tmp_path: Path) -> None:
    engine = FunctionEngine(capabilities=("score",))
    report = run_suite(engine, [TruthfulQa(write(tmp_path / "t.jsonl", [TRUTH]))], tmp_path / "run")
    assert report.by_test["truthfulqa-mc"].figure.value == 0.0


def test_truthfulqa_csv_and_mapping_give_the_same_answers(tmp_path: Path) -> None:
    path = tmp_path / "TruthfulQA.csv"
    head = "Type,Question,Best Answer,Correct Answers,Incorrect Answers\n"
    path.write_text(f"{head}A,What do cats eat?,Mice,Mice; Birds,Stones\n", encoding="utf-8")
    (from_csv,) = TruthfulQa(path).items()
    mapping = {"question": TRUTH["question"], "mc1_targets": {"Mice": 1, "Stones": 0}}
    mapping["mc2_targets"] = {"Mice": 1, "Birds": 1, "Stones": 0}
    (from_map,) = TruthfulQa(write(tmp_path / "t.jsonl", [mapping])).items()
    assert from_csv == from_map


def test_truthfulqa_without_a_false_answer_is_refused(tmp_path: Path) -> None:
    row = {"question": "Q?", "mc1_targets": {"Yes": 1}}
    with pytest.raises(DataError, match=r"t\.jsonl:1"):
        TruthfulQa(write(tmp_path / "t.jsonl", [row])).items()
