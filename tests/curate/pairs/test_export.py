"""What is exported is read back as the same pair, or skipped with a reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agora.core.errors import UsageError
from agora.core.json_text import dumps
from agora.core.records import Message, PreferencePair
from agora.core.schemas import to_row
from agora.core.tables import read_rows
from agora.curate.importers.base import RowError
from agora.curate.pairs import PairRule
from agora.curate.pairs.base import Draft
from agora.curate.pairs.checks import checked
from agora.curate.pairs.export import export_pairs, export_rows
from agora.curate.pairs.layouts import EXPORTS, LAYOUTS
from tests.examples import examples

from .rows import pair, read_all, texts

WHOLE = [name for name in EXPORTS if name == "agora" or LAYOUTS[name].whole]
# The rule that makes the written pair again of a layout that holds scored answers.
BACK = {
    "ultrafeedback": PairRule(name="best_vs_worst", score="overall"),
    "trl-unpaired": PairRule(name="best_vs_worst", score="overall"),
    "alpaca-judged": PairRule(tie_policy="soft"),
}

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["Human: hi", "a\n\nHuman: b", "x\n\nAssistant: y", " padded ", "\n", "{}", "<|user|>"]
)


@st.composite
def any_pairs(draw: st.DrawFn) -> PreferencePair:
    system = draw(st.lists(words.map(lambda t: Message("system", t)), max_size=1))
    rounds = [
        m
        for t, u in draw(st.lists(st.tuples(words, words), max_size=2))
        for m in (Message("user", t), Message("assistant", u))
    ]
    prompt = (*system, *rounds, Message("user", draw(words)))
    sides = []
    for _ in range(2):
        later = draw(st.lists(st.tuples(words, words), max_size=1))
        more = [m for u, t in later for m in (Message("user", u), Message("assistant", t))]
        sides.append((Message("assistant", draw(words)), *more))
    score = draw(st.none() | st.floats(0.5, 5))
    return PreferencePair(
        draw(st.uuids()).hex,
        prompt,
        sides[0],
        sides[1],
        score,
        None if score is None else 0.0,
        margin=draw(st.none() | st.floats(0, 5)),
        tie=draw(st.booleans()),
    )


def is_fit(found: PreferencePair) -> bool:
    try:
        checked(Draft(found.prompt, found.chosen, found.rejected), merge_turns=False, keeps_repeats=False)
    except RowError:
        return False
    return all(m.content.strip() for m in found.prompt if m.role == "system")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


@pytest.mark.parametrize("format", list(LAYOUTS))
@given(before=any_pairs().filter(is_fit))
@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
def test_what_a_layout_takes_is_read_back_the_same(format: str, before: PreferencePair, folder: Path) -> None:
    if not LAYOUTS[format].whole:
        assert export_rows(before, format)
        return
    try:
        rows = export_rows(before, format)
    except RowError as error:
        assert error.reason
        return
    path = folder / f"{format}.jsonl"
    path.write_bytes(b"".join(dumps(row) + b"\n" for row in rows))  # without the flush to disk of write_jsonl
    [after] = read_all(path, format=format, rule=BACK.get(format))[0]
    _assert_same(before, after, format)


@given(before=any_pairs().filter(is_fit))
@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
def test_our_own_rows_are_read_back_equal(before: PreferencePair, folder: Path) -> None:
    path = folder / "own.jsonl"
    path.write_bytes(dumps(to_row(before)) + b"\n")
    assert read_all(path)[0] == [before]


def _assert_same(before: PreferencePair, after: PreferencePair, format: str) -> None:
    assert after.tie == before.tie
    if before.tie and format == "alpaca-judged":
        assert sorted(texts(before)[1:]) == sorted(texts(after)[1:])
        return
    assert texts(after) == texts(before)
    if format in ("trl", "trl-implicit", "openrlhf", "sharegpt", "alpaca"):
        assert (after.margin, after.chosen_score) == (before.margin, before.chosen_score)


CHAT = pair(id="0123456789abcdef", margin=0.5, chosen_score=2.0, rejected_score=1.5)
LONG = (*CHAT.chosen, *CHAT.prompt, *CHAT.rejected)


@pytest.mark.parametrize("format", EXPORTS)
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".parquet"])
def test_every_layout_in_every_file(format: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"pairs{suffix}"
    report = export_pairs([CHAT, replace(CHAT, id="1", prompt=(Message("user", "Another?"),))], path, format)
    assert report.written == 2 and report.skipped == {}
    if format in WHOLE:
        back = read_all(path, rule=BACK.get(format), format=format)[0]
        assert [texts(p)[1:] for p in back] == [texts(CHAT)[1:]] * 2


@pytest.mark.parametrize(
    ("layout", "unfit", "reason"),
    [
        ("trl", replace(CHAT, tie=True), "a tie"),
        ("hh", replace(CHAT, prompt=(Message("system", "s"), Message("user", "u"))), "the format has no such role"),
        ("hh", pair(chosen="x\n\nHuman: y"), "its text would be read back as another pair"),
        ("hh", pair(chosen=" padded"), "its text would be read back as another pair"),
        (
            "sharegpt",
            replace(CHAT, chosen=(*CHAT.chosen, *CHAT.prompt, *CHAT.rejected)),
            "an answer of several messages",
        ),
        ("rewardbench", replace(CHAT, prompt=(Message("system", "s"), *CHAT.prompt)), "a prompt of several turns"),
        (
            "alpaca",
            replace(CHAT, prompt=(*CHAT.prompt, Message("assistant", "a"), Message("tool", "t"))),
            "turns are not questions and answers",
        ),
        (
            "trl-implicit",
            replace(
                CHAT,
                chosen=(*CHAT.chosen, *CHAT.prompt, *CHAT.rejected),
                rejected=(*CHAT.chosen, *CHAT.prompt, *CHAT.chosen),
            ),
            "its text would be read back as another pair",
        ),
    ],
)
def test_what_a_layout_cannot_hold_is_skipped_and_counted(
    layout: str, unfit: PreferencePair, reason: str, tmp_path: Path
) -> None:
    report = export_pairs([CHAT, unfit], tmp_path / "o.jsonl", layout)
    assert report.written == 1 and report.skipped == {reason: 1}


def test_our_own_rows_keep_everything(tmp_path: Path) -> None:
    rich = replace(CHAT, meta={"rule": {"name": "adjacent"}, "x": [1]}, tie=True, annotator="a", label_kind="ai")
    for suffix in (".jsonl", ".parquet", ".json"):
        export_pairs([rich], tmp_path / f"o{suffix}")
        assert read_all(tmp_path / f"o{suffix}")[0] == [rich]


def test_judged_rows_put_the_chosen_side_second_half_of_the_time(tmp_path: Path) -> None:
    pairs = [pair(prompt=f"{i}") for i in range(200)]
    export_pairs(pairs, tmp_path / "o.jsonl", "alpaca-judged")
    second = sum(row.data["preference"] == 2 for row in read_rows(tmp_path / "o.jsonl"))
    assert 70 < second < 130


def test_prompts_and_conversations_hold_no_rejected_side(tmp_path: Path) -> None:
    export_pairs([CHAT], tmp_path / "o.json", "trl-prompt")
    assert json.loads((tmp_path / "o.json").read_text()) == [{"prompt": [CHAT.prompt[0].as_chat()]}]
    export_pairs([CHAT], tmp_path / "o.json", "messages")
    assert json.loads((tmp_path / "o.json").read_text()) == [{"messages": _chat((*CHAT.prompt, *CHAT.chosen))}]


def _chat(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [m.as_chat() for m in messages]


def test_a_wrong_layout_or_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean sharegpt"):
        export_pairs([CHAT], tmp_path / "o.jsonl", "sharegtp")
    with pytest.raises(UsageError, match=r"name it o\.jsonl"):
        export_pairs([CHAT], tmp_path / "o.json.gz", "trl")
    assert not list(tmp_path.iterdir())


def test_parquet_keeps_columns_that_only_later_rows_have(tmp_path: Path) -> None:
    export_pairs([pair(), replace(CHAT, margin=0.25)], tmp_path / "o.parquet", "trl")
    assert [p.margin for p in read_all(tmp_path / "o.parquet")[0]] == [None, 0.25]
