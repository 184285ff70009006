"""Checkpoints of a model that is spread over processes: every process writes and reads its own share.

A checkpoint may be resumed by another number of processes; with the same number it is exact. Frozen weights are not
stored.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agora.core.errors import ConfigError
from agora.train.checkpoint import KEEP, Checkpoints, Restored, refuse_other_settings
from agora.train.distributed import from_first, wait, world


class ShardedCheckpoints(Checkpoints):
    """Checkpoints in folders of one file a process, complete once renamed; all processes must call each method.

    Args:
        folder: that of the first process counts; it must be reachable from all.
        fingerprint: see :class:`agora.train.checkpoint.Checkpoints`.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any]) -> None:
        super().__init__(from_first(folder), fingerprint)

    def load(self, models: Mapping[str, Any], optimizers: Mapping[str, Sequence[Any]]) -> Restored | None:
        """Restore the newest complete checkpoint; see :meth:`agora.train.checkpoint.Checkpoints.load`."""
        import torch
        from torch.distributed.checkpoint.state_dict_loader import load

        newest: Path | None = from_first(self._newest())
        if newest is None:
            return None
        facts = torch.load(newest / "facts.pt", weights_only=True)
        refuse_other_settings(facts["fingerprint"], self.fingerprint, newest)
        state = _state(models, optimizers)
        load(state, checkpoint_id=str(newest))
        _set_state(state, models, optimizers)
        own = newest / f"rng-{world().rank}.pt"
        if own.is_file():
            rng = torch.load(own, weights_only=True)
            torch.set_rng_state(rng["cpu"])
            if torch.cuda.is_available() and rng["cuda"] is not None:
                torch.cuda.set_rng_state(rng["cuda"])
        return Restored(int(facts["step"]), list(facts["log"]), dict(facts["state"]))

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
        from torch.distributed.checkpoint.state_dict_saver import save

        final = self.folder / f"step-{step:08d}"
        part = final.with_suffix(".part")
        if world().is_first:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
        wait()
        save(_state(models, optimizers), checkpoint_id=str(part))
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
        torch.save({"cpu": torch.get_rng_state(), "cuda": cuda}, part / f"rng-{world().rank}.pt")
        wait()
        if world().is_first:
            facts = {"fingerprint": self.fingerprint, "step": step, "log": list(log), "state": dict(state or {})}
            torch.save(facts, part / "facts.pt")
            part.rename(final)
            for old in self._complete()[:-KEEP]:
                shutil.rmtree(old)
        wait()

    def _newest(self) -> Path | None:
        if any(self.folder.glob("step-*.pt")):
            raise ConfigError(
                "checkpoint was made by one process",
                where=str(self.folder),
                hint="go on without torchrun, or use a new folder",
            )
        return next(reversed(self._complete()), None)

    def _complete(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("step-*") if path.is_dir() and path.suffix != ".part")


def _state(models: Mapping[str, Any], optimizers: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        get_model_state_dict,
        get_optimizer_state_dict,
    )

    options = StateDictOptions(ignore_frozen_params=True)
    return {
        name: {
            "model": get_model_state_dict(model, options=options),
            "optimizers": get_optimizer_state_dict(model, list(optimizers[name]), options=options),
        }
        for name, model in models.items()
    }


def _set_state(state: Mapping[str, Any], models: Mapping[str, Any], optimizers: Mapping[str, Sequence[Any]]) -> None:
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        set_model_state_dict,
        set_optimizer_state_dict,
    )

    for name, model in models.items():
        options = StateDictOptions(ignore_frozen_params=True, strict=False)
        set_model_state_dict(model, state[name]["model"], options=options)
        set_optimizer_state_dict(model, list(optimizers[name]), state[name]["optimizers"], options=options)
