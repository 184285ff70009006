"""System prompts by category and language, chosen per sample by weight."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agora.core.errors import ConfigError
from agora.core.records import Sample
from agora.core.tables import write_jsonl
from agora.rooms.synthesize import PrefixTemplate, Slice, draw_instructions
from agora.rooms.synthesize.commands import app
from agora.rooms.synthesize.draw import system_key
from agora.rooms.synthesize.slices import category_agreement, describe_file, slice_means
from agora.rooms.synthesize.systems import SystemPrompt, domains, library_prompts, mixture
from tests.rooms.synthesize.scripted import ScriptedEngine

PLAIN = PrefixTemplate("scripted:1", "template", "U:", "A:", "U:", prefix_ids=(1,))


def test_the_library_has_a_prompt_for_each_of_the_eleven_categories_with_the_published_weights() -> None:
    weights = {domain.category: domain.weight for domain in domains()}
    assert len(weights) == 11
    assert sum(weights.values()) == pytest.approx(1.0)
    assert (weights["Information seeking"], weights["Math"], weights["Editing"]) == (0.05, 0.125, 0.10)
    assert len({domain.text for domain in domains()}) == 11


def test_any_language_can_be_asked_for_alone_or_with_a_category() -> None:
    (alone,) = library_prompts([], language="Japanese").values()
    assert "Japanese" in alone.full_text
    math = library_prompts(["math=2"], language="Swahili")["math"]
    assert "mathematics" in math.full_text and "Swahili" in math.full_text
    assert (math.weight, math.category) == (2.0, "Math")


def test_an_unknown_category_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean math"):
        library_prompts(["maht"])
    with pytest.raises(ConfigError, match="a weight must be a number"):
        library_prompts(["math=much"])
    with pytest.raises(ConfigError, match="needs a text"):
        SystemPrompt()


def test_weights_that_sum_to_nearly_one_are_taken() -> None:
    # 0.7 + 0.2 + 0.1 is 0.9999999999999999 in floating point
    one = Slice("a", 3000, systems=(("x", 0.7), ("y", 0.2), ("z", 0.1)))
    counts = Counter(system_key(0, one, i) for i in range(one.count))
    assert counts["x"] / one.count == pytest.approx(0.7, abs=0.03)
    assert counts["z"] / one.count == pytest.approx(0.1, abs=0.02)
    with pytest.raises(ConfigError, match="not all 0"):
        Slice("a", 1, systems=(("x", 0.0),))


@given(st.lists(st.floats(0, 10), min_size=1, max_size=6).filter(any), st.floats(0, 1, exclude_max=True))
def test_every_share_of_the_weights_has_a_key_with_weight(weights: list[float], share: float) -> None:
    one = Slice("a", 1, systems=tuple((str(i), weight) for i, weight in enumerate(weights)))
    assert weights[int(one.key_at(share))] > 0


def test_each_sample_draws_its_own_system_prompt_and_keeps_it_on_a_resume() -> None:
    prompts = library_prompts(["all"])
    templates = {
        key: PrefixTemplate("scripted:1", f"system:{p.full_text}", f"S{key}U:", "A:", f"S{key}U:", prefix_ids=(i,))
        for i, (key, p) in enumerate(prompts.items())
    }
    schedule = [Slice("mix", 300, systems=mixture(prompts))]
    samples = list(draw_instructions(ScriptedEngine(), templates, schedule, run_id="r"))
    again = list(draw_instructions(ScriptedEngine(order=3), templates, schedule, run_id="r"))
    assert samples == again
    assert len({s.gen["system_key"] for s in samples}) == 11
    for sample in samples:
        assert sample.prefix_ref == templates[sample.gen["system_key"]].ref
        assert sample.gen["system_prompt"] == prompts[sample.gen["system_key"]].full_text


def test_agreement_counts_the_kept_samples_whose_label_is_the_requested_category() -> None:
    samples = list(draw_instructions(ScriptedEngine(), PLAIN, [Slice("a", 30)], run_id="r"))
    labels = ["Math", {"value": "math", "status": "ok"}, {"value": "Math", "status": "failed"}, "Planning", None]
    kept = [s for s in samples if s.kept][:5]
    tagged: list[Sample] = []
    for sample, label in zip(kept, labels, strict=True):
        tags = {} if label is None else {"task_category": label}
        tagged.append(replace(sample, tags=tags))
    (found,) = category_agreement(tagged, {"": "Math"})
    assert (found.drawn, found.labeled, found.equal, found.share) == (5, 3, 2, 2 / 3)


def test_slice_means_read_labels_on_the_scale_of_one_to_five_and_say_when_there_are_none() -> None:
    samples = list(draw_instructions(ScriptedEngine(), PLAIN, [Slice("a", 30), Slice("b", 5)], run_id="r"))
    quality = ["good", "excellent", "Very Poor"]
    whole = [s for s in samples if s.finish_reason == "stop_token" and s.slice == "a"]
    marked = {s.id: replace(s, tags={"input_quality": q}) for s, q in zip(whole, quality, strict=False)}
    a, b = slice_means([marked.get(s.id, s) for s in samples], distances=lambda texts: [0.5] * len(texts))
    assert (a.drawn, b.drawn) == (30, 5)
    assert a.quality == pytest.approx((4 + 5 + 1) / 3)
    assert b.quality is None
    assert a.distance == 0.5
    assert sum(a.outcomes.values()) == 30


def test_a_labeled_file_tells_its_slices_and_whether_the_library_prompts_were_followed(tmp_path: Path) -> None:
    prompts = library_prompts(["math"])
    templates = {
        key: PrefixTemplate("scripted:1", f"system:{p.full_text}", "SU:", "A:", "SU:", prefix_ids=(1,))
        for key, p in prompts.items()
    }
    schedule = [Slice("mix", 40, systems=mixture(prompts))]
    samples = draw_instructions(ScriptedEngine(), templates, schedule, run_id="r")
    tags = {"category": {"value": "Math", "status": "ok"}, "quality": {"value": "good", "status": "ok"}}
    write_jsonl(tmp_path / "labeled.jsonl", [replace(s, tags=tags) for s in samples])
    (means,), (math,) = describe_file(tmp_path / "labeled.jsonl")
    assert (means.quality, math.category, math.share) == (4.0, "Math", 1.0)
    assert means.distance is not None
    told = CliRunner().invoke(app, ["slices", str(tmp_path / "labeled.jsonl")], catch_exceptions=False).stdout
    assert "quality 4.00" in told and "100.0% of" in told


def test_flags_can_be_recorded_without_setting_a_sample_aside() -> None:
    from agora.rooms.synthesize import DrawSettings

    plain = list(draw_instructions(ScriptedEngine(), PLAIN, [Slice("a", 200)], run_id="r"))
    lax = DrawSettings(ignore_flags=("self_answering",))
    kept = list(draw_instructions(ScriptedEngine(), PLAIN, [Slice("a", 200)], run_id="r", settings=lax))
    changed = [(p, k) for p, k in zip(plain, kept, strict=True) if p != k]
    assert changed
    assert all(p.reason == "flag:self_answering" and k.kept and "self_answering" in k.flags for p, k in changed)
    with pytest.raises(ConfigError, match="unknown flag"):
        DrawSettings(ignore_flags=("selfanswering",))
