from __future__ import annotations

import gc
import weakref

import pytest

from agora.core.collector import paused_collector


class Node:
    def __init__(self) -> None:
        self.itself = self


def test_the_collector_rests_within_the_block_and_works_after_it() -> None:
    assert gc.isenabled()
    with pytest.raises(KeyError), paused_collector():
        assert not gc.isenabled()
        with paused_collector():
            pass
        assert not gc.isenabled()  # the inner block gives back what it found
        node = weakref.ref(Node())
        raise KeyError
    assert gc.isenabled()
    gc.collect()
    assert node() is None  # a cycle made in the block is found later


def test_what_somebody_froze_stays_frozen() -> None:
    held: list[int] = []
    gc.freeze()
    try:
        with paused_collector():
            pass
        assert not any(known is held for known in gc.get_objects())  # which lists all but what is frozen
    finally:
        gc.unfreeze()
    assert any(known is held for known in gc.get_objects())
