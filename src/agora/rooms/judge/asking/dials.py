"""A judge of known error: the microcosm's checker with dials for noise and for bias toward length and position.

What a judging says of its own error can be held against the truth only where the truth and the judge's error are both
known. Here they are.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace

from agora.core.errors import ConfigError
from agora.core.records import Verdict, stable_id
from agora.rooms.judge.asking.judges import CHECKER, RuleJudge
from agora.rooms.judge.types import ChecklistItem, Item, Kind, Outcome, PairItem, PromptRef, ScoreItem, text_of

_FULL_CHARS = 400  # an answer of this length gets a 10 where only length counts


@dataclass(frozen=True, slots=True)
class Dials:
    """Which share of its verdicts a judge gives for another reason than the answer's worth.

    With probability ``1 - noise - length - position`` a verdict is the checker's; the expected value is therefore
    ``slope`` times the true one plus what the biases add.

    Args:
        noise: at random: each score from 1 to 10, or each of the five outcomes, alike.
        length: by length alone: a score that grows with the characters, or a slight win of the longer answer.
        position: by position alone: a slight win of whoever is shown first. Scores know no position.
    """

    noise: float = 0.0
    length: float = 0.0
    position: float = 0.0

    def __post_init__(self) -> None:
        values = [getattr(self, each.name) for each in fields(self)]
        if min(values) < 0 or sum(values) > 1:
            raise ConfigError(f"dials are shares of all verdicts, at least 0 and together at most 1, got {self.uri}")

    @classmethod
    def parse(cls, uri: str) -> Dials:
        """Read ``microcosm:checker?noise=0.2&length=0.1&position=0.1``.

        Raises:
            ConfigError: an unknown dial, or a value that is no share.
        """
        known = [each.name for each in fields(cls)]
        values = {}
        for part in filter(None, uri.partition("?")[2].split("&")):
            name, _, text = part.partition("=")
            if name not in known:
                raise ConfigError(f"the checker has no dial {name!r}", hint=f"there are {', '.join(known)}")
            try:
                values[name] = float(text)
            except ValueError:
                raise ConfigError(f"dial {name} must be a share from 0 to 1, got {text!r}") from None
        return cls(**values)

    @property
    def uri(self) -> str:
        """The judge's URI, with the dials that are not at 0."""
        turned = [f"{each.name}={value:g}" for each in fields(self) if (value := getattr(self, each.name))]
        return f"{CHECKER}?{'&'.join(turned) or 'noise=0'}"

    def slope(self, kind: Kind) -> float:
        """By what factor the judge shrinks true differences, apart from its biases."""
        return 1 - self.noise - self.length - (self.position if kind == "pair" else 0.0)


class DialJudge:
    """The checker, made worse by known amounts. The same item and seed always get the same verdict.

    Args:
        dials: how much worse, and in which way.
        seed: draws which verdicts are affected.
        checker: the judge whose verdicts are the truth; the shipped world's when None.
    """

    def __init__(self, dials: Dials, *, seed: int = 0, checker: RuleJudge | None = None) -> None:
        self.dials = dials
        self._seed = seed
        self._checker = checker or RuleJudge()

    @property
    def name(self) -> str:
        """The URI with its dials."""
        return self.dials.uri

    def prompt(self, kind: Kind) -> PromptRef:
        """The rule in place of a prompt; another seed is another rule."""
        return PromptRef(f"checker/{kind}", stable_id(self.name, self._seed, self._checker.prompt(kind).hash))

    def score(self, items: Iterable[ScoreItem]) -> Iterator[Verdict]:
        """Grade answers from 1 to 10."""
        return (self._verdict(item, next(self._checker.score([item]))) for item in items)

    def compare(self, items: Iterable[PairItem]) -> Iterator[Verdict]:
        """Compare answers with a baseline's."""
        return (self._verdict(item, next(self._checker.compare([item]))) for item in items)

    def check(self, items: Iterable[ChecklistItem]) -> Iterator[Verdict]:
        """The checker's own checklists; no dial touches them."""
        return (self._verdict(item, next(self._checker.check([item]))) for item in items)

    def _verdict(self, item: Item, truth: Verdict) -> Verdict:
        from agora.rooms.judge.asking.verdicts import make_verdict

        own = make_verdict(item, self.name, self.prompt(item.kind), truth.status, truth.value, parsed=truth.parsed)
        if truth.status != "ok" or "skipped" in truth.meta or isinstance(item, ChecklistItem):
            return replace(own, meta={**truth.meta, **own.meta})
        rng = random.Random(stable_id(self._seed, item.identity, item.content))
        value, why = self._reading(item, rng)
        if value is None:
            return own
        parsed = {"truth": truth.value, "moved_by": why}
        return replace(own, value=value, parsed=parsed)

    def _reading(self, item: ScoreItem | PairItem, rng: random.Random) -> tuple[float | None, str]:
        """The value that a dial puts in place of the checker's, and which dial; None for none."""
        draw, dials = rng.random(), self.dials
        if draw < dials.noise:
            wild = rng.randint(1, 10) if isinstance(item, ScoreItem) else rng.choice([o.value for o in Outcome])
            return float(wild), "noise"
        if draw < dials.noise + dials.length:
            return _by_length(item), "length"
        if isinstance(item, PairItem) and draw < dials.noise + dials.length + dials.position:
            return (0.5 if item.order == "candidate_first" else -0.5), "position"
        return None, ""


def _by_length(item: ScoreItem | PairItem) -> float:
    length = len(text_of(item.answer))
    if isinstance(item, ScoreItem):
        return round(1 + 9 * min(1.0, length / _FULL_CHARS))
    gap = length - len(text_of(item.baseline))
    return 0.0 if gap == 0 else 0.5 if gap > 0 else -0.5
