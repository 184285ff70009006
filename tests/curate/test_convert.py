"""Files of other tools come in and go out with every field they had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import UsageError
from agora.core.records import Conversation, Message, Provenance, Sample
from agora.core.schemas import to_row
from agora.curate.convert import TARGETS, convert_file, convert_pairs
from agora.curate.importers import detect_format
from agora.curate.importers.base import RowError
from agora.curate.importers.layouts import LAYOUTS, layout_rows
from tests.curate.labeled import read, talk, write

LABELS: dict[str, Any] = {
    "intent": "To learn a color.",
    "knowledge": "Colors.",
    "difficulty": "very easy",
    "difficulty_generator": "Qwen/Qwen2-72B-Instruct",
    "input_quality": "good",
    "quality_explanation": "Clear.",
    "quality_generator": "Qwen/Qwen2-72B-Instruct",
    "task_category": "Information seeking",
    "other_task_category": ["Others"],
    "task_category_generator": "Qwen/Qwen2-72B-Instruct",
    "llama_guard_2": "unsafe\nS5",
    "reward_model": "sfairXC/FsfairX-LLaMA3-RM-v0.1",
    "instruct_reward": -3.5,
    "min_neighbor_distance": 0.25,
    "repeat_count": 0,
    "language": "EN",
}
V1 = {
    **{k: v for k, v in LABELS.items() if k not in ("difficulty_generator", "quality_generator", "language")},
    "uuid": "u-1",
    "model": "meta-llama/Meta-Llama-3-8B-Instruct",
    "gen_input_config": {"temperature": 1.1, "top_p": 0.99},
    "input": "Name a color.",
    "output": "Red.",
    "conversations": [{"from": "human", "value": "Name a color."}, {"from": "gpt", "value": "Red."}],
    "base_output": "Red is",
    "base_reward": -5.0,
    "reward_difference": 1.5,
    "min_similar_uuid": None,
    "input_length": 13,
    "output_length": 4,
}
V2 = {
    **LABELS,
    "uuid": "u-2",
    "model": "Qwen/Qwen2-7B-Instruct",
    "gen_input_configs": {
        "temperature": 1.0,
        "top_p": 1.0,
        "input_generator": "Qwen/Qwen2-7B-Instruct",
        "seed": None,
        "extract_input": "Name a color.",
    },
    "instruction": "Name a color.",
    "response": "Red.",
    "min_similar_uuid": None,
    "instruction_length": 13,
    "response_length": 4,
}
V3 = {
    **{k: v for k, v in V2.items() if k != "gen_input_configs"},
    "gen_input_configs": {"temperature": 0.8, "top_p": 1.0, "pre_query_template": "<|user|>\n", "seed": None},
    "instruction_2": "Another one?",
    "response_2": "Blue.",
}
GENERATION = {
    "id": 7,
    "pre_query_template": "<|user|>\n",
    "instruction": "Name a color.",
    "response": "Red.",
    "created": 1717200000,
    "gen_input_configs": {"temperature": 1.0, "top_p": 1.0, "input_generator": "m", "seed": None},
    "gen_response_configs": {
        "prompt": "<|user|>\nName a color.",
        "temperature": 0,
        "top_p": 1,
        "repetition_penalty": 1,
        "max_tokens": 4096,
        "stop_tokens": ["<|end|>"],
        "output_generator": "m",
        "engine": "vllm",
    },
    "raw_instruction": "1. Name a color.",
    "instruction_sanitize_class_num": 2.1,
    "input_quality": "good",
}
SHAREGPT = {"id": "s", "conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}]}
OPENAI = {"id": "o", "messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]}
ALPACA = {"instruction": "Translate.", "input": "Haus", "output": "house", "topic": "words"}
DISTILABEL = {
    "conversation": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}],
    "model_name": "m",
    "distilabel_metadata": {"raw": "x"},
}
DISTILABEL_ONE = {"instruction": "Hi.", "response": "Hello.", "model_name": "m"}
ROWS = {
    "magpie-v1": [V1, V1 | {"uuid": "u-3", "task_category": None, "input_quality": None}],
    "magpie-v2": [V2, V2 | {"uuid": "u-4", "repeat_count": 2, "min_similar_uuid": "u-2"}],
    "magpie-v3": [V3],
    "magpie-generation": [GENERATION, {**GENERATION, "id": 8, "response": None}],
    "sharegpt": [SHAREGPT],
    "openai": [OPENAI],
    "alpaca": [ALPACA, {"instruction": "Add.", "input": "", "output": "3", "system": "Be terse."}],
    "distilabel": [DISTILABEL, DISTILABEL_ONE],
}


@pytest.mark.parametrize("name", ROWS)
def test_a_file_is_known_and_comes_out_with_every_field_it_had(name: str, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", ROWS[name])
    assert detect_format(source).format == name
    report = convert_file(source, tmp_path / "out.jsonl", name)
    for before, after in zip(ROWS[name], read(report.out), strict=True):
        assert {k: after.get(k) for k in before} == before


@pytest.mark.parametrize("name", ROWS)
def test_what_went_through_our_own_records_is_the_same(name: str, tmp_path: Path) -> None:
    own = convert_file(write(tmp_path / "in.jsonl", ROWS[name]), tmp_path / "own.parquet")
    report = convert_file(own.out, tmp_path / "out.json", name)
    rows = json.loads(report.out.read_text())
    for before, after in zip(ROWS[name], rows, strict=True):
        assert {k: after.get(k) for k in before} == before


def test_labels_become_tags_and_failed_ones_say_so(tmp_path: Path) -> None:
    rows = read(convert_file(write(tmp_path / "in.jsonl", ROWS["magpie-v1"]), tmp_path / "out.jsonl").out)
    tags, other = rows[0]["tags"], rows[1]["tags"]
    assert tags["quality"] == {"value": "good", "status": "ok", "explanation": "Clear."}
    assert tags["difficulty"]["intent"] == "To learn a color."
    assert (tags["safety"]["value"], tags["reward"]["value"], tags["reward_diff"]["value"]) == ("unsafe", -3.5, 1.5)
    assert other["category"]["status"] == other["quality"]["status"] == "failed"


def test_the_reference_s_duplicates_are_read_as_keepers(tmp_path: Path) -> None:
    rows = read(convert_file(write(tmp_path / "in.jsonl", ROWS["magpie-v2"]), tmp_path / "out.jsonl").out)
    assert rows[0]["tags"]["dedup"]["keeper_id"] == rows[0]["id"]
    assert rows[1]["tags"]["dedup"]["keeper_id"] == "u-2"


def test_a_new_label_is_written_into_the_row_it_came_from(tmp_path: Path) -> None:
    own = convert_file(write(tmp_path / "in.jsonl", [GENERATION]), tmp_path / "own.jsonl")
    row = read(own.out)[0]
    row["tags"]["quality"] = {"value": "poor", "status": "ok", "generator": "g", "attempts": 1, "raw": "{...}"}
    back = read(convert_file(write(own.out, [row]), tmp_path / "out.jsonl", "magpie-generation").out)[0]
    assert (back["input_quality"], back["quality_generator"], back["raw_instruction"]) == (
        "poor",
        "g",
        "1. Name a color.",
    )


def test_our_samples_become_a_generation_file(tmp_path: Path) -> None:
    sample = Sample(
        "s1", "r", "all", 0, 42, (Message("user", "Hi?"), Message("assistant", "Hello.")), "Hi?", "stop_token",
        gen={"model": "m", "temperature": 1.1, "top_p": 0.9}, tags={"quality": {"value": "good", "status": "ok"}},
        scores={"reward": {"value": -2.0, "model": "rm"}},
    )  # fmt: skip
    source = write(tmp_path / "in.jsonl", [to_row(sample)])
    (row,) = read(convert_file(source, tmp_path / "out.jsonl", "magpie-generation").out)
    assert (row["instruction"], row["response"], row["input_quality"]) == ("Hi?", "Hello.", "good")
    assert row["gen_input_configs"] == {"temperature": 1.1, "top_p": 0.9, "input_generator": "m", "seed": 42}
    assert (row["instruct_reward"], row["reward_model"]) == (-2.0, "rm")


def test_rows_that_a_layout_cannot_hold_are_kept_aside(tmp_path: Path) -> None:
    system = to_row(
        Conversation.linear([("system", "S"), ("user", "Q"), ("assistant", "A")], Provenance("x"), id="sys")
    )
    source = write(tmp_path / "in.jsonl", [talk(id="a"), system, talk("Q?", None, id="open")])
    report = convert_file(source, tmp_path / "out.jsonl", "alpaca")
    assert report.reasons == {"the last question has no answer": 1} and report.n_out == 2
    report = convert_file(source, tmp_path / "v2.jsonl", "magpie-v2")
    assert report.reasons == {"a system prompt": 1}
    assert [r["where"] for r in read(tmp_path / "v2.rejects.jsonl")] == ["sys"]


@settings(deadline=None)
@given(
    st.lists(st.text(max_size=30), min_size=1, max_size=5),
    st.sampled_from(list(LAYOUTS)),
    st.booleans(),
)
def test_a_row_says_what_the_conversation_said_or_is_refused(texts: list[str], layout: str, system: bool) -> None:
    roles = ["user", "assistant"] * 3
    turns = [("system", "Be kind.")] if system else []
    turns += list(zip(roles, texts, strict=False))
    try:
        (row,) = layout_rows(Conversation.linear(turns, Provenance("x")), layout)
    except RowError:
        return
    chosen = LAYOUTS[layout]
    if chosen.read is not None:
        from agora.curate.importers.base import Origin

        found = [(m.role, m.content) for m in chosen.read(row, Origin("", 1)).messages]
        assert found == turns


def test_trees_become_one_row_a_path(shared_dir: Path, tmp_path: Path) -> None:
    trees = shared_dir / "data/wildchat/formats/oasst_en_100_trees.jsonl.gz"
    report = convert_file(trees, tmp_path / "out.jsonl", "openai")
    assert (report.n_out, report.facts["rows_written"]) == (100, 626)


def test_the_published_schemas_are_among_the_targets(shared_dir: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    source = shared_dir / "data/wildchat/schema/wildchat_1m_fixture.parquet"
    report = convert_file(source, tmp_path / "out.parquet", "wildchat-1m")
    kept = pq.read_table(report.out)
    assert kept.schema.equals(pq.read_table(source).schema) and kept.num_rows >= report.n_out


def test_magpie_s_preference_example_goes_through_pairs_and_back(shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "data/magpie/po_example_5res_armorm.json"
    assert convert_pairs(source, tmp_path / "trl.jsonl", "trl").written == 5
    first = convert_pairs(source, tmp_path / "magpie.jsonl", "magpie")
    rows, originals = read(first.path), json.loads(source.read_text())
    best, worst = (3, 2, 4, 0, 2), (1, 3, 2, 3, 0)
    for row, original, b, w in zip(rows, originals, best, worst, strict=True):
        assert row["responses"] == [original["responses"][b], original["responses"][w]]
        assert [m["role"] for m in row["chosen"]] == ["user", "assistant"]
    again = convert_pairs(first.path, tmp_path / "again.jsonl", "magpie", format="magpie")
    assert [r["responses"] for r in read(again.path)] == [r["responses"] for r in rows]


def test_a_layout_that_does_not_exist_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean alpaca"):
        convert_file(write(tmp_path / "a.jsonl", [talk()]), tmp_path / "o.jsonl", "alpacca")
    assert "agora" in TARGETS
