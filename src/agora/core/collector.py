"""Python's garbage collector, out of the way while many records are made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """No garbage collection within the block.

    The collector runs after every few hundred new containers, to find cycles. Rows of a file hold none, and while a
    hundred thousand of them are made it costs a sixth of the time and frees nothing. What has no cycles is freed as
    ever; what was made in the block is afterwards as old as the oldest, so that it is looked at with them only.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():  # what somebody else has frozen stays so
                gc.freeze()
                gc.unfreeze()  # the two together move every object to the oldest generation, in no time
            gc.enable()
