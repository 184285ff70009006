from __future__ import annotations

import gc
import weakref

import pytest

from agora.core.garbage import rare_collections


class Node:
    def __init__(self) -> None:
        self.itself = self


def test_the_search_for_cycles_is_rare_within_the_block_and_as_before_after_it() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), rare_collections():
        rare = gc.get_threshold()
        assert rare[0] >= 100 * before[0]
        with rare_collections():
            pass
        assert gc.get_threshold() == rare  # the inner block gives back what it found
        node = weakref.ref(Node())
        raise KeyError
    assert gc.isenabled() and gc.get_threshold() == before
    gc.collect()
    assert node() is None  # a cycle made in the block is found later


def test_what_somebody_froze_stays_frozen() -> None:
    held: list[int] = []
    gc.freeze()
    try:
        with rare_collections():
            pass
        assert not any(known is held for known in gc.get_objects())  # which lists all but what is frozen
    finally:
        gc.unfreeze()
    assert any(known is held for known in gc.get_objects())
