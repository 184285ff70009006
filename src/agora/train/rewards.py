"""What a sampled response is worth: one protocol for reward models, programs and judges, and their weighted sum.

A reward sees text, not token ids, so a reward model may use another tokenizer and template than the policy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agora.core.errors import AgoraError, ConfigError
from agora.core.records import Message

MAX_MISSING_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Response:
    """A policy's answer to a prompt.

    Args:
        prompt_id: which prompt.
        prompt: messages up to the user's turn.
        text: the answer without its end token.
        finished: it ended with the end token, not at the length limit.
        n_tokens: sampled tokens, end token included.
    """

    prompt_id: str
    prompt: tuple[Message, ...]
    text: str
    finished: bool
    n_tokens: int

    @property
    def conversation(self) -> tuple[Message, ...]:
        """Prompt and answer."""
        return (*self.prompt, Message("assistant", self.text))


class Reward(Protocol):
    """A source of scores."""

    @property
    def name(self) -> str:
        """What the score is called in logs."""

    def score(self, responses: Sequence[Response]) -> list[float | None]:
        """One score a response; None where there is none."""


@dataclass(frozen=True, slots=True)
class WeightedReward:
    """One term of the sum that training maximizes."""

    reward: Reward
    weight: float = 1.0


class ScorerReward:
    """Scores of anything that scores whole conversations: a reward model, a judge, a checker.

    Args:
        scorer: conversations that end with the answer -> one score each, None where there is none.
        name: in logs.
        mean: subtracted from raw scores before ``scale`` divides them, e.g. those of a reward model's held-out set.
        scale: > 0.
    """

    def __init__(
        self,
        scorer: Callable[[Sequence[tuple[Message, ...]]], list[float | None]],
        *,
        name: str,
        mean: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        if scale <= 0:
            raise ConfigError(f"a reward's scale must be > 0, got {scale}")
        self.name = name
        self._scorer, self._mean, self._scale = scorer, mean, scale

    def score(self, responses: Sequence[Response]) -> list[float | None]:
        """Scaled scores."""
        raw = self._scorer([r.conversation for r in responses])
        return [None if value is None else (value - self._mean) / self._scale for value in raw]


class FunctionReward:
    """Scores by a program.

    Args:
        function: one score (or None) for a response.
        name: in logs.
    """

    def __init__(self, function: Callable[[Response], float | None], *, name: str) -> None:
        self.name = name
        self._function = function

    def score(self, responses: Sequence[Response]) -> list[float | None]:
        """One call a response."""
        return [self._function(response) for response in responses]


def length_reward(per_tokens: float = 100.0) -> FunctionReward:
    """Tokens / ``per_tokens``: not a goal but a probe, which over-optimization alarms must catch."""
    return FunctionReward(lambda response: response.n_tokens / per_tokens, name="length")


@dataclass(frozen=True, slots=True)
class ScoredResponses:
    """Scores of a batch: the weighted sum (None where any term is missing) and each term by name."""

    total: list[float | None]
    parts: dict[str, list[float | None]]


def score_responses(rewards: Sequence[WeightedReward], responses: Sequence[Response]) -> ScoredResponses:
    """The weighted sum of all rewards.

    A response that a reward cannot score, because it raises or gives no finite number, is tried once more alone and
    then left without a score.

    Raises:
        ConfigError: no reward, or two of the same name.
        AgoraError: more than 5 % of the responses have no score.
    """
    names = [term.reward.name for term in rewards]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"rewards must be one or more with different names, got {names or 'none'}")
    parts = {term.reward.name: _finite_scores(term.reward, responses) for term in rewards}
    total: list[float | None] = []
    for i in range(len(responses)):
        terms = [(term.weight, parts[term.reward.name][i]) for term in rewards]
        missing = any(value is None for _, value in terms)
        total.append(None if missing else sum(weight * float(value or 0.0) for weight, value in terms))
    num_missing = sum(value is None for value in total)
    if num_missing > MAX_MISSING_SHARE * len(responses):
        raise AgoraError(
            f"{num_missing} of {len(responses)} responses got no score from {' + '.join(names)}",
            hint="look at the rewards on the stored rollouts",
        )
    return ScoredResponses(total, parts)


def _finite_scores(reward: Reward, responses: Sequence[Response]) -> list[float | None]:
    try:
        found = list(reward.score(responses))
    except AgoraError:
        raise
    except Exception:  # a user's reward function may raise anything; each response then gets its own try
        found = [None] * len(responses)
    return [value if _is_finite(value) else _retry(reward, responses[i]) for i, value in enumerate(found)]


def _retry(reward: Reward, response: Response) -> float | None:
    try:
        value = reward.score([response])[0]
    except AgoraError:
        raise
    except Exception:
        return None
    return value if _is_finite(value) else None


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
