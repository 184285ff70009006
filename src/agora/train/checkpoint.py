"""Exact resume: one file per checkpoint, written aside and renamed, refused when config or data changed.

Weights that are not trained, as those under adapters, are not stored.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from agora.core.errors import ConfigError
from agora.train.batch import Group

KEEP = 2


@dataclass(frozen=True, slots=True)
class Restored:
    """What a checkpoint held besides weights and optimizers."""

    step: int
    log: list[dict[str, Any]]
    state: dict[str, float]  # of the objective


class Checkpoints:
    """Checkpoints of one training in a folder.

    Args:
        folder: made when missing.
        fingerprint: whatever determines the result (settings, objective, digest of the rows), as plain JSON values; a
            checkpoint made under another fingerprint is refused.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any]) -> None:
        self.folder = folder
        self.fingerprint = {k: list(v) if isinstance(v, tuple) else v for k, v in fingerprint.items()}
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, models: Mapping[str, Any], optimizers: Mapping[str, Sequence[Any]]) -> Restored | None:
        """Restore the newest complete checkpoint into the models and optimizers; None when there is none.

        Raises:
            ConfigError: the checkpoint belongs to other settings or rows; the differing keys are named.
        """
        import torch

        found = sorted(self.folder.glob("step-*.pt"))
        if not found:
            if any(self.folder.glob("step-*")):
                raise ConfigError(
                    "checkpoint was made by several processes",
                    where=str(self.folder),
                    hint="go on with torchrun, or use a new folder",
                )
            return None
        state = torch.load(found[-1], map_location="cpu", weights_only=True)
        refuse_other_settings(state["fingerprint"], self.fingerprint, found[-1])
        for name, model in models.items():
            _load_weights(model, state["models"][name], found[-1])
        for name, group in optimizers.items():
            for optimizer, saved in zip(group, state["optimizers"][name], strict=True):
                optimizer.load_state_dict(saved)
        torch.set_rng_state(state["rng"])
        if torch.cuda.is_available() and state["cuda_rng"]:
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        return Restored(int(state["step"]), list(state["log"]), dict(state["state"]))

    def save(
        self,
        models: Mapping[str, Any],
        optimizers: Mapping[str, Sequence[Any]],
        step: int,
        log: Sequence[dict[str, Any]],
        state: Mapping[str, float] | None = None,
    ) -> None:
        """Write the state after ``step`` steps and drop all but the newest checkpoints."""
        import torch

        final = self.folder / f"step-{step:08d}.pt"
        part = final.with_suffix(".part")
        content = {
            "fingerprint": self.fingerprint,
            "models": {name: trained_weights(model) for name, model in models.items()},
            "optimizers": {name: [o.state_dict() for o in group] for name, group in optimizers.items()},
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "step": step,
            "log": list(log),
            "state": dict(state or {}),
        }
        with part.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(final)
        for old in sorted(self.folder.glob("step-*.pt"))[:-KEEP]:
            old.unlink()


def refuse_other_settings(before: Mapping[str, Any], now: Mapping[str, Any], place: Path) -> None:
    """Compare two fingerprints.

    Raises:
        ConfigError: they differ; the differing keys are named.
    """
    differing = [f"{key}: {before.get(key)!r} -> {value!r}" for key, value in now.items() if before.get(key) != value]
    if differing:
        raise ConfigError(
            f"checkpoint was made with other settings: {', '.join(differing)}",
            where=str(place),
            hint="use a new folder",
        )


def trained_weights(model: Any) -> dict[str, Any]:
    """The state of a model without its frozen parameters."""
    frozen = {name for name, p in model.named_parameters(remove_duplicate=False) if not p.requires_grad}
    return {name: value for name, value in model.state_dict().items() if name not in frozen}


def _load_weights(model: Any, saved: Mapping[str, Any], file: Path) -> None:
    differing = sorted(saved.keys() ^ trained_weights(model).keys())
    if differing:
        raise ConfigError(
            f"checkpoint holds other weights than are trained now, such as {differing[0]}",
            where=str(file),
            hint="use a new folder",
        )
    model.load_state_dict(saved, strict=False)


def rows_digest(groups: Sequence[Group]) -> str:
    """Digest of all token ids and masks in order."""
    digest = blake2b(digest_size=16)
    for group in groups:
        for row in group:
            digest.update(np.int64(len(row)).tobytes())
            digest.update(np.ascontiguousarray(row.input_ids, dtype=np.int32).tobytes())
            digest.update(np.ascontiguousarray(row.loss_mask, dtype=np.uint8).tobytes())
    return digest.hexdigest()
