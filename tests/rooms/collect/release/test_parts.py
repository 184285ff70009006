"""Which branch is published, which license allows which, numbers that hide their order."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.json_text import dumps
from agora.rooms.collect.release.found import Findings, most_frequent, newest_version
from agora.rooms.collect.release.licenses import compatible
from agora.rooms.collect.release.paths import Node, alternates, choose
from agora.rooms.collect.release.profiles import canonical
from agora.rooms.collect.release.pseudonyms import ReleaseKey

KEY = ReleaseKey(b"k" * 32)


@given(st.lists(st.integers(0, (1 << 62) - 1), unique=True))
def test_numbers_of_rounds_stay_different_and_are_positive_int64(numbers: list[int]) -> None:
    published = [KEY.turn(number) for number in numbers]
    assert len(set(published)) == len(numbers)
    assert all(0 < number < 1 << 63 for number in published)


def test_numbers_of_rounds_hide_their_order() -> None:
    published = [KEY.turn(number) for number in range(2000)]
    up = sum(b > a for a, b in pairwise(published))
    assert 900 < up < 1100
    assert len({ReleaseKey(bytes([n]) * 32).turn(5) for n in range(50)}) == 50


def talk(*nodes: tuple[str, str | None, str, str]) -> list[Node]:
    return [Node(i, parent, role, status, at, at) for at, (i, parent, role, status) in enumerate(nodes)]


def test_the_branch_that_was_seen_last_is_published_and_the_tree_keeps_both() -> None:
    nodes = talk(
        ("q", None, "user", "complete"),
        ("a", "q", "assistant", "complete"),
        ("b", "q", "assistant", "complete"),
        ("r", "b", "user", "complete"),
    )
    chosen = choose(nodes, {"complete"})
    assert chosen.path == ("q", "b") and chosen.tree == ("q", "a", "b") and chosen.cut


def test_a_branch_that_broke_off_gives_way_to_one_that_did_not() -> None:
    nodes = talk(
        ("q", None, "user", "complete"),
        ("a", "q", "assistant", "complete"),
        ("r", "a", "user", "complete"),
        ("x", "r", "assistant", "timeout"),
        ("s", "x", "user", "complete"),
        ("y", "s", "assistant", "complete"),
    )
    assert choose(nodes, {"complete"}).path == ("q", "a")
    assert choose(nodes, {"complete", "timeout"}).path == ("q", "a", "r", "x", "s", "y")
    assert choose(nodes[:1], {"complete"}).path == ()


TREES = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["complete", "length"])), min_size=1, max_size=14)


@settings(deadline=None)
@given(TREES)
def test_what_is_chosen_is_sound_ends_with_a_reply_and_has_its_parents(shape: list[tuple[int, str]]) -> None:
    nodes = []
    for i, (pick, status) in enumerate(shape):
        parent = nodes[pick % len(nodes)] if nodes and pick else None
        role = "user" if parent is None or parent.role == "assistant" else "assistant"
        nodes.append(Node(f"m{i:02d}", parent.id if parent else None, role, status, i, i))
    by_id = {node.id: node for node in nodes}
    chosen = choose(nodes, {"complete"})
    assert set(chosen.path) <= set(chosen.tree)
    for ids in (chosen.path, chosen.tree):
        assert all(by_id[i].status == "complete" for i in ids)
        for place, i in enumerate(ids):
            assert by_id[i].parent is None or by_id[i].parent in ids[:place]
    assert alternates([by_id[i].role for i in chosen.path])
    whole = [n for n in nodes if n.role == "assistant" and _sound(n, by_id)]
    assert bool(chosen.path) == bool(whole)
    assert {n.id for n in whole} <= set(chosen.tree)


def _sound(node: Node, by_id: dict[str, Node]) -> bool:
    at: Node | None = node
    while at is not None:
        if at.status != "complete":
            return False
        at = by_id[at.parent] if at.parent else None
    return True


@pytest.mark.parametrize(
    ("source", "release", "fits"),
    [
        ("CC0", "ODC-BY 1.0", True),
        ("ODC-BY-1.0", "ODC-BY 1.0", True),
        ("Apache-2.0", "ODC-BY 1.0", True),
        ("CC-BY-SA-4.0", "ODC-BY 1.0", False),
        ("CC-BY-SA-4.0", "CC-BY-SA-4.0", True),
        ("CC-BY-NC-4.0", "ODC-BY 1.0", False),
        ("LMSYS-Chat-1M License Agreement (gated)", "ODC-BY 1.0", False),
        ("unknown", "ODC-BY 1.0", False),
        ("", "ODC-BY 1.0", False),
    ],
)
def test_a_license_that_forbids_or_is_not_known_keeps_rows_out(source: str, release: str, fits: bool) -> None:
    assert compatible(source, release) is fits
    assert compatible(source, release, [source])


def test_a_flag_of_minors_counts_at_any_version_in_either_spelling() -> None:
    for category in ("sexual/minors", "sexual_minors"):
        found = Findings()
        found.add("tox", "openai:0", dumps({"categories": {category: True}}).decode(), frozenset({("tox", "openai:1")}))
        assert found.minors and not found.tox
        assert not Findings().minors  # what one message is told stays its own


def test_spans_of_an_operator_are_replaced_beside_those_of_the_pipeline() -> None:
    found = Findings()
    wanted = frozenset({("pii", "1")})
    mail: dict[str, Any] = {"type": "EMAIL_ADDRESS", "start": 0, "end": 5, "score": 0.8, "by": "email"}
    found.add("pii", "1", '{"spans":[{"type":"EMAIL_ADDRESS","start":0,"end":5,"score":0.8,"by":"email"}]}', wanted)
    found.add("pii", "person:X", '{"spans":[{"type":"PERSON","start":9,"end":12,"score":1.0,"by":"person"}]}', wanted)
    assert [span["type"] for span in found.spans] == ["EMAIL_ADDRESS", "PERSON"] and found.spans[0] == mail


@pytest.mark.parametrize(
    ("stored", "newest"),
    [
        ({"cascade:10": 1, "cascade:9": 5}, "cascade:10"),  # looked at late with an old pipeline
        ({"patterns:1.9": 5, "patterns:1.10": 1}, "patterns:1.10"),
        ({"2": 1, "1": 9}, "2"),
        ({"linear:3f0a": 1, "linear:09c1": 2}, "linear:09c1"),  # digests have no order: the one stored last
        ({"patterns:3": 1, "presidio:1": 2}, "presidio:1"),  # nor do methods
        ({"patterns:3": 1, "presidio:1": 2, "patterns:2": 3}, "patterns:3"),
    ],
)
def test_the_newest_version_is_that_of_the_largest_numbers(stored: dict[str, int], newest: str) -> None:
    assert newest_version(stored) == newest


def test_the_most_frequent_value_is_the_first_of_equals() -> None:
    assert most_frequent(["b", None, "a", "a", "b"]) == "b"
    assert most_frequent([None]) is None


def test_the_hash_of_a_conversation_is_made_of_the_json_that_the_published_sets_use() -> None:
    turns = [("user", 'quo"te \\ \n\x00 é 漢 \U0001f600'), ("assistant", "")]
    assert canonical(turns) == json.dumps([{"content": text, "role": role} for role, text in turns])
