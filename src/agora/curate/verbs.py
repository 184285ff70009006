"""The group ``agora curate`` with all its verbs; a module of commands adds its own when it is imported."""

from agora.curate import convert_commands, filter_commands, label_commands, neighbor_commands  # noqa: F401
from agora.curate.curate_commands import app

__all__ = ["app"]
