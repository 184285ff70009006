"""The whole run: options to configuration, the probe before work, the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import AgoraError, CapabilityError, ConfigError
from agora.core.records import Sample
from agora.core.tables import read_records
from agora.engines.types import CompleteRequest, Generation, Usage
from agora.microcosm.world import recognize
from agora.rooms.synthesize import PrefixTemplate
from agora.rooms.synthesize.licence import licence_of
from agora.rooms.synthesize.options import run_config
from agora.rooms.synthesize.run import derive_all, probe_templates, synthesize
from agora.rooms.synthesize.settings import SliceConfig, SynthesizeConfig
from tests.rooms.synthesize.scripted import ScriptedEngine

TEMPLATE = {"": PrefixTemplate("scripted:1", "template", "U:", "A:", "U:", prefix_ids=(1, 2, 3))}


def config_of(tmp_path: Path, text: str, **more: Any) -> SynthesizeConfig:
    (tmp_path / "c.yaml").write_text(text)
    return run_config(tmp_path / "c.yaml", [], {}, **more)


def test_a_schedule_comes_from_a_file_and_n_keeps_its_proportions(tmp_path: Path) -> None:
    text = "schedule:\n  - {count: 300, temperature: 1.0}\n  - {count: 100, temperature: 1.2, top_p: 0.99}\n"
    config = config_of(tmp_path, text, n=40)
    assert [(one.full_name, one.count) for one in config.schedule] == [("t1-p1", 30), ("t1.2-p0.99", 10)]
    assert config_of(tmp_path, text).count == 400
    assert [one.count for one in config_of(tmp_path, text, n=9, temperature=0.7).schedule] == [9]


def test_domains_mix_into_every_slice(tmp_path: Path) -> None:
    config = config_of(tmp_path, "schedule: [{count: 10}]\n", domains=["math=3", "coding & debugging"])
    (one,) = config.slices()
    assert one.systems == (("math", 3.0), ("coding & debugging", 1.0))
    templates = derive_all(tmp_path / "none", config.model_copy(update={"model": "microcosm:chat"}))
    assert set(templates) == {"math", "coding & debugging"}
    assert all("People come to you with" in t.prefix for t in templates.values())


def test_wrong_settings_are_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no system prompt 'math'"):
        config_of(tmp_path, "schedule: [{count: 1, system: math}]\n")
    with pytest.raises(ConfigError, match="mix needs system prompts"):
        config_of(tmp_path, "schedule: [{count: 1, mix: true}]\n")
    with pytest.raises(ConfigError, match="seed of a run stands at its top"):
        config_of(tmp_path, "draw: {seed: 3}\n")
    with pytest.raises(ConfigError, match="above 0"):
        config_of(tmp_path, "schedule: [{count: 1, temperature: 0}]\n").slices()


def greet(request: CompleteRequest) -> Generation:
    texts = ["Hello! How can I help you today?", "Tell me about the sea.", "Hi! How may I assist you?"]
    return Generation(request.id, f"{texts[request.sampling.seed % 3]} {request.id}", "stop_token", usage=Usage(3, 9))


def test_a_server_that_greets_is_found_out_before_any_work() -> None:
    with pytest.raises(CapabilityError, match="greet like an assistant"):
        probe_templates(ScriptedEngine(greet), TEMPLATE)


def test_a_server_that_adds_tokens_is_found_out_before_any_work() -> None:
    def adding(request: CompleteRequest) -> Generation:
        return Generation(request.id, f"Count the birds {request.sampling.seed}.", "stop_token", usage=Usage(4, 9))

    with pytest.raises(CapabilityError, match="counted 4 prompt tokens where 3 were sent: a BOS was added"):
        probe_templates(ScriptedEngine(adding), TEMPLATE)
    probe_templates(ScriptedEngine(), TEMPLATE)


def small(n: int = 12, **more: Any) -> SynthesizeConfig:
    return SynthesizeConfig(
        model="microcosm:chat",
        schedule=(SliceConfig(count=n, top_p=0.8),),
        answers={"max_tokens": 48},
        draw={"max_tokens": 64},
        **more,
    )


def test_a_run_draws_answers_and_reports_and_a_rerun_changes_nothing(tmp_path: Path) -> None:
    report = synthesize(tmp_path, small())
    assert report.answers is not None and report.answers.tally.kept > 0
    page = report.report.read_text(encoding="utf-8")
    assert "Slices of the schedule" in page and "Apache-2.0" in page
    (means,) = json.loads((tmp_path / "slices.json").read_text())
    assert means["drawn"] == 12 and means["well_posed"] > 0.5 and means["difficulty"] is not None
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.jsonl") if path.name != "events.jsonl"}
    before["report.html"] = report.report.read_bytes()
    again = synthesize(tmp_path, small())
    assert again.as_json() == report.as_json()
    assert all((tmp_path / name).read_bytes() == data for name, data in before.items())


def test_the_microcosm_follows_a_system_prompt_that_it_was_shown(tmp_path: Path) -> None:
    prompt = {"math": {"text": "You are an assistant for math.", "category": "Math"}}
    config = SynthesizeConfig(
        model="microcosm:chat",
        schedule=(SliceConfig(count=24, top_p=0.8, system="math"),),
        systems=prompt,
        answers=None,
        draw={"max_tokens": 64},
    )
    synthesize(tmp_path, config)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Requested category against the one found" in page
    found = [recognize(s.instruction) for s in read_records(tmp_path / "instructions.jsonl", Sample) if s.kept]
    known = [exercise.category for exercise in found if exercise is not None]
    assert known.count("Math") > len(known) * 0.7


def test_an_expression_sets_instructions_aside_before_they_are_answered(tmp_path: Path) -> None:
    report = synthesize(tmp_path, small(20, filter="words(instruction) >= 8 and not ends(instruction, '?')"))
    samples = list(read_records(tmp_path / "answered.jsonl", Sample))
    failed = [s for s in samples if (s.reason or "").startswith("filter:")]
    assert failed and all(s.answer is None for s in failed)
    kept = [s for s in samples if s.kept]
    assert kept and all(len(s.instruction.split()) >= 8 and not s.instruction.endswith("?") for s in kept)
    assert {s.reason for s in failed} <= {"filter: words(instruction) >= 8", "filter: not ends(instruction, '?')"}
    assert "as the filter asks" in report.report.read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot look at answers"):
        small(filter="len(answer) > 3")
    with pytest.raises(ConfigError, match="conditions only"):
        small(filter="words(instruction) > 2 then top 5 by len(instruction)")


def test_self_instruct_fills_the_same_files_and_page(tmp_path: Path) -> None:
    (tmp_path / "seeds.txt").write_text(
        "What is 3 plus 4?\nWhat is the capital of Norvale?\nShow me Python code that prints lake.\n"
    )
    config = run_config(
        None,
        ["self_instruct.per_request=1", "self_instruct.round_size=16", "self_instruct.max_tokens=48"],
        {"model": "microcosm:base"},
        n=6,
        self_instruct=tmp_path / "seeds.txt",
        answers=False,
    )
    report = synthesize(tmp_path / "run", config)
    assert report.instructions.tally.kept == 6
    assert set(report.instructions.tally.slices) == {"self-instruct"}
    assert "Self-Instruct with microcosm:base" in report.report.read_text(encoding="utf-8")
    assert synthesize(tmp_path / "run", config).as_json() == report.as_json()


def test_a_wrong_prefix_stops_the_draw_with_examples_before_the_rest_is_paid(tmp_path: Path) -> None:
    # after the assistant's header the model answers nobody
    config = SynthesizeConfig(
        model="microcosm:chat",
        mode="custom:<|end|>",
        schedule=(SliceConfig(count=400),),
        answers=None,
        draw={"max_tokens": 2, "check_first": 20},
        probe=False,
    )
    with pytest.raises(AgoraError, match="look wrong"):
        synthesize(tmp_path, config)
    assert len((tmp_path / "drawn.jsonl").read_text().splitlines()) < 400


def test_the_license_of_a_generator_is_what_its_files_state(tmp_path: Path) -> None:
    assert licence_of("microcosm:chat") == "Apache-2.0"
    (tmp_path / "README.md").write_text("---\nlicense: llama3\ntags: [x]\n---\n# Model\n")
    assert licence_of(f"hf:{tmp_path}") == "llama3"
    (tmp_path / "README.md").unlink()
    (tmp_path / "LICENSE.txt").write_text("terms")
    assert licence_of(f"hf:{tmp_path}") == "see LICENSE.txt in its folder"
    assert "not stated" in licence_of("http://127.0.0.1:1/v1#m")
