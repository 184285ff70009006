"""Rules mark rows with a reason; nothing disappears."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import ConfigError
from agora.core.records import Conversation, Message, Provenance, Sample
from agora.core.tables import read_rows
from agora.curate.filters import (
    ANSWER,
    BASICS,
    Step,
    dropped,
    is_kept,
    keeps_role_order,
    length_chars,
    length_words,
    mark,
    not_cut_off,
    not_empty,
    not_repetitive,
    reason_of,
)
from agora.curate.funnel import Funnel
from agora.curate.text import repeated_share


def sample(user: str | None = "Say hi.", answer: str | None = "Hi.", **more: Any) -> Sample:
    turns = [Message("user", user)] if user is not None else []
    turns += [Message("assistant", answer)] if answer is not None else []
    return Sample("s", "r", "slice", 0, 0, tuple(turns), user or "", more.pop("finish_reason", "stop_token"), **more)


def conversation(*turns: tuple[str, str], **meta: Any) -> Conversation:
    return Conversation.linear(list(turns), Provenance("x"), meta=meta)


def test_repetition_rule_flags_the_published_number_of_answers(shared_dir: Path) -> None:
    rule = not_repetitive()
    rows = [r.data for r in read_rows(shared_dir / "data/magpie/wildbench_sft6_scored.jsonl.gz")]
    flagged = [r for r in rows if rule(sample(answer=r["response"]))]
    assert (len(flagged), len(rows)) == (177, 6128)
    assert sum(r["score"] for r in flagged) / 177 == pytest.approx(3.57, abs=0.005)

    by_length = sorted(rows, key=lambda r: -len(r["response"]))
    degenerate = {id(r) for r in flagged}
    clean = [r for r in by_length if id(r) not in degenerate]
    assert sum(r["score"] for r in by_length[:2042]) / 2042 == pytest.approx(6.32, abs=0.005)
    assert sum(r["score"] for r in clean[:2042]) / 2042 == pytest.approx(6.58, abs=0.005)


@pytest.mark.parametrize(
    ("rule", "record", "reason"),
    [
        (not_empty(), sample(user=None), "no instruction"),
        (not_empty(), sample(user=" \n"), "empty instruction"),
        (not_empty(ANSWER), sample(answer=None), "no answer"),
        (not_empty(ANSWER), sample(), None),
        (length_chars(8), sample(), "instruction too short (under 8 characters)"),
        (length_chars(7, 7), sample(), None),
        (length_words(0, 1), sample(), "instruction too long (over 1 words)"),
        (length_words(2, text=ANSWER), sample(answer=None), None),
        (not_cut_off, sample(finish_reason="length"), "instruction cut at the token limit"),
        (not_cut_off, sample(answer_gen={"finish_reason": "length"}), "answer cut at the token limit"),
        (not_cut_off, sample(answer_gen={"finish_reason": "error"}), "answer ended in an error"),
        (not_cut_off, conversation(("user", "hi")), None),
        (not_repetitive(), sample(answer="over and over again " * 30), "answer repeats itself"),
        (not_repetitive(), sample(answer=None), None),
        (keeps_role_order, conversation(("user", "a"), ("user", "b"), role_order=False), "roles repeat"),
        (keeps_role_order, sample(), None),
        (not_empty(ANSWER), conversation(("user", "a")), "no answer"),
    ],
)
def test_rule_gives_its_reason(rule: Any, record: Any, reason: str | None) -> None:
    assert rule(record) == reason


@pytest.mark.parametrize("make", [lambda: length_chars(5, 4), lambda: length_words(-1), lambda: not_repetitive(0)])
def test_impossible_bounds_are_refused(make: Any) -> None:
    with pytest.raises(ConfigError):
        make()


def test_marked_rows_stay_and_the_funnel_adds_up() -> None:
    rows = [
        sample(),
        sample(answer=None),
        sample(finish_reason="length"),
        sample(answer="go on and on " * 40),
        replace(sample(), kept=False, reason="near duplicate"),
    ]
    funnel = Funnel()
    marked = list(mark(rows, BASICS, funnel, label="drawn"))
    assert [s.reason for s in marked] == [
        None,
        "no answer",
        "instruction cut at the token limit",
        "answer repeats itself",
        "near duplicate",
    ]
    assert [s.raw_text for s in marked] == [s.raw_text for s in rows]
    assert funnel.rows() == [
        ("drawn", 5, {}),
        ("kept before", 4, {"near duplicate": 1}),
        ("an instruction is there", 4, {}),
        ("an answer is there", 3, {"no answer": 1}),
        ("ended by itself", 2, {"instruction cut at the token limit": 1}),
        ("does not go in circles", 1, {"answer repeats itself": 1}),
    ]


def test_conversations_are_marked_in_their_tags() -> None:
    funnel = Funnel()
    chats = [conversation(("user", "hello")), conversation(("user", "hello"), ("assistant", "hi"))]
    marked = list(mark(chats, [Step("answered", not_empty(ANSWER))], funnel))
    assert [is_kept(c) for c in marked] == [False, True]
    assert [reason_of(c) for c in marked] == ["no answer", None]
    assert marked[0].tags == {"kept": False, "reason": "no answer"}
    assert marked[0].messages == chats[0].messages
    assert reason_of(dropped(chats[0], "")) == "unknown"


@given(st.lists(st.tuples(st.text(max_size=30), st.none() | st.text(max_size=30), st.booleans()), max_size=20))
def test_every_row_comes_out_once_in_order(contents: list[tuple[str, str | None, bool]]) -> None:
    rows = [replace(sample(u, a), id=str(i), kept=k) for i, (u, a, k) in enumerate(contents)]
    funnel = Funnel()
    marked = list(mark(rows, (*BASICS, Step("short", length_words(0, 3))), funnel))
    assert [s.id for s in marked] == [s.id for s in rows]
    assert funnel.n_in == len(rows)
    assert funnel.n_out == sum(s.kept for s in marked)
    assert all(s.kept or s.reason or not before.kept for s, before in zip(marked, rows, strict=True))


@given(st.text(alphabet="ab ", max_size=200), st.integers(1, 12))
def test_repeated_share_lies_between_zero_and_one(text: str, n: int) -> None:
    assert 0.0 <= repeated_share(text, n) < 1.0
