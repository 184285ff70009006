"""Mixing, splitting, repeats and length limits."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agora.core.config import load_config
from agora.core.errors import ConfigError, DataError
from agora.core.records import Message, PreferencePair
from agora.curate.pairs import PairRule
from agora.curate.pairs.lengths import LengthLimit, drop_long
from agora.curate.pairs.mix import MixRecipe, MixResult, MixSource, mix, sample_pairs
from agora.curate.pairs.repeats import find_repeats
from agora.curate.pairs.split import prompt_key, split_by_prompt
from tests.examples import examples

from .rows import A, B, Q, pair, write_lines


def file_of(folder: Path, name: str, n: int, **more: Any) -> MixSource:
    rows = [{"prompt": f"{name} {i}", "chosen": A, "rejected": B, "source": f"part{i % 2}"} for i in range(n)]
    return MixSource(path=str(write_lines(folder / f"{name}.jsonl", rows)), **more)


def prompts(result: MixResult) -> list[str]:
    return [p.prompt[0].content for p in result.pairs]


def test_rows_fraction_and_cap_decide_how_many_are_drawn(tmp_path: Path) -> None:
    sources = [
        file_of(tmp_path, "a", 40, rows=7),
        file_of(tmp_path, "b", 40, fraction=0.25),
        file_of(tmp_path, "c", 40, fraction=0.5, cap=3),
        file_of(tmp_path, "d", 2, cap=9),
    ]
    result = mix(sources, 1)
    assert [(p.name, p.available, p.drawn, p.final) for p in result.parts] == [
        ("a", 40, 7, 7),
        ("b", 40, 10, 10),
        ("c", 40, 3, 3),
        ("d", 2, 2, 2),
    ]
    assert len(set(prompts(result))) == 22


def test_the_same_seed_gives_the_same_rows_and_order(tmp_path: Path) -> None:
    sources = [file_of(tmp_path, "a", 40, rows=7), file_of(tmp_path, "b", 40, rows=7)]
    first, again, other = mix(sources, 1), mix(sources, 1), mix(sources, 2)
    assert prompts(first) == prompts(again) != prompts(other)
    assert prompts(first) != sorted(prompts(first))


def test_a_source_with_its_own_seed_keeps_its_draw(tmp_path: Path) -> None:
    sources = [file_of(tmp_path, "a", 40, rows=7, seed=5)]
    assert sorted(prompts(mix(sources, 1))) == sorted(prompts(mix(sources, 2)))


def test_more_rows_than_there_are_is_an_error_that_names_the_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a: 9 pairs asked of 3; ask for at most 3, or use cap"):
        mix([file_of(tmp_path, "a", 3, rows=9)])


def test_a_cap_on_the_whole_is_counted(tmp_path: Path) -> None:
    result = mix([file_of(tmp_path, "a", 10), file_of(tmp_path, "b", 10)], cap=5)
    assert len(result.pairs) == 5 == sum(p.final for p in result.parts)
    assert dict(result.dropped) == {"over the cap": 15}


def test_rows_of_one_origin_can_be_chosen_or_left_out(tmp_path: Path) -> None:
    only = mix([file_of(tmp_path, "a", 10, only=("part0",))])
    without = mix([file_of(tmp_path, "a", 10, exclude=("part0",))])
    assert {p.meta["origin"] for p in only.pairs} == {"part0"} and {p.meta["origin"] for p in without.pairs} == {
        "part1"
    }
    assert dict(only.parts[0].left_out) == {"another origin": 5}


def test_rows_that_occur_twice_and_opposite_labels_are_reported_and_can_be_dropped(tmp_path: Path) -> None:
    rows = [{"prompt": f"{Q} {i}", "chosen": A, "rejected": B} for i in range(3)]
    write_lines(tmp_path / "a.jsonl", rows)
    write_lines(tmp_path / "b.jsonl", [rows[0], {"prompt": f"{Q}  1", "chosen": B, "rejected": A}])
    sources = [MixSource(path="a.jsonl"), MixSource(path="b.jsonl")]
    kept = mix(sources, folder=tmp_path)
    assert (len(kept.pairs), kept.repeated, kept.opposite) == (5, 1, 2)
    dropped = mix(sources, folder=tmp_path, opposite="drop")
    assert len(dropped.pairs) == 3 and dict(dropped.dropped) == {"opposite labels": 2}


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    source = file_of(tmp_path, "a", 3)
    with pytest.raises(ConfigError, match="two sources are called a"):
        mix([source, source])


def test_rows_and_fraction_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="not both"):
        MixSource(path="a", rows=3, fraction=0.5)


def test_a_recipe_is_yaml_and_writes_rules_in_one_line(tmp_path: Path) -> None:
    recipe = tmp_path / "mix.yaml"
    recipe.write_text(
        "seed: 3\nsources:\n  - {path: a.jsonl, rows: 5, rule: 'best_vs_worst,min_margin=1'}\n  - {path: hub:x/y}\n"
    )
    read = load_config(MixRecipe, recipe)
    assert read.sources[0].rule is not None and read.sources[0].rule.min_margin == 1
    recipe.write_text("sources:\n  - {path: a.jsonl, rule: best}\n")
    with pytest.raises(ConfigError, match="best_vs_worst"):
        load_config(MixRecipe, recipe)


def test_long_pairs_are_dropped_whole_and_counted() -> None:
    pairs = [pair(), pair(prompt="x" * 30), pair(chosen="y" * 30), pair(rejected="y" * 31)]
    kept, reasons = drop_long(pairs, LengthLimit(prompt=20, answer=20))
    assert kept == pairs[:1]
    assert dict(reasons) == {"prompt over 20 characters": 1, "answer over 20 characters": 2}


def test_lengths_may_be_counted_by_a_tokenizer() -> None:
    def words(messages: Any) -> int:
        return sum(len(m.content.split()) for m in messages)

    pairs = [pair(chosen="one two three"), pair(chosen="one")]
    kept, reasons = drop_long(pairs, LengthLimit(total=5, count=words, unit="words"))
    assert kept == pairs[1:] and dict(reasons) == {"pair over 5 words": 1}


def test_when_all_are_too_long_the_limit_that_would_do_is_told() -> None:
    pairs = [pair(chosen="y" * n) for n in range(21, 41)]
    with pytest.raises(DataError, match=r"all 20 pairs are too long.*95 %: answer 40 characters"):
        drop_long(pairs, LengthLimit(answer=20))


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        LengthLimit(prompt=0)


def test_equal_prompts_stay_together_whatever_their_case_and_spaces() -> None:
    pairs = [
        pair(prompt=f"{'Which color' if k else 'which  COLOR '} {i}?", id=f"{i}/{k}")
        for i in range(200)
        for k in (0, 1)
    ]
    split = split_by_prompt(pairs, 0.3, seed=4)
    train, held = ({prompt_key(p.prompt) for p in part} for part in split)
    assert not train & held and len(held) == len(split.held_out) / 2
    assert 0.2 < len(split.held_out) / len(pairs) < 0.4


def test_the_split_does_not_depend_on_order_or_on_the_other_pairs() -> None:
    pairs = [pair(prompt=f"{Q} {i}") for i in range(100)]
    held = {p.id for p in split_by_prompt(pairs, 0.2, seed=1).held_out}
    shuffled = random.Random(0).sample(pairs, 60)
    assert {p.id for p in split_by_prompt(shuffled, 0.2, seed=1).held_out} == held & {p.id for p in shuffled}
    assert {p.id for p in split_by_prompt(pairs, 0.2, seed=2).held_out} != held
    assert split_by_prompt(pairs, 0.0).held_out == [] and split_by_prompt(pairs, 1.0).train == []


def test_the_turns_of_one_conversation_can_be_kept_together() -> None:
    def turns(i: int, n: int) -> PreferencePair:
        more = (Message("assistant", "Go on."), Message("user", f"And {n}?"))
        base = pair(prompt=f"{Q} {i}")
        return PreferencePair(f"{i}/{n}", (*base.prompt, *more * n), base.chosen, base.rejected)

    pairs = [turns(i, n) for i in range(60) for n in range(3)]
    split = split_by_prompt(pairs, 0.4, by="first_turn")
    assert not {p.id.split("/")[0] for p in split.train} & {p.id.split("/")[0] for p in split.held_out}
    with pytest.raises(ConfigError):
        split_by_prompt(pairs, 1.5)


def test_ties_contradict_nothing() -> None:
    assert find_repeats([pair(), pair(chosen=B, rejected=A, tie=True)]).opposite == []


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), max_size=25))
def test_repeats_and_opposites_equal_a_comparison_of_all_with_all(rows: list[tuple[int, int, int]]) -> None:
    pairs = [pair(prompt=f"p{p}", chosen=f"a{c}", rejected=f"a{r}") for p, c, r in rows if c != r]
    rows = [row for row in rows if row[1] != row[2]]
    found = find_repeats(pairs)
    assert found.again == [i for i, row in enumerate(rows) if row in rows[:i]]
    assert found.opposite == [i for i, (p, c, r) in enumerate(rows) if (p, r, c) in rows]


@given(st.integers(0, 50), st.integers(0, 50), st.integers())
@settings(max_examples=examples(60), deadline=None)
def test_a_draw_takes_each_row_at_most_once_and_keeps_their_order(n: int, rows: int, seed: int) -> None:
    pairs = [pair(prompt=f"{i:03}") for i in range(n)]
    if rows > n:
        with pytest.raises(DataError):
            sample_pairs(pairs, rows, seed)
        return
    drawn = [p.prompt[0].content for p in sample_pairs(pairs, rows, seed)]
    assert len(drawn) == rows and drawn == sorted(set(drawn))
    assert not Counter(drawn) - Counter(p.prompt[0].content for p in pairs)


def test_what_to_know_of_a_format_is_told(tmp_path: Path) -> None:
    rows = [{"instruction": Q, "completions": [{"response": t, "overall_score": s} for t, s in ((A, 2), (B, 1))]}]
    write_lines(tmp_path / "uf.jsonl", rows)
    found = mix([MixSource(path="uf.jsonl", rule=PairRule(score="overall"))], folder=tmp_path)
    assert "truthful_qa" in found.notes["ultrafeedback"]
