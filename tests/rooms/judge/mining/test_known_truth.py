"""What the miner finds of what the microcosm's visitors leave behind, counted against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agora.core.runs import RunDir
from agora.core.tables import read_rows
from agora.microcosm.world import Exercise
from agora.rooms.judge.mining.facts import last_request, token_counter
from agora.rooms.judge.mining.mine import mine_tasks
from agora.rooms.judge.mining.outcome import NOT_NEAR
from agora.rooms.judge.mining.personal import lacks_common_words, personal_data
from agora.rooms.judge.mining.settings import MineSettings
from tests.rooms.judge.mining.logs import Talk, said_of, visitor_talks, write_talks

LEAST = 5


class Found(NamedTuple):
    """Counts of right and wrong finds, and of what was missed."""

    hits: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        return self.hits / (self.hits + self.wrong)

    @property
    def recall(self) -> float:
        return self.hits / (self.hits + self.missed)


def counted(truth: Sequence[bool], found: Sequence[bool]) -> Found:
    pairs = list(zip(truth, found, strict=True))
    return Found(pairs.count((True, True)), pairs.count((False, True)), pairs.count((True, False)))


def exercise_of(talk: Talk) -> Exercise | None:
    """The exercise that a talk's last workable request asks for."""
    count = token_counter("pieces")
    asked = [text for text in said_of(talk) if count(text) >= LEAST] or [""]
    pairs = zip(talk.visitor.goals, talk.visitor.questions, strict=True)
    return next((goal for goal, question in pairs if asked[-1].endswith(question)), None)


class Duplicates(NamedTuple):
    found: Found
    wrong_of_other_kinds: int  # wrong drops whose keeper is no variant of the same template


def duplicates(folder: Path, talks: Sequence[Talk], threshold: float) -> Duplicates:
    """Near-duplicates at a threshold; true is a request for an exercise that an earlier visitor asked for."""
    log = write_talks(folder / "log.jsonl", talks)
    rules = MineSettings(min_tokens=LEAST, request="last_workable", max_tasks=10**6, near_duplicate_jaccard=threshold)
    with RunDir.open(folder / f"run{threshold}", command="agora judge mine", config={}, seed=0) as run:
        mined = mine_tasks(log, run, rules, workers=1)
    dropped: dict[int, dict[str, Any]] = {row.data["line"]: row.data for row in read_rows(mined.dropped)}
    exercises = [exercise_of(talk) for talk in talks]
    truth, found, seen = [], [], set()
    others = 0
    for line, exercise in enumerate(exercises, 1):
        row = dropped.get(line)
        if exercise is None or (row is not None and row["step"] != NOT_NEAR):
            continue
        truth.append(exercise.id in seen)
        found.append(row is not None)
        if row is not None and not truth[-1]:
            like = exercises[row["like_line"] - 1]
            others += like is None or like.family != exercise.family
        seen.add(exercise.id)
    return Duplicates(counted(truth, found), others)


@pytest.fixture(scope="module")
def talks() -> list[Talk]:
    return list(visitor_talks(1500, seed=1, duplicate_share=0.2))


def test_letters_find_half_of_short_repeats_and_drop_variants_of_one_template(
    tmp_path: Path, talks: list[Talk]
) -> None:
    """The numbers of docs/judging.md: the threshold trades repeats found against variants dropped."""
    usual, strict = duplicates(tmp_path, talks, 0.8), duplicates(tmp_path, talks, 0.95)
    assert usual.found.recall > 0.4 and strict.found.recall > 0.35
    assert usual.found.precision < strict.found.precision and strict.found.precision == 1.0
    assert usual.wrong_of_other_kinds == 0


def test_personal_data_of_visitors_is_found_and_nothing_else(talks: list[Talk]) -> None:
    truth = [any(data in text for text in said_of(t) for data in t.visitor.planted)
             for t in talks if t.visitor.plant != "nonsense"]  # fmt: skip
    found = [any(map(personal_data, said_of(t))) for t in talks if t.visitor.plant != "nonsense"]
    result = counted(truth, found)
    assert result.hits > 40 and (result.wrong, result.missed) == (0, 0)


def test_nonsense_is_flagged_and_little_else(talks: list[Talk]) -> None:
    truth = [t.visitor.plant == "nonsense" for t in talks]
    result = counted(truth, [any(map(lacks_common_words, said_of(t))) for t in talks])
    assert result.missed == 0 and result.precision > 0.9


def test_personal_data_by_kind_on_labeled_sentences(shared_dir: Path) -> None:
    """1,500 synthetic sentences: what has a shape is found, national forms of telephone numbers too."""
    kinds = {"EMAIL_ADDRESS", "US_SSN", "IBAN_CODE", "IP_ADDRESS", "CREDIT_CARD", "PHONE_NUMBER"}
    found: dict[str, list[bool]] = {kind: [] for kind in (*kinds, "none")}
    for row in read_rows(shared_dir / "data/wildchat/pii/presidio_synth_v2.jsonl.gz"):
        held = {span["entity_type"] for span in row.data["spans"]} & kinds
        for kind in held or {"none"}:
            found[kind].append(personal_data(row.data["full_text"]) is not None)
    counts = {kind: (sum(values), len(values)) for kind, values in found.items()}
    assert counts == {
        "EMAIL_ADDRESS": (49, 49),
        "US_SSN": (16, 16),
        "IBAN_CODE": (21, 21),
        "IP_ADDRESS": (14, 14),
        "CREDIT_CARD": (136, 136),
        "PHONE_NUMBER": (64, 64),
        "none": (0, 1219),
    }


def test_the_last_request_of_a_talk_is_a_users(talks: list[Talk]) -> None:
    from agora.core.records import Message

    for talk in talks[:50]:
        turns = tuple(Message(m["role"], m["content"]) for m in talk.messages)  # type: ignore[arg-type]
        assert last_request(turns)[-1].role == "user"
