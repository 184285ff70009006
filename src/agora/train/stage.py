"""The record of a finished training, and how it is read back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agora.core.config import Config
from agora.core.errors import ConfigError
from agora.core.tables import read_json

CARD = "stage.json"


@dataclass(frozen=True, slots=True)
class StageResult:
    """A finished training.

    ``dropped`` counts rows left out by reason; ``notes`` are warnings and alarms in words; ``tokens`` are those of all
    rows that were stepped on, ``seconds`` the time over all attempts that reached the end.
    """

    kind: str
    folder: Path
    model: Path
    seconds: float
    steps: int
    rows: int
    tokens: int
    target_tokens: int
    peak_memory_mb: float
    metrics: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "folder": str(self.folder), "model": str(self.model), "notes": list(self.notes)}


def read_stage(out: Path, settings: Config | None = None) -> StageResult | None:
    """A finished stage of that folder; None when it has not finished.

    Raises:
        ConfigError: it was made with other settings.
    """
    if not (out / CARD).is_file():
        return None
    card: dict[str, Any] = read_json(out / CARD)
    if settings is not None:
        wanted = settings.model_dump(mode="json")
        differing = [
            f"{k}: {card['settings'].get(k)!r} -> {v!r}" for k, v in wanted.items() if card["settings"].get(k) != v
        ]
        if differing:
            raise ConfigError(
                f"the stage was made with other settings: {'; '.join(differing)}",
                where=str(out),
                hint="use a new folder",
            )
    known = {k: v for k, v in card.items() if k in StageResult.__dataclass_fields__}
    return StageResult(**{**known, "folder": out, "model": out / "model", "notes": tuple(card["notes"])})


def peak_memory_mb() -> float:
    """The most memory this process has held so far, of the GPU where there is one, in MB."""
    import resource

    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated() / 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
