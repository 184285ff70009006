"""Chat logs in many formats, read as conversations and, where the format is published, written again."""

from agora.curate.importers.detect import FORMATS, Detection, detect_format
from agora.curate.importers.export import ExportReport, export_lmsys, export_wildchat
from agora.curate.importers.read import ImportReport, import_conversations, import_file

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
