"""Exact resume: one file per checkpoint, written aside and renamed, refused when config or data changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from agora.core.errors import ConfigError
from agora.train.batch import Group
from agora.train.config import TrainConfig

KEEP = 2


class Checkpoints:
    """Checkpoints of one training in a folder.

    Args:
        folder: made when missing.
        config: the training's settings; a checkpoint made under other settings is refused.
        groups: the training rows; a checkpoint made on other rows is refused.
        objective: the objective's name.
    """

    def __init__(self, folder: Path, config: TrainConfig, groups: Sequence[Group], objective: str) -> None:
        self.folder = folder
        # How often to save and how rows are batched do not change the result, so they may change between restarts.
        settings = config.model_dump(exclude={"checkpoint_every_s", "token_budget"})
        self.fingerprint = {**settings, "objective": objective, "rows": _digest(groups)}
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, model: Any, optimizers: Sequence[Any]) -> tuple[int, list[dict[str, Any]]]:
        """Restore the newest complete checkpoint; (0, []) when there is none.

        Raises:
            ConfigError: the checkpoint belongs to other settings or rows; the differing keys are named.
        """
        import torch

        found = sorted(self.folder.glob("step-*.pt"))
        if not found:
            return 0, []
        state = torch.load(found[-1], map_location="cpu", weights_only=True)
        before = state["fingerprint"]
        differing = [
            f"{key}: {before.get(key)!r} -> {now!r}"
            for key, now in self.fingerprint.items()
            if before.get(key) != (list(now) if isinstance(now, tuple) else now)
        ]
        if differing:
            raise ConfigError(
                f"checkpoint was made with other settings: {', '.join(differing)}",
                where=str(found[-1]),
                hint="use a new folder",
            )
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        torch.set_rng_state(state["rng"])
        if torch.cuda.is_available() and state["cuda_rng"]:
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        return int(state["step"]), list(state["log"])

    def save(self, model: Any, optimizers: Sequence[Any], step: int, log: Sequence[dict[str, Any]]) -> None:
        """Write the state after ``step`` steps and drop all but the newest checkpoints."""
        import torch

        final = self.folder / f"step-{step:08d}.pt"
        part = final.with_suffix(".part")
        state = {
            "fingerprint": {k: list(v) if isinstance(v, tuple) else v for k, v in self.fingerprint.items()},
            "model": model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "step": step,
            "log": list(log),
        }
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(final)
        for old in sorted(self.folder.glob("step-*.pt"))[:-KEEP]:
            old.unlink()


def _digest(groups: Sequence[Group]) -> str:
    """Digest of all token ids and masks in order."""
    digest = blake2b(digest_size=16)
    for group in groups:
        for row in group:
            digest.update(np.int64(len(row)).tobytes())
            digest.update(np.ascontiguousarray(row.input_ids, dtype=np.int32).tobytes())
            digest.update(np.ascontiguousarray(row.loss_mask, dtype=np.uint8).tobytes())
    return digest.hexdigest()
