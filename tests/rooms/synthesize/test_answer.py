"""Answers: kept samples only, greedy by default, nothing asked twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import CapabilityError, ConfigError, EngineError
from agora.core.records import Sample
from agora.engines.types import ChatRequest, Generation, Sampling, Usage
from agora.rooms.synthesize import PrefixTemplate, Slice, answer_samples, draw_instructions
from agora.rooms.synthesize.answer import split_reasoning
from tests.rooms.synthesize.scripted import ScriptedEngine, write_answer

TEMPLATE = PrefixTemplate("scripted:1", "template", "U:", "A:", "U:", prefix_ids=(1,))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(draw_instructions(ScriptedEngine(), TEMPLATE, [Slice("a", 80)], run_id="run"))


def test_kept_samples_are_answered_and_the_others_pass_through_in_order(samples: list[Sample]) -> None:
    engine = ScriptedEngine(write_answer, order=4)
    answered = list(answer_samples(samples, engine))
    assert [s.id for s in answered] == [s.id for s in samples]
    assert all(after == before for before, after in zip(samples, answered, strict=True) if not before.kept)
    kept = [s for s in answered if s.kept]
    assert all(s.answer == f"Here it is: {s.instruction}" for s in kept)
    assert len(engine.requests) == len(kept) < len(samples)
    assert {r.sampling.temperature for r in engine.requests} == {0.0}
    assert kept[0].answer_gen["completion_tokens"] > 0
    assert kept[0].messages[-1].parent == kept[0].messages[-2].id


def test_sampled_answers_have_a_seed_each(samples: list[Sample]) -> None:
    engine = ScriptedEngine(write_answer)
    list(answer_samples(samples, engine, Sampling(temperature=0.6, seed=3)))
    seeds = {r.sampling.seed for r in engine.requests}
    assert len(seeds) == len(engine.requests)
    again = ScriptedEngine(write_answer, order=8, in_flight=2)
    list(answer_samples(reversed(samples), again, Sampling(temperature=0.6, seed=3)))
    assert {(r.id, r.sampling.seed) for r in again.requests} == {(r.id, r.sampling.seed) for r in engine.requests}


@pytest.mark.parametrize(
    ("text", "finish", "reason", "flags"),
    [
        ("It goes on and", "length", "answer_length", ("answer_truncated",)),
        ("", "empty", "answer_empty", ()),
        ("", "error", "answer_error", ()),
    ],
)
def test_a_bad_answer_takes_its_sample_out_with_a_reason(
    samples: list[Sample], text: str, finish: Any, reason: str, flags: tuple[str, ...]
) -> None:
    engine = ScriptedEngine(lambda r: Generation(r.id, text, finish, error="x"))
    first = next(s for s in samples if s.kept)
    (answered,) = answer_samples([first], engine)
    assert (answered.kept, answered.reason, answered.flags) == (False, reason, flags)


def test_truncated_answers_are_kept_only_on_request(samples: list[Sample]) -> None:
    engine = ScriptedEngine(lambda r: Generation(r.id, "It goes on and", "length"))
    first = next(s for s in samples if s.kept)
    (answered,) = answer_samples([first], engine, keep_truncated=True)
    assert (answered.kept, answered.flags) == (True, ("answer_truncated",))


def test_a_rerun_asks_nothing_and_a_broken_one_goes_on(samples: list[Sample], tmp_path: Path) -> None:
    expected = list(answer_samples(samples, ScriptedEngine(write_answer)))
    kept = sum(s.kept for s in samples)
    left = 20

    def dying(request: ChatRequest) -> Generation:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("gone")
        return write_answer(request)

    with pytest.raises(RuntimeError):
        list(answer_samples(samples, ScriptedEngine(dying, order=2), journal=tmp_path / "answers.jsonl"))
    engine = ScriptedEngine(write_answer, order=5)
    assert list(answer_samples(samples, engine, journal=tmp_path / "answers.jsonl")) == expected
    assert len(engine.requests) == kept - 20
    engine = ScriptedEngine(write_answer)
    assert list(answer_samples(samples, engine, journal=tmp_path / "answers.jsonl")) == expected
    assert engine.requests == []


def test_failed_answers_are_asked_for_again(samples: list[Sample], tmp_path: Path) -> None:
    failing = ScriptedEngine(lambda r: Generation(r.id, "", "error", error="reset"))
    list(answer_samples(samples, failing, journal=tmp_path / "answers.jsonl"))
    again = list(answer_samples(samples, ScriptedEngine(write_answer), journal=tmp_path / "answers.jsonl"))
    assert again == list(answer_samples(samples, ScriptedEngine(write_answer)))


def test_answers_to_other_questions_or_settings_are_not_reused(samples: list[Sample], tmp_path: Path) -> None:
    journal = tmp_path / "answers.jsonl"
    first = next(s for s in samples if s.kept)
    list(answer_samples([first], ScriptedEngine(write_answer), journal=journal))
    changed = replace(first, messages=(replace(first.messages[0], content="Something else entirely?"),))
    with pytest.raises(ConfigError, match="other messages or settings"):
        list(answer_samples([changed], ScriptedEngine(write_answer), journal=journal))
    with pytest.raises(ConfigError, match="other messages or settings"):
        list(answer_samples([first], ScriptedEngine(write_answer), Sampling(max_tokens=3), journal=journal))


def test_a_lost_answer_and_a_missing_capability_are_errors(samples: list[Sample]) -> None:
    with pytest.raises(CapabilityError):
        answer_samples(samples, ScriptedEngine(capabilities=("complete",)))
    silent = ScriptedEngine(write_answer)
    silent.chat = lambda requests: iter([Generation("unknown", "?", "stop_token") for _ in requests])  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="gave no answer to sample"):
        list(answer_samples(samples, silent))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Four.", ("Four.", None)),
        ("<think>\n2+2\n</think>\n\nFour.", ("Four.", "2+2")),
        ("2+2\n</think>\n\nFour.", ("Four.", "2+2")),
        ("<think>2+2 is", ("", "2+2 is")),
    ],
)
def test_reasoning_is_stored_apart(text: str, parts: tuple[str, str | None]) -> None:
    assert split_reasoning(text) == parts


def test_a_reasoning_answer_keeps_its_thoughts_in_meta(samples: list[Sample]) -> None:
    engine = ScriptedEngine(lambda r: Generation(r.id, "2+2</think>Four.", "stop_token", usage=Usage(1, 2)))
    (answered,) = answer_samples([next(s for s in samples if s.kept)], engine)
    assert (answered.answer, answered.messages[-1].meta) == ("Four.", {"reasoning": "2+2"})
