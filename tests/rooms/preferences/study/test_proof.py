"""That a study varies one aspect is shown from resolved settings, whatever they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.config import build_config
from agora.core.errors import ConfigError
from agora.rooms.preferences.study.proof import prove, require_clean
from agora.rooms.preferences.study.recipe import Recipe, arms_of
from tests.examples import examples
from tests.rooms.preferences.study.test_recipe import BASE


def proofs(**values: dict[str, Any]) -> list[Any]:
    recipe = build_config(Recipe, BASE | {"studies": {"s": {"vary": "data", "values": values}}})
    return prove(arms_of(recipe, "s"))


def test_a_clean_value_differs_in_keys_of_its_block_alone() -> None:
    (proof,) = proofs(noisy={"annotator": {"noise": 0.4}})
    assert proof.clean and list(proof.varied) == ["data.annotator.noise"]
    assert require_clean([proof]) is False


def test_a_value_that_reaches_into_another_block_is_refused_by_name() -> None:
    (proof,) = proofs(mixed={"annotator": {"noise": 0.4}, "with": {"algorithm": {"settings": {"beta": 0.9}}}})
    assert list(proof.outside) == ["algorithm.settings.beta"]
    with pytest.raises(ConfigError, match=r"algorithm\.settings\.beta: 0\.1 -> 0\.9"):
        require_clean([proof])
    assert require_clean([proof], force=True) is True


def test_a_value_equal_to_the_baseline_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not differ"):
        require_clean(proofs(same={"annotator": {"noise": 0.1}}))


def test_a_difference_inside_a_list_names_the_one_key() -> None:
    data = {"kind": "files", "sources": [{"path": "a.jsonl", "rows": 5}, {"path": "b.jsonl"}]}
    other = [{"path": "a.jsonl", "rows": 6}, {"path": "b.jsonl"}]
    study = {"vary": "data", "values": {"six": {"sources": other}}}
    (proof,) = prove(arms_of(build_config(Recipe, BASE | {"data": data, "studies": {"s": study}}), "s"))
    assert list(proof.varied) == ["data.sources.0.rows"]


_BLOCKS = {
    "data": {"instructions": st.integers(11, 99)},
    "algorithm": {"settings": st.fixed_dictionaries({"beta": st.floats(0.2, 1)})},
    "prompts": {"kind": st.just("microcosm")},
    "reward_model": {"layers": st.integers(1, 4)},
    "fixed": {"match": st.just("updates")},
}


@settings(deadline=None, max_examples=examples(40))
@given(block=st.sampled_from(sorted(set(_BLOCKS) - {"data"})), reach=st.data())
def test_whatever_else_differs_is_found(block: str, reach: st.DataObject) -> None:
    patch = {key: reach.draw(strategy) for key, strategy in _BLOCKS[block].items()}
    (proof,) = proofs(v={"instructions": 11, "with": {block: patch}})
    assert not proof.clean and all(key.split(".")[0] == block for key in proof.outside)


def test_two_recipes_with_other_fixed_settings_never_pass_for_one(tmp_path: Path) -> None:
    (proof,) = proofs(v={"instructions": 11, "with": {"fixed": {"model": "microcosm:chat"}}})
    assert list(proof.outside) == ["fixed.model"]
