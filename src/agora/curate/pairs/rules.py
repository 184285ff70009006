"""How pairs are made of ranked answers: a named rule that every pair carries with it.

The rule is worth as much as the data: on the same prompts and answers of UltraFeedback, the mean of the aspect ratings
gave 61.0 and the overall score 60.3 (Ivison et al. 2024, arXiv:2406.09279, Table 1).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from agora.core.config import Config, load_config
from agora.core.errors import ConfigError
from agora.core.records import JsonMap, stable_id
from agora.curate.pairs.records import RankedGroup, Response

RuleName = Literal["best_vs_random", "best_vs_worst", "all_pairs", "adjacent", "random_pair"]


class PairRule(Config):
    """Which answers of a group are compared.

    Args:
        name: ``best_vs_random`` (the best against a random worse one), ``best_vs_worst``, ``all_pairs``, ``adjacent``
            (neighbors in the ranking) or ``random_pair``.
        score: what ranks the answers: the ``overall`` score (or the rank), the ``mean`` of the aspects, or their
            ``weighted`` mean; None is the format's own.
        weights: of the aspects, for ``weighted``; an answer that lacks one of them is left out.
        min_margin: least difference of the values, in their unit.
        min_responses: smaller groups give nothing.
        tie_policy: ``drop`` pairs of equal value, or keep them as ``soft`` ties (each side preferred half the time).
        seed: of the random choices and of the order among equals; the outcome for a group depends on nothing else.
    """

    name: RuleName = "best_vs_random"
    score: Literal["overall", "mean", "weighted"] | None = None
    weights: dict[str, float] = Field(default_factory=dict)
    min_margin: float = Field(0.0, ge=0.0)
    min_responses: int = Field(2, ge=2)
    tie_policy: Literal["drop", "soft"] = "drop"
    seed: int = 0

    @model_validator(mode="after")
    def _weights_fit(self) -> PairRule:
        if (self.score == "weighted") != bool(self.weights):
            raise ValueError("weights belong to score=weighted, and it needs them")
        if self.weights and sum(self.weights.values()) <= 0:
            raise ValueError("the weights must add up to more than 0")
        return self

    def over(self, default: PairRule) -> PairRule:
        """This rule with the score of ``default`` where it names none."""
        if self.score is not None:
            return self
        return self.model_copy(update={"score": default.score or "overall", "weights": default.weights})

    def recorded(self) -> JsonMap:
        """What a pair carries: the rule without what is at its default."""
        return {"name": self.name} | self.model_dump(mode="json", exclude_defaults=True)


def parse_rule(text: str) -> PairRule:
    """The rule of one line: a name, then ``key=value`` parts, as in ``best_vs_worst,score=mean,min_margin=0.5``.

    Weights are ``weights.helpfulness=2``.

    Raises:
        ConfigError: an unknown name or key, or a value that does not fit.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    settings = [part if "=" in part else f"name={part}" for part in parts]
    try:
        return load_config(PairRule, None, settings)
    except ConfigError as error:
        raise ConfigError(error.what, where=f"--rule {text}", hint=error.hint) from None


class Choice(NamedTuple):
    """Two answers of a group, the better first; ``gap`` is the difference of their values, 0 for a tie."""

    better: Response
    worse: Response
    gap: float


class Choices(NamedTuple):
    """What a rule made of a group: pairs, and why there is none where there is none."""

    pairs: list[Choice]
    reason: str = ""


def choose(group: RankedGroup, rule: PairRule) -> Choices:
    """The pairs of a group by a rule (see :class:`PairRule`).

    Answers without a value or without text are left out. Of equal values a seeded hash decides, so that no place in
    the file and no model is favored.
    """
    ranked = _ranked(group, rule)
    if len(ranked) < rule.min_responses:
        return Choices([], f"fewer than {rule.min_responses} answers with a score")
    rng = random.Random(f"{rule.seed}|{group.id}")
    fitting = [Choice(a.response, b.response, a.value - b.value) for a, b in _PICKS[rule.name](ranked)]
    fitting = [choice for choice in fitting if _fits(choice, rule)]
    if not fitting:
        tied = ranked[0].value == ranked[-1].value
        return Choices([], "tie" if tied else "gap under min_margin" if rule.min_margin else "no pair without a tie")
    return Choices([rng.choice(fitting)] if rule.name in ("best_vs_random", "random_pair") else fitting)


class _Valued(NamedTuple):
    value: float
    response: Response


def _ranked(group: RankedGroup, rule: PairRule) -> list[_Valued]:
    """The answers that have a value, best first."""
    found = []
    for index, response in enumerate(group.responses):
        value = value_of(response, rule, group.mean_of)
        if value is not None and any(m.content.strip() for m in response.messages):
            found.append((-value, stable_id(rule.seed, group.id, index), response))
    return [_Valued(-negative, response) for negative, _, response in sorted(found, key=lambda item: item[:2])]


def value_of(response: Response, rule: PairRule, mean_of: tuple[str, ...] = ()) -> float | None:
    """What a rule ranks an answer by; None when the answer lacks it."""
    if rule.score == "weighted":
        parts = [response.aspects.get(name) for name in rule.weights]
        if any(part is None for part in parts):
            return None
        total = sum(w * p for w, p in zip(rule.weights.values(), parts, strict=True) if p is not None)
        return float(total / sum(rule.weights.values()))
    if rule.score == "mean":
        values = [response.aspects.get(name) for name in mean_of or response.aspects]
        present = [float(v) for v in values if v is not None]
        return sum(present) / len(present) if present else None
    if response.score is not None:
        return response.score
    return None if response.rank is None else -float(response.rank)


def _fits(choice: Choice, rule: PairRule) -> bool:
    if choice.gap == 0:
        return rule.tie_policy == "soft" and rule.min_margin == 0
    return choice.gap >= rule.min_margin


def _best_against_rest(ranked: list[_Valued]) -> Iterator[tuple[_Valued, _Valued]]:
    return ((ranked[0], other) for other in ranked[1:])


def _best_against_last(ranked: list[_Valued]) -> Iterator[tuple[_Valued, _Valued]]:
    yield ranked[0], ranked[-1]


_PICKS: dict[str, Any] = {
    "best_vs_random": _best_against_rest,
    "best_vs_worst": _best_against_last,
    "all_pairs": lambda ranked: combinations(ranked, 2),
    "adjacent": pairwise,
    "random_pair": lambda ranked: combinations(ranked, 2),
}
