"""What the operator decides about the explorer."""

from __future__ import annotations

from pydantic import Field

from agora.core.config import Config


class ExploreSettings(Config):
    """Settings of the explorer.

    Args:
        index: keep the search index up to date while the service runs.
        public: show to everyone counts (by country, language, model and month), and what was published.
        published: keep the texts of releases beside them, redacted as they are out, for everyone to read.
        toxic: also show published conversations in which a message was flagged.
        least_subjects: a count is public only with at least this many people behind it.
    """

    index: bool = True
    public: bool = True
    published: bool = True
    toxic: bool = False
    least_subjects: int = Field(default=20, ge=2)
