"""Prefixes of small templates made here: modes, refusals, tokens."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import ConfigError, DataError, MissingError, UsageError
from agora.rooms.synthesize import PrefixTemplate, derive_prefix
from agora.rooms.synthesize.sources import open_source
from agora.rooms.synthesize.tokens import PROBES, text_stops
from tests.rooms.synthesize.byte_pairs import bpe
from tests.tiny import make_tokenizer

CHATML = (
    "{{ bos_token }}{% if messages[0].role != 'system' %}<|im_start|>system\nBe good.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VICUNA = (
    "{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }}{% else %} ASSISTANT: {{ m.content }}</s>"
    "{% endif %}{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
DATED = "Today is {{ strftime_now('%d %b %Y') }}.\n" + VICUNA
TEXTS = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May.",
    "What is the total number of apples in the 3 baskets? How many are left?",
    "Weng earns $12 an hour for babysitting. Yesterday, she just did 50 minutes of babysitting.",
)


@cache
def small(template: str) -> Any:
    return bpe(TEXTS * 20, template, vocabulary=500)


def test_the_template_mode_is_what_the_template_gives() -> None:
    derived = derive_prefix(CHATML, special_tokens={"bos_token": "<|bos|>"})
    assert derived.prefix == "<|bos|><|im_start|>system\nBe good.<|im_end|>\n<|im_start|>user\n"
    assert derived.post_query == "<|im_end|>\n<|im_start|>assistant\n"
    assert derived.prefix_ids is None
    assert derived.sent_text == derived.prefix


def test_the_bare_mode_drops_the_default_system_block() -> None:
    derived = derive_prefix(CHATML, mode="bare", special_tokens={"bos_token": "<|bos|>"})
    assert derived.prefix == "<|bos|><|im_start|>user\n"


def test_the_system_mode_replaces_the_default_system_block() -> None:
    derived = derive_prefix(CHATML, mode="system:You know chess: all of it.")
    assert derived.prefix == "<|im_start|>system\nYou know chess: all of it.<|im_end|>\n<|im_start|>user\n"


def test_the_custom_mode_sends_what_it_is_given() -> None:
    derived = derive_prefix(CHATML, mode="custom:<|im_start|>pupil\n")
    assert derived.prefix == "<|im_start|>pupil\n"
    assert derived.post_query == "<|im_end|>\n<|im_start|>assistant\n"


def test_a_custom_prefix_needs_no_template() -> None:
    tokenizer = make_tokenizer(chat_template=False)
    derived = derive_prefix(tokenizer, mode="custom:<|user|>")
    assert tokenizer.decode(derived.prefix_ids) == "<|user|>"
    assert derived.post_query == ""
    assert any("no chat template" in warning for warning in derived.warnings)


def test_a_typed_backslash_n_is_pointed_out() -> None:
    assert any("backslash" in warning for warning in derive_prefix(VICUNA, mode=r"custom:user\n").warnings)


@pytest.mark.parametrize("mode", ["", "templates", "system:", "custom:", "bare:x"])
def test_an_unknown_mode_lists_the_modes(mode: str) -> None:
    with pytest.raises(ConfigError, match="template, bare, system:TEXT, custom:STRING"):
        derive_prefix(CHATML, mode=mode)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ 'nothing of it' }}", "does not render a user turn: the user's text does not appear"),
        ("{{ messages[0].content }}{{ messages[0].content }}", "repeats the user's text 2 times"),
        ("{{ messages[0].content | length }}: {{ messages[0].content }}", "depends on content"),
        ("{{ messages[0].content | upper }}", "does not render a user turn"),
        ("{{ raise_exception('no users here') }}", "does not render a user turn: no users here"),
        ("{% for m in messages %}", "not valid Jinja"),
        ("{{ messages.__class__.__mro__ }}{{ messages[0].content }}", "does not render a user turn"),
    ],
)
def test_an_unusable_template_is_refused_with_a_way_out(template: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as refused:
        derive_prefix(template)
    assert "pass" in str(refused.value)


def test_a_prefix_that_looks_at_the_text_is_refused_even_when_sentinels_pass() -> None:
    template = "{% if messages[0].content.startswith('def') %}CODE{% endif %}: {{ messages[0].content }}"
    with pytest.raises(ConfigError, match=r"depends on content.*'def f"):
        derive_prefix(template)


def test_a_dropped_system_prompt_is_an_error_only_when_asked_for() -> None:
    drops = "{% for m in messages if m.role == 'user' %}<|user|>{{ m.content }}{% endfor %}<|assistant|>"
    assert derive_prefix(drops).supports_system == "dropped"
    with pytest.raises(ConfigError, match=r"drops it silently.*custom:STRING"):
        derive_prefix(drops, mode="system:Be brief.")


def test_a_refused_system_prompt_is_told_in_the_templates_words() -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + VICUNA
    assert derive_prefix(refuses).supports_system == "error: no system"
    with pytest.raises(ConfigError, match="no system"):
        derive_prefix(refuses, mode="system:Be brief.")


def test_the_clock_is_frozen_and_recorded_only_where_it_is_read() -> None:
    assert derive_prefix(DATED, clock="2026-01-01").prefix == "Today is 01 Jan 2026.\nUSER: "
    assert derive_prefix(DATED, clock="2026-01-01").clock == "2026-01-01"
    assert derive_prefix(VICUNA, clock="2026-01-01").clock is None
    assert derive_prefix(VICUNA, clock="2026-01-01").ref == derive_prefix(VICUNA, clock="2027-05-05").ref
    with pytest.raises(ConfigError, match="YYYY-MM-DD"):
        derive_prefix(DATED, clock="yesterday")


def test_a_template_that_rewrites_history_is_told() -> None:
    forgets = (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' and loop.last %}(thought){% endif %}"
        "{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    derived = derive_prefix(forgets)
    assert not derived.prefix_preserving
    assert any("rendered whole" in warning for warning in derived.warnings)
    assert derive_prefix(CHATML).prefix_preserving


def test_token_ids_end_before_a_space_that_merges_with_the_first_word() -> None:
    tokenizer = small(VICUNA)
    derived = derive_prefix(tokenizer)
    assert derived.prefix == "USER: "
    assert derived.sent_text == "USER:"
    assert tokenizer.decode(derived.prefix_ids) == "USER:"


def test_chatml_keeps_its_line_break() -> None:
    tokenizer = small(CHATML)
    derived = derive_prefix(tokenizer)
    assert derived.sent_text == derived.prefix
    assert tokenizer.decode(derived.prefix_ids) == derived.prefix


def test_token_ids_start_every_real_rendering() -> None:
    for template in (CHATML, VICUNA):
        tokenizer = small(template)
        ids = list(derive_prefix(tokenizer).prefix_ids or ())
        for probe in PROBES:
            messages = [{"role": "user", "content": probe}]
            whole = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
            assert whole[: len(ids)] == ids


def test_bos_is_sent_once_even_when_the_template_writes_it_twice() -> None:
    tokenizer = small("{{ bos_token }}" + CHATML)
    derived = derive_prefix(tokenizer)
    assert derived.prefix_ids is not None
    assert derived.prefix_ids.count(tokenizer.bos_token_id) == 1
    assert any("BOS twice" in warning for warning in derived.warnings)


def test_the_gsm8k_tokenizer_ends_at_the_colon_and_never_repeats_bos(shared_dir: Path) -> None:
    with gzip.open(shared_dir / "data/magpie/neardup_planted.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    questions = [row["text"] for row in rows if row["source_id"] is None]
    assert len(questions) == 8792
    vicuna, chatml = (bpe(questions, template) for template in (VICUNA, CHATML))
    derived = derive_prefix(vicuna)
    assert vicuna.decode(derived.prefix_ids).endswith(":")
    alone = vicuna.encode(derived.prefix, add_special_tokens=False)
    assert vicuna.decode(alone).endswith(": ")  # what tokenizing the prefix by itself would have sent
    derived = derive_prefix(chatml)
    assert chatml.decode(derived.prefix_ids).endswith("user\n")
    sampled = chatml.encode(questions[0] + "<|im_end|>", add_special_tokens=False)
    assert [*(derived.prefix_ids or ()), *sampled].count(chatml.bos_token_id) == 1


def test_every_special_token_and_config_eos_stops() -> None:
    tokenizer = small(CHATML)
    derived = derive_prefix(tokenizer, stop_ids=[7])
    assert set(derived.stop_ids) == {*tokenizer.all_special_ids, 7}
    assert derived.stop_strings == ()


def test_an_added_token_that_the_template_writes_stops_although_it_is_not_special() -> None:
    tokenizer = bpe(TEXTS, "<|User|>{{ messages[-1].content }}<|Bot|>", 400)
    tokenizer.add_tokens(["<|User|>", "<|Bot|>", "unrelated"])
    ids = derive_prefix(tokenizer).stop_ids
    assert tokenizer.convert_tokens_to_ids("<|Bot|>") in ids
    assert tokenizer.convert_tokens_to_ids("unrelated") not in ids


@pytest.mark.parametrize(
    ("post_query", "stops"),
    [
        (" ASSISTANT:", (" ASSISTANT:", "\nASSISTANT:")),
        ("\n\n### Response:\n", (" ### Response:", "\n### Response:")),
        (" assistant ", ()),
        ("\n", ()),
    ],
)
def test_text_templates_stop_at_the_marker_and_never_at_a_bare_word(post_query: str, stops: tuple[str, ...]) -> None:
    assert text_stops(post_query, special=False)[0] == stops


def test_the_eos_of_the_generation_config_stops(tmp_path: Path) -> None:
    small(CHATML).save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [11, 12]}')
    (tmp_path / "config.json").write_text('{"eos_token_id": 13, "model_type": "llama"}')
    assert {11, 12, 13} <= set(derive_prefix(str(tmp_path)).stop_ids)
    assert derive_prefix(f"hf:{tmp_path}").prefix_ids == derive_prefix(tmp_path).prefix_ids


def test_a_jinja_file_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "chat.jinja").write_text(CHATML)
    assert derive_prefix(str(tmp_path / "chat.jinja")).prefix == derive_prefix(CHATML).prefix


def test_markdown_ids_are_only_markdown() -> None:
    tokenizer = bpe([*TEXTS, "## Title ## Title", "** bold **", "--- ---", "``` ```", "-x #1"] * 9, CHATML, 600)
    ids = derive_prefix(tokenizer).markdown_ids
    texts = {tokenizer.decode([i]) for i in ids}
    assert {"#", "*", "-", "`"} <= texts
    assert any(len(text.strip()) > 1 for text in texts)
    assert all(set(text.strip()) <= set("#*-`") and text.strip() for text in texts)


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("/no/such/folder", MissingError, "no such tokenizer folder"),
        ("microcosm:nothing", UsageError, "no model .nothing."),
        ("http://127.0.0.1:1/v1#x", ConfigError, "pass the tokenizer"),
        ("openai:gpt-x", ConfigError, "pass the tokenizer"),
        ("none.jinja", MissingError, "cannot read"),
    ],
)
def test_a_wrong_source_is_one_clear_line(source: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as refused:
        derive_prefix(source)
    assert "\n" not in str(refused.value)


def test_a_folder_without_a_tokenizer_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="cannot load a tokenizer"):
        derive_prefix(tmp_path)


def test_a_tokenizer_without_a_template_is_refused_before_weights_load() -> None:
    with pytest.raises(ConfigError, match=r"no chat template; pass mode custom:STRING"):
        derive_prefix(make_tokenizer(chat_template=False))


def test_json_reads_back_and_damage_is_found() -> None:
    derived = derive_prefix(small(CHATML))
    row = json.loads(json.dumps(derived.to_json()))
    assert PrefixTemplate.from_json(row) == derived
    assert row["ref"] == derived.ref
    with pytest.raises(DataError, match="does not match its ref"):
        PrefixTemplate.from_json({**row, "prefix": "other"})
    with pytest.raises(DataError, match="unknown field 'colour'"):
        PrefixTemplate.from_json({**row, "colour": "red"})


def test_the_same_source_gives_the_same_ref() -> None:
    assert derive_prefix(small(CHATML)).ref == derive_prefix(small(CHATML)).ref
    assert open_source(small(CHATML)).special_tokens["bos_token"] == "<|bos|>"


def test_importing_the_room_loads_no_heavy_library() -> None:
    code = (
        "import sys, agora.rooms.synthesize, agora.rooms.synthesize.commands\n"
        "print([m for m in ('torch', 'transformers', 'numpy', 'pyarrow', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
