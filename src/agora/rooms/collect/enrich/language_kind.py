"""The kind `lang`: see :mod:`agora.curate.language`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agora.curate.language import VERSION, detect


class LanguageKind:
    """Tells the language of each text."""

    name = "lang"
    version = VERSION

    def annotate(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """See :class:`agora.rooms.collect.enrich.kinds.Kind`."""
        return [found.as_json() for found in detect(texts)]
