"""Adapters: only they learn, they merge into a plain model, they resume exactly, and PPO's reference needs no copy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agora.core.config import load_config
from agora.core.errors import ConfigError, MissingError
from agora.core.records import Message
from agora.train.batch import collate
from agora.train.logprobs import target_logprobs
from agora.train.loop import train
from agora.train.lora import LoraSettings, add_adapters
from agora.train.objectives import DPO, SFT, reference_logprobs
from agora.train.rewards import FunctionReward, WeightedReward
from agora.train.settings import DpoSettings, PpoSettings, RewardSettings, SftSettings
from agora.train.stages import train_dpo, train_ppo, train_reward, train_sft
from tests.train import naive
from tests.train.conftest import tiny_llama
from tests.train.letters import letters_model, letters_tokenizer, value_model
from tests.train.test_loop import CONFIG, sft_groups
from tests.train.test_stages import QUICK, many_pairs

LORA = LoraSettings(r=4, alpha=16)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("start")
    letters_model().save_pretrained(folder)
    letters_tokenizer().save_pretrained(folder)
    return str(folder)


def state(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_only_adapters_learn_and_the_frozen_weights_keep_their_bits() -> None:
    model = tiny_llama()
    add_adapters(model, LORA, seed=0)
    before = state(model)
    result = train(model, sft_groups(), SFT(), CONFIG.model_copy(update={"epochs": 10, "learning_rate": 1e-2}))
    after = state(model)
    assert result.log[-1]["loss"] < result.log[0]["loss"]
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "lora_" in name}


def test_fresh_adapters_change_no_output_and_depend_on_their_seed_alone() -> None:
    batch = collate([group[0] for group in sft_groups()])
    plain = target_logprobs(tiny_llama(), batch)
    firsts = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(firsts))
        model = tiny_llama()
        add_adapters(model, LORA, seed=seed)
        assert torch.equal(target_logprobs(model.eval(), batch), plain)
        firsts.append(next(p for name, p in model.named_parameters() if "lora_A" in name))
    assert torch.equal(firsts[0], firsts[1]) and not torch.equal(firsts[0], firsts[2])


@pytest.mark.parametrize("bf16_base", [False, True])
def test_the_merged_model_says_what_the_adapters_said(bf16_base: bool) -> None:
    model = tiny_llama()
    adapters = add_adapters(model, LORA.model_copy(update={"bf16_base": bf16_base}), seed=0)
    train(model, sft_groups(), SFT(), CONFIG.model_copy(update={"learning_rate": 1e-2}))
    batch = collate([group[0] for group in sft_groups()])
    with torch.no_grad():
        before = target_logprobs(model.eval(), batch)
        adapters.merge()
        after = target_logprobs(model, batch)
    assert after.dtype == torch.float32
    assert torch.allclose(before, after, atol=5e-2 if bf16_base else 1e-4)
    assert not any("lora" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_resume_of_adapters_ends_with_the_same_bits(tmp_path: Path, dropout: float) -> None:
    settings = LORA.model_copy(update={"dropout": dropout})

    def fresh(seed: int = 0) -> Any:
        model = tiny_llama()
        add_adapters(model, settings, seed=seed)
        return model

    unbroken = fresh()
    whole = train(unbroken, sft_groups(), SFT(), CONFIG)

    def stop(entry: Any) -> None:
        if entry.step > 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(fresh(), sft_groups(), SFT(), CONFIG, checkpoint_dir=tmp_path, on_step=stop)
    resumed = fresh(seed=9)  # the checkpoint must overwrite whatever the adapters held
    assert train(resumed, sft_groups(), SFT(), CONFIG, checkpoint_dir=tmp_path).log == whole.log
    assert all(torch.equal(value, state(resumed)[name]) for name, value in state(unbroken).items())


def test_a_checkpoint_of_adapters_is_small_and_refuses_another_shape(tmp_path: Path) -> None:
    model = tiny_llama()
    add_adapters(model, LORA, seed=0)
    train(model, sft_groups(), SFT(), CONFIG, checkpoint_dir=tmp_path)
    stored = torch.load(max(tmp_path.glob("step-*.pt")), weights_only=True)["models"]["model"]
    assert all("lora_" in name for name in stored)
    with pytest.raises(ConfigError, match=r"adapters: .*'r': 4.* -> None"):
        train(tiny_llama(), sft_groups(), SFT(), CONFIG, checkpoint_dir=tmp_path)
    other = tiny_llama()
    add_adapters(other, LORA.model_copy(update={"alpha": 8.0}), seed=0)
    with pytest.raises(ConfigError, match="adapters"):
        train(other, sft_groups(), SFT(), CONFIG, checkpoint_dir=tmp_path)


def test_the_reference_of_ppo_is_the_policy_with_its_adapters_off() -> None:
    groups = naive.random_pairs(np.random.default_rng(0), 6, longest=12)
    wanted = reference_logprobs(tiny_llama(), groups)
    model = tiny_llama()
    adapters = add_adapters(model, LORA, seed=0)
    train(model, groups, DPO(wanted), CONFIG.model_copy(update={"learning_rate": 1e-2}))
    assert reference_logprobs(adapters.without(), groups) == wanted
    assert reference_logprobs(model, groups) != wanted
    assert all(p.requires_grad for name, p in model.named_parameters() if "lora_" in name)


def test_a_reward_models_head_learns_whole_beside_its_adapters() -> None:
    model = value_model()
    adapters = add_adapters(model, LORA, seed=0)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name in trained if "lora_" not in name} == {"score.modules_to_save.default.weight"}
    with torch.no_grad():
        model.score.weight.add_(1.0)
    expected = model.score.weight.clone()
    adapters.merge()
    assert torch.equal(model.score.weight, expected)
    assert {name for name, _ in model.named_parameters()} == {name for name, _ in value_model().named_parameters()}


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")  # peft asks by the old name
def test_sft_and_dpo_with_adapters_leave_plain_folders_and_the_adapter_where_asked(start: str, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    rows = [(str(i), (Message("user", "a"), Message("assistant", "hello"))) for i in range(8)]
    kept = LORA.model_copy(update={"keep_adapter": True})
    train_sft(start, rows, tmp_path / "sft", SftSettings(train=QUICK, max_tokens=32, lora=kept))
    done = train_dpo(
        str(tmp_path / "sft/model"),
        many_pairs(20),
        tmp_path / "dpo",
        DpoSettings(train=QUICK, max_tokens=32, lora=LORA),
    )
    assert done.settings["lora"]["r"] == 4 and not (tmp_path / "dpo/adapter").exists()
    ids = torch.tensor([[3, 4, 5, 6]])
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "sft/model")
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(start), str(tmp_path / "sft/adapter"))
    assert {n for n, _ in merged.named_parameters()} == {n for n, _ in letters_model().named_parameters()}
    assert torch.allclose(merged(ids).logits, adapted(ids).logits, atol=1e-4)


def test_reward_and_ppo_train_through_adapters(start: str, tmp_path: Path) -> None:
    from agora.train.reward_model import load_reward_model

    settings = RewardSettings(train=QUICK, max_tokens=32, lora=LORA)
    reward = train_reward(start, many_pairs(40), tmp_path / "rm", settings, held_out=many_pairs(60)[40:])
    assert reward.metrics["held_out/accuracy"] > 0.7
    load_reward_model(str(reward.model))
    score = WeightedReward(FunctionReward(lambda r: float(r.text.count("x")), name="x"))
    ppo = PpoSettings(
        train=QUICK.model_copy(update={"schedule": "constant", "warmup": 0.0}),
        steps=2,
        prompts_per_step=8,
        response_length=8,
        temperature=1.0,
        lora=LORA,
    )
    prompts = [(p.id, p.prompt) for p in many_pairs(20)]
    done = train_ppo(start, prompts, [score], tmp_path / "ppo", ppo, value_start=str(reward.model))
    assert done.steps == 2 and done.metrics["kl/k1"] != 0
    from transformers import AutoModelForCausalLM

    assert "lora" not in str(AutoModelForCausalLM.from_pretrained(done.model))


def test_without_the_extra_the_line_to_type_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingError, match=r"pip install 'agora\[peft\]'"):
        add_adapters(tiny_llama(), LORA, seed=0)


def test_a_module_name_that_no_module_has_is_said() -> None:
    with pytest.raises(ConfigError, match=r"lora.target_modules \('q_porj',\)"):
        add_adapters(tiny_llama(), LoraSettings(target_modules=("q_porj",)), seed=0)


def test_one_setting_turns_adapters_on() -> None:
    assert load_config(SftSettings, None).lora is None
    found = load_config(PpoSettings, None, ["lora.r=8"]).lora
    assert found is not None and found.r == 8 and found.target_modules == "all-linear"
