"""The recommendation in words, made of the measured numbers and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from agora.core.stats import Interval
from agora.rooms.preferences.study.result import ArmResult, StudyResult

_ASPECT = {
    "data": "preference data",
    "algorithm": "algorithm",
    "reward_model": "reward model",
    "prompts": "policy prompts",
}
_MUCH_CHEAPER = 0.8  # of the cost: less is worth a sentence


def recommend(studies: Sequence[StudyResult], categories: Sequence[str], *, confounded: bool) -> tuple[str, ...]:
    """One sentence or two for every study, and how the aspects rank by what they moved.

    Args:
        studies: with their effects.
        categories: of the tests.
        confounded: the studies were forced.
    """
    said = [_ranking(studies)] if len(studies) > 1 else []
    said += [_advice(study, categories) for study in studies]
    if any(arm.alarms for study in studies for arm in study.arms):
        names = sorted({alarm.arm for study in studies for arm in study.arms for alarm in arm.alarms})
        said.append(f"Over-optimization: do not trust the reward of {', '.join(names)}; it rose while a test fell.")
    if confounded:
        said.append("These studies are confounded: more than one aspect differs, so no effect is that of its aspect.")
    if len(studies) > 1:
        said.append("Each choice was tested alone, from the same baseline; their combination was not run.")
    return tuple(said)


def name_of(aspect: str) -> str:
    """An aspect in words."""
    return _ASPECT[aspect]


def points(interval: Interval) -> str:
    """``+3.2 [1.0, 5.4]``."""
    return f"{interval.estimate:+.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def best_arm(study: StudyResult) -> ArmResult | None:
    """The value that is clearly better than the baseline by the most; None when none is."""
    clear = [arm for arm in study.arms[1:] if (e := arm.effect()) is not None and e.is_clear and e.difference.low > 0]
    return max(clear, key=_gain, default=None)


def spread(study: StudyResult) -> float:
    """Points between the best and the worst value, the baseline being 0."""
    gains = [0.0, *(_gain(arm) for arm in study.arms[1:])]
    return max(gains) - min(gains)


def _gain(arm: ArmResult) -> float:
    effect = arm.effect()
    return effect.difference.estimate if effect is not None else 0.0


def title_of(study: StudyResult) -> str:
    """The aspect, and the study's own name where that says more."""
    aspect = name_of(study.vary)
    own = study.name.replace("_", " ")
    return aspect if own in (aspect, study.vary.replace("_", " ")) else f"{aspect} ({study.name})"


def upper_first(text: str) -> str:
    """With a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def _ranking(studies: Sequence[StudyResult]) -> str:
    ranked = sorted(studies, key=spread, reverse=True)
    parts = [f"{title_of(study)} {spread(study):.1f}" for study in ranked]
    return f"Points of the average between best and worst value, largest first: {', '.join(parts)}."


def _advice(study: StudyResult, categories: Sequence[str]) -> str:
    base, best = study.baseline, best_arm(study)
    what = upper_first(title_of(study))
    if best is None:
        sentence = f'{what}: keep "{base.arm.value}"; no other value is better beyond noise.'
        cheaper = _cheaper(study)
        sentence += f" {cheaper}" if cheaper else ""
    else:
        effect = best.effect()
        assert effect is not None
        sentence = f'{what}: take "{best.arm.value}", {points(effect.difference)} points over "{base.arm.value}".'
        if best.seconds > base.seconds / _MUCH_CHEAPER:
            sentence += f" It costs {best.seconds / base.seconds:.1f} times as much."
        fallen = _fallen(best, categories)
        sentence += f" It loses in {fallen}." if fallen else ""
    avoid = [arm for arm in study.arms[1:] if (e := arm.effect()) is not None and e.is_clear and e.difference.high < 0]
    if avoid:
        named = ", ".join(f'"{a.arm.value}" ({points(e.difference)})' for a in avoid if (e := a.effect()) is not None)
        sentence += f" Avoid {named}."
    return sentence


def _cheaper(study: StudyResult) -> str:
    """A value that cannot be told from the baseline and costs much less."""
    base = study.baseline
    same = [
        arm
        for arm in study.arms[1:]
        if (e := arm.effect()) is not None
        and not e.difference.excludes(0.0)
        and arm.seconds < _MUCH_CHEAPER * base.seconds
    ]
    if not same:
        return ""
    arm = min(same, key=lambda a: a.seconds)
    effect = arm.effect()
    assert effect is not None
    share = arm.seconds / base.seconds
    return f'"{arm.arm.value}" cannot be told from it ({points(effect.difference)}) at {share:.0%} of its time.'


def _fallen(arm: ArmResult, categories: Sequence[str]) -> str:
    fallen = [e for e in arm.effects if e.column in categories and e.is_clear and e.difference.high < 0]
    return ", ".join(f"{e.column} ({points(e.difference)})" for e in fallen)
