"""What a test asks of a model, and what came of it, one example at a time.

Per-example records are what paired statistics need: two models are compared on the same ``(test, example_id)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from agora.core.errors import DataError
from agora.core.records import JsonMap, Message, VerdictStatus


@dataclass(frozen=True, slots=True)
class EvalItem:
    """One example of a test.

    Attributes:
        test: the test's name.
        category: the category whose mean the test enters.
        id: unique within the test, the same in every run.
        messages: what the model is shown; the last turn is the user's.
        prefix: how the model's own turn is made to begin ("Answer:"); empty where it begins by itself.
        raw: what a model without a chat template is shown instead; None: the messages' texts and the prefix.
        target: the right answer as text, where there is one.
        meta: what the scorer needs besides (choices, checks, tests, stratum).
    """

    SCHEMA: ClassVar[str] = "eval_item/1"
    test: str
    category: str
    id: str
    messages: tuple[Message, ...]
    prefix: str = ""
    raw: str | None = None
    target: str | None = None
    meta: JsonMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One example, answered and scored.

    Attributes:
        score: 0 (worst) to 1 (best); None unless `status` is ``ok``.
        status: ``ok``; ``missing``: no answer came, or nothing here can score it; ``unparsed`` or ``refused``: the
            judge's reply gave no value. A model's own unreadable answer is wrong, so ``ok`` with score 0.
        prompt_hash: of all that decided the generation: messages, prefix, way of asking, sampling settings, seed.
        generation: the model's text (the first one, where several were drawn); None where none was asked for.
        prediction: what the scorer read out of it; None where it found nothing.
        meta: details: length, how the generation ended, checks, further samples, judge.

    Raises:
        DataError: a score without ``ok``, or ``ok`` without a score from 0 to 1.
    """

    SCHEMA: ClassVar[str] = "eval_result/1"
    test: str
    category: str
    example_id: str
    score: float | None
    status: VerdictStatus
    prompt_hash: str
    generation: str | None = None
    prediction: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"{self.test}/{self.example_id}"
        if self.status != "ok" and self.score is not None:
            raise DataError(f"a result with status {self.status!r} has no score, got {self.score}", where=where)
        if self.status == "ok" and (self.score is None or not 0.0 <= self.score <= 1.0):
            raise DataError(f"a score must be from 0 to 1, got {self.score}", where=where)

    @property
    def key(self) -> tuple[str, str]:
        """Test and example: what two runs are paired by."""
        return self.test, self.example_id
