"""What each value is worth against its baseline: paired differences of the same examples, seed by seed and together.

A test's figure is the mean of its examples (of its strata, where it has some), a category's the mean of its tests, the
average the mean of the categories; so each example has a weight, and a difference of averages is a mean of weighted
differences of examples, which is what is resampled. All figures are on the scale 0 to 100.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from agora.core.stats import Interval, holm, paired_bootstrap
from agora.rooms.preferences.types import EvalResult

N_BOOT = 10_000
AVERAGE = "average"
Key = tuple[str, str]  # test and example


@dataclass(frozen=True, slots=True)
class Scored:
    """One model's results: what is compared.

    Attributes:
        scores: by test and example, 0 to 1; missing ones are absent.
        category: of each test.
        stratum: of each example within its test.
    """

    scores: Mapping[Key, float]
    category: Mapping[str, str]
    stratum: Mapping[Key, str]

    @classmethod
    def of(cls, results: Sequence[EvalResult], stratum_of: Callable[[EvalResult], str]) -> Scored:
        """From results an example; those without a score are left out."""
        kept = [result for result in results if result.score is not None]
        return cls(
            {result.key: float(result.score or 0.0) for result in kept},
            {result.test: result.category for result in results},
            {result.key: stratum_of(result) for result in kept},
        )

    def figures(self) -> dict[str, float | None]:
        """Every test's figure under its name, every category's under its, and the average."""
        tests = sorted(self.category)
        found: dict[str, float | None] = {test: self._mean({test}, by_category=False) for test in tests}
        for category in categories_of([self]):
            found[category] = self._mean(_tests_in(self, category), by_category=False)
        found[AVERAGE] = self._mean(set(tests), by_category=True)
        return found

    def _mean(self, tests: set[str], *, by_category: bool) -> float | None:
        keys = [key for key in self.scores if key[0] in tests]
        if not keys:
            return None
        weights = example_weights(self, keys, by_category=by_category)
        return 100 * sum(weights[key] * self.scores[key] for key in keys)


@dataclass(frozen=True, slots=True)
class Effect:
    """One column's difference between a value and its baseline.

    Attributes:
        column: a category, a test, or the average.
        difference: pooled over seeds; resampled are examples, all seeds of an example together.
        by_seed: the same with each seed alone.
        p: two-sided paired t test over examples; NaN where it has no value.
        p_holm: after Holm's correction over all values and columns of the table.
        over_seeds: mean of the seeds' differences with Student's t interval, which knows how much a training's own
            randomness moves the result and is wide for few seeds; None for a single seed.
    """

    column: str
    difference: Interval
    by_seed: dict[int, Interval]
    p: float
    p_holm: float = math.nan
    over_seeds: Interval | None = None

    @property
    def seeds_agree(self) -> bool:
        """Whether every seed's difference has the sign of the pooled one."""
        sign = math.copysign(1, self.difference.estimate)
        return all(math.copysign(1, seed.estimate) == sign for seed in self.by_seed.values())

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero and no seed says the opposite."""
        return self.difference.excludes(0.0) and self.seeds_agree


def categories_of(models: Sequence[Scored]) -> list[str]:
    """Categories in the order in which they are first met."""
    return list(dict.fromkeys(category for model in models for category in model.category.values()))


def example_weights(scored: Scored, keys: Sequence[Key], *, by_category: bool) -> dict[Key, float]:
    """What each example counts in the mean over strata, tests and, if asked, categories; the weights sum to 1."""
    tests = {key[0] for key in keys}
    categories = Counter(scored.category[test] for test in tests)
    strata: dict[str, set[str]] = {test: set() for test in tests}
    members: Counter[tuple[str, str]] = Counter()
    for key in keys:
        strata[key[0]].add(scored.stratum[key])
        members[key[0], scored.stratum[key]] += 1
    out = {}
    for key in keys:
        test, stratum = key[0], scored.stratum[key]
        share = 1 / (len(categories) * categories[scored.category[test]]) if by_category else 1 / len(tests)
        out[key] = share / (len(strata[test]) * members[test, stratum])
    return out


def compare(
    treatment: Mapping[int, Scored], baseline: Mapping[int, Scored], *, seed: int = 0, n_boot: int = N_BOOT
) -> list[Effect]:
    """The effects of one value: on every category, on every test of a category of several, and on the average.

    Args:
        treatment, baseline: seed -> results; seeds that both have are compared. One baseline under several seeds (the
            start model) may be given with the same results for each.
        seed: of the bootstrap.
    """
    common = [s for s in treatment if s in baseline]
    if not common:
        return []
    any_model = treatment[common[0]]
    effects = [_effect(AVERAGE, set(any_model.category), True, treatment, baseline, common, seed, n_boot)]
    for category in categories_of([any_model]):
        tests = _tests_in(any_model, category)
        effects.append(_effect(category, tests, False, treatment, baseline, common, seed, n_boot))
        if len(tests) > 1:
            effects += [
                _effect(test, {test}, False, treatment, baseline, common, seed, n_boot) for test in sorted(tests)
            ]
    return effects


def with_holm(tables: Sequence[Sequence[Effect]], columns: Sequence[str]) -> list[list[Effect]]:
    """The same effects with p-values corrected over all values and the given columns."""
    family = [effect.p for table in tables for effect in table if effect.column in columns]
    corrected = iter(holm(family))
    return [
        [replace(effect, p_holm=next(corrected)) if effect.column in columns else effect for effect in table]
        for table in tables
    ]


def _effect(
    column: str,
    tests: set[str],
    by_category: bool,
    treatment: Mapping[int, Scored],
    baseline: Mapping[int, Scored],
    seeds: Sequence[int],
    seed: int,
    n_boot: int,
) -> Effect:
    """One column. Only examples that every seed of both sides has a score for are compared."""
    sides = [side[s] for s in seeds for side in (treatment, baseline)]
    every = [key for key in dict.fromkeys(key for side in sides for key in side.scores) if key[0] in tests]
    keys = [key for key in every if all(key in side.scores for side in sides)]
    weights = example_weights(treatment[seeds[0]], keys, by_category=by_category)

    def values(side: Scored) -> list[float]:
        return [100 * len(keys) * weights[key] * side.scores[key] for key in keys]

    pairs = {s: (values(treatment[s]), values(baseline[s])) for s in seeds}
    each = {s: paired_bootstrap(a, b, seed=seed, n_boot=n_boot) for s, (a, b) in pairs.items()}
    if len(seeds) == 1:
        pooled = each[seeds[0]]
    else:
        left = [value for a, _ in pairs.values() for value in a]
        right = [value for _, b in pairs.values() for value in b]
        clusters = [key for _ in seeds for key in keys]
        pooled = paired_bootstrap(left, right, seed=seed, n_boot=n_boot, clusters=clusters)
    pooled = pooled._replace(n=len(keys), dropped=len(every) - len(keys))
    means = [sum(a[i] - b[i] for a, b in pairs.values()) / len(seeds) for i in range(len(keys))]
    return Effect(column, pooled, each, _t_test(means), over_seeds=_over_seeds([one.estimate for one in each.values()]))


def _over_seeds(differences: Sequence[float]) -> Interval | None:
    from scipy.stats import t as student

    n = len(differences)
    if n < 2:
        return None
    mean = sum(differences) / n
    error = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    half = float(student.ppf(0.975, n - 1)) * error
    return Interval(mean, mean - half, mean + half, n, "Student's t 95 % over seeds")


def _t_test(differences: Sequence[float]) -> float:
    """Two-sided p-value of a mean of zero; NaN below two values or without variation."""
    from scipy.stats import ttest_1samp

    if len(differences) < 2 or len(set(differences)) == 1:
        return math.nan
    return float(ttest_1samp(differences, 0.0).pvalue)


def _tests_in(scored: Scored, category: str) -> set[str]:
    return {test for test, of in scored.category.items() if of == category}
