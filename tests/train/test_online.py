"""PPO, RLOO and GRPO on a model in training: they reach known optima, resume exactly, and say what goes wrong."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agora.core.errors import AgoraError, ConfigError
from agora.core.records import Message, PreferencePair
from agora.core.tables import read_rows
from agora.train.config import TrainConfig
from agora.train.loop import train
from agora.train.objectives import DPO, reference_logprobs
from agora.train.online import OnlineResult, train_online
from agora.train.online_config import OnlineConfig
from agora.train.render import encode_pair
from agora.train.rewards import FunctionReward, Response, WeightedReward, length_reward, score_responses
from agora.train.rollout import encode_prompts
from tests.train.kills import exits_of
from tests.train.letters import letter_prompts, letters_model, letters_tokenizer, value_model


def config(**more: Any) -> OnlineConfig:
    shared = {"learning_rate": 3e-3, "schedule": "constant", "warmup": 0.0, "batch_size": 16, "token_budget": 2048}
    shared.update(more.pop("train", {}))
    given: dict[str, Any] = {
        "train": TrainConfig(**{"checkpoint_every_s": 1e-6, **shared}),  # type: ignore[arg-type]
        "steps": 6,
        "prompts_per_step": 4,
        "num_generations": 4,
        "temperature": 1.0,
        "response_length": 6,
        "missing_eos_penalty": None,
        "kl_coef": 0.0,
    }
    return OnlineConfig(**{**given, **more})


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def share_of(letter: str) -> WeightedReward:
    def score(response: Response) -> float:
        return response.text.count(letter) / max(1, len(response.text))

    return WeightedReward(FunctionReward(score, name=f"share of {letter}"))


def run(policy: Any, settings: OnlineConfig, rewards: list[WeightedReward] | None = None, **more: Any) -> OnlineResult:
    values = value_model() if settings.algorithm == "ppo" else None
    given = {"value_model": values, **more}
    return train_online(policy, letters_tokenizer(), letter_prompts(), rewards or [share_of("a")], settings, **given)


def arm_probabilities(model: Any) -> torch.Tensor:
    """The bandit's policy: probabilities of the first token after the prompt ``a:``."""
    with torch.no_grad():
        ids = torch.from_numpy(letter_prompts(1)[0].ids.astype(np.int64))[None]
        return torch.softmax(model(input_ids=ids).logits[0, -1].double(), -1)


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
def test_a_bandit_with_one_good_arm_is_solved(algorithm: str) -> None:
    policy = letters_model()
    settings = config(algorithm=algorithm, response_length=1, steps=60, num_generations=8, prompts_per_step=4)
    result = run(policy, settings)
    good = letters_tokenizer().convert_tokens_to_ids("a")
    assert float(arm_probabilities(policy)[good]) > 0.95
    assert result.log[-1]["score"] > 0.9 > 0.2 > result.log[0]["score"]


def test_dpo_on_pairs_of_the_same_bandit_finds_the_same_arm() -> None:
    policy, tokenizer = letters_model(), letters_tokenizer()
    pairs = [
        PreferencePair(
            f"{p}{bad}", (Message("user", p),), (Message("assistant", "a"),), (Message("assistant", bad),), margin=1.0
        )
        for p in "abcd"
        for bad in "bcdefghijklmnop"
    ]
    groups = [g for g in (encode_pair(tokenizer, pair) for pair in pairs) if g is not None]
    objective = DPO(reference_logprobs(policy, groups), beta=0.1)
    train(policy, groups, objective, TrainConfig(learning_rate=3e-3, epochs=10, batch_size=16))
    probabilities = arm_probabilities(policy)
    assert int(probabilities.argmax()) == tokenizer.convert_tokens_to_ids("a")


@pytest.mark.slow
def test_with_a_kl_penalty_the_optimum_is_the_tilted_reference() -> None:
    """max E[r] - beta KL has the solution pi = ref * exp(r / beta) / Z; the score is 1 for `a`, 0 for the others."""
    policy = letters_model()
    good = letters_tokenizer().convert_tokens_to_ids("a")
    before = arm_probabilities(policy)
    beta = 0.5
    tilted = float(before[good]) * math.exp(1 / beta)
    expected = tilted / (tilted + 1 - float(before[good]))
    settings = config(
        algorithm="rloo",
        response_length=1,
        steps=150,
        num_generations=32,
        prompts_per_step=4,
        kl_coef=beta,
        train={"learning_rate": 1e-3, "batch_size": 128, "schedule": "linear"},
    )
    run(policy, settings)
    assert float(arm_probabilities(policy)[good]) == pytest.approx(expected, abs=0.08)
    assert float(before[good]) < expected / 2


def test_learning_rate_zero_leaves_both_models_as_they_were() -> None:
    policy, values = letters_model(), value_model()
    before = weights(policy).clone(), weights(values).clone()
    run(policy, config(train={"learning_rate": 0.0}), value_model=values)
    assert torch.equal(weights(policy), before[0]) and torch.equal(weights(values), before[1])


def test_the_ratio_is_one_at_the_first_inner_step_and_the_clip_acts_later() -> None:
    first = run(letters_model(), config(steps=1, train={"batch_size": 64})).log[0]
    assert first["policy/ratio"] == pytest.approx(1, abs=1e-5) and first["policy/clip_fraction"] == 0
    assert first["policy/approx_kl"] == pytest.approx(0, abs=1e-8)
    later = run(letters_model(), config(steps=1, num_ppo_epochs=4, train={"learning_rate": 0.02})).log[0]
    assert later["policy/clip_fraction"] > 0.05


@pytest.mark.parametrize("algorithm", ["ppo", "rloo"])
def test_learning_from_the_passes_of_scoring_is_learning_from_passes_of_its_own(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agora.train import experience, online_objectives

    taken: list[bool] = []
    take = online_objectives._take

    def counting(kept: Any, batch: Any) -> Any:
        found = take(kept, batch)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(online_objectives, "_take", counting)
    settings = config(algorithm=algorithm, num_ppo_epochs=2, kl_coef=0.05)
    reusing, values = letters_model(), value_model()
    first = run(reusing, settings, value_model=values)
    # the first inner step alone learns from what scoring computed
    assert taken[0] and sum(taken) >= settings.steps * (2 if algorithm == "ppo" else 1)
    assert sum(taken) * 2 == len(taken)  # the second pass over a rollout has other weights
    monkeypatch.setattr(experience, "_may_keep", lambda models, config: False)
    taken.clear()
    own, own_values = letters_model(), value_model()
    second = run(own, settings, value_model=own_values)
    assert not any(taken)
    assert torch.allclose(weights(reusing), weights(own), atol=2e-5)
    assert torch.allclose(weights(values), weights(own_values), atol=2e-5)
    assert first.log[0]["policy/objective"] == pytest.approx(second.log[0]["policy/objective"], abs=1e-6)


def test_passes_are_not_kept_where_training_would_compute_others() -> None:
    from agora.train.experience import _may_keep

    policy = letters_model()
    assert _may_keep([policy], config())
    assert not _may_keep([policy], config(train={"gradient_checkpointing": True}))
    policy.model.layers[0].self_attn.attention_dropout = 0.1
    assert not _may_keep([policy], config())


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_log_probabilities_are_those_of_the_sampling(temperature: float) -> None:
    """KL to an identical reference is 0 at any temperature, and the ratio is 1."""
    row = run(letters_model(), config(steps=1, temperature=temperature, train={"batch_size": 64})).log[0]
    assert row["kl/k1"] == pytest.approx(0, abs=1e-6) and row["policy/ratio"] == pytest.approx(1, abs=1e-5)


def test_the_score_of_a_cut_response_is_replaced_by_the_penalty() -> None:
    def constant(response: Response) -> float:
        return 5.0

    rewards = [WeightedReward(FunctionReward(constant, name="constant"))]
    row = run(letters_model(), config(steps=1, response_length=2, missing_eos_penalty=-10.0), rewards).log[0]
    cut = 1 - row["eos_rate"]
    assert 0 < cut < 1
    assert row["score"] == pytest.approx(5 * (1 - cut) - 10 * cut)
    assert row["reward/constant"] == 5.0


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
def test_resume_ends_with_the_same_bits_as_an_unbroken_run(tmp_path: Path, algorithm: str) -> None:
    settings = config(algorithm=algorithm, kl_coef=0.05, kl_target=1.0)
    unbroken = letters_model()
    whole = run(unbroken, settings)

    def stop(entry: Any) -> None:
        if entry.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(letters_model(), settings, checkpoint_dir=tmp_path, on_step=stop)
    resumed = letters_model()
    result = run(resumed, settings, checkpoint_dir=tmp_path, reference=letters_model())
    assert torch.equal(weights(resumed), weights(unbroken))
    assert result.log == whole.log and result.alarms == whole.alarms


def test_kill_nine_in_the_middle_of_ppo_loses_nothing(tmp_path: Path) -> None:
    imports = """
        from pathlib import Path
        from tests.train.test_online import config, run
        from tests.train.letters import letters_model
        letters_model()  # loads the model class, which takes longer than the training
    """
    body = f"""
        model, folder = letters_model(), Path({str(tmp_path)!r})
        run(model, config(), checkpoint_dir=folder / "checkpoints", rollout_dir=folder / "rollouts", on_step=die)
        torch.save(model.state_dict(), folder / "final.pt")
    """
    assert exits_of(imports, body, (3, 0)) == [-signal.SIGKILL, 0]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    unbroken = letters_model()
    run(unbroken, config(), rollout_dir=tmp_path / "unbroken")
    torch.set_num_threads(threads)
    final = torch.load(tmp_path / "final.pt", weights_only=True)
    assert all(torch.equal(v, final[k]) for k, v in unbroken.state_dict().items())
    for path in sorted((tmp_path / "unbroken").iterdir()):
        kept = [row.data for row in read_rows(tmp_path / "rollouts" / path.name)]
        assert kept == [row.data for row in read_rows(path)] and len(kept) == 16


def test_a_checkpoint_of_other_settings_or_rewards_is_refused(tmp_path: Path) -> None:
    run(letters_model(), config(), checkpoint_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"kl_coef: 0.0 -> 0.1"):
        run(letters_model(), config(kl_coef=0.1), checkpoint_dir=tmp_path)
    with pytest.raises(ConfigError, match="rewards"):
        run(letters_model(), config(), [share_of("b")], checkpoint_dir=tmp_path)


def test_a_reward_for_length_alone_raises_the_alarm() -> None:
    settings = config(algorithm="rloo", steps=40, response_length=24, num_generations=8)
    result = run(letters_model(), settings, [WeightedReward(length_reward(10))])
    assert result.log[-1]["response_tokens"] > 1.3 * result.log[0]["response_tokens"]
    assert any("may be paid for length" in alarm for alarm in result.alarms)


def test_a_kl_beyond_the_limit_stops_the_run_and_says_so() -> None:
    settings = config(steps=40, max_kl=0.5, num_generations=8, train={"learning_rate": 0.02})
    result = run(letters_model(), settings)
    assert result.stopped is not None and "exceeds max_kl 0.5" in result.stopped
    assert result.steps < 40


def test_a_value_model_that_is_not_finite_stops_ppo_before_it_changes_the_policy() -> None:
    values, policy = value_model(), letters_model()
    with torch.no_grad():
        values.score.weight.fill_(math.nan)
    before = weights(policy).clone()
    with pytest.raises(AgoraError, match="not finite in 3 steps"):
        run(policy, config(), value_model=values)
    assert torch.equal(weights(policy), before)


def test_a_policy_that_is_not_finite_is_said_before_anything_is_learned() -> None:
    policy = letters_model()
    with torch.no_grad():
        policy.model.norm.weight.fill_(math.nan)
    with pytest.raises(AgoraError, match="logits are not finite"):
        run(policy, config(), reference=letters_model())


def test_no_response_that_ends_and_a_constant_score_are_both_said() -> None:
    result = run(letters_model(), config(steps=1, response_length=1, missing_eos_penalty=-10.0), [share_of("a")])
    assert result.log[0]["eos_rate"] < 0.3
    flat = [WeightedReward(FunctionReward(lambda response: 1.0, name="one"))]
    settings = config(steps=2, algorithm="grpo")
    policy = letters_model()
    before = weights(policy).clone()
    said = run(policy, settings, flat).alarms
    assert any("same score" in alarm for alarm in said)
    assert torch.equal(weights(policy), before)


def test_ppo_without_a_value_model_and_groups_of_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="PPO needs a value model"):
        run(letters_model(), config(), value_model=None)
    with pytest.raises(ValueError, match="num_generations must be at least 2"):
        config(algorithm="rloo", num_generations=1)


def test_prompts_that_are_too_long_are_dropped_and_named() -> None:
    given = [("short", (Message("user", "a"),)), ("long", (Message("user", "a" * 30),))]
    kept, dropped = encode_prompts(letters_tokenizer(), given, max_tokens=8)
    assert [p.id for p in kept] == ["short"] and dropped == ["long"]
    with pytest.raises(AgoraError, match="would keep 95 % of them"):
        encode_prompts(letters_tokenizer(), given, max_tokens=1)


def response(text: str) -> Response:
    return Response("p", (Message("user", "q"),), text, True, 3)


def test_a_reward_that_raises_loses_only_that_response() -> None:
    def fragile(r: Response) -> float:
        if r.text == "bad":
            raise RuntimeError("no")
        return math.nan if r.text == "nan" else 1.0

    rewards = [WeightedReward(FunctionReward(fragile, name="fragile"), 2.0), share_of("x")]
    many = [response("x")] * 60 + [response("bad"), response("nan")]
    scored = score_responses(rewards, many)
    assert scored.total[:2] == [3.0, 3.0] and scored.total[-2:] == [None, None]
    with pytest.raises(AgoraError, match="2 of 12 responses got no score"):
        score_responses(rewards, many[-12:])


def test_rewards_need_different_names() -> None:
    with pytest.raises(ConfigError, match="different names"):
        score_responses([share_of("a"), share_of("a")], [response("a")])
