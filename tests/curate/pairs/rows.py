"""One row of every format, made by hand, and the pair that it holds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from agora.core.jsonl import Rejects
from agora.core.records import Message, PreferencePair
from agora.curate.pairs import ReadTally, read_pairs

Plain = list[tuple[str, str]]
Q, A, B = "Name a color.", "Red.", "Seven."
USER: Plain = [("user", Q)]


def chat(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def plain(messages: Iterable[Message]) -> Plain:
    return [(m.role, m.content) for m in messages]


def texts(pair: PreferencePair) -> tuple[Plain, Plain, Plain]:
    return plain(pair.prompt), plain(pair.chosen), plain(pair.rejected)


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_all(path: Path, **options: Any) -> tuple[list[PreferencePair], Rejects, ReadTally]:
    rejects, tally = Rejects(), ReadTally()
    return list(read_pairs(path, rejects=rejects, tally=tally, **options)), rejects, tally


def read_rows_as(tmp_path: Path, rows: Iterable[Any], **options: Any) -> list[PreferencePair]:
    return read_all(write_lines(tmp_path / "rows.jsonl", rows), **options)[0]


def pair(prompt: str = Q, chosen: str = A, rejected: str = B, **more: Any) -> PreferencePair:
    sides = [(Message("assistant", text),) for text in (chosen, rejected)]
    given = more.pop("id", f"{prompt}|{chosen}|{rejected}")
    return PreferencePair(given, (Message("user", prompt),), sides[0], sides[1], **more)


RED: Plain = [("assistant", A)]
SEVEN: Plain = [("assistant", B)]


class Sample(NamedTuple):
    """Rows of a format that give exactly one pair."""

    format: str
    rows: list[dict[str, Any]]
    prompt: Plain = USER
    chosen: Plain = RED
    rejected: Plain = SEVEN


def _prm(phase: int) -> list[dict[str, Any]]:
    if phase == 2:
        question = {"problem": Q, "ground_truth_solution": A, "ground_truth_answer": "x"}
        wrong = {"question": {**question, "pre_generated_steps": ["Se", "ven."]}, "label": {"steps": []}}
        right = {"question": {**question, "pre_generated_steps": ["Re", "d."]}, "label": {"steps": []}}
        wrong["label"]["finish_reason"], right["label"]["finish_reason"] = "found_error", "solution"  # type: ignore[assignment,index]
        return [right, wrong]
    step = {"completions": [{"text": A, "rating": 1}, {"text": B, "rating": -1}], "chosen_completion": 0}
    return [{"question": {"problem": Q}, "label": {"steps": [step], "finish_reason": "solution"}}]


HUMAN = f"\n\nHuman: {Q}\n\nAssistant:"
CHOSEN_CHAT, REJECTED_CHAT = chat(("user", Q), ("assistant", A)), chat(("user", Q), ("assistant", B))
SAMPLES = [
    Sample("trl", [{"prompt": Q, "chosen": A, "rejected": B}]),
    Sample(
        "trl",
        [
            {
                "prompt": chat(("system", "Be brief."), ("user", Q)),
                "chosen": chat(("assistant", A)),
                "rejected": chat(("assistant", B)),
            }
        ],
        prompt=[("system", "Be brief."), ("user", Q)],
    ),
    Sample("trl", [{"prompt": Q, "prompt_id": "7", "chosen": CHOSEN_CHAT, "rejected": REJECTED_CHAT, "messages": []}]),
    Sample("trl-implicit", [{"chosen": CHOSEN_CHAT, "rejected": REJECTED_CHAT}]),
    Sample("tulu-2.5", [{"chosen": CHOSEN_CHAT, "rejected": REJECTED_CHAT, "source": "hh_rlhf"}]),
    Sample(
        "capybara",
        [
            {
                "prompt": Q,
                "chosen": CHOSEN_CHAT,
                "rejected": REJECTED_CHAT,
                "rating_chosen": 5,
                "rating_rejected": 3,
                "source": "Airoboros",
            }
        ],
    ),
    Sample(
        "trl-unpaired",
        [{"prompt": Q, "completion": B, "label": False}, {"prompt": Q, "completion": A, "label": True}],
    ),
    Sample(
        "trl-stepwise",
        [
            {"prompt": Q, "completions": ["Re", "d."], "labels": [True, True]},
            {"prompt": Q, "completions": ["Se", "ven."], "labels": [True, False]},
        ],
        chosen=[("assistant", "Re\nd.")],
        rejected=[("assistant", "Se\nven.")],
    ),
    Sample("hh", [{"chosen": f"{HUMAN} {A}", "rejected": f"{HUMAN} {B}"}]),
    Sample(
        "sharegpt",
        [
            {
                "conversations": [{"from": "human", "value": Q}],
                "chosen": {"from": "gpt", "value": A},
                "rejected": {"from": "gpt", "value": B},
            }
        ],
    ),
    Sample(
        "alpaca",
        [
            {
                "instruction": "Name a",
                "input": "color.",
                "system": "Be brief.",
                "history": [["Hi", "Hello"]],
                "chosen": A,
                "rejected": B,
            }
        ],
        prompt=[("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Name a\ncolor.")],
    ),
    Sample("openrlhf:prompt=ask,chosen=good,rejected=bad", [{"ask": Q, "good": A, "bad": B}]),
    Sample("openrlhf:chosen=good,rejected=bad", [{"good": CHOSEN_CHAT, "bad": REJECTED_CHAT}]),
    Sample(
        "orca",
        [{"system": "", "question": Q, "chosen": A, "rejected": B}],
    ),
    Sample(
        "orca",
        [{"system": "Be brief.", "input": Q, "chosen": A, "rejected": B, "status": "unchanged"}],
        prompt=[("system", "Be brief."), ("user", Q)],
    ),
    Sample(
        "rewardbench",
        [
            {
                "prompt": Q,
                "chosen": A,
                "chosen_model": "m",
                "rejected": B,
                "rejected_model": "n",
                "subset": "donotanswer",
                "id": 3,
            }
        ],
    ),
    Sample(
        "shp",
        [
            {
                "post_id": "p",
                "domain": "askbaking_train",
                "history": Q,
                "human_ref_A": B,
                "human_ref_B": A,
                "labels": 0,
                "score_A": 2,
                "score_B": 9,
            }
        ],
    ),
    Sample("stack-exchange", [{"qid": 1, "question": Q, "response_j": A, "response_k": B}]),
    Sample(
        "alpaca-judged",
        [{"instruction": "Name a", "input": "color.", "output_1": B, "output_2": A, "preference": 2}],
        prompt=[("user", "Name a\ncolor.")],
    ),
    Sample("llmbar", [{"input": Q, "output_1": A, "output_2": B, "label": 1}]),
    Sample(
        "tulu-raters",
        [
            {
                "prompt": Q,
                "model_a": "m",
                "completion_a": B,
                "model_b": "n",
                "completion_b": A,
                "preference": "b-is-slightly-better",
            }
        ],
    ),
    Sample(
        "arena-2023",
        [
            {
                "question_id": "q",
                "model_a": "m",
                "model_b": "n",
                "winner": "model_b",
                "judge": "judge_1",
                "conversation_a": REJECTED_CHAT,
                "conversation_b": CHOSEN_CHAT,
                "language": "English",
            }
        ],
    ),
    Sample(
        "arena-2024",
        [
            {
                "id": 1,
                "model_a": "m",
                "model_b": "n",
                "prompt": json.dumps([Q]),
                "response_a": json.dumps([A]),
                "response_b": json.dumps([B]),
                "winner_model_a": 1,
                "winner_model_b": 0,
                "winner_tie": 0,
            }
        ],
    ),
    Sample(
        "ultrafeedback",
        [
            {
                "source": "evol_instruct",
                "instruction": Q,
                "completions": [
                    {
                        "model": "m",
                        "response": B,
                        "overall_score": 9.0,
                        "annotations": {"honesty": {"Rating": "2"}, "helpfulness": {"Rating": "N/A"}},
                    },
                    {
                        "model": "n",
                        "response": A,
                        "overall_score": 4.0,
                        "annotations": {"honesty": {"Output": {"Rating": "4"}}, "helpfulness": {"Rating": "5"}},
                    },
                ],
            }
        ],
    ),
    Sample(
        "nectar",
        [
            {
                "prompt": f"{HUMAN} ",
                "answers": [{"answer": B, "model": "m", "rank": 3.0}, {"answer": A, "model": "n", "rank": 1.0}],
                "source": ["anthropic-hh"],
            }
        ],
    ),
    Sample(
        "helpsteer",
        [
            {
                "prompt": Q,
                "response": B,
                "helpfulness": 1,
                "correctness": 1,
                "coherence": 4,
                "complexity": 1,
                "verbosity": 4,
            },
            {
                "prompt": Q,
                "response": A,
                "helpfulness": 4,
                "correctness": 4,
                "coherence": 4,
                "complexity": 2,
                "verbosity": 0,
            },
        ],
    ),
    Sample(
        "magpie",
        [{"instruction": Q, "responses": [B, A], "rewards_armorm": [{"score": 0.1}, {"score": 0.2}], "uuid": "u"}],
    ),
    Sample(
        "scored",
        [
            {"prompt": Q, "response": A, "score": 8, "model": "m"},
            {"prompt": Q, "response": B, "score": 3, "model": "n"},
        ],
    ),
    Sample("prm800k", _prm(2), rejected=[("assistant", "Se\nven.")]),
    Sample("prm800k", _prm(1)),
]
