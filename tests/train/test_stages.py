"""A training as a stage: it leaves a plain model folder and a card, is read back when done, says what it left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from agora.core.errors import ConfigError, DataError, MissingError, UsageError
from agora.core.records import Message, PreferencePair
from agora.train.config import TrainConfig
from agora.train.rewards import FunctionReward, WeightedReward
from agora.train.settings import DpoSettings, PpoSettings, RewardSettings, SftSettings
from agora.train.stages import read_stage, train_dpo, train_ppo, train_reward, train_sft
from tests.train.letters import letters_model, letters_tokenizer

QUICK = TrainConfig(learning_rate=5e-3, epochs=4, batch_size=8, token_budget=1024)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("start")
    letters_model().save_pretrained(folder)
    letters_tokenizer().save_pretrained(folder)
    return str(folder)


def pair(number: int, chosen: str, rejected: str, **more: Any) -> PreferencePair:
    prompt = "abcdefghij"[number % 10] + "klmnopqrst"[number // 10 % 10]
    return PreferencePair(
        f"p{number}",
        (Message("user", prompt),),
        (Message("assistant", chosen),),
        (Message("assistant", rejected),),
        **more,
    )


def many_pairs(n: int = 60) -> list[PreferencePair]:
    """The one with more `x` is better, at any length."""
    answers = [("xxy", "yyz"), ("x", "yyyy"), ("xxxx", "z"), ("yxx", "zyzz")]
    return [pair(i, *answers[i % 4]) for i in range(n)]


def test_sft_leaves_a_folder_that_transformers_loads_and_is_not_trained_twice(start: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    rows = [(str(i), (Message("user", "a"), Message("assistant", "hello"))) for i in range(16)]
    settings = SftSettings(train=QUICK.model_copy(update={"epochs": 20}), max_tokens=32)
    done = train_sft(start, rows, tmp_path / "sft", settings)
    assert done.metrics["final_loss"] < 0.5 and done.rows == 16 and done.dropped == {}
    assert AutoModelForCausalLM.from_pretrained(done.model).config.vocab_size == 29
    assert "⟦hello<end>⟧" in (tmp_path / "sft/preview.txt").read_text()
    before = (done.model / "model.safetensors").stat().st_mtime_ns
    again = train_sft(start, rows, tmp_path / "sft", settings)
    assert again == done and (done.model / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="max_tokens: 32 -> 64"):
        train_sft(start, rows, tmp_path / "sft", settings.model_copy(update={"max_tokens": 64}))


def test_a_reward_model_learns_what_is_better_and_is_measured_beside_length(start: str, tmp_path: Path) -> None:
    from agora.train.reward_model import load_reward_model, score_conversations

    settings = RewardSettings(train=QUICK, max_tokens=32)
    done = train_reward(start, many_pairs(), tmp_path / "rm", settings, held_out=many_pairs(100)[60:])
    assert done.metrics["held_out/accuracy"] == 1.0 and done.metrics["held_out/accuracy_low"] > 0.9
    assert done.metrics["held_out/longer_wins"] == 0.25
    model, tokenizer = load_reward_model(str(done.model))
    asked = (Message("user", "ak"),)
    good, bad = score_conversations(
        model, tokenizer, [(*asked, Message("assistant", "xxxx")), (*asked, Message("assistant", "zzzz"))]
    )
    assert good is not None and bad is not None and good > bad
    assert json.loads((done.model / "agora_reward.json").read_text())["held_out/std"] > 0


def test_what_follows_the_end_of_an_answer_does_not_move_its_reward(start: str) -> None:
    import numpy as np

    from agora.train.batch import EncodedSequence, collate
    from agora.train.reward_model import last_token_rewards, new_reward_model

    model = new_reward_model(start, seed=3).eval()
    short = EncodedSequence("s", np.asarray([4, 2, 5, 1], dtype=np.int32), np.asarray([0, 0, 1, 1], dtype=np.uint8))
    long = EncodedSequence("l", np.arange(3, 12, dtype=np.int32), np.asarray([0] * 4 + [1] * 5, dtype=np.uint8))
    with torch.no_grad():
        rewards = [float(last_token_rewards(model, collate([short, long], pad_id=pad))[0]) for pad in (0, 1, 28)]
    assert len(set(rewards)) == 1


def test_a_causal_model_is_no_reward_model_and_says_so(start: str, tmp_path: Path) -> None:
    from agora.train.reward_model import load_reward_model

    with pytest.raises(MissingError, match="LlamaForCausalLM, not a reward model"):
        load_reward_model(start)
    with pytest.raises(MissingError, match="no reward model at"):
        load_reward_model(str(tmp_path / "nothing"))


def test_dpo_counts_what_it_leaves_out_and_warns_of_an_untrained_start(start: str, tmp_path: Path) -> None:
    pairs = [*many_pairs(20), pair(50, "same", "same"), pair(51, "x" * 60, "y"), pair(52, "a", "b", tie=True)]
    done = train_dpo(start, pairs, tmp_path / "dpo", DpoSettings(train=QUICK, max_tokens=32, beta=3.0))
    assert done.dropped == {"equal_sides": 1, "too_long": 1, "tie": 1} and done.rows == 20
    assert any("beta 3 is unusual for sigmoid" in note for note in done.notes)
    log = [json.loads(line) for line in (tmp_path / "dpo/train_log.jsonl").read_text().splitlines()]
    assert log[0]["loss"] == pytest.approx(0.693147, abs=1e-5) and log[-1]["rewards/accuracies"] == 1.0


def test_a_start_model_that_never_saw_the_template_is_warned_about(tmp_path: Path) -> None:
    model = letters_model()
    with torch.no_grad():  # the end token becomes nearly impossible
        model.model.embed_tokens.weight[1] = 0
        model.model.embed_tokens.weight *= 20
    model.save_pretrained(tmp_path / "start")
    letters_tokenizer().save_pretrained(tmp_path / "start")
    settings = DpoSettings(train=QUICK.model_copy(update={"epochs": 1, "learning_rate": 0.0}), max_tokens=32)
    notes = train_dpo(str(tmp_path / "start"), many_pairs(20), tmp_path / "dpo", settings).notes
    assert any("agora train sft" in note or "nats a token" in note for note in notes)


def test_ppo_from_a_reward_model_stores_its_rollouts(start: str, tmp_path: Path) -> None:
    reward = train_reward(start, many_pairs(), tmp_path / "rm", RewardSettings(train=QUICK, max_tokens=32))
    score = WeightedReward(FunctionReward(lambda r: float(r.text.count("x")), name="x"))
    settings = PpoSettings(
        train=QUICK.model_copy(update={"schedule": "constant", "warmup": 0.0}),
        steps=4,
        prompts_per_step=8,
        response_length=8,
        temperature=1.0,
    )
    prompts = [(p.id, p.prompt) for p in many_pairs(20)]
    done = train_ppo(start, prompts, [score], tmp_path / "ppo", settings, value_start=str(reward.model))
    assert done.kind == "ppo" and done.steps == 4 and done.rows == 28  # 20 prompts: 8, 8, 4, 8
    assert len(list((tmp_path / "ppo/rollouts").iterdir())) == 4
    assert read_stage(tmp_path / "ppo") == done


def test_a_reward_model_with_another_tokenizer_scores_texts_and_the_value_model_does_not_start_from_it(
    start: str, tmp_path: Path
) -> None:
    from agora.core.tables import read_rows
    from agora.train.reward_model import load_reward_model, score_conversations
    from agora.train.rewards import ScorerReward
    from tests.tiny import make_tiny_model

    other = str(make_tiny_model(tmp_path / "other"))  # 400 byte-level tokens; the policy has 29 letters
    trained = train_reward(other, many_pairs(), tmp_path / "rm", RewardSettings(train=QUICK, max_tokens=64))
    model, tokenizer = load_reward_model(str(trained.model))
    reward = ScorerReward(lambda c: score_conversations(model, tokenizer, c), name="rm")
    settings = PpoSettings(
        train=QUICK, steps=1, prompts_per_step=8, response_length=8, temperature=1.0, missing_eos_penalty=None
    )
    prompts = [(p.id, p.prompt) for p in many_pairs(20)]
    out = tmp_path / "ppo"
    done = train_ppo(start, prompts, [WeightedReward(reward)], out, settings, value_start=str(trained.model))
    assert [note for note in done.notes if "another tokenizer" in note and "fresh head" in note]
    by_id = dict(prompts)
    rows = [row.data for path in (out / "rollouts").iterdir() for row in read_rows(path)]
    texts = [(*by_id[row["prompt_id"]], Message("assistant", row["text"])) for row in rows]
    expected = score_conversations(model, tokenizer, texts)
    assert [row["score"] for row in rows] == pytest.approx(expected, abs=1e-5)


def test_everything_too_long_names_the_limit_that_would_do(start: str, tmp_path: Path) -> None:
    rows = [(str(i), (Message("user", "a"), Message("assistant", "b" * 20))) for i in range(5)]
    with pytest.raises(DataError, match="max_tokens=23 would keep 95 % of them"):
        train_sft(start, rows, tmp_path / "sft", SftSettings(train=QUICK, max_tokens=8))


def test_a_served_model_cannot_be_trained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be trained"):
        train_sft("http://127.0.0.1:9/v1#m", [], tmp_path, SftSettings())


def test_margins_that_are_asked_for_must_exist(start: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pair has a margin"):
        train_reward(start, many_pairs(8), tmp_path / "rm", RewardSettings(train=QUICK, use_margin=True))
