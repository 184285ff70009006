"""Self-Instruct: tasks from seeds, new ones only, the same on every run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import CapabilityError, ConfigError, EngineError
from agora.core.tables import write_jsonl
from agora.engines.types import ChatRequest, CompleteRequest, Generation, Usage
from agora.rooms.synthesize.self_instruct import (
    Pool,
    SelfInstruct,
    read_seeds,
    read_tasks,
    rouge_l,
    self_instruct,
    words,
)
from tests.rooms.synthesize.scripted import ScriptedEngine

SEEDS = ["Name the capital of France.", "Translate 'good morning' into Spanish.", "Write a haiku about frogs."]
NOUNS = ("river", "clock", "violin", "harbor", "theorem", "recipe", "comet", "novel", "garden", "engine")
VERBS = ("Describe", "Compare", "Explain", "Summarize", "Question", "Defend", "Rewrite", "Estimate")


def write(request: Any) -> Generation:
    rng = random.Random(request.sampling.seed)
    tasks = [
        f"{rng.choice(VERBS)} {rng.choice(NOUNS)} number {rng.randrange(90)} {rng.choice(NOUNS)}" for _ in range(3)
    ]
    text = f" {tasks[0]}\nTask 10: {tasks[1]}\nTask 11: {tasks[2]}"
    return Generation(request.id, text, "stop_token", usage=Usage(30, 20))


def settings(**more: Any) -> SelfInstruct:
    return SelfInstruct("seeds", round_size=8, **more)


def test_new_tasks_are_kept_and_near_repeats_are_refused_with_their_likeness() -> None:
    found = list(self_instruct(ScriptedEngine(write), SEEDS, 40, run_id="r", settings=settings()))
    kept = [s for s in found if s.kept]
    assert len(kept) == 40
    refused = [s for s in found if not s.kept]
    assert refused and all(s.reason == "duplicate" and s.gen["rouge_l"] >= 0.7 for s in refused)
    texts = [s.instruction for s in kept]
    worst = max(rouge_l(a, b) for i, a in enumerate(texts) for b in [*texts[:i], *SEEDS])
    assert worst < 0.7


def test_the_order_in_which_replies_come_back_changes_nothing_and_a_rerun_asks_nothing(tmp_path: Path) -> None:
    runs = [
        list(self_instruct(ScriptedEngine(write, order=o, in_flight=o * 3), SEEDS, 30, run_id="r", settings=settings()))
        for o in (1, 2)
    ]
    assert runs[0] == runs[1]
    journal = tmp_path / "j.jsonl"
    list(self_instruct(ScriptedEngine(write), SEEDS, 30, run_id="r", settings=settings(), journal=journal))
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:5]) + lines[5][:20])
    engine = ScriptedEngine(write)
    again = list(self_instruct(engine, SEEDS, 30, run_id="r", settings=settings(), journal=journal))
    assert again == runs[0]
    assert len(engine.requests) == len(lines) - 5
    with pytest.raises(ConfigError, match="other seeds or settings"):
        list(self_instruct(engine, SEEDS[:2], 30, run_id="r", settings=settings(), journal=journal))


def test_prompts_show_six_seeds_and_two_own_tasks_numbered() -> None:
    engine = ScriptedEngine(write)
    seeds = [f"Seed task {chr(97 + i)} {chr(107 + i)}" for i in range(12)]
    list(self_instruct(engine, seeds, 30, run_id="r", settings=settings()))
    last = engine.requests[-1]
    assert isinstance(last, CompleteRequest) and last.prompt is not None
    lines = last.prompt.split("\n")
    assert [line.split(":")[0] for line in lines] == [f"Task {i}" for i in range(1, 10)]
    assert sum(line.partition(": ")[2] in seeds for line in lines) == 6


def test_a_chat_model_can_be_asked_too() -> None:
    engine = ScriptedEngine(write, capabilities=("chat",))
    found = list(self_instruct(engine, SEEDS, 5, run_id="r", settings=settings(style="chat")))
    assert sum(s.kept for s in found) == 5 and isinstance(engine.requests[0], ChatRequest)
    with pytest.raises(CapabilityError, match="complete"):
        next(self_instruct(engine, SEEDS, 5, run_id="r", settings=settings()))


def test_a_writer_without_ideas_stops_at_the_limit_of_requests() -> None:
    def same(request: Any) -> Generation:
        return Generation(request.id, " Name the capital of France.", "stop_token")

    found = list(self_instruct(ScriptedEngine(same), SEEDS, 5, run_id="r", settings=settings(max_requests=16)))
    assert len(found) == 16 and not any(s.kept for s in found)
    with pytest.raises(EngineError, match="every request of a round failed: gone"):
        broken = ScriptedEngine(lambda r: Generation(r.id, "", "error", error="gone"))
        list(self_instruct(broken, SEEDS, 5, run_id="r", settings=settings()))


WORDS = st.lists(st.sampled_from("abcdef"), max_size=9).map(" ".join)


def slow_lcs(a: list[str], b: list[str]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        last = 0
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], (last + 1 if x == y else max(row[j], row[j - 1]))
    return row[-1]


@given(WORDS, WORDS)
def test_rouge_l_is_that_of_the_plain_algorithm(a: str, b: str) -> None:
    total = len(words(a)) + len(words(b))
    expected = 2 * slow_lcs(words(a), words(b)) / total if total else 0.0
    assert rouge_l(a, b) == pytest.approx(expected)
    assert rouge_l(a, b) == pytest.approx(rouge_l(b, a))


@given(st.lists(WORDS.filter(bool), max_size=12))
def test_the_pool_refuses_exactly_what_is_too_like_something_in_it(texts: list[str]) -> None:
    pool = Pool([], 0.7)
    kept: list[str] = []
    for text in texts:
        likest = max((rouge_l(text, old) for old in kept), default=0.0)
        assert (pool.add(text) >= 0.7) == (likest >= 0.7)
        if likest < 0.7:
            kept.append(text)
    assert pool.own == kept


@pytest.mark.parametrize(
    ("text", "complete", "tasks"),
    [
        (" One.\nTask 10: Two.\nTask 11: Three", True, ["One.", "Two.", "Three"]),
        (" One.\nTask 10: Two.\nTask 11: Thr", False, ["One.", "Two."]),
        ("One.\nResult: it is one.\n10. Two.", True, ["One.", "Two."]),
        ("\nTask 9: One.", True, ["One."]),
        ("", True, []),
    ],
)
def test_a_reply_is_read_as_a_list(text: str, complete: bool, tasks: list[str]) -> None:
    assert read_tasks(text, 8, complete=complete) == tasks


def test_seeds_come_from_rows_or_lines(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "s.jsonl",
        [{"instruction": "A b."}, {"prompt": "C d."}, {"messages": [{"role": "user", "content": "E."}]}, {"x": 1}],
    )
    assert read_seeds(tmp_path / "s.jsonl") == ["A b.", "C d.", "E."]
    (tmp_path / "s.txt").write_text("A b.\n\nA b.\nC d.\n")
    assert read_seeds(tmp_path / "s.txt") == ["A b.", "C d."]
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(ConfigError, match="no task among the seeds"):
        read_seeds(tmp_path / "none.txt")
