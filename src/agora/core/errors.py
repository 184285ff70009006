"""One tree of errors. At the command line a user sees one line; ``--debug`` shows the trace.

Exit codes: 0 done, 1 a check or the work failed, 2 wrong use, 3 something is missing on the machine, 130 interrupted.
"""

from __future__ import annotations


class AgoraError(Exception):
    """The work failed for a reason the user can act on.

    Args:
        what: what is wrong, naming the value and the rule.
        where: file, line, field or URL, when there is one.
        hint: what to do next.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        """The one line a user sees: ``where: what; hint``."""
        line = f"{self.where}: {self.what}" if self.where else self.what
        if self.hint:
            line = f"{line}; {self.hint}"
        return " ".join(line.split())


class DataError(AgoraError):
    """Input data broke a rule: malformed row, wrong role order, empty file."""


class EngineError(AgoraError):
    """A model could not be reached or refused the call."""


class BudgetError(AgoraError):
    """The token or money budget is spent; what was finished is on disk."""


class UsageError(AgoraError):
    """The command or its configuration is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration value or key is wrong."""


class CapabilityError(UsageError):
    """An engine lacks a capability that the work needs."""


class MissingError(AgoraError):
    """Something the work needs is not on this machine: a file, an extra, a server."""

    exit_code = 3
