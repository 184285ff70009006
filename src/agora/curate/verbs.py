"""The group ``agora curate`` with all its verbs; a module of commands adds its own when it is imported."""

from agora.curate import (
    contamination_commands,  # noqa: F401
    convert_commands,  # noqa: F401
    filter_commands,  # noqa: F401
    label_commands,  # noqa: F401
    neighbor_commands,  # noqa: F401
    personal_commands,  # noqa: F401
    recipe_commands,  # noqa: F401
    report_commands,  # noqa: F401
    sample_commands,  # noqa: F401
    toxicity_commands,  # noqa: F401
)
from agora.curate.curate_commands import app

__all__ = ["app"]
