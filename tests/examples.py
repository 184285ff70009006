"""How many examples hypothesis makes: a quarter of a test's own number, all of them with ``AGORA_EXAMPLES=all``."""

from __future__ import annotations

import os

ALL = os.environ.get("AGORA_EXAMPLES") == "all"


def examples(thorough: int) -> int:
    """The number for ``settings(max_examples=...)``: ``thorough`` in `make test-all`, a quarter of it otherwise."""
    return thorough if ALL else max(thorough // 4, min(thorough, 10))
