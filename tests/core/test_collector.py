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
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with paused_collector():
            pass
        assert gc.get_freeze_count() == frozen > 0
    finally:
        gc.unfreeze()
