"""Personal data and secrets in texts: find them, and put tokens in their place. Nothing asks the network."""

from agora.curate.personal.find import (
    NO_HINTS,
    VERSION,
    Hints,
    annotate_personal,
    annotate_secrets,
    find,
    find_names,
    find_secrets,
    find_shapes,
    residual,
)
from agora.curate.personal.redact import STYLES, Style, redact, redact_fully
from agora.curate.personal.spans import THRESHOLD, Span, merged

__all__ = [
    "NO_HINTS",
    "STYLES",
    "THRESHOLD",
    "VERSION",
    "Hints",
    "Span",
    "Style",
    "annotate_personal",
    "annotate_secrets",
    "find",
    "find_names",
    "find_secrets",
    "find_shapes",
    "merged",
    "redact",
    "redact_fully",
    "residual",
]
