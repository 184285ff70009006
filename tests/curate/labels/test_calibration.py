"""In the microcosm the truth is known, so a labeler's error can be measured before a model is paid for."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agora.core.agreement import cohen_kappa
from agora.curate.labels import LabelSettings, label_file
from agora.curate.providers import LABELERS
from agora.microcosm.world.world import recognize, shipped_world
from agora.microcosm.world_labels import URI, WorldLabeler
from tests.curate.labeled import read, talk, write
from tests.curate.labels.support import LabelServer, plain

LEVELS = ("very easy", "easy", "medium", "hard", "very hard")


def one_step_too_hard(text: str, name: str) -> str:
    """A labeler that calls every fourth exercise one step harder than it is."""
    exercise = recognize(text)
    assert exercise is not None
    if name == "category":
        return exercise.category
    rank = LEVELS.index(exercise.difficulty)
    return LEVELS[min(rank + (sum(map(ord, text)) % 4 == 0), 4)]


def test_a_labeler_is_measured_against_the_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LABELERS, URI, WorldLabeler)
    exercises = list(shipped_world().exercises(random.Random(3), 120))
    source = write(tmp_path / "in.jsonl", [talk(e.instruction, e.reference, id=e.id) for e in exercises])
    with LabelServer(plain(one_step_too_hard)) as server:
        settings = LabelSettings(
            ("difficulty", "category"), engine=f"{server.base_url}#m", check=URI, check_rows=len(exercises)
        )
        report = label_file(source, tmp_path / "out.jsonl", settings)
    difficulty, category = report.facts["agreement"]
    rows = read(report.out)
    truth = {e.id: e.difficulty for e in exercises}
    given = [LEVELS.index(row["tags"]["difficulty"]["value"]) for row in rows]
    known = [LEVELS.index(truth[row["id"]]) for row in rows]
    assert difficulty["kappa"] == pytest.approx(cohen_kappa(given, known, "quadratic"))
    assert difficulty["kappa_low"] < difficulty["kappa"] < 0.95
    assert difficulty["means"][0] - difficulty["means"][1] == pytest.approx(sum(given) / 120 - sum(known) / 120)
    assert category["kappa"] == 1.0 and category["exact"] == 1.0


def test_what_the_world_does_not_know_is_failed_and_not_guessed() -> None:
    from agora.curate.labels.kinds import KINDS

    rows = [
        talk("What is the meaning of life?"),
        talk(next(shipped_world().exercises(random.Random(1), 1)).instruction),
    ]
    unknown, known = WorldLabeler().label(rows, [KINDS["difficulty"], KINDS["quality"]])
    assert unknown["tags"]["difficulty"]["status"] == "failed"
    assert known["tags"]["difficulty"]["status"] == "ok" and known["tags"]["quality"]["status"] == "failed"
