"""People and visitors: what is planted can be found again."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import ConfigError
from agora.microcosm.world import OPINION_TOPICS, QUALITIES, Exercise, Visitor, World, check, is_held_out
from agora.microcosm.world.people import culture_opinion
from tests.examples import examples

WORLD = World(seed=0)


def right_and_wrong(seed: int) -> tuple[Exercise, str, str]:
    rng = random.Random(seed)
    exercise = next(WORLD.exercises(rng, 1))
    return exercise, WORLD.answer(exercise, rng), WORLD.flawed_answer(exercise, rng, "wrong")


def share_for_right(people_dials: dict[str, float], *, seen: int = 0, n: int = 400) -> float:
    people = WORLD.people(20, 1, **people_dials)
    rng = random.Random(2)
    hits = 0
    for index in range(n):
        exercise, right, wrong = right_and_wrong(index)
        hits += people[index % 20].prefer(exercise, right, wrong, rng, seen=seen).preferred == "a"
    return hits / n


def test_people_prefer_right_answers_unless_noise_decides() -> None:
    assert share_for_right({"noise": 0.0}) > 0.9
    assert 0.4 < share_for_right({"noise": 1.0}) < 0.6


def test_fatigue_turns_judgment_into_a_coin() -> None:
    assert share_for_right({"noise": 0.0, "fatigue": 1.0}) > 0.9
    assert 0.4 < share_for_right({"noise": 0.0, "fatigue": 1.0}, seen=1000) < 0.6


def test_length_bias_favors_the_longer_of_two_equally_good_answers() -> None:
    exercise, right, _ = right_and_wrong(3)
    person = replace(WORLD.people(1, 0, noise=0.0)[0], weights=dict.fromkeys(QUALITIES, 0.0))
    longer = right + " word" * 10
    assert person.probability_of_first(exercise, longer, right) == pytest.approx(0.5)
    biased = replace(person, length_bias=2.0)
    assert biased.probability_of_first(exercise, longer, right) == pytest.approx(1 / (1 + 2.718281828**-2.0))


@given(st.integers(0, 10**6), st.text(max_size=80), st.text(max_size=80))
@settings(max_examples=examples(60), deadline=None)
def test_the_chances_of_both_orders_sum_to_one(seed: int, a: str, b: str) -> None:
    exercise = right_and_wrong(seed % 50)[0]
    person = WORLD.people(1, seed, length_bias=0.5, fatigue=0.3)[0]
    one, other = (person.probability_of_first(exercise, *pair, seen=7) for pair in ((a, b), (b, a)))
    assert one + other == pytest.approx(1)
    assert 0 < one < 1


def test_choices_occur_as_often_as_their_probability_says() -> None:
    exercise, right, _ = right_and_wrong(4)
    rude = right.rstrip(".").lower()
    person = WORLD.people(1, 5)[0]
    choices = [person.prefer(exercise, right, rude, random.Random(seed)) for seed in range(1500)]
    expected = choices[0].probability_a
    assert sum(c.preferred == "a" for c in choices) / 1500 == pytest.approx(expected, abs=0.05)


def test_dials_do_not_change_who_people_are() -> None:
    plain, dialed = WORLD.people(30, 6), WORLD.people(30, 6, noise=0.5, length_bias=1.0, fatigue=2.0)
    assert [replace(p, noise=0.5, length_bias=1.0, fatigue=2.0) for p in plain] == list(dialed)
    assert WORLD.people(30, 6) == plain
    assert WORLD.people(30, 7) != plain


def test_opinions_scatter_around_those_of_the_culture() -> None:
    gaps = Counter[str]()
    people = WORLD.people(1500, 8)
    for person in people:
        culture = next(c for c in WORLD.cultures if c.id == person.culture)
        assert set(person.opinions) == set(OPINION_TOPICS)
        for topic, opinion in person.opinions.items():
            assert -2 <= opinion <= 2
            gaps[topic] += opinion - culture_opinion(WORLD, culture, topic)
    assert all(abs(gap / len(people)) < 0.15 for gap in gaps.values())


@pytest.mark.parametrize("dials", [{"noise": 1.5}, {"noise": -0.1}, {"fatigue": -1.0}])
def test_impossible_dials_are_refused(dials: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(dials))):
        WORLD.people(1, 0, **dials)


def converse(visitor: Visitor, share_right: float, seed: int = 0) -> list[dict[str, str]]:
    rng = random.Random(seed)
    history: list[dict[str, str]] = []
    while (message := visitor.next_message(history)) is not None:
        assert len(history) < 40
        history.append({"role": "user", "content": message})
        assert visitor.next_message(history) is None
        goal = next((g for g, q in zip(visitor.goals, visitor.questions, strict=True) if message.endswith(q)), None)
        known = goal is not None and rng.random() < share_right
        history.append(
            {"role": "assistant", "content": WORLD.answer(goal, rng) if known and goal else "I do not know."}
        )
    return history


def test_a_visitor_asks_every_question_and_leaves() -> None:
    for visitor in WORLD.visitors(150, 1):
        history = converse(visitor, 1.0)
        asked = [message["content"] for message in history if message["role"] == "user"]
        assert all(any(text.endswith(question) for text in asked) for question in visitor.questions)
        assert all(visitor.answered(history))


def test_a_visitor_asks_again_once_when_the_answer_is_wrong() -> None:
    for visitor in WORLD.visitors(60, 2):
        history = converse(visitor, 0.0)
        asked = [message["content"] for message in history if message["role"] == "user"]
        for question in set(visitor.questions):
            assert sum(text.endswith(question) for text in asked) == 2 * visitor.questions.count(question)
        assert not any(visitor.answered(history))


def test_a_conversation_is_the_same_every_time() -> None:
    for first, second in zip(WORLD.visitors(60, 3), WORLD.visitors(60, 3), strict=True):
        assert first == second
        assert converse(first, 0.5) == converse(second, 0.5)


def test_plants_occur_by_their_shares_and_are_recorded() -> None:
    visitors = list(WORLD.visitors(800, 4, duplicate_share=0.2, personal_share=0.1, nonsense_share=0.1))
    counts = Counter(visitor.plant for visitor in visitors)
    assert counts["near_duplicate"] == pytest.approx(160, abs=40)
    assert counts["personal_data"] == pytest.approx(80, abs=30)
    assert counts["nonsense"] == pytest.approx(80, abs=30)
    by_id = {visitor.id: visitor for visitor in visitors}
    for visitor in visitors:
        said = " ".join(m["content"] for m in converse(visitor, 1.0) if m["role"] == "user")
        assert all(text in said for text in visitor.planted)
        assert bool(visitor.planted) == (visitor.plant in ("personal_data", "nonsense"))
        if visitor.plant == "near_duplicate":
            original = by_id[str(visitor.repeats)]
            assert visitor.goals[0] == original.goals[0]
            assert visitor.questions[0] != original.questions[0]
        else:
            assert visitor.repeats is None


def test_planted_addresses_are_reserved_for_examples() -> None:
    for visitor in WORLD.visitors(300, 5, personal_share=0.5):
        if visitor.plant == "personal_data":
            assert all("@example." in text or " 555 01" in text for text in visitor.planted)


def test_visitors_ask_from_both_splits() -> None:
    goals = [goal for visitor in WORLD.visitors(200, 6) for goal in visitor.goals]
    assert 0.04 < sum(is_held_out(goal.instruction) for goal in goals) / len(goals) < 0.18
    assert all(check(goal, goal.reference).correct for goal in goals)


def test_shares_over_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="sum"):
        next(WORLD.visitors(1, 0, duplicate_share=0.9, nonsense_share=0.9))
