"""What the operator decides about moderation."""

from __future__ import annotations

from pydantic import Field

from agora.core.config import Config
from agora.rooms.collect.moderate.types import Reason


class ModerateSettings(Config):
    """Settings of the review queue.

    Args:
        automation_score: the score from which a conversation waits for a person, 0 to 1.
        hold: reasons that keep a conversation out of releases until a person has decided.
    """

    automation_score: float = Field(default=0.8, ge=0, le=1)
    hold: tuple[Reason, ...] = (Reason.REPORT,)
