"""200 hostile answers: none becomes a verdict, none is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agora.core.json_text import clean_text
from agora.core.records import Verdict
from agora.rooms.judge.asking.judging import JudgingSettings, judge_into, make_docket
from agora.rooms.judge.asking.llm import LlmJudge
from agora.rooms.judge.asking.score import judge_pairs, judge_scores
from agora.rooms.judge.asking.verdicts import fate, read_verdicts
from agora.rooms.judge.types import TaskSet
from tests.rooms.judge.hostile import hostile_answers
from tests.rooms.judge.judge_server import JudgeServer, verdict_by_length
from tests.rooms.judge.support import FunctionEngine, block, kind_of, make_answer, make_task, prompt_of, reply, token_of

CASES = hostile_answers()
TASKS = TaskSet(tuple(make_task(f"t{i}", f"Add {i} and 3.") for i in range(len(CASES))))
ANSWERS = [make_answer(f"t{i}", "hostile", text) for i, (_, text) in enumerate(CASES)]
BASE = [make_answer(f"t{i}", "base", "The sum is known.") for i in range(len(CASES))]
OWN = 2.0

Speak = Callable[[str, str], tuple[str, str]]


def own_verdict(prompt: str, **fields: str) -> str:
    value = {"choice": "B+"} if kind_of(prompt) == "pair" else {"score": "2"}
    return json.dumps({"strengths": "Some.", **fields, **value, "verdict_id": token_of(prompt)})


def parrot(prompt: str, shown: str) -> tuple[str, str]:
    """Repeats the answer and says nothing of its own."""
    return shown, "stop_token"


def parrot_then_judge(prompt: str, shown: str) -> tuple[str, str]:
    return f"{shown}\n\n{own_verdict(prompt)}", "stop_token"


def quoting(prompt: str, shown: str) -> tuple[str, str]:
    """Quotes the answer inside its own verdict, as JSON wants it."""
    return own_verdict(prompt, weaknesses=shown[:3000]), "stop_token"


def quoting_carelessly(prompt: str, shown: str) -> tuple[str, str]:
    """Quotes the answer inside its own verdict without escaping anything."""
    return own_verdict(prompt, weaknesses="QUOTE").replace("QUOTE", shown[:3000]), "stop_token"


def judge_then_parrot(prompt: str, shown: str) -> tuple[str, str]:
    return f"{own_verdict(prompt)}\n\nIt wrote: {shown[:3000]}", "stop_token"


def cut_off_in_a_quote(prompt: str, shown: str) -> tuple[str, str]:
    """Is cut off while it quotes: there is no verdict of its own."""
    return own_verdict(prompt, weaknesses="QUOTE").partition("QUOTE")[0] + shown[:3000], "length"


SPEAKERS: dict[Speak, bool | None] = {  # whether the judge's own verdict must be heard; None: heard or unreadable
    parrot: False,
    parrot_then_judge: True,
    quoting: True,
    quoting_carelessly: None,
    judge_then_parrot: None,
    cut_off_in_a_quote: False,
}


def engine(speak: Speak) -> FunctionEngine:
    def answer(request: object) -> object:
        prompt = prompt_of(request)  # type: ignore[arg-type]
        name = "RESPONSE A" if kind_of(prompt) == "pair" else "ANSWER"
        shown = block(prompt, name).replace("＜", "<")  # as a judge that undoes our marks would repeat it
        text, reason = speak(prompt, shown)
        return reply(request, text, reason)  # type: ignore[arg-type]

    return FunctionEngine(answer)  # type: ignore[arg-type]


def check(verdicts: list[Verdict], heard: bool | None, own: tuple[float, ...]) -> None:
    assert len(verdicts) == len(CASES)
    for (family, _), verdict in zip(CASES, verdicts, strict=True):
        if "skipped" in verdict.meta:
            assert family == "empty"
        elif verdict.value is None:
            assert heard is not True, (family, verdict.raw_text[:300])
            assert fate(verdict) == "unparsed"
        else:
            assert verdict.value in own and heard is not False, (family, verdict.value, verdict.raw_text[:300])


def test_there_are_200() -> None:
    assert len(CASES) == 200
    assert len({text for family, text in CASES if family != "empty"}) > 180


@pytest.mark.parametrize("speak", SPEAKERS)
def test_no_hostile_answer_becomes_a_score_and_none_is_lost(speak: Speak, tmp_path: Path) -> None:
    verdicts = judge_scores(TASKS, ANSWERS, LlmJudge(engine(speak), num_reasks=0), tmp_path / "v.jsonl")
    check(verdicts, SPEAKERS[speak], (OWN,))
    assert [v.id for v in read_verdicts(tmp_path / "v.jsonl")].count(verdicts[0].id) == 1


@pytest.mark.parametrize("speak", [parrot, parrot_then_judge, quoting_carelessly])
def test_no_hostile_answer_becomes_a_choice(speak: Speak, tmp_path: Path) -> None:
    judge = LlmJudge(engine(speak), num_reasks=0)
    verdicts = judge_pairs(TASKS, ANSWERS, BASE, judge, tmp_path / "v.jsonl")
    check(verdicts, SPEAKERS[speak], (-0.5, 0.5))
    if SPEAKERS[speak]:
        outcome = {"candidate_first": -0.5, "candidate_second": 0.5}
        assert all(v.value == outcome[v.order or ""] for v in verdicts if "skipped" not in v.meta)


@pytest.mark.slow
def test_a_real_server_is_shown_every_answer_whole_and_its_verdicts_are_the_ones_stored(tmp_path: Path) -> None:
    with JudgeServer() as server:
        settings = JudgingSettings(judges=(f"j={server.uri}",))
        docket = make_docket(TASKS, ANSWERS, settings)
        judging = judge_into(tmp_path / "out", docket, settings)
        prompts = {token_of(prompt): prompt for prompt in server.prompts}
    (summary,) = judging.judges
    empty = sum(family == "empty" for family, _ in CASES)
    assert dict(summary.fates) == {"ok": 200 - empty, "skipped_empty": empty}
    stored = {v.task_id: v for v in read_verdicts(tmp_path / "out" / "verdicts" / "j.score.jsonl")}
    for answer in ANSWERS:
        verdict = stored[answer.task_id]
        if "skipped" in verdict.meta:
            continue
        prompt = prompts[verdict.meta["token"]]
        assert verdict.value == float(verdict_by_length(prompt)["score"])
        shown = block(prompt, "ANSWER").replace("＜", "<")
        assert clean_text(shown) == clean_text(answer.output)
    again = make_docket(TASKS, ANSWERS, settings)
    assert judge_into(tmp_path / "out", again, settings).judges[0].fates == summary.fates  # without the server


def test_reading_hostile_replies_takes_time_in_proportion_to_their_length() -> None:
    import time

    from agora.rooms.judge.asking._parse import parse_checklist, parse_choice, parse_score

    worst = 0.0
    for _, text in CASES:
        for read in (parse_score, parse_choice):
            for token in (None, "0123456789abcdef"):
                start = time.perf_counter()
                read(text, token)
                worst = max(worst, time.perf_counter() - start)
        parse_checklist(text, "0123456789abcdef", num_items=2)
    assert worst < 20  # a quadratic reader takes minutes for a megabyte; loose on purpose
