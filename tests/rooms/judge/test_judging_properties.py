"""What never changes a judging's figures, and what always does."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.records import Answer
from agora.rooms.judge.asking.judging import JudgingSettings, judge_into, make_docket
from agora.rooms.judge.asking.summary import ModelSummary
from agora.rooms.judge.scoring.metrics import wb_scale
from agora.rooms.judge.trust.calibrate import make_cases
from tests.examples import examples

TASKS, ANSWERS, TRUTH = make_cases(12, 3)
THREE = [a for a in ANSWERS if a.model != "constant"]
NOISY = "microcosm:checker?noise=0.3&position=0.2"


def judged(
    answers: list[Answer], settings: JudgingSettings, baselines: tuple[str, ...] = (), partial: bool = False
) -> dict[str, ModelSummary]:
    against = [a for a in answers if a.model in baselines]
    docket = make_docket(TASKS, answers, settings, baseline_answers=against, allow_partial=partial)
    with tempfile.TemporaryDirectory() as folder:
        (judge,) = judge_into(Path(folder) / "out", docket, settings).judges
    return {model.model: model for model in judge.models}


SCORES = JudgingSettings("score", (NOISY,))
PAIRS = JudgingSettings("pair", (NOISY,), order="sample-both:0.5")
SCORED = judged(THREE, SCORES)
COMPARED = judged(THREE, PAIRS, ("flawed", "right"))


@settings(deadline=None, max_examples=examples(4))
@given(st.integers(0, 10**6))
def test_the_order_of_answers_changes_no_figure(seed: int) -> None:
    shuffled = random.Random(seed).sample(THREE, len(THREE))
    assert judged(shuffled, SCORES) == SCORED
    assert judged(shuffled, PAIRS, ("right", "flawed")) == COMPARED


@pytest.mark.parametrize("order", ["both", "hash"])
def test_swapping_candidate_and_baseline_mirrors_the_reward(order: str) -> None:
    found = judged(THREE, JudgingSettings("pair", ("microcosm:checker",), order=order), ("right", "flawed"))
    one, other = found["right"].rewards["flawed"], found["flawed"].rewards["right"]
    assert one is not None and other is not None and one > 0
    assert one == pytest.approx(-other)


@settings(deadline=None, max_examples=examples(12))
@given(st.sets(st.integers(0, len(TASKS) - 1), min_size=1))
def test_removing_answers_lowers_coverage_and_never_invents_numbers(kept: set[int]) -> None:
    tasks = [TASKS.tasks[i].id for i in sorted(kept)]
    answers = [a for a in THREE if a.model != "flawed" or a.task_id in tasks]
    found = judged(answers, JudgingSettings("score", ("microcosm:checker",)), partial=True)
    flawed = found["flawed"]
    assert (flawed.n, flawed.coverage) == (len(tasks), len(tasks) / len(TASKS))
    assert flawed.value == pytest.approx(wb_scale(sum(TRUTH[t, "flawed"] for t in tasks) / len(tasks)))
    assert found["right"].coverage == 1.0


def test_another_model_in_the_set_changes_nobody_elses_figures() -> None:
    more = [*THREE, *(a for a in ANSWERS if a.model == "constant")]
    found = judged(more, SCORES)
    assert {name: found[name] for name in SCORED} == SCORED
