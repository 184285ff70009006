"""What makes stages the same, and what does not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.rooms.preferences.study.fingerprint import Renderings, canonical, fingerprint, loss_code
from agora.rooms.preferences.study.stage import Stage, descendants, in_order
from tests.examples import examples
from tests.rooms.preferences.toy import make_base, write_pairs, write_prompts

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=examples(40))
@given(st.dictionaries(st.text(max_size=4), _VALUES, max_size=4))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    assert canonical(value) == canonical(dict(reversed(value.items())))


def test_numbers_that_are_equal_are_one() -> None:
    assert canonical({"epochs": 2}) == canonical({"epochs": 2.0})
    assert canonical({"epochs": 2}) != canonical({"epochs": 2.5})
    assert canonical({"flag": True}) != canonical({"flag": 1})


@pytest.mark.parametrize("part", range(5))
def test_every_part_counts(part: int) -> None:
    parts = ["dpo", {"lr": 0.1}, {"model": "a"}, {"data": "b"}, "code"]
    other = ["ppo", {"lr": 0.2}, {"model": "c"}, {"data": "d"}, "other"]
    changed = [*parts[:part], other[part], *parts[part + 1 :]]
    assert fingerprint(*parts) != fingerprint(*changed)


def test_the_code_of_a_loss_counts_without_its_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from agora.rooms.preferences.study import fingerprint as module

    source = tmp_path / "losses.py"

    class Spec:
        origin = str(source)

    monkeypatch.setattr(module, "find_spec", lambda name: Spec)

    def digest(text: str) -> str:
        source.write_text(text)
        loss_code.cache_clear()
        return loss_code("sft")

    first = digest('"""A."""\ndef f(x):\n    """B."""\n    return x + 1\n')
    assert digest("# why\ndef f(x):\n    return x + 1\n") == first
    assert digest("def f(x):\n    return x + 2\n") != first
    loss_code.cache_clear()
    assert loss_code("evaluate") == loss_code("pairs")  # nothing is learned there


def test_rows_are_known_by_their_tokens_and_not_by_their_file(tmp_path: Path) -> None:
    model = str(make_base(tmp_path / "base"))
    one, same = write_pairs(tmp_path / "a.jsonl", 12), write_pairs(tmp_path / "b.jsonl", 12)
    noisy = write_pairs(tmp_path / "c.jsonl", 12, noise=0.5)
    renderings = Renderings(tmp_path / "memory.jsonl")
    first = renderings.of("dpo", one, model, max_tokens=32)
    assert first.rows == 12 and first.tokens > 12 * 2 * 9
    assert renderings.of("reward", same, model, max_tokens=32).digest == first.digest
    assert renderings.of("dpo", noisy, model, max_tokens=32).digest != first.digest
    assert renderings.of("dpo", one, model, max_tokens=12).too_long > 0
    assert Renderings(tmp_path / "memory.jsonl").of("dpo", one, model, max_tokens=32) == first
    prompts = renderings.of("online", write_prompts(tmp_path / "p.jsonl", 9), model, max_tokens=32)
    assert (prompts.rows, prompts.tokens, prompts.targets) == (9, 9 * 5, 0)


def test_equal_stages_are_one_and_ancestors_come_first() -> None:
    start = Stage("sft", {"epochs": 2})
    reward = Stage("reward", {"seed": 0}, {"model": start})
    runs = [Stage("online", {"seed": s}, {"model": Stage("sft", {"epochs": 2}), "reward": reward}) for s in range(5)]
    ordered = in_order(runs)
    assert [stage.kind for stage in ordered] == ["sft", "reward", *["online"] * 5]
    assert set(descendants(runs, reward)) == set(runs) and len(list(descendants(runs, start))) == 6
    assert not math.isnan(hash(start))
