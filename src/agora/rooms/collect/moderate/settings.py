"""What the operator decides about moderation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agora.core.config import Config
from agora.rooms.collect.moderate.types import Reason


class ModerateSettings(Config):
    """Settings of the review queue.

    Args:
        review: ``flagged``: what people report and programs flag waits for a person. ``all``: every conversation that
            is begun or continued waits, and is in no release before someone approved what was said last.
        automation_score: the score from which a conversation waits for a person, 0 to 1.
        hold: reasons that keep a conversation out of releases until a person has decided.
    """

    review: Literal["flagged", "all"] = "flagged"
    automation_score: float = Field(default=0.8, ge=0, le=1)
    hold: tuple[Reason, ...] = (Reason.REPORT,)
