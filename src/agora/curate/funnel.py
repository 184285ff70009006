"""How many rows came to each step, how many left it, and why the others did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agora.core.errors import DataError


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """One step: ``n_in`` rows came, ``n_out`` stayed, ``reasons`` counts the others.

    ``starts`` is true where the count begins anew because the unit changes (a file's rows become a tree's paths).
    """

    label: str
    n_in: int
    n_out: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    starts: bool = False


class Funnel:
    """Named steps in order. Every step takes in what the one before let out, and every lost row has a reason.

    Example:
        >>> funnel = Funnel()
        >>> funnel.start("drawn", 100)
        >>> funnel.step("not seen before", {"near duplicate": 7, "exact duplicate": 3})
        90
        >>> funnel.rows()
        [('drawn', 100, {}), ('not seen before', 90, {'exact duplicate': 3, 'near duplicate': 7})]
    """

    def __init__(self) -> None:
        self._steps: list[FunnelStep] = []

    @property
    def steps(self) -> tuple[FunnelStep, ...]:
        """The steps so far."""
        return tuple(self._steps)

    @property
    def n_in(self) -> int:
        """Rows that came to the first step."""
        return self._steps[0].n_in if self._steps else 0

    @property
    def n_out(self) -> int:
        """Rows that the last step let out."""
        return self._steps[-1].n_out if self._steps else 0

    def start(self, label: str, n: int) -> None:
        """Begin with ``n`` rows; later in a funnel: go on counting in another unit."""
        self._add(FunnelStep(label, n, n, {}, starts=True))

    def step(self, label: str, reasons: Mapping[str, int]) -> int:
        """Lose rows for the given reasons; returns how many are left.

        Raises:
            DataError: nothing was started, or more rows are lost than there were.
        """
        if not self._steps:
            raise DataError("a funnel begins with start()", where=f"funnel step {label!r}")
        n_in = self.n_out
        self._add(FunnelStep(label, n_in, n_in - sum(reasons.values()), dict(reasons)))
        return self.n_out

    def _add(self, step: FunnelStep) -> None:
        where = f"funnel step {step.label!r}"
        if step.n_in < 0 or any(n < 0 for n in step.reasons.values()):
            raise DataError("a count is negative", where=where)
        lost = sum(step.reasons.values())
        if step.n_out < 0:
            raise DataError(f"{lost} rows are lost of {step.n_in}", where=where)
        if step.n_out != step.n_in - lost:
            raise DataError(f"{step.n_in} in - {lost} lost is not {step.n_out} out", where=where)
        if self._steps and not step.starts and step.n_in != self.n_out:
            raise DataError(f"{step.n_in} rows come in, the step before let {self.n_out} out", where=where)
        ordered = dict(sorted((r, n) for r, n in step.reasons.items() if n))
        self._steps.append(FunnelStep(step.label, step.n_in, step.n_out, ordered, step.starts))

    def reasons(self) -> Counter[str]:
        """All losses by reason, over all steps."""
        total: Counter[str] = Counter()
        for step in self._steps:
            total.update(step.reasons)
        return total

    def rows(self) -> list[tuple[str, int, dict[str, int]]]:
        """``(label, rows left, losses by reason)`` per step: what :meth:`agora.core.report.Report.funnel` draws."""
        return [(s.label, s.n_out, dict(s.reasons)) for s in self._steps]

    def to_json(self) -> list[dict[str, Any]]:
        """One object per step: ``step``, ``in``, ``kept``, ``reasons``, and ``starts`` where the unit changes."""
        return [
            {"step": s.label, "in": s.n_in, "kept": s.n_out, "reasons": dict(s.reasons)}
            | ({"starts": True} if s.starts else {})
            for s in self._steps
        ]

    def summary(self) -> dict[str, Any]:
        """One object: rows in, rows kept, all losses by reason, and the steps."""
        return {"in": self.n_in, "kept": self.n_out, "reasons": dict(self.reasons()), "steps": self.to_json()}

    @classmethod
    def from_json(cls, steps: Sequence[Mapping[str, Any]]) -> Funnel:
        """The funnel of :meth:`to_json`. ``in`` may be absent: it is what was kept and lost.

        Raises:
            DataError: a field is missing or no count, or the counts contradict each other.
        """
        funnel = cls()
        for number, step in enumerate(steps, 1):
            try:
                label, kept = str(step["step"]), int(step["kept"])
                reasons = {str(r): int(n) for r, n in (step.get("reasons") or {}).items()}
                n_in = int(step.get("in", kept + sum(reasons.values())))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise DataError(f"step {number} of a funnel cannot be read: {error!r}") from None
            funnel._add(FunnelStep(label, n_in, kept, reasons, bool(step.get("starts"))))
        return funnel
