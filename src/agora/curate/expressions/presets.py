"""Filters by name: those of the paper (arXiv:2406.08464, table 5), of its published sets, and our own basics.

The paper keeps rows whose neighbor distance is above 0, which drops every copy of an exact duplicate, the first
included; ``dup.keeper`` keeps one of each group. Lengths are in characters.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preset:
    """A named filter."""

    expression: str
    source: str


_GOOD = "quality >= good and difficulty >= medium"
_EASY = "quality >= good and difficulty >= easy"
_LONGEST = "then top 300000 by len(answer)"
_HALVES = (
    "then top 100000 by len(answer) where difficulty == easy plus top 100000 by len(answer) where difficulty > easy"
)
_WHOLE = "not ends(instruction, ':') and dup.keeper"

PRESETS: dict[str, Preset] = {
    "basics": Preset(
        "words(instruction) >= 1 and words(answer) >= 1 and repeats(answer) < 0.5 and run(answer) < 0.5 "
        "and nonprinting(answer) < 0.01",
        "what every training row should pass",
    ),
    "air": Preset(f"{_GOOD} and dup.keeper and reward_diff > 0 {_LONGEST}", "table 5, Air"),
    "pro": Preset(f"quality >= average and dup.keeper and reward > -12 {_LONGEST}", "table 5, Pro (the one released)"),
    "pro-2": Preset(f"{_EASY} and dup.keeper and reward > -12 {_LONGEST}", "table 5"),
    "pro-3": Preset(f"dup.keeper and reward > -12 {_LONGEST}", "table 5"),
    "pro-4": Preset(f"{_EASY} and dup.keeper and reward_diff > 0 {_LONGEST}", "table 5"),
    "pro-5": Preset(f"{_EASY} and dup.keeper and reward > -12", "table 5 (338K, all that pass)"),
    "pro-6": Preset(f"dup.keeper and reward > -12 {_HALVES}", "table 5 (200K, half easy, half harder)"),
    "pro-card": Preset(
        f"quality >= average and dup.keeper and reward >= -10 {_LONGEST}", "card of Magpie-Pro-300K-Filtered"
    ),
    "qwen2-pro": Preset(
        f"quality in [good, excellent] and reward > -10 and {_WHOLE} {_LONGEST}", "the authors' notebook for Qwen2-Pro"
    ),
    "zh": Preset(
        f"quality >= average and reward >= -10 and language == ZH and {_WHOLE} then top 200000 by len(answer)",
        "card of the Chinese 200K set",
    ),
    "mt": Preset(
        "quality >= good and (lines(instruction) <= 5 or category == Coding) then top 500000 by len(answer)",
        "card of Llama-3.1-Pro-MT-300K, as far as it says",
    ),
}
