"""What a run on a policy's own samples must be told about: signs of bugs, of collapse and of gamed rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agora.train.online_config import OnlineConfig

_LENGTH_GROWTH = 1.3  # responses this much longer than at the start
_CORRELATION = 0.5  # of score and length within rollouts
_LOW_ENTROPY = 0.02  # nats a token


@dataclass(slots=True)
class Alarms:
    """Collects sentences, each kind once, with the step at which it first held.

    The KL alarm follows the usual reports of negative KL: small negative means are noise of the k1 estimate, large ones
    mean wrong padding, a wrong temperature or dropout.
    """

    config: OnlineConfig
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    _found: dict[str, str] = field(default_factory=dict)

    @classmethod
    def replay(cls, log: Sequence[Mapping[str, Any]], config: OnlineConfig) -> Alarms:
        """Alarms of a run so far, so that a resumed one ends with the same ones."""
        alarms = cls(config)
        for row in log:
            alarms.add(row)
        return alarms

    def add(self, row: Mapping[str, Any]) -> None:
        """Look at one step's metrics."""
        self.rows.append(row)
        step = row["step"]
        if row["eos_rate"] == 0:
            consequence = (
                "no response ended"
                if self.config.missing_eos_penalty is None
                else f"the score is the penalty {self.config.missing_eos_penalty:g} for 100 % of samples"
            )
            self._note("eos", f"step {step}: {consequence}; raise response_length or check the end token")
        if row["score_std"] == 0:
            self._note("flat", f"step {step}: all responses got the same score, so nothing can be learned from them")
        if row["kl/k1"] < -3 * max(row["kl/k1_standard_error"], 1e-6) and row["kl/k1"] < -0.05:
            self._note(
                "kl",
                f"step {step}: mean KL {row['kl/k1']:.2f} is more than 3 standard errors below 0, which is a bug sign",
            )
        if row["entropy"] < _LOW_ENTROPY:
            self._note("entropy", f"step {step}: entropy {row['entropy']:.3f} nats a token, the policy has collapsed")

    def found(self) -> list[str]:
        """All alarms, those that need the whole run included."""
        return [*self._found.values(), *self._length_hacking()]

    def _note(self, kind: str, sentence: str) -> None:
        self._found.setdefault(kind, sentence)

    def _length_hacking(self) -> list[str]:
        if len(self.rows) < 4:
            return []
        # the first two rollouts are from before anything was learned
        first, last = self.rows[:2], self.rows[-max(2, len(self.rows) // 4) :]
        start, end = (sum(row["response_tokens"] for row in part) / len(part) for part in (first, last))
        correlations = [row["score_length_correlation"] for row in self.rows if "score_length_correlation" in row]
        mean = sum(correlations) / len(correlations) if correlations else 0.0
        if end < _LENGTH_GROWTH * start or mean < _CORRELATION:
            return []
        return [
            f"responses grew from {start:.1f} to {end:.1f} tokens while score and length correlate at {mean:.2f}: "
            "the reward may be paid for length"
        ]
