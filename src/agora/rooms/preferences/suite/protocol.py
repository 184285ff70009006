"""What a test is: it lists items, says what to ask for each, and scores the replies.

A test knows nothing of engines: it asks for text (:class:`Ask`) or for the log-probabilities of given texts
(:class:`Choose`), and :mod:`agora.rooms.preferences.suite.asking` finds the engine's way to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from agora.core.records import VerdictStatus
from agora.engines.types import Generation, Sampling, Score
from agora.rooms.preferences.types import EvalItem, EvalResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The six categories of the published tables.
CATEGORIES = ("factuality", "reasoning", "coding", "truthfulness", "safety", "instruction following")


@dataclass(frozen=True, slots=True)
class Ask:
    """Text is wanted: `n` samples, each with its own seed derived from ``sampling.seed``, the item and its number."""

    sampling: Sampling
    n: int = 1


@dataclass(frozen=True, slots=True)
class Choose:
    """The log-probability of each of these continuations of the prompt is wanted."""

    continuations: tuple[str, ...]


Request = Ask | Choose


class Answered(NamedTuple):
    """An item with all its replies: generations in sample order, or scores in the order of the continuations.

    `shape` is how the prompt reached the model: ``template`` (its chat template, with the prefix in its own turn),
    ``chat`` (the server's template), ``chat+prefix`` (the prefix at the end of the user's turn) or ``raw``.
    """

    item: EvalItem
    replies: tuple[Generation | Score, ...]
    prompt_hash: str
    shape: str

    @property
    def texts(self) -> list[str]:
        """The generated texts."""
        return [reply.text for reply in self.replies if isinstance(reply, Generation)]

    def result(
        self,
        score: float | None,
        *,
        prediction: str | None = None,
        status: VerdictStatus = "ok",
        meta: Mapping[str, Any] | None = None,
    ) -> EvalResult:
        """The item's result, with what every generation tells: its length and how it ended."""
        facts: dict[str, Any] = {"shape": self.shape}
        drawn = [reply for reply in self.replies if isinstance(reply, Generation)]
        if drawn:
            facts |= {
                "finish_reason": drawn[0].finish_reason,
                "n_chars": len(drawn[0].text),
                "n_tokens": drawn[0].usage.completion_tokens or None,
            }
        return EvalResult(
            test=self.item.test,
            category=self.item.category,
            example_id=self.item.id,
            score=score,
            status=status,
            prompt_hash=self.prompt_hash,
            generation=drawn[0].text if drawn else None,
            prediction=prediction,
            meta=facts | dict(meta or {}),
        )


class Test(ABC):
    """One test as a plug-in: name its items, its requests and its scoring; the suite does the rest.

    Attributes:
        name: unique among the tests of a run.
        category: whose unweighted mean it enters.
        unit: of the figure in words; every figure is on the scale 0 to 100, higher is better.
    """

    __test__ = False  # not a test of this package, whatever its name says to pytest

    name: str
    category: str
    unit: ClassVar[str] = "% right"

    @property
    def scoring(self) -> str:
        """What scores depend on beside items, requests and this code (a judge's name, a limit): a change is refused."""
        return ""

    @abstractmethod
    def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
        """The examples, in a fixed order.

        Args:
            limit: at most so many; None: the whole test.
            seed: of items that are drawn on the spot; a published subset keeps its own seed.
        """

    @abstractmethod
    def request(self, item: EvalItem) -> Request:
        """What to ask the model."""

    @abstractmethod
    def score(self, answered: Answered) -> EvalResult:
        """Score one answered item."""

    def score_all(self, answered: Iterable[Answered]) -> Iterator[EvalResult]:
        """Score answered items as they come; override it to run judges or programs many at a time."""
        return map(self.score, answered)

    def stratum(self, result: EvalResult) -> str:
        """The part of the test an example belongs to; the figure is the unweighted mean over parts."""
        return ""

    def figure(self, results: Sequence[EvalResult], weights_RN: NDArray[np.float64]) -> NDArray[np.float64]:
        """The figure of one stratum under R weightings of its N scored examples, 0 to 1; default: the mean score."""
        import numpy as np

        scores_N = np.array([result.score for result in results], dtype=float)
        values: NDArray[np.float64] = weights_RN @ scores_N / weights_RN.sum(axis=1)
        return values

    def secondary(self, results: Sequence[EvalResult]) -> dict[str, float | None]:
        """Further figures to report beside the main one (no part in any mean)."""
        return {}


def mean_of(results: Sequence[EvalResult], name: str, scale: float = 100.0) -> float | None:
    """Mean of a number in the results' meta, times `scale`; None where no result has it."""
    found = [float(value) for result in results if (value := result.meta.get(name)) is not None]
    return scale * sum(found) / len(found) if found else None
