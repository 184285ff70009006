"""Which provider judges: the linear model, a moderation server, Detoxify's weights; named in one word each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from agora.core.errors import MissingError, UsageError
from agora.curate.toxicity.detoxify import Detoxify
from agora.curate.toxicity.linear import LinearModel
from agora.curate.toxicity.moderations import ModerationClient

ENVIRONMENT = "AGORA_TOXICITY"  # providers of the enrichment pipeline, separated by white space


class ToxicityProvider(Protocol):
    """Judges texts; a kind of the enrichment pipeline."""

    @property
    def name(self) -> str:
        """``tox``."""

    @property
    def version(self) -> str:
        """``PROVIDER:VERSION``."""

    def annotate(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """One result for each text."""


class Linear:
    """The linear model as a provider; read at first use."""

    name = "tox"

    def __init__(self, path: Path) -> None:
        self._model = LinearModel.load(path)

    @property
    def version(self) -> str:
        """Changes with the weights."""
        return self._model.version

    def annotate(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Scores by category."""
        return self._model.annotate(texts)


def open_provider(name: str) -> ToxicityProvider:
    """A provider by its name.

    Args:
        name: the path of a ``.npz`` model; ``http://HOST/v1`` or ``http://HOST/v1#MODEL``, whose key is in the
            environment as ``AGORA_MODERATION_KEY``; or ``detoxify:FOLDER``.

    Raises:
        UsageError: none of these.
        MissingError: the file is not there.
        DataError: the file is no model.
    """
    if name.startswith(("http://", "https://")):
        url, _, model = name.partition("#")
        return ModerationClient(url, model, os.environ.get("AGORA_MODERATION_KEY", ""))
    if name.startswith("detoxify:"):
        return Detoxify(Path(name.removeprefix("detoxify:")))
    if name.endswith(".npz"):
        return Linear(Path(name))
    raise UsageError(f"{name!r} names no provider", hint="give model.npz, http://HOST/v1#MODEL or detoxify:FOLDER")


def tox() -> list[ToxicityProvider]:
    """The providers that the operator named in the environment variable ``AGORA_TOXICITY``.

    Raises:
        MissingError: none is named.
    """
    names = os.environ.get(ENVIRONMENT, "").split()
    if not names:
        hint = f"train one (agora curate toxicity train FILE --out model.npz) and set {ENVIRONMENT}=model.npz"
        raise MissingError("no provider of toxicity scores is named", hint=hint)
    return [open_provider(name) for name in names]
