"""Regions of texts are named by what only they have."""

from __future__ import annotations

import numpy as np
import pytest

from agora.core.errors import DataError
from agora.curate.embeddings.tfidf import TfidfEmbedder
from agora.curate.topics import find_topics

KINDS = {
    "bread": "Please tell me how to bake {} bread in the oven at home",
    "python": "Please tell me why my {} python loop never stops",
    "river": "Please tell me where the {} river meets the sea",
}


def test_topics_are_named_by_words_that_others_lack() -> None:
    texts = [shape.format(f"w{i}") for shape in KINDS.values() for i in range(90)]
    found = find_topics(texts, TfidfEmbedder.fit(texts).embed(texts))
    assert len(found.names) == 3
    for start, kind in enumerate(KINDS):
        own = set(found.of[start * 90 : start * 90 + 90])
        assert len(own) == 1, "texts of a kind lie together"
        name = found.names[own.pop()]
        assert set(name.split(", ")) <= set(KINDS[kind].lower().split())
        assert "please" not in name


def test_few_texts_make_one_topic_and_none_make_none() -> None:
    assert find_topics([], np.empty((0, 2), dtype=np.float32)) == ([], [])
    few = find_topics(["a b", "1 2"], np.eye(2, dtype=np.float32))
    assert few == ([0, 0], ["all texts"])
    with pytest.raises(DataError, match="1 vectors for 2 texts"):
        find_topics(["a", "b"], np.ones((1, 2), dtype=np.float32))
