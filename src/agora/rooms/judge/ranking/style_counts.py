"""How an answer is dressed: its size, headers, list items and bold words (Arena-Hard's style control)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

FEATURES = ("length", "headers", "lists", "bold")

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_HEADER = re.compile(r"^#{1,6}\s", re.MULTILINE)
_LIST = re.compile(r"^\s*(?:\d+\.|[-*+])\s", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_CHARS_PER_TOKEN = 4.0


class StyleCounts(NamedTuple):
    """Counts of one answer; code blocks are left out of all but the size.

    Attributes:
        tokens: as the source counted them, else a quarter of the characters.
    """

    tokens: float
    headers: int
    lists: int
    bold: int


def style_counts(text: str) -> StyleCounts:
    """Count the markdown of a text."""
    plain = _CODE.sub("", text) if "```" in text else text
    found = (len(pattern.findall(plain)) for pattern in (_HEADER, _LIST, _BOLD))
    return StyleCounts(len(text) / _CHARS_PER_TOKEN, *found)


def style_features(first_NK: FloatArray, second_NK: FloatArray) -> dict[str, FloatArray]:
    """The four differences that are controlled for, each 0 at equal style.

    Length: difference over sum. The others: difference of densities (count over tokens plus 1) over their sum plus 1.

    Args:
        first_NK, second_NK: style counts of the two answers of N comparisons, K = 4 as in :class:`StyleCounts`.
    """
    import numpy as np

    size, other = first_NK[:, 0], second_NK[:, 0]
    total = size + other
    out = {"length": np.divide(size - other, total, out=np.zeros_like(total), where=total > 0)}
    for k, name in enumerate(FEATURES[1:], 1):
        density, against = first_NK[:, k] / (size + 1), second_NK[:, k] / (other + 1)
        out[name] = (density - against) / (density + against + 1)
    return out
