"""A request that is refused, whichever room it came to."""

from __future__ import annotations

from agora.core.errors import AgoraError


class RefusalError(AgoraError):
    """``code`` is for programs, ``status`` for HTTP."""

    def __init__(self, code: str, what: str, status: int = 400, *, retry_after_s: int | None = None) -> None:
        super().__init__(what)
        self.code = code
        self.status = status
        self.retry_after_s = retry_after_s
