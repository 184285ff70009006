"""The 77 chat templates of trl 1.16.0 (41) and axolotl 0.19.0 (36), against their golden prefixes (acceptance check A).

Neither package is imported. axolotl is no dependency; it installs without its requirements for this test alone:
``pip install --no-deps axolotl==0.19.0``.
"""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from agora.rooms.synthesize import PrefixTemplate, derive_prefix


def folder_of(package: str, inside: str) -> Path:
    """Where an installed package keeps its templates; it is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed (pip install {INSTALL[package]})")
    return Path(spec.origin).parent / inside


INSTALL = {"trl": "trl==1.16.0", "axolotl": "--no-deps axolotl==0.19.0"}


def rows_of(shared_dir: Path, source: str) -> list[dict[str, Any]]:
    rows = json.loads((shared_dir / "data/magpie/prequery_golden.json").read_text(encoding="utf-8"))
    return [row for row in rows if row["source"].startswith(source)]


@pytest.fixture(scope="module")
def templates() -> Path:
    return folder_of("trl", "chat_templates")


@pytest.fixture(scope="module")
def golden(shared_dir: Path) -> list[dict[str, Any]]:
    return rows_of(shared_dir, "trl==1.16.0")


@pytest.fixture(scope="module")
def axolotl_templates() -> Path:
    return folder_of("axolotl", "utils/chat_templates/templates")


def derive(folder: Path, row: dict[str, Any], mode: str = "template") -> PrefixTemplate:
    text = (folder / row["source"].rsplit("/", 1)[-1]).read_text(encoding="utf-8")
    if sha256(text.encode()).hexdigest() != row["template_sha256"]:
        pytest.skip("another version of the package is installed")
    return _derive(text, row["bos_token"], row["eos_token"], row["clock"], mode)


@cache
def _derive(text: str, bos: str, eos: str, clock: str, mode: str) -> PrefixTemplate:
    return derive_prefix(text, mode=mode, special_tokens={"bos_token": bos, "eos_token": eos}, clock=clock)


def same(row: dict[str, Any], field: str, value: str | None) -> bool:
    """Whether a derived text is the golden one, by hash and length where it is long."""
    if f"{field}_sha256" not in row:
        return value is None
    assert value is not None
    hashed = sha256(value.encode()).hexdigest() == row[f"{field}_sha256"] and len(value) == row[f"{field}_len"]
    return hashed and row.get(field, value) == value and value.endswith(row.get(f"{field}_tail", ""))


def differences(folder: Path, golden: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Every field in which a derived prefix is not the golden one."""
    wrong: list[tuple[Any, ...]] = []
    for row in golden:
        derived = derive(folder, row)
        texts = {
            "prefix": derived.prefix,
            "post_query": derived.post_query,
            "prefix_with_system": derived.prefix_with_system,
        }
        wrong += [(row["source"], field) for field, value in texts.items() if not same(row, field, value)]
        facts = {
            "system": derived.supports_system,
            "prefix_preserving": derived.prefix_preserving,
            "later_user_turn_lead_in": derived.later_user_turn_lead_in,
        }
        wrong += [(row["source"], field, value) for field, value in facts.items() if row[field] != value]
    return wrong


def test_every_trl_template_gives_the_golden_prefix_byte_for_byte(
    templates: Path, golden: list[dict[str, Any]]
) -> None:
    assert len(golden) == 41
    assert differences(templates, golden) == []


def test_every_axolotl_template_gives_the_golden_prefix_byte_for_byte(
    axolotl_templates: Path, shared_dir: Path
) -> None:
    rows = rows_of(shared_dir, "axolotl-ai-cloud/axolotl")
    assert len(rows) == 36
    assert differences(axolotl_templates, rows) == []


def test_of_all_golden_templates_13_change_earlier_turns_when_one_is_added(
    templates: Path, axolotl_templates: Path, golden: list[dict[str, Any]], shared_dir: Path
) -> None:
    others = rows_of(shared_dir, "axolotl-ai-cloud/axolotl")
    derived = [derive(templates, row) for row in golden] + [derive(axolotl_templates, row) for row in others]
    assert sum(not one.prefix_preserving for one in derived) == 13


def test_templates_of_vision_models_get_their_content_as_parts(templates: Path, golden: list[dict[str, Any]]) -> None:
    parts = {row["source"].rsplit("/", 1)[-1] for row in golden if derive(templates, row).content_format == "parts"}
    assert parts == {"idefics3.jinja", "llava_next.jinja", "smolvlm.jinja"}


def test_gemma_refuses_a_system_prompt_in_its_own_words(templates: Path, golden: list[dict[str, Any]]) -> None:
    row = next(row for row in golden if row["source"].endswith("/gemma.jinja"))
    assert derive(templates, row).supports_system == "error: System role not supported"


@pytest.mark.parametrize(
    ("template", "model", "modes_equal"),
    [
        ("llama3.jinja", "meta-llama/Meta-Llama-3-8B-Instruct", {"template", "bare"}),
        ("llama3_1.jinja", "meta-llama/Meta-Llama-3.1-8B-Instruct", {"bare"}),
        ("qwen2_5.jinja", "Qwen/Qwen2.5-7B-Instruct", {"template"}),
    ],
)
def test_the_reference_table_is_one_of_the_modes(
    template: str, model: str, modes_equal: set[str], templates: Path, golden: list[dict[str, Any]], shared_dir: Path
) -> None:
    table = json.loads((shared_dir / "data/magpie/magpie_reference_templates.json").read_text(encoding="utf-8"))
    expected = next(row["pre_query_template"] for row in table if row["model"] == model)
    row = next(row for row in golden if row["source"].endswith(f"/{template}"))
    assert {mode for mode in ("template", "bare") if derive(templates, row, mode).prefix == expected} == modes_equal


def test_bare_prefixes_hold_no_default_system_block(templates: Path, golden: list[dict[str, Any]]) -> None:
    for row in golden:
        bare = derive(templates, row, "bare")
        words = ("helpful", "Date", "Reasoning", "system", "knowledge")
        assert not any(word in bare.prefix for word in words), (row["source"], bare.prefix)
        assert bare.prefix.startswith(row["bos_token"]) or not derive(templates, row).prefix.startswith(
            row["bos_token"]
        )


def test_transformers_renders_the_same_text(templates: Path, golden: list[dict[str, Any]]) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    for row in golden:
        if row["source"].endswith(("gptoss.jinja", "llama3_2.jinja", "muse_glimmer.jinja")):
            continue  # they print today's date, and transformers cannot be told another
        text = (templates / row["source"].rsplit("/", 1)[-1]).read_text(encoding="utf-8")
        derived = derive(templates, row)
        content: Any = "Why?" if derived.content_format == "string" else [{"type": "text", "text": "Why?"}]
        (rendered,), _ = render_jinja_template(
            [[{"role": "user", "content": content}]],
            chat_template=text,
            add_generation_prompt=True,
            bos_token=row["bos_token"],
            eos_token=row["eos_token"],
            unk_token="<unk>",
            pad_token="<pad>",
        )
        assert rendered == derived.prefix + "Why?" + derived.post_query, row["source"]
