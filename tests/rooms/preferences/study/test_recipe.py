"""What a recipe may say, and what it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from agora.core.errors import ConfigError, MissingError
from agora.rooms.preferences.study.recipe import arms_of, find_recipe, load_recipe, merged, recipes_folder

BASE: dict[str, Any] = {
    "title": "Test",
    "fixed": {"model": "microcosm:base"},
    "data": {"kind": "microcosm", "instructions": 10},
    "algorithm": {"name": "dpo", "settings": {"beta": 0.1, "train": {"epochs": 1}}},
    "studies": {"noise": {"vary": "data", "values": {"noisy": {"annotator": {"noise": 0.4}}}}},
}


def write(folder: Path, **more: Any) -> str:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**BASE, **more}))
    return str(path)


def test_a_value_is_a_patch_of_the_varied_block(tmp_path: Path) -> None:
    base, noisy = arms_of(load_recipe(write(tmp_path)), "noise")
    assert base.is_baseline and base.cell.data.annotator.noise == 0.1
    assert noisy.cell.data.annotator.noise == 0.4 and noisy.cell.data.instructions == 10


def test_a_patch_of_another_kind_replaces_the_block() -> None:
    assert merged({"name": "dpo", "beta": 1}, {"name": "ppo", "steps": 2}) == {"name": "ppo", "steps": 2}
    assert merged({"name": "dpo", "inner": {"a": 1, "b": 2}}, {"inner": {"b": 3}}) == {
        "name": "dpo",
        "inner": {"a": 1, "b": 3},
    }


def test_a_study_may_stand_in_other_surroundings_than_the_baseline(tmp_path: Path) -> None:
    study = {"vary": "data", "at": {"algorithm": {"settings": {"beta": 0.5}}}, "values": {"few": {"instructions": 5}}}
    recipe = load_recipe(write(tmp_path, studies={"at": study}))
    assert {arm.cell.algorithm.settings.beta for arm in arms_of(recipe, "at")} == {0.5}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"algoritm": {}}, "algoritm"),
        ({"data": {"kind": "microcosm", "instuctions": 3}}, "did you mean instructions?"),
        ({"studies": {"s": {"vary": "data", "values": {"v": {"anotator": {}}}}}}, "did you mean annotator?"),
        ({"studies": {"s": {"vary": "date", "values": {"v": {}}}}}, "studies.s.vary"),
        ({"studies": {"s": {"vary": "data", "values": {}}}}, "studies.s.values"),
        ({"studies": {"s": {"vary": "data", "at": {"data": {}}, "values": {"v": {}}}}}, "may not patch data"),
        ({"studies": {"s": {"vary": "data", "baseline": "v", "values": {"v": {}}}}}, "names the baseline and a value"),
        ({"studies": {"s": {"vary": "data", "values": {"v": {"with": {"fixd": {}}}}}}}, "did you mean fixed?"),
        ({"seeds": [1, 1]}, "seeds must differ"),
        ({"seeds": []}, "seeds"),
        ({"fixed": {"model": "microcosm:base", "match_rows": 0}}, "match_rows"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, **more))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert "recipe.yaml" in str(caught.value)


def test_recipes_of_the_package_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe("microcosm") == recipes_folder() / "microcosm.yaml"
    with pytest.raises(MissingError, match=r"did you mean microcosm\?"):
        find_recipe("microcosmos")


@pytest.mark.parametrize("path", sorted(recipes_folder().glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_package_is_valid_and_clean(path: Path) -> None:
    from agora.rooms.preferences.study.plan import all_arms
    from agora.rooms.preferences.study.proof import require_clean
    from agora.rooms.preferences.study.study import proofs_of

    arms = all_arms(load_recipe(path.stem))
    assert not require_clean([proof for found in proofs_of(arms).values() for proof in found])
