"""What stops a draw before money is lost: first samples that look wrong, and slices that bring nothing new."""

from __future__ import annotations

from collections import deque

from agora.core.errors import AgoraError
from agora.core.records import Sample

MAX_CUT = 0.2
MAX_ASSISTANT = 0.375  # 3 of 8, as in the raw-access probe
FEWEST = 10


class FirstLook:
    """Looks at the first ``size`` samples (or at all, when fewer are drawn) and stops a draw that went wrong."""

    def __init__(self, size: int, total: int) -> None:
        self._left = min(size, total) if min(size, total) >= FEWEST else 0
        self._samples: list[Sample] = []

    def see(self, sample: Sample) -> None:
        """Take the next sample, in order; errors of the engine do not count.

        Raises:
            AgoraError: the samples look wrong; with five of them and the likely cause.
        """
        if self._left == 0 or sample.finish_reason == "error":
            return
        self._samples.append(sample)
        self._left -= 1
        if self._left == 0:
            seen, self._samples = self._samples, []
            _judge(seen)


def _judge(samples: list[Sample]) -> None:
    n = len(samples)
    cut = sum(s.finish_reason == "length" for s in samples)
    voices = sum("assistant_voice" in s.flags for s in samples)
    if all(s.finish_reason == "empty" for s in samples):
        what, cause = "all are empty", "the prefix does not open a user turn of this model: try mode bare or template"
    elif len({s.instruction for s in samples}) == 1:
        what, cause = "all are identical", "the server ignores seeds, or the temperature is too low"
    elif cut > MAX_CUT * n:
        what, cause = f"{cut} are cut off by length", "the stop set is wrong, or max_tokens is too small"
    elif voices > MAX_ASSISTANT * n:
        what = f"{voices} speak as the assistant"
        cause = "the server adds its own template: use a raw completion route (agora engines check URI)"
    else:
        return
    examples = " | ".join(repr(s.raw_text[:60]) for s in samples[:5])
    raise AgoraError(f"the first {n} samples look wrong: {what}. Five of them: {examples}", hint=cause)


class Freshness:
    """The share of new samples among the last ``window`` clean ones of a slice."""

    def __init__(self, window: int, floor: float) -> None:
        self._window: deque[bool] = deque(maxlen=window)
        self._fresh = 0
        self._floor = floor

    def see(self, sample: Sample) -> bool:
        """Take the next sample, in order; True when the slice should stop."""
        if not sample.kept and sample.reason != "duplicate":
            return False
        if len(self._window) == self._window.maxlen:
            self._fresh -= self._window[0]
        self._window.append(sample.kept)
        self._fresh += sample.kept
        return len(self._window) == self._window.maxlen and self.rate < self._floor

    @property
    def rate(self) -> float:
        """In [0, 1]; 1 while nothing was seen."""
        return self._fresh / len(self._window) if self._window else 1.0
