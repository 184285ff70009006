from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.core.stats import paired_bootstrap
from agora.rooms.judge import paired_difference
from agora.rooms.judge.ranking.separability import separability
from tests.examples import examples

scores = st.lists(
    st.tuples(*[st.one_of(st.none(), st.integers(1, 10).map(float)) for _ in range(3)]), min_size=1, max_size=30
)


@settings(deadline=None, max_examples=examples(40))
@given(scores)
def test_each_pair_is_the_paired_difference_of_its_common_tasks(rows: list[tuple[float | None, ...]]) -> None:
    values = np.array([[math.nan if v is None else v for v in row] for row in rows])
    found = separability(values, "abc", scale=20, shift=-100, n_boot=100)
    for pair, (i, j) in zip(found.pairs, itertools.combinations(range(3), 2), strict=True):
        one, other = ({str(t): row[m] for t, row in enumerate(rows) if row[m] is not None} for m in (i, j))
        peer = paired_difference(one, other, names=("abc"[i], "abc"[j]), n_boot=None)  # type: ignore[arg-type]
        ours = pair.difference
        assert (ours.first, ours.second, ours.n_common) == (peer.first, peer.second, peer.n_common)
        assert (ours.wins, ours.ties, ours.losses) == (peer.wins, peer.ties, peer.losses)
        assert ours.value == (None if peer.value is None else pytest.approx(peer.value))
        assert ours.se == (None if peer.se is None else pytest.approx(peer.se))


def test_its_bootstrap_is_that_of_the_pair() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(1, 11, size=(200, 3)).astype(float)
    values[rng.random(values.shape) < 0.1] = math.nan
    found = separability(values, "abc", n_boot=10_000)
    for pair, (i, j) in zip(found.pairs, itertools.combinations(range(3), 2), strict=True):
        peer = paired_bootstrap(values[:, i], values[:, j], n_boot=10_000)
        assert pair.difference.interval is not None
        assert pair.difference.interval[:3] == pytest.approx(peer[:3], abs=0.03)


def test_paired_differences_see_what_overlapping_intervals_hide() -> None:
    rng = np.random.default_rng(1)
    task = rng.normal(0, 3, size=(300, 1))
    values = task + np.array([0.5, 0.0]) + rng.normal(0, 0.5, size=(300, 2))
    found = separability(values, "ab")
    assert (found.num_paired, found.num_unpaired) == (1, 0)
    assert found.ranks == {"a": (1, 1), "b": (2, 2)}
    assert found.between("b", "a") is found.pairs[0]


def test_equal_models_share_the_first_rank_and_nothing_is_separable() -> None:
    found = separability(np.full((50, 3), 5.0), "abc", n_boot=100)
    assert (found.num_paired, found.num_unpaired) == (0, 0)
    assert set(found.ranks.values()) == {(1, 1)}
    assert all(pair.difference.z == 0 for pair in found.pairs)


def test_one_task_or_no_common_task_gives_no_bounds_and_no_error() -> None:
    one = separability(np.array([[5.0, 6.0]]), "ab", n_boot=100)
    assert one.pairs[0].difference.value == -1 and one.pairs[0].difference.interval is None and not one.ranks
    apart = separability(np.array([[5.0, math.nan], [math.nan, 6.0], [4.0, math.nan]]), "ab", n_boot=100)
    assert apart.pairs[0].difference.value is None and apart.num_common == 0 and apart.common == {}
    with pytest.raises(DataError):
        separability(np.zeros((3, 2)), "abc")
