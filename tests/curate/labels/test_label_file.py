"""Labeling a file: every row comes out with its tags, failures are counted, kills cost only what was in flight."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import ConfigError, EngineError
from agora.curate import providers
from agora.curate.curation import CurateReport
from agora.curate.labels import LabelSettings, label_file
from agora.curate.labels.by_model import ModelLabeler
from agora.curate.labels.kinds import KINDS
from agora.curate.providers import LABELERS, SCORERS
from agora.curate.rows import tag_of
from tests.curate.labeled import read, talk, write
from tests.curate.labels.support import LabelServer, ScriptedModel, plain

Q = KINDS["quality"].scale.values


def by_length(text: str, name: str) -> str:
    """A label that depends on the text alone."""
    values = KINDS[name].scale.values
    return values[len(text) % len(values)]


def questions(n: int) -> list[dict[str, Any]]:
    return [talk(f"Question {'x' * (i % 7)} number {i}?", f"Answer {i}.", id=f"row{i}") for i in range(n)]


def labeled(model: ScriptedModel, rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return list(ModelLabeler(model).label(rows, [KINDS[name] for name in names or ("quality",)]))


def test_rows_come_out_in_order_with_every_label() -> None:
    rows = questions(30)
    found = labeled(ScriptedModel(plain(by_length)), rows, "quality", "difficulty", "category")
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    for row in found:
        text = row["messages"][0]["content"]
        for name in ("quality", "difficulty", "category"):
            tag = tag_of(row, name)
            assert tag is not None
            assert (tag["value"], tag["status"], tag["attempts"]) == (by_length(text, name), "ok", 1)
            assert tag["generator"] == "scripted:model" and tag["raw"]
    assert tag_of(found[0], "quality")["explanation"] == "Because."  # type: ignore[index]


def test_an_unreadable_reply_is_asked_for_twice_more_and_then_failed() -> None:
    model = ScriptedModel(lambda prompt, name, code: "I would call it magnificent.")
    (row,) = labeled(model, questions(1))
    tag = tag_of(row, "quality")
    assert tag is not None
    assert (tag["value"], tag["status"], tag["attempts"]) == (None, "failed", 3)
    assert tag["raw"] == "I would call it magnificent."
    assert [r.sampling.temperature for r in model.requests] == [0.0, 0.0, 0.3]
    assert "# Reminder" not in model.requests[0].messages[0]["content"]
    assert all("# Reminder" in r.messages[0]["content"] for r in model.requests[1:])


def test_a_retry_that_succeeds_counts_its_attempts() -> None:
    def late(prompt: str, name: str, code: str) -> str:
        return plain(by_length)(prompt, name, code) if "# Reminder" in prompt else "Hm."

    found = labeled(ScriptedModel(late), questions(9))
    assert {tag_of(row, "quality")["attempts"] for row in found} == {2}  # type: ignore[index]


def test_a_call_that_fails_leaves_a_failed_label_and_its_reason() -> None:
    (row,) = labeled(ScriptedModel(lambda *_: "ERROR"), questions(1))
    tag = tag_of(row, "quality")
    assert tag is not None and tag["status"] == "failed" and tag["error"] == "the server is on fire"


def test_labels_that_are_there_are_not_paid_for_again() -> None:
    model = ScriptedModel(plain(by_length))
    rows = labeled(model, questions(5))
    rows[2]["tags"]["quality"] = {"value": None, "status": "failed"}
    before = len(model.requests)
    again = labeled(model, rows)
    assert len(model.requests) == before + 1
    assert all(tag_of(row, "quality")["status"] == "ok" for row in again)  # type: ignore[index]


def test_a_model_that_cannot_label_is_found_out_early() -> None:
    model = ScriptedModel(lambda *_: "beep")
    with pytest.raises(EngineError, match="60 of the first 60 labels could not be read, such as 'beep'"):
        labeled(model, questions(500))
    assert len(model.requests) < 600


def test_an_empty_instruction_costs_no_call() -> None:
    model = ScriptedModel(plain(by_length))
    (row,) = labeled(model, [talk("  ", "Hi.")])
    assert not model.requests and tag_of(row, "quality")["error"] == "nothing to label"  # type: ignore[index]


def run(source: Path, out: Path, **more: Any) -> CurateReport:
    return label_file(source, out, LabelSettings(**{"labels": ("quality",), **more}))


def test_a_server_that_decodes_by_schema_gets_one_and_one_that_does_not_is_asked_without(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", questions(6))
    for refuse in (False, True):
        with LabelServer(plain(by_length), refuse_schema=refuse) as server:
            report = run(
                source, tmp_path / f"out{refuse}.jsonl", engine=f"{'http://127.0.0.1:' + str(server.port)}/v1#m"
            )
        assert report.facts["failed"] == {"quality": 0}
        schemas = [
            body["response_format"]["json_schema"]["schema"]
            for body in server.bodies
            if body.get("response_format", {}).get("type") == "json_schema"
        ]
        assert schemas and all(s["properties"]["quality"]["enum"] == list(Q) for s in schemas)


def test_the_report_counts_labels_and_warns_of_many_failures(tmp_path: Path) -> None:
    def often(prompt: str, name: str, code: str) -> str:
        return "?" if "number 1" in prompt else plain(by_length)(prompt, name, code)

    with LabelServer(often) as server:
        report = run(write(tmp_path / "in.jsonl", questions(40)), tmp_path / "o.jsonl", engine=f"{server.base_url}#m")
    failed = sum("number 1" in row["messages"][0]["content"] for row in questions(40))
    assert report.facts["failed"]["quality"] == failed
    assert "quality" in report.facts["warnings"][0]
    assert sum(report.facts["labels"]["quality"].values()) == 40 - failed
    assert report.n_out == 40 == len(read(report.out))


class Opinion:
    """A second labeler: one step higher than ``by_length``, where there is a step."""

    def __init__(self) -> None:
        from agora.curate.labels.by_model import Spent

        self.name, self.spent = "opinion", Spent()

    def label(self, rows: Any, kinds: Any) -> Any:
        for row in rows:
            assert "quality" not in row["tags"]
            rank = min(Q.index(by_length(row["messages"][0]["content"], "quality")) + 1, 4)
            yield {**row, "tags": {**row["tags"], "quality": {"value": Q[rank], "status": "ok"}}}


def test_a_second_labeler_shows_the_bias_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LABELERS, "opinion", Opinion)
    source = write(tmp_path / "in.jsonl", questions(60))
    with LabelServer(plain(by_length)) as server:
        report = run(source, tmp_path / "o.jsonl", engine=f"{server.base_url}#m", check="opinion", check_rows=50)
    (found,) = report.facts["agreement"]
    assert found["n"] == 50 and found["missing"] == 0
    assert found["means"][1] > found["means"][0] + 0.5
    assert found["kappa_low"] < found["kappa"] < found["kappa_high"] < 1


def test_rewards_are_raw_numbers_and_what_is_no_number_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def scorer(conversations: Any) -> list[float | None]:
        asked.extend(conversations)
        return [float("nan") if c[-1].content == "Answer 2." else float(len(c[-1].content)) for c in conversations]

    monkeypatch.setattr(providers, "SCORERS", [lambda uri: scorer])
    rows = [*questions(4), talk("Unanswered?", None, id="u")]
    source = write(tmp_path / "in.jsonl", rows)
    first = run(source, tmp_path / "a.jsonl", labels=("reward",), reward="length:")
    values = [row["tags"]["reward"]["value"] for row in read(first.out)]
    assert values == [9.0, 9.0, None, 9.0, None]
    assert first.facts["failed"]["reward"] == 2 and len(asked) == 4
    (tmp_path / "a.jsonl").unlink()
    run(source, tmp_path / "a.jsonl", labels=("reward",), reward="length:")
    assert len(asked) == 4  # from the cache


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"labels": ()}, "no label"),
        ({"labels": ("qualty",)}, "did you mean quality"),
        ({"labels": ("quality",)}, "--engine"),
        ({"labels": ("reward",)}, "--reward"),
        ({"labels": ("language",), "check": "x"}, "no labels of a model"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        LabelSettings(**settings)


def test_the_registries_are_filled_by_the_command_line() -> None:
    import agora.cli  # noqa: F401

    assert "microcosm:world" in LABELERS and SCORERS


@pytest.mark.slow
def test_languages_are_told_offline() -> None:
    from agora.curate.labels.by_language import detect_languages

    texts = [
        "Wie komme ich vom Bahnhof zum Museum?",
        "请用一句话介绍北京。",
        "¿Qué hora es en Madrid?",
        "12345 +++",
        "```\nx\n```",
    ]
    found = [tag["value"] for tag in detect_languages(texts)]
    assert found[:4] == ["DE", "ZH", "ES", None]


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bytes_and_repeats_only_calls_in_flight(tmp_path: Path) -> None:
    source, in_flight = write(tmp_path / "in.jsonl", questions(150)), 4
    rng, kills = random.Random(5), 0
    with LabelServer(plain(by_length), delay_s=0.01) as server:

        def start(out: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "agora.cli", "curate", "label", str(source), "--out", str(tmp_path / out)]
            command += ["--labels", "quality,category", "--engine", f"{server.base_url}#m"]
            command += ["--concurrency", str(in_flight)]
            environment = {**os.environ, "AGORA_PROGRESS": "0"}
            return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        assert start("whole.jsonl").wait() == 0
        whole, server.calls = server.calls, 0
        while kills < 10:
            process, before = start("killed.jsonl"), server.calls
            while server.calls == before and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.06))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            assert not (tmp_path / "killed.jsonl").exists()
        assert kills >= 3
        done = start("killed.jsonl")
        assert done.wait() == 0
        assert server.calls <= whole + kills * in_flight
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    facts = json.loads((tmp_path / "killed.manifest.json").read_text())["facts"]
    assert facts["failed"] == {"quality": 0, "category": 0}
