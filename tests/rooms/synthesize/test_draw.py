"""Drawing: schedule, seeds, order, resume, guards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import AgoraError, CapabilityError, ConfigError, EngineError
from agora.core.records import Sample
from agora.core.schemas import to_row
from agora.curate.duplicates import OnlineDuplicates
from agora.engines.types import CompleteRequest, Generation, Usage
from agora.rooms.synthesize import DrawSettings, PrefixTemplate, Slice, draw_instructions, sample_id, sample_seed
from agora.rooms.synthesize.wire import wire_prompt
from tests.rooms.synthesize.scripted import ScriptedEngine, write_instruction

TEMPLATE = PrefixTemplate(
    "scripted:1", "template", "<|bos|><|user|>", "<|end|>", "<|bos|><|user|>", prefix_ids=(7, 8), stop_ids=(2,),
    stop_strings=("\nBOT:",), bos_token="<|bos|>", markdown_ids=(40, 41),
)  # fmt: skip
SCHEDULE = (Slice("warm", 60), Slice("hot", 40, temperature=1.2, top_p=0.99))


def draw(engine: Any, *, schedule: Any = SCHEDULE, template: Any = TEMPLATE, **more: Any) -> list[Sample]:
    return list(draw_instructions(engine, template, schedule, run_id="run", **more))


def says(text: str | Callable[[CompleteRequest], str], reason: Any = "stop_token") -> ScriptedEngine:
    def write(request: CompleteRequest) -> Generation:
        return Generation(request.id, text if isinstance(text, str) else text(request), reason, usage=Usage(2, 1))

    return ScriptedEngine(write)


def test_samples_come_in_the_order_of_the_schedule() -> None:
    samples = draw(ScriptedEngine())
    assert [(s.slice, s.index) for s in samples] == [(s.name, i) for s in SCHEDULE for i in range(s.count)]


@pytest.mark.parametrize(("in_flight", "order"), [(1, 0), (3, 1), (500, 2)])
def test_the_result_is_the_same_whatever_order_results_come_back_in(in_flight: int, order: int) -> None:
    index = OnlineDuplicates()
    expected = draw(ScriptedEngine(), on_duplicate=OnlineDuplicates())
    assert draw(ScriptedEngine(in_flight=in_flight, order=order), on_duplicate=index) == expected


def test_each_sample_carries_how_it_was_made() -> None:
    engine = ScriptedEngine()
    settings = DrawSettings(seed=5, max_tokens=99, no_markdown=True, first_token_temperature=1.2, stop_on_newline=True)
    sample = draw(engine, settings=settings)[70]
    request = next(r for r in engine.requests if r.id == sample.id)
    assert sample.id == sample_id("run", "hot", 10)
    assert sample.seed == request.sampling.seed == sample_seed(5, "hot", 10)
    assert sample.prefix_ref == TEMPLATE.ref
    assert (request.prompt_ids, request.prompt) == ((7, 8), None)
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.max_tokens) == (1.2, 0.99, 99)
    assert (request.sampling.stop, request.sampling.stop_ids) == (("\nBOT:", "\n"), (2,))
    assert (request.sampling.banned_first_ids, request.sampling.first_token_temperature) == ((40, 41), 1.2)
    expected = {"model": "scripted:1", "temperature": 1.2, "top_p": 0.99, "max_tokens": 99, "prompt_tokens": 3}
    assert expected.items() <= sample.gen.items()
    assert to_row(sample)["schema"] == "sample/1"


def test_seeds_differ_between_slices_indices_and_runs() -> None:
    seeds = {sample_seed(run, name, i) for run in (0, 1) for name in ("a", "b") for i in range(500)}
    assert len(seeds) == 2000
    assert all(0 <= seed < 2**53 for seed in seeds)


def test_what_is_set_aside_has_a_reason_and_its_raw_text() -> None:
    samples = draw(ScriptedEngine(), settings=DrawSettings(check_first=0), schedule=[Slice("a", 400)])
    reasons = Counter(s.reason for s in samples)
    assert set(reasons) == {None, "empty", "length", "flag:self_answering"}
    assert all(s.kept == (s.reason is None) for s in samples)
    kept = next(s for s in samples if s.kept)
    assert kept.raw_text == " " + kept.instruction
    assert kept.clean_ops[0]["op"] == "strip_whitespace"


def test_cut_at_answer_keeps_the_request_and_records_the_cut() -> None:
    samples = draw(ScriptedEngine(), settings=DrawSettings(cut_at_answer=True))
    assert "flag:self_answering" not in {s.reason for s in samples}
    cut = next(s for s in samples if any(op["op"] == "cut_at_answer" for op in s.clean_ops))
    assert "Answer:" in cut.raw_text and "Answer:" not in cut.instruction


def test_temperature_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="temperature must be above 0"):
        Slice("greedy", 5, temperature=0.0)


@pytest.mark.parametrize("wrong", [{"count": -1}, {"top_p": 0.0}, {"top_p": 1.1}, {"temperature": float("nan")}])
def test_a_wrong_slice_names_itself(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="slice 'odd'"):
        Slice(**{"name": "odd", "count": 1, **wrong})


@pytest.mark.parametrize("wrong", [{"max_tokens": 0}, {"fresh_floor": 1.5}, {"check_first": -1}, {"fresh_window": 0}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} must be"):
        DrawSettings(**wrong)


def test_slices_of_one_name_and_unknown_system_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match="unique"):
        draw(ScriptedEngine(), schedule=[Slice("a", 1), Slice("a", 1)])
    with pytest.raises(ConfigError, match="no prefix for system key 'chess'"):
        draw(ScriptedEngine(), schedule=[Slice("a", 1, system="chess")])


def test_an_engine_that_only_chats_is_refused_before_any_request() -> None:
    engine = ScriptedEngine(capabilities=("chat",))
    with pytest.raises(CapabilityError, match="answers chats only"):
        draw_instructions(engine, TEMPLATE, SCHEDULE, run_id="run")
    assert engine.requests == []


def test_system_prompts_are_chosen_by_slice_and_kept_only_when_asked() -> None:
    chess = replace(TEMPLATE, mode="system:You know chess.", prefix_ids=(9, 8))
    templates = {"": TEMPLATE, "chess": chess}
    schedule = [Slice("plain", 3), Slice("chess", 3, system="chess")]
    engine = ScriptedEngine()
    samples = draw(engine, template=templates, schedule=schedule)
    assert {r.prompt_ids for r in engine.requests} == {(7, 8), (9, 8)}
    assert [m.role for m in samples[4].messages] == ["user"]
    assert samples[4].gen["system_prompt"] == "You know chess."
    kept = draw(engine, template=templates, schedule=schedule, settings=DrawSettings(keep_system=True))[4]
    assert [(m.role, m.parent) for m in kept.messages] == [("system", None), ("user", "0")]
    assert kept.instruction == samples[4].instruction


def test_a_near_duplicate_of_a_kept_sample_is_not_kept() -> None:
    words = ["Describe the old harbor of Genoa in winter please", "describe the old harbor of Genoa in winter, please"]
    samples = draw(
        says(lambda r: words[r.sampling.seed % 2]),
        on_duplicate=OnlineDuplicates(),
        settings=DrawSettings(check_first=0),
        schedule=[Slice("a", 30)],
    )
    assert [s.kept for s in samples] == [True] + [False] * 29
    assert {s.reason for s in samples[1:]} == {"duplicate"}
    assert samples[0].id in str(samples[1].tags["duplicate_of"])


def test_a_slice_that_brings_nothing_new_stops_and_the_next_goes_on() -> None:
    events: list[tuple[str, dict[str, Any]]] = []

    def write(request: CompleteRequest) -> Generation:
        if request.sampling.temperature < 1.1:
            return Generation(request.id, f"Name the {request.sampling.seed % 3}rd planet of the sun.", "stop_token")
        return write_instruction(request)

    engine = ScriptedEngine(write, in_flight=4)
    schedule = [Slice("stale", 500), Slice("fresh", 50, temperature=1.2)]
    samples = draw(
        engine,
        schedule=schedule,
        on_duplicate=OnlineDuplicates(),
        settings=DrawSettings(fresh_window=40),
        on_event=lambda kind, fields: events.append((kind, fields)),
    )
    drawn = Counter(s.slice for s in samples)
    assert drawn == {"stale": 40, "fresh": 50}
    assert events == [("slice_stopped", {"slice": "stale", "drawn": 40, "fresh_rate": 1 / 40})]
    # results that overtake the fortieth sample have been paid for by the time the slice stops
    assert len(engine.requests) <= 90 + 4 * engine.in_flight


def test_an_engine_that_reads_ahead_is_asked_anew_when_a_slice_stops() -> None:
    engine = ScriptedEngine(
        lambda r: (
            Generation(r.id, "Name the nearest planet of the sun.", "stop_token")
            if r.sampling.temperature < 1.1
            else write_instruction(r)
        ),
        in_flight=10_000,
        order=3,
    )
    served = 0
    write = engine.write

    def counting(request: CompleteRequest) -> Generation:
        nonlocal served
        served += 1
        return write(request)

    engine.write = counting
    schedule = [Slice("stale", 2000), Slice("fresh", 20, temperature=1.2)]
    settings = DrawSettings(fresh_window=20, check_first=0)
    samples = draw(engine, schedule=schedule, on_duplicate=OnlineDuplicates(), settings=settings)
    assert Counter(s.slice for s in samples) == {"stale": 20, "fresh": 20}
    assert served < 2020


@pytest.mark.parametrize(
    ("engine", "words", "cause"),
    [
        (says(""), "all are empty", "mode bare or template"),
        (says("Always say the same thing."), "all are identical", "seeds"),
        (says(lambda r: f"Tell me about {r.id} and so", "length"), "100 are cut off by length", "stop set"),
        (says(lambda r: f"Hello! How can I help you today, {r.id}?"), "100 speak as the assistant", "raw completion"),
    ],
)
def test_first_samples_that_look_wrong_stop_the_draw_with_five_of_them(
    engine: ScriptedEngine, words: str, cause: str
) -> None:
    with pytest.raises(AgoraError, match=words) as stopped:
        draw(engine, schedule=[Slice("a", 5000)], settings=DrawSettings(check_first=100))
    assert cause in str(stopped.value)
    assert str(stopped.value).count(" | ") == 4
    assert len(engine.requests) <= 100 + 2 * engine.in_flight


def test_a_small_draw_is_looked_at_as_a_whole() -> None:
    with pytest.raises(AgoraError, match="the first 12 samples look wrong: all are empty"):
        draw(says(""), schedule=[Slice("a", 12)])
    assert len(draw(says(""), schedule=[Slice("a", 9)])) == 9


def test_an_unbroken_rerun_asks_the_engine_nothing(tmp_path: Path) -> None:
    first = draw(ScriptedEngine(), journal=tmp_path / "drawn.jsonl", on_duplicate=OnlineDuplicates())
    engine = ScriptedEngine()
    assert draw(engine, journal=tmp_path / "drawn.jsonl", on_duplicate=OnlineDuplicates()) == first
    assert engine.requests == []


def test_a_dying_engine_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    left = 37

    def dying(request: CompleteRequest) -> Generation:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("out of memory")
        return write_instruction(request)

    with pytest.raises(RuntimeError, match="out of memory"):
        draw(ScriptedEngine(dying), journal=tmp_path / "drawn.jsonl")
    engine = ScriptedEngine(order=9)
    assert draw(engine, journal=tmp_path / "drawn.jsonl") == draw(ScriptedEngine())
    assert len(engine.requests) == 100 - 37


def test_a_half_written_last_line_is_dropped_and_drawn_again(tmp_path: Path) -> None:
    journal, events = tmp_path / "drawn.jsonl", []
    expected = draw(ScriptedEngine(), journal=journal)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-20])
    engine = ScriptedEngine()
    again = draw(engine, journal=journal, on_event=lambda kind, fields: events.append(kind))
    assert again == expected
    assert len(engine.requests) == 1
    assert events == ["journal_repaired"]


def test_a_journal_of_another_seed_or_prefix_is_refused(tmp_path: Path) -> None:
    draw(ScriptedEngine(), journal=tmp_path / "drawn.jsonl")
    with pytest.raises(ConfigError, match="another seed"):
        draw(ScriptedEngine(), journal=tmp_path / "drawn.jsonl", settings=DrawSettings(seed=1))
    with pytest.raises(ConfigError, match="another prefix"):
        draw(ScriptedEngine(), journal=tmp_path / "drawn.jsonl", template=replace(TEMPLATE, prefix_ids=(1,)))


def test_a_failed_sample_is_not_kept_and_drawn_again_by_the_next_run(tmp_path: Path) -> None:
    def flaky(request: CompleteRequest) -> Generation:
        if request.id == sample_id("run", "warm", 20):
            return Generation(request.id, "", "error", error="connection reset")
        return write_instruction(request)

    samples = draw(ScriptedEngine(flaky), journal=tmp_path / "drawn.jsonl")
    assert [s.index for s in samples if s.reason == "error"] == [20]
    engine = ScriptedEngine()
    assert draw(engine, journal=tmp_path / "drawn.jsonl") == draw(ScriptedEngine())
    assert [r.id for r in engine.requests] == [sample_id("run", "warm", 20)]


def test_an_engine_that_only_fails_is_given_up_on() -> None:
    engine = ScriptedEngine(lambda r: Generation(r.id, "", "error", error="connection refused"))
    with pytest.raises(EngineError, match="every request failed: connection refused"):
        draw(engine)
    assert len(engine.requests) <= 16


def test_an_engine_that_loses_a_request_is_an_error() -> None:
    class Losing(ScriptedEngine):
        def complete(self, requests: Any) -> Any:
            return (g for i, g in enumerate(super().complete(requests)) if i != 30)

    with pytest.raises(EngineError, match="gave no result for sample"):
        draw(Losing())


@pytest.mark.parametrize(("counted", "sent"), [(2, "<|bos|><|user|>"), (3, "<|user|>"), (0, "<|bos|><|user|>")])
def test_a_text_only_server_gets_bos_once(counted: int, sent: str) -> None:
    engine = ScriptedEngine(
        lambda r: Generation(r.id, "x", "length", usage=Usage(counted, 1)), capabilities=("complete",)
    )
    assert wire_prompt(engine, TEMPLATE) == (None, sent)
    assert len(engine.requests) == 1


def test_a_server_that_wraps_prompts_is_refused() -> None:
    engine = ScriptedEngine(lambda r: Generation(r.id, "x", "length", usage=Usage(19, 1)), capabilities=("complete",))
    with pytest.raises(CapabilityError, match="counts 19 tokens for a prefix of 2"):
        draw(engine)


def test_a_schedule_of_nothing_gives_nothing(tmp_path: Path) -> None:
    assert draw(ScriptedEngine(), schedule=[]) == []
    assert draw(ScriptedEngine(), schedule=[Slice("none", 0)], journal=tmp_path / "drawn.jsonl") == []
