"""The shipped models keep the promises of their card."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import AgoraError
from agora.core.tables import read_json
from agora.microcosm.build import BuildConfig, build_models, chat_rows, document_rows
from agora.microcosm.card import CARD, MODELS, measure_card, read_card
from agora.microcosm.tokenizer import SPECIAL_TOKENS, train_tokenizer
from agora.microcosm.world import World, is_held_out


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return measure_card(n_tasks=150, n_drawn=150, seed=99)


def test_chat_solves_what_the_card_promises(card: dict[str, Any]) -> None:
    held_out = card["models"]["chat"]["held_out"]
    # the card itself is measured on 1,000 tasks; 150 other ones may fall short by sampling, not by more
    assert held_out["difficulty"]["easy"]["ci"][1] >= 0.90
    assert held_out["overall"]["ci"][1] >= 0.65


def test_base_knows_at_most_a_third_of_chat(card: dict[str, Any]) -> None:
    base, chat = (card["models"][name]["held_out"]["overall"]["share"] for name in ("base", "chat"))
    assert base <= chat / 3


def test_chat_writes_checkable_instructions_from_its_prefix_alone(card: dict[str, Any]) -> None:
    drawn = card["models"]["chat"]["drawn_from_prefix"]
    assert drawn["valid"]["ci"][1] >= 0.90
    assert drawn["distinct"] >= 0.80
    assert drawn["families"] >= 14


def test_the_stored_card_promises_what_the_package_is_for() -> None:
    stored = read_card()
    chat, base = stored["models"]["chat"], stored["models"]["base"]
    assert chat["held_out"]["difficulty"]["easy"]["share"] >= 0.90
    assert chat["held_out"]["overall"]["share"] >= 0.65
    assert base["held_out"]["overall"]["share"] <= chat["held_out"]["overall"]["share"] / 3
    assert chat["drawn_from_prefix"]["valid"]["share"] >= 0.90
    assert chat["drawn_from_prefix"]["distinct"] >= 0.80
    assert len(stored["world"]["groups"]) == 5 and len(stored["world"]["categories"]) >= 8
    assert stored["world"]["distinct_instructions_at_least"] >= 50_000


def test_the_shipped_models_are_small() -> None:
    weights = [MODELS / name / "model.safetensors" for name in ("base", "chat")]
    assert sum(file.stat().st_size for file in weights) <= 25_000_000
    assert CARD.is_file()


def test_training_rows_never_hold_a_held_out_instruction() -> None:
    world = World()
    tokenizer = train_tokenizer([d.text for d in world.documents(random.Random(0), 200)], 600)
    config = BuildConfig(shared_tokens=20_000, chat_tokens=20_000)
    for row in chat_rows(world, tokenizer, config, part="chat"):
        text = tokenizer.decode(row.input_ids)
        users = [part.split("<|end|>")[0] for part in text.split("<|user|>")[1:]]
        assert users and not any(is_held_out(user) for user in users)
    rows = list(document_rows(world, tokenizer, config, part="shared"))
    assert sum(map(len, rows)) >= 20_000 and all(row.n_targets == len(row) - 1 for row in rows)


def test_a_scaled_build_takes_the_same_share_of_every_stage() -> None:
    usual, tenth = BuildConfig(), BuildConfig().scaled(0.1)
    assert tenth.total_tokens == usual.total_tokens // 10
    assert (tenth.finish_tokens, tenth.polish_tokens) == (usual.finish_tokens // 10, usual.polish_tokens // 10)


def test_a_folder_that_cannot_be_made_is_told_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AgoraError, match="cannot write"):
        build_models(tmp_path / "file", BuildConfig())


def test_special_tokens_never_come_out_of_text() -> None:
    tokenizer = train_tokenizer(["some text with 12 digits"] * 50, 400)
    for token in SPECIAL_TOKENS:
        assert len(tokenizer.encode(token, add_special_tokens=False)) == 1
    ids = tokenizer.encode("sum 2048", add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(ids)[-4:] == ["2", "0", "4", "8"]


@pytest.mark.slow
def test_build_makes_both_models_from_the_seed_alone(tmp_path: Path) -> None:
    config = BuildConfig(
        shared_tokens=30_000,
        base_tokens=30_000,
        chat_tokens=30_000,
        polish_tokens=20_000,
        finish_tokens=20_000,
        vocab_size=500,
        hidden_size=64,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
    )
    for folder in ("a", "b"):
        build_models(tmp_path / folder, config)
    for name in ("base", "chat"):
        first, second = ((tmp_path / f / name / "model.safetensors").read_bytes() for f in ("a", "b"))
        assert first == second
    assert read_json(tmp_path / "a" / "chat" / "config.json")["vocab_size"] == 500
