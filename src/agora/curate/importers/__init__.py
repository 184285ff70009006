"""Chat logs in many formats, read as conversations and, where the format is published, written again.

The names are loaded when they are first used: who needs a schema alone does not pay for the readers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agora.curate.importers.detect import FORMATS, Detection, detect_format
    from agora.curate.importers.export import ExportReport, export_lmsys, export_wildchat
    from agora.curate.importers.read import ImportReport, import_conversations, import_file

_NAMES = {
    "detect": (
        "FORMATS",
        "Detection",
        "detect_format",
    ),
    "export": (
        "ExportReport",
        "export_lmsys",
        "export_wildchat",
    ),
    "read": (
        "ImportReport",
        "import_conversations",
        "import_file",
    ),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "FORMATS",
    "Detection",
    "ExportReport",
    "ImportReport",
    "detect_format",
    "export_lmsys",
    "export_wildchat",
    "import_conversations",
    "import_file",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
