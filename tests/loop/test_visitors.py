"""The loop's first stage: visitors at a real service, and what of theirs later stages may read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from agora.core.records import Conversation, Sample
from agora.core.runs import RunDir
from agora.core.tables import read_json, read_records
from agora.loop import logs, visitors
from agora.loop.settings import LoopConfig
from agora.loop.stored import read_stored
from agora.microcosm.world import World

CONFIG = LoopConfig(visitors=24, seed=2)


def _held(out: Path, config: LoopConfig = CONFIG) -> Path:
    with RunDir.open(out, command="agora loop", config=config.model_dump(mode="json"), seed=config.seed) as run:
        return visitors.hold_conversations(run, config)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _held(tmp_path_factory.mktemp("visited"))


def test_only_what_may_be_published_goes_on(held: Path) -> None:
    said = list(read_records(held, Conversation))
    visits = {visit["visitor"]: visit for visit in read_json(held.with_name("visits.json"))["visits"]}
    assert len(visits) == 24 and all(visit["refused"] is None for visit in visits.values())
    assert {c.id for c in said} == {name for name, visit in visits.items() if visit["end"] == "kept"}
    assert {visit["end"] for visit in visits.values()} > {"kept"}  # some declined, erased or withdrew
    for conversation in said:
        assert conversation.provenance.consent.startswith("publish/")
        assert len(conversation.messages) == 2 * visits[conversation.id]["rounds"]
        assert all(message.content.strip() for message in conversation.messages if message.role == "user")


def test_what_goes_on_is_what_the_release_holds_without_planted_personal_data(held: Path) -> None:
    release = held.with_name("release")
    rows = [row for file in sorted(release.glob("data/*.parquet")) for row in pq.read_table(file).to_pylist()]
    said = [[m.content for m in c.messages] for c in read_records(held, Conversation)]
    assert sorted(said) == sorted([m["content"] for m in row["messages"]] for row in rows)
    planted = [text for v in World().visitors(24, CONFIG.seed) if v.plant == "personal_data" for text in v.planted]
    text = held.read_text()
    assert len(planted) == 4 and not any(value in text for value in planted) and "<EMAIL_1>" in text
    gates = read_json(release / "gates.json")
    assert [gate["status"] for gate in gates] == ["passed"] * 9


def test_conversations_are_told_in_the_order_of_their_visitors_without_times(held: Path) -> None:
    ids = [conversation.id for conversation in read_records(held, Conversation)]
    assert ids == sorted(ids)
    assert "created" not in held.read_text() or '"created":null' in held.read_text()


def test_replies_that_were_rated_down_are_not_learned_from(held: Path, tmp_path: Path) -> None:
    said = list(read_records(held, Conversation))
    down = {c.messages[1].content for c in said if c.messages[1].meta.get("rating") == -1}
    log = logs.Logs(held, len(said), 0, tmp_path / "none", None)  # type: ignore[arg-type]
    samples = logs.logged_samples(log, 1000)
    assert down and not down & {sample.answer for sample in samples if isinstance(sample, Sample)}


def test_a_model_that_is_no_microcosm_is_left_in_peace() -> None:
    assert visitors.number_of_visitors(LoopConfig(model="http://127.0.0.1:1/v1#m")) == 0
    assert visitors.number_of_visitors(LoopConfig()) > 0
    assert visitors.number_of_visitors(LoopConfig(model="http://127.0.0.1:1/v1#m", visitors=5)) == 5


@pytest.mark.slow
def test_visits_that_were_killed_begin_anew_and_end_alike(held: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.loop.test_visitors import _held; _held(Path(sys.argv[1]))"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "AGORA_PROGRESS": "0", "PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}"}
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=environment) as killed:
        database = tmp_path / "visitors" / "chat.db"
        while killed.poll() is None and not database.exists():
            time.sleep(0.05)
        time.sleep(2)  # some are in the middle of it
        killed.send_signal(signal.SIGKILL)
    again = _held(tmp_path)
    assert again.read_bytes() == held.read_bytes()
    assert read_stored(again, Conversation)
