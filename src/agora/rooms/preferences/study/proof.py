"""The proof that a study varies one aspect: from the resolved settings, key by key, and again from what was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agora.core.differences import Difference, describe, differences
from agora.core.errors import ConfigError
from agora.rooms.preferences.study.recipe import Arm


@dataclass(frozen=True, slots=True)
class Proof:
    """How one arm differs from its study's baseline.

    Attributes:
        study, value: which arm.
        vary: the aspect that may differ.
        varied: dotted keys of that block that differ, with both values.
        outside: dotted keys of other blocks that differ; empty in a clean study.
    """

    study: str
    value: str
    vary: str
    varied: dict[str, Difference]
    outside: dict[str, Difference]

    @property
    def clean(self) -> bool:
        """Whether only the varied block differs."""
        return not self.outside

    def as_json(self) -> dict[str, Any]:
        """The proof as plain values."""
        return {
            "study": self.study,
            "value": self.value,
            "vary": self.vary,
            "varied": {key: list(pair) for key, pair in self.varied.items()},
            "outside": {key: list(pair) for key, pair in self.outside.items()},
        }


def prove(arms: Sequence[Arm]) -> list[Proof]:
    """Compare every arm of a study with its baseline, which comes first."""
    base = arms[0].cell.model_dump(mode="json")
    return [_proof(arm, base) for arm in arms[1:]]


def require_clean(proofs: Sequence[Proof], *, force: bool = False) -> bool:
    """Refuse studies in which more than one aspect differs.

    Returns:
        True when the studies are confounded and were forced.

    Raises:
        ConfigError: a study is confounded, or a value equals its baseline.
    """
    for proof in proofs:
        where = f"studies.{proof.study}.values.{proof.value}"
        if not proof.varied and proof.clean:
            raise ConfigError("this value does not differ from the baseline", where=where, hint="change it or drop it")
        if proof.outside and not force:
            raise ConfigError(
                f"more than {proof.vary} differs from the baseline: {describe(proof.outside)}",
                where=where,
                hint="make it a study of its own, or use --force and the report is labeled confounded",
            )
    return any(proof.outside for proof in proofs)


def _proof(arm: Arm, base: Mapping[str, Any]) -> Proof:
    found = differences(_indexed(base), _indexed(arm.cell.model_dump(mode="json")))
    inside = {key: pair for key, pair in found.items() if key.split(".")[0] == arm.vary}
    outside = {key: pair for key, pair in found.items() if key not in inside}
    return Proof(arm.study, arm.value, arm.vary, inside, outside)


def _indexed(value: Any) -> Any:
    """Lists of mappings as mappings by position, so that a difference names the one key that differs."""
    if isinstance(value, Mapping):
        return {key: _indexed(inner) for key, inner in value.items()}
    if isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        return {str(i): _indexed(inner) for i, inner in enumerate(value)}
    return value
