"""Nearest neighbors: equal to a plain comparison of all pairs, resumable, the same for any workers and row order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import UsageError
from agora.curate.embeddings import store as stores
from agora.curate.embeddings.embedder import unit_rows
from agora.curate.embeddings.store import VectorStore
from agora.curate.neighbors import exact, find_neighbors, keep_leaders, screen
from agora.curate.neighbors.exact import search_strips
from agora.curate.neighbors.search import similarity_of
from tests.examples import examples


def units(rows: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32))


def stored(vectors: np.ndarray, folder: Path, rows_per_file: int = 64) -> VectorStore:
    files, sizes = [], []
    for number, start in enumerate(range(0, len(vectors), rows_per_file)):
        block = vectors[start : start + rows_per_file]
        files.append(folder / f"{number:06d}.parquet")
        sizes.append(len(block))
        stores._write_vectors(files[-1], [str(start + i) for i in range(len(block))], block)
    return VectorStore(folder, tuple(files), tuple(sizes), vectors.shape[1])


def plain(vectors: np.ndarray) -> np.ndarray:
    product = vectors @ vectors.T
    np.fill_diagonal(product, -2)
    return product


@pytest.mark.parametrize(("rows", "rows_per_file"), [(1, 64), (2, 64), (64, 64), (65, 64), (300, 64), (700, 600)])
def test_neighbors_are_those_of_all_pairs(tmp_path: Path, rows: int, rows_per_file: int) -> None:
    vectors = units(rows)
    found = find_neighbors(stored(vectors, tmp_path, rows_per_file), tmp_path, pairs_from=0.8, workers=1).found
    product = plain(vectors)
    if rows == 1:
        assert found.nearest.tolist() == [-1]
    else:
        np.testing.assert_allclose(found.similarity, product.max(axis=1), atol=1e-6)
        np.testing.assert_allclose(product[np.arange(rows), found.nearest], product.max(axis=1), atol=1e-6)
    a, b = np.nonzero(np.triu(product >= 0.8))
    assert list(zip(found.a, found.b, strict=True)) == list(zip(a, b, strict=True))
    np.testing.assert_allclose(found.pair_similarity, product[a, b], atol=1e-6)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=7), st.integers(0, 3))
@settings(deadline=None, max_examples=examples(40))
def test_any_cut_into_blocks_gives_the_same_neighbors(sizes: list[int], seed: int) -> None:
    vectors = units(sum(sizes), 4, seed)
    vectors[-1] = vectors[0]  # a tie
    starts = np.concatenate([[0], np.cumsum(sizes)])

    def block(number: int) -> np.ndarray:
        return vectors[starts[number] : starts[number + 1]]

    cut = search_strips(block, sizes, range(len(sizes)), 0.5)
    whole = search_strips(lambda _: vectors, [len(vectors)], [0], 0.5)
    np.testing.assert_allclose(cut.similarity, whole.similarity, atol=1e-6)
    assert len(cut.a) == len(whole.a)


@pytest.mark.parametrize("kind", ["even", "groups", "few large", "zero"])
def test_products_of_eight_bits_give_the_same_bits_as_float32(kind: str) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(90, 24)).astype(np.float32)
    if kind == "groups":
        vectors = vectors[rng.integers(0, 9, 90)] + np.float32(0.2) * vectors
    if kind == "few large":
        vectors[:45, 0] *= 1000  # eight bits say too little of these: their blocks stay in float32
    if kind == "zero":
        vectors[::2] = 0
    vectors = unit_rows(vectors)
    cuts = [0, 31, 45, 90]
    sizes = [b - a for a, b in pairwise(cuts)]
    found = {}
    for eight_bits in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exact, "in_eight_bits", lambda rows, dim, use=eight_bits: use)
            patch.setattr(screen, "STRIP_ROWS", 7)
            patch.setattr(screen, "_LOOSEST", 0.012 if kind == "few large" else 1)
            found[eight_bits] = search_strips(lambda n: vectors[cuts[n] : cuts[n + 1]], sizes, range(3), 0.8)
    for one, other in zip(found[True], found[False], strict=True):
        np.testing.assert_array_equal(one, other)
    product = plain(vectors)
    np.testing.assert_allclose(found[True].similarity, product.max(axis=1), atol=1e-5)
    assert set(zip(*np.nonzero(np.triu(product >= 0.8001)), strict=True)) <= set(zip(*found[True][2:4], strict=True))


def test_workers_and_a_second_call_change_nothing(tmp_path: Path) -> None:
    store = stored(units(500), tmp_path)
    alone = find_neighbors(store, tmp_path / "a", workers=1)
    many = find_neighbors(store, tmp_path / "b", workers=2)
    for one, other in zip(alone.found, many.found, strict=True):
        np.testing.assert_array_equal(one, other)
    parts = sorted(alone.folder.glob("part-*.npz"))
    assert [p.read_bytes() for p in parts] == [p.read_bytes() for p in sorted(many.folder.glob("part-*.npz"))]
    parts[0].unlink()
    kept = {p: p.stat().st_mtime_ns for p in parts[1:]}
    again = find_neighbors(store, tmp_path / "a", workers=1)
    np.testing.assert_array_equal(again.found.nearest, alone.found.nearest)
    assert kept == {p: p.stat().st_mtime_ns for p in parts[1:]}


def test_copied_vectors_are_all_found_although_their_distance_is_not_zero(tmp_path: Path) -> None:
    """Acceptance check E: a test of distance zero would miss copies, and would drop the first of a group too."""
    rng = np.random.default_rng(1)
    vectors = units(400, 64)
    copies = rng.integers(0, 200, 200)
    vectors[200:] = vectors[copies]
    found = find_neighbors(stored(vectors, tmp_path), tmp_path, workers=1)
    assert (2 - 2 * found.found.similarity[200:] < 1e-5).all()
    keepers = keep_leaders(400, np.arange(400), *found.found[2:], similarity_of(0.05))
    assert keepers.keeper[:200].tolist() == list(range(200))
    assert keepers.keeper[200:].tolist() == copies.tolist()
    counts = np.bincount(copies, minlength=200)
    assert found.repeats()[:200].tolist() == counts.tolist()
    assert found.first_similar()[200:].tolist() == copies.tolist()
    assert set(found.first_similar()[:200][counts == 0]) == {-1}


def test_of_a_chain_both_ends_stay() -> None:
    """Acceptance check E: A~B~C without A~C keeps A and C."""
    a, b, s = np.array([0, 1]), np.array([1, 2]), np.array([0.99, 0.98], dtype=np.float32)
    keepers = keep_leaders(3, np.arange(3), a, b, s, 0.975)
    assert keepers.keeper.tolist() == [0, 0, 2]
    assert keepers.cluster.tolist() == [0, 0, 0]
    middle_first = keep_leaders(3, np.array([1, 0, 2]), a, b, s, 0.975)
    assert middle_first.keeper.tolist() == [1, 1, 1]
    assert middle_first.similarity.tolist() == pytest.approx([0.99, 1, 0.98])


@given(st.integers(2, 40), st.integers(0, 100), st.floats(0.5, 0.95))
@settings(deadline=None, max_examples=examples(40))
def test_keepers_hold_their_promises_for_any_rows_in_any_order(rows: int, seed: int, above: float) -> None:
    vectors = units(rows, 3, seed)
    product = plain(vectors)
    a, b = np.nonzero(np.triu(product >= 0.5, 1))
    rng = np.random.default_rng(seed)
    names = rng.permutation(rows)  # what decides the order
    keepers = keep_leaders(rows, np.argsort(names), a, b, product[a, b], above)
    stays = keepers.keeper == np.arange(rows)
    for row in range(rows):
        similar = np.flatnonzero((product[row] > above) & stays)
        if stays[row]:
            assert not len(similar), "no two rows that stay are similar"
        else:
            similar = similar[names[similar] < names[row]]
            assert keepers.keeper[row] == similar[product[row][similar].argmax()]
    shuffle = rng.permutation(rows)
    place = np.argsort(shuffle)
    x, y = np.minimum(place[a], place[b]), np.maximum(place[a], place[b])
    moved = keep_leaders(rows, np.argsort(names[shuffle]), x, y, product[a, b], above)
    assert shuffle[moved.keeper][place].tolist() == keepers.keeper.tolist()
    assert shuffle[moved.cluster][place].tolist() == keepers.cluster.tolist()


def test_above_the_stated_size_a_graph_is_asked_and_its_recall_measured(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    vectors = units(3000, 16)
    vectors[1500:] = unit_rows(vectors[:1500] + 0.02 * units(1500, 16, 5))
    store = stored(vectors, tmp_path, 1000)
    exact = find_neighbors(store, tmp_path, workers=1)
    found = find_neighbors(store, tmp_path, exact_up_to=1000, workers=1)
    assert (exact.method, found.method) == ("exact", "hnsw")
    assert found.recall is not None
    assert found.recall.rows == 100
    assert found.recall.nearest > 0.95
    true = (found.found.similarity >= exact.found.similarity - 1e-6).mean()
    assert found.recall.nearest == pytest.approx(true, abs=0.05)
    again = find_neighbors(store, tmp_path, exact_up_to=1000, workers=1)
    assert again.recall == found.recall
    np.testing.assert_array_equal(again.found.a, found.found.a)


def test_pairs_are_not_kept_from_everywhere(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"from a similarity of 0\.5 to 1, got 0\.2"):
        find_neighbors(stored(units(3), tmp_path), tmp_path, pairs_from=0.2)
