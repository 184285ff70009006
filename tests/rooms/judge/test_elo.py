from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from agora.core.ranking import BattleColumns
from agora.rooms.judge.ranking.elo import wb_elo
from agora.rooms.judge.ranking.strengths import strengths
from agora.rooms.judge.ranking.votes import Votes


def votes(num_tasks: int = 60, seed: int = 0, gap: float = 0.0) -> Votes:
    rng = np.random.default_rng(seed)
    merit = np.array([1.0, 0.0, -1.0])
    first, second = (np.tile([0, 0, 1], num_tasks), np.tile([1, 2, 2], num_tasks))
    won = rng.random(len(first)) < 1 / (1 + np.exp(merit[second] - merit[first]))
    task = np.repeat(np.arange(num_tasks), 3)
    battles = BattleColumns(("a", "b", "c"), first, second, won.astype(float), None, task)
    gaps = np.full(len(first), gap)
    return Votes(tuple(map(str, range(num_tasks))), battles, gaps, np.zeros(len(first)))


def one_round(v: Votes, order: list[int], anchors: dict[str, float], interval: int) -> dict[str, float]:
    """The published loop over the votes of one round, written out."""
    names = [str(n) for n in v.battles.names]
    rating, updates = {n: anchors.get(n, 1000.0) for n in names}, defaultdict(int)
    for k in order:
        a, b = names[v.battles.first_N[k]], names[v.battles.second_N[k]]
        if a in anchors and b in anchors:
            continue
        expected = 1 / (1 + 10 ** ((rating[b] - rating[a]) / 400))
        gain = 4 * (v.battles.outcome_N[k] - expected)
        for name, points in ((a, gain), (b, -gain)):
            rating[name] += points
            if name in anchors and updates[name] % interval == 0:
                rating[name] = (rating[name] + anchors[name]) / 2
            updates[name] += 1
    return rating


@pytest.mark.parametrize("anchors", [{}, {"a": 1200.0}, {"a": 1200.0, "b": 900.0}])
def test_all_rounds_at_once_are_the_published_loop(anchors: dict[str, float]) -> None:
    v = votes()
    used = [k for k in range(len(v)) if not {"abc"[v.battles.first_N[k]], "abc"[v.battles.second_N[k]]} <= set(anchors)]
    rng = np.random.default_rng(7)
    order = [int(k) for k in rng.permutation(np.array(used))]
    expected = one_round(v, order, anchors, 10)
    found = wb_elo(v, anchors, rounds=1, interval=10, seed=7)
    assert {name: rating.mean for name, rating in found.items()} == pytest.approx(expected)


def test_the_length_rule_ties_what_the_shorter_answer_won() -> None:
    """Fault 10: a gap over the margin makes any decisive vote a tie, whoever won."""
    found = wb_elo(votes(gap=-5000.0), rounds=4)
    assert {round(r.mean, 9) for r in found.values()} == {1000.0}
    assert wb_elo(votes(gap=-5000.0), rounds=4, length_margin=None)["a"].mean > 1010


def test_its_interval_is_the_noise_of_the_order_and_ours_that_of_the_tasks() -> None:
    """Fault 10: shuffling says nothing of other tasks; four times the tasks leave its spread as it was."""
    few, many = (wb_elo(votes(n, 1), rounds=32, length_margin=None)["b"] for n in (100, 400))
    ours_few, ours_many = (strengths(votes(n, 1), n_boot=200).ratings["b"] for n in (100, 400))
    assert many.high - many.low > 0.7 * (few.high - few.low)
    assert ours_many.high - ours_many.low < 0.65 * (ours_few.high - ours_few.low)


def test_anchored_ratings_follow_their_anchor_and_not_the_votes() -> None:
    """Fault 10: votes between anchored models are skipped, so the order of two anchors cannot change."""
    found = wb_elo(votes(), {"a": 900.0, "b": 1100.0}, rounds=8, interval=5)
    assert found["b"].mean > found["a"].mean  # a beats b in the votes
    assert strengths(votes(), n_boot=100).ratings["a"].estimate > 1000
