"""Finished stages by fingerprint: found again, never computed twice, and checked for changes made by hand."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agora.core.differences import describe, differences
from agora.core.errors import DataError
from agora.core.files import make_folder, sha256_file
from agora.core.json_text import dumps, loads
from agora.core.jsonl import read_json, write_json
from agora.core.schemas import from_row, to_row
from agora.rooms.preferences.study.fingerprint import canonical, fingerprint
from agora.rooms.preferences.study.stage import Stage, StageArtifact, StoredFile

RECORD = "artifact.json"
_STARTED = "started.json"
_HASH_UP_TO = 64 << 20  # bytes; larger files are compared by size unless everything is to be verified


class StageStore:
    """A folder of stages, ``KIND-FINGERPRINT`` each; studies may share one.

    Args:
        root: made when missing.
        verify: hash large files too when a stage is found.
    """

    def __init__(self, root: Path, *, verify: bool = False) -> None:
        self.root = Path(root)
        self._verify = verify
        make_folder(self.root)

    def folder(self, kind: str, mark: str) -> Path:
        """Where a stage lies."""
        return self.root / f"{kind}-{mark[:16]}"

    def find(self, stage: Stage, mark: str, parents: Mapping[str, StageArtifact]) -> StageArtifact | None:
        """The finished stage with this fingerprint, if it is whole and its parents are those it was built on.

        Raises:
            DataError: its settings or files were changed after it was made; names what.
        """
        folder = self.folder(stage.kind, mark)
        artifact = self.read(folder)
        if artifact is None:
            return None
        self._refuse_edits(folder, artifact, stage, mark)
        if any(not (folder / file.path).is_file() for file in artifact.files):
            return None
        if {role: parent.made for role, parent in parents.items()} != _made(artifact.parents):
            return None
        return artifact

    def read(self, folder: Path) -> StageArtifact | None:
        """The record in a stage's folder; None when the stage is not finished."""
        file = folder / RECORD
        return from_row(StageArtifact, read_json(file)) if file.is_file() else None

    def begin(self, kind: str, mark: str, parents: Mapping[str, Mapping[str, Any]]) -> Path:
        """The folder to work in. A killed attempt on the same parents is gone on from, anything else is cleared.

        Args:
            parents: role -> fingerprint and ``made`` of what is built on.
        """
        folder, built_on = self.folder(kind, mark), _made(parents)
        started = folder / _STARTED
        if (folder / RECORD).exists() or not started.is_file() or read_json(started) != built_on:
            shutil.rmtree(folder, ignore_errors=True)
            make_folder(folder)
            write_json(started, built_on)
        return folder

    def finish(self, folder: Path, artifact: StageArtifact) -> None:
        """Write a stage's record, which makes it a finished one."""
        write_json(folder / RECORD, to_row(artifact))

    def _refuse_edits(self, folder: Path, artifact: StageArtifact, stage: Stage, mark: str) -> None:
        hint = "restore it, or delete the folder to compute the stage again"
        planned: dict[str, Any] = loads(dumps(stage.config))
        changed = differences(planned, artifact.config)
        if canonical(planned) == canonical(artifact.config):
            changed = {}
        known = {role: str(parent["fingerprint"]) for role, parent in artifact.parents.items()}
        again = fingerprint(artifact.kind, artifact.config, known, artifact.inputs, artifact.code)
        if changed or again != mark or artifact.fingerprint != mark:
            what = describe(changed) if changed else "its record does not give its fingerprint"
            raise DataError(
                f"{artifact.label or artifact.kind} was changed by hand: {what}", where=str(folder), hint=hint
            )
        for file in artifact.files:
            path = folder / file.path
            if path.is_file() and not self._same(path, file):
                raise DataError(
                    f"the file was changed after the stage was made: {file.path}", where=str(folder), hint=hint
                )

    def _same(self, path: Path, file: StoredFile) -> bool:
        if path.stat().st_size != file.size:
            return False
        return (file.size > _HASH_UP_TO and not self._verify) or sha256_file(path) == file.sha256


def list_files(folder: Path) -> tuple[StoredFile, ...]:
    """Every file of a stage's folder but its own records."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and name not in (RECORD, _STARTED):
            found.append(StoredFile(name, path.stat().st_size, sha256_file(path)))
    return tuple(found)


def _made(parents: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {role: str(parent["made"]) for role, parent in parents.items()}
