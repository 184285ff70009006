"""Orders laid out over the candidates of a task."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agora.rooms.judge.asking.orders import balanced_orders

NAMES = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=9, unique=True)


@settings(deadline=None)
@given(NAMES, st.lists(st.sampled_from(["B1", "B2", "B3"]), min_size=1, unique=True), st.integers(0, 99), st.data())
def test_first_and_second_differ_by_one_at_most_whatever_came_before(
    models: list[str], baselines: list[str], seed: int, data: st.DataObject
) -> None:
    early = data.draw(st.lists(st.sampled_from(models), unique=True))
    before = balanced_orders("t", [(m, b) for m in early for b in baselines], seed=seed)
    known = {("t", *pair): orders for pair, orders in before.items()}
    pairs = [(m, b) for m in models for b in baselines]
    found = balanced_orders("t", pairs, seed=seed, known=known)
    assert found == balanced_orders("t", pairs[::-1], seed=seed, known=known)
    assert all(found[pair] == orders for pair, orders in before.items())
    for baseline in baselines:
        first = sum(found[m, baseline] == ("candidate_first",) for m in models)
        assert abs(2 * first - len(models)) <= 1


@settings(deadline=None)
@given(NAMES, st.integers(0, 99))
def test_a_new_candidate_meets_every_other_baseline_from_the_other_side(models: list[str], seed: int) -> None:
    found = balanced_orders("t", [(m, b) for m in models for b in ("B1", "B2")], seed=seed)
    assert all(found[m, "B1"] != found[m, "B2"] for m in models)


def test_who_stands_first_differs_from_task_to_task() -> None:
    starts = {balanced_orders(f"t{i}", [("m", "B")], seed=0)["m", "B"] for i in range(20)}
    assert len(starts) == 2
