"""Which license of a source allows which license of a release. A rule for a program, not advice on law.

Strict where it does not know: a license it cannot read is incompatible until the operator names it in
``allowed_licenses``.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_OPEN = r"cc0|public[ -]?domain|pddl|unlicense|0bsd"
_NOTICE = r"odc[- ]?by|cc[- ]?by[- ]?\d|cc[- ]?by$|mit\b|apache|bsd|cdla[- ]permissive"
_SHARE = r"cc[- ]?by[- ]?sa|odbl|cdla[- ]sharing|gpl"
_CLOSED = r"\bnc\b|[- ]nc[- ]|[- ]nc$|non[- ]?commercial|[- ]nd[- ]|[- ]nd$|gated|agreement|proprietary|research only"


def compatible(source: str, release: str, allowed: Collection[str] = ()) -> bool:
    """Whether rows under one license may come out under another.

    Args:
        source: as the import noted it.
        release: of the release.
        allowed: licenses that the operator vouches for, compared without case.
    """
    if _plain(source) == _plain(release) or _plain(source) in {_plain(name) for name in allowed}:
        return True
    kind, target = _kind(source), _kind(release)
    if kind == "open":
        return True
    return kind == "notice" and target in ("notice", "share", "closed")


def _kind(name: str) -> str:
    plain = _plain(name)
    for kind, pattern in (("closed", _CLOSED), ("share", _SHARE), ("open", _OPEN), ("notice", _NOTICE)):
        if re.search(pattern, plain):
            return kind
    return "unknown"


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())
