"""Configurations from YAML and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from agora.core.config import Config, load_config
from agora.core.errors import ConfigError, MissingError
from agora.core.yaml_text import parse_yaml
from tests.examples import examples


class Train(Config):
    lr: float = Field(1e-3, gt=0)
    steps: int = 10
    kind: Literal["sft", "dpo"] = "sft"


class Filter(Config):
    name: str
    share: float = 0.5


class Recipe(Config):
    model: str = "microcosm:base"
    language: str = "en"
    train: Train = Train()
    judge: Train | None = None
    filters: list[Filter] = Field(default_factory=list)
    named: dict[str, Filter] = Field(default_factory=dict)


def load(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return load_config(Recipe, path, overrides)


def test_without_a_file_the_defaults_hold() -> None:
    assert load_config(Recipe, None) == Recipe()


def test_an_empty_file_is_no_trouble(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Recipe()
    assert load(tmp_path, "# only a comment\n") == Recipe()


def test_the_file_wins_over_defaults_and_set_over_the_file(tmp_path: Path) -> None:
    recipe = load(tmp_path, "train: {lr: 0.1, steps: 5}\n", "train.steps=7", "model=hf:x", "train.steps=8")
    assert recipe == Recipe(model="hf:x", train=Train(lr=0.1, steps=8))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.lr=1e-5", Recipe(train=Train(lr=1e-5))),
        ("train.lr=1", Recipe(train=Train(lr=1.0))),
        ("language=no", Recipe(language="no")),
        ("language='3'", Recipe(language="3")),
        ("model=openai:gpt=4", Recipe(model="openai:gpt=4")),
        ("judge.steps=3", Recipe(judge=Train(steps=3))),
        ("judge=null", Recipe()),
        ("filters=[{name: a}]", Recipe(filters=[Filter(name="a")])),
        ("named.x.name=a", Recipe(named={"x": Filter(name="a")})),
    ],
)
def test_set_reads_its_value_as_yaml(override: str, expected: Recipe) -> None:
    assert load_config(Recipe, None, [override]) == expected


class Study(Config):
    recipe: Recipe = Recipe(model="hf:x", train=Train(lr=0.5, steps=7))


def test_a_section_given_in_part_keeps_the_rest_of_its_own_default(tmp_path: Path) -> None:
    study = load_config(Study, None, ["recipe.train.steps=8"])
    assert study.recipe == Recipe(model="hf:x", train=Train(lr=0.5, steps=8))
    path = tmp_path / "study.yaml"
    path.write_text("recipe: {train: {kind: dpo}}")
    assert load_config(Study, path, ["recipe.language=fr"]).recipe == Recipe(
        model="hf:x", language="fr", train=Train(lr=0.5, steps=7, kind="dpo")
    )


def test_set_reaches_into_lists(tmp_path: Path) -> None:
    recipe = load(tmp_path, "filters: [{name: a}, {name: b}]", "filters.1.share=0.9")
    assert recipe.filters[1] == Filter(name="b", share=0.9)


@pytest.mark.parametrize(
    ("text", "overrides", "line"),
    [
        ("modle: x", [], '{file}:1: unknown key "modle"; did you mean model?'),
        ("model: x\ntrain:\n  lrr: 1", [], '{file}:3: unknown key "train.lrr"; did you mean lr?'),
        ("train:\n  zzz: 1", [], '{file}:2: unknown key "train.zzz"; known keys: kind, lr, steps'),
        ("judge:\n  stepz: 1", [], '{file}:2: unknown key "judge.stepz"; did you mean steps?'),
        ("filters:\n- name: a\n- nam: b", [], '{file}:3: the key "filters.1.name" is missing; and 1 more'),
        ("named: {x: {name: a, shar: 1}}", [], '{file}:1: unknown key "named.x.shar"; did you mean share?'),
        ("", ["trian.lr=1"], '--set trian.lr=1: unknown key "trian"; did you mean train?'),
        ("train: {lr: 1}", ["train.stps=1"], '--set train.stps=1: unknown key "train.stps"; did you mean steps?'),
        ("train:\n  lr: fast", [], '{file}:2: "train.lr": input should be a valid number'),
        ("train:\n  lr: -1", [], '{file}:2: "train.lr": input should be greater than 0, got -1'),
        ("train: {kind: ppo}", [], "{file}:1: \"train.kind\": input should be 'sft' or 'dpo', got 'ppo'"),
        ("train: {steps: 1.5}", [], '{file}:1: "train.steps": input should be a valid integer'),
        ("", ["train.lr=-1"], '--set train.lr=-1: "train.lr": input should be greater than 0, got -1'),
        ("a: 1\nb: 2\nc: 3", [], '{file}:1: unknown key "a"; known keys'),
        ("model: a\ntrain: {}\nmodel: b", [], '{file}:3: the key "model" is given twice'),
        ("train: {lr: 1, lr: 2}", [], '{file}:1: the key "lr" is given twice'),
        ("model: [", [], "{file}:1: not valid YAML ("),
        ("model: a\n  train: b", [], "{file}:2: not valid YAML ("),
        ("model: !!python/object/apply:os.system [ls]", [], "{file}:1: not valid YAML (could not determine"),
        ("- model", [], "{file}: a configuration must be a mapping, got a list"),
        ("just words", [], "{file}: a configuration must be a mapping, got a text"),
        ("", ["train.lr"], "--set train.lr: expected KEY=VALUE; for example"),
        ("", ["=3"], "--set =3: expected KEY=VALUE"),
        ("", ["a..b=3"], "--set a..b=3: expected KEY=VALUE"),
        ("", ["train.lr=[1"], "--set train.lr=[1:1: not valid YAML"),
        ("filters: []", ["filters.0.name=a"], '--set filters.0.name=a: "0" is no index of a list of 0'),
        ("filters: []", ["filters.x=a"], '--set filters.x=a: "x" is no index of a list of 0'),
    ],
)
def test_a_mistake_is_one_line_that_says_where_and_what(
    tmp_path: Path, text: str, overrides: list[str], line: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, *overrides)
    assert str(caught.value).startswith(line.replace("{file}", str(tmp_path / "recipe.yaml")))
    assert "\n" not in str(caught.value)


def test_how_many_more_problems_there_are_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="and 2 more"):
        load(tmp_path, "a: 1\nb: 2\nc: 3")


def test_a_missing_file_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("")
    with pytest.raises(MissingError, match=r"did you mean .*recipe\.yaml"):
        load_config(Recipe, tmp_path / "recip.yaml")


def test_text_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"model: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(Recipe, path)
    path.write_bytes(b"\xef\xbb\xbfmodel: x")
    assert load_config(Recipe, path).model == "x"


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(ValidationError):
        Recipe().model = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("010", 10),
        ("0x1f", 31),
        ("-7", -7),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("1.2.3", "1.2.3"),
        ("1_000", "1_000"),
        ("<|end|>", "<|end|>"),
    ],
)
def test_plain_yaml_words_mean_what_they_look_like(text: str, value: Any) -> None:
    assert parse_yaml(f"a: {text}", "test")[0] == {"a": value}
    assert type(parse_yaml(f"a: {text}", "test")[0]["a"]) is type(value)


def test_merge_keys_work_and_are_not_given_twice() -> None:
    value, _ = parse_yaml("base: &b {x: 1}\none: {<<: *b, y: 2}\n", "test")
    assert value["one"] == {"x": 1, "y": 2}


def test_a_document_that_contains_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not valid YAML"):
        load(tmp_path, "model: &a [*a]")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(60), deadline=None)
@given(st.text(max_size=30), st.lists(st.text(max_size=12), max_size=2))
def test_any_text_is_a_configuration_or_one_line(tmp_path: Path, text: str, overrides: list[str]) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        load_config(Recipe, path, overrides)
    except ConfigError as err:
        assert "\n" not in str(err)


VISIBLE = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=10)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.builds(
        Recipe,
        model=VISIBLE,
        train=st.builds(Train, lr=st.floats(1e-9, 1e9), steps=st.integers(0, 10**9)),
        filters=st.lists(st.builds(Filter, name=VISIBLE, share=st.floats(0, 1)), max_size=2),
    )
)
def test_a_configuration_written_as_json_is_read_as_yaml(recipe: Recipe) -> None:
    text = json.dumps(recipe.model_dump(), ensure_ascii=False)
    assert Recipe.model_validate(parse_yaml(text, "test")[0]) == recipe
