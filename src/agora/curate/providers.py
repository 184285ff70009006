"""What packages above this one lend to curation: labelers that know the truth, scorers of answers.

The command line enters them; a library user may enter more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agora.curate.labels.by_reward import Scorer
    from agora.curate.labels.labelers import Labeler

#: Labelers beside models, by URI.
LABELERS: dict[str, Callable[[], Labeler]] = {}
#: How a reward's URI becomes a scorer: the first one is used.
SCORERS: list[Callable[[str], Scorer]] = []
