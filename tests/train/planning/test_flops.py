"""Operations on paper against those that torch counts while our own trainers run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from agora.train.batch import EncodedSequence
from agora.train.config import TrainConfig
from agora.train.experience import gather_experience
from agora.train.logprobs import target_logprobs
from agora.train.loop import optimizer_step
from agora.train.lora import LoraSettings, add_adapters
from agora.train.models import recompute_activations
from agora.train.objectives import DPO, SFT, RewardLoss, reference_logprobs
from agora.train.online import _learners, _update
from agora.train.optim import build_optimizers
from agora.train.planning import Rows, estimate, online_work, parse_gpus, row_work
from agora.train.planning.flops import forward_flops, sampling_flops, training_flops
from agora.train.planning.shapes import gated_decoder
from agora.train.rewards import ScorerReward, WeightedReward
from agora.train.rollout import Response, Sampled
from agora.train.settings import DpoSettings, PpoSettings, RewardSettings, SftSettings
from tests.tiny import make_model

SHAPE = {"layers": 3, "hidden": 48, "heads": 4, "kv_heads": 2, "ffn": 144, "vocabulary": 300}
TINY = gated_decoder("tiny", **SHAPE)
TRAIN = TrainConfig(batch_size=8, token_budget=128, share_prompts=False)


def tiny(**more: object):
    model = make_model(300, layers=3, **more)
    model.config._attn_implementation = "eager"  # torch does not count the fused kernel of a CPU
    return model


def row(name: str, tokens: int, targets: int) -> EncodedSequence:
    mask = np.zeros(tokens, np.uint8)
    mask[-targets:] = 1
    ids = np.random.default_rng([tokens, targets, len(name)]).integers(3, 300, tokens).astype(np.int32)
    return EncodedSequence(name, ids, mask)


def pairs(n: int = 8) -> list[tuple[EncodedSequence, ...]]:
    return [(row(f"{i}c", 24, 10), row(f"{i}rr", 24, 10)) for i in range(n)]


def counted(run) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def seen(groups) -> Rows:
    rows = [r for group in groups for r in group]
    return Rows.of([len(r) for r in rows], [r.n_targets for r in rows])


def test_a_step_of_sft_counts_as_planned() -> None:
    groups = [(row(str(i), 20 + (i // 4) * 12, 7),) for i in range(8)]  # rows of a micro-batch have one length
    model = tiny()
    optimizers = build_optimizers(model, TRAIN)
    found = counted(lambda: optimizer_step(model, optimizers, groups, SFT(), TRAIN, rate=1e-4))
    plan = estimate(row_work("x", TINY, seen(groups), SftSettings(train=TRAIN.model_copy(update={"epochs": 1}))), H100)
    assert found == pytest.approx(plan.flops, rel=1e-12)
    assert plan.updates == 1


def test_a_step_of_dpo_counts_as_planned_the_reference_apart() -> None:
    groups, model = pairs(), tiny()
    optimizers = build_optimizers(model, TRAIN)
    plan = estimate(row_work("x", TINY, seen(groups), DpoSettings(train=TRAIN.model_copy(update={"epochs": 1}))), H100)
    flops = {phase.name: phase.flops for phase in plan.phases}
    reference: dict[str, float] = {}
    assert counted(lambda: reference.update(reference_logprobs(model, groups))) == pytest.approx(
        flops["reference"], rel=1e-12
    )
    step = counted(lambda: optimizer_step(model, optimizers, groups, DPO(reference), TRAIN, rate=1e-4))
    assert step == pytest.approx(flops["training"], rel=1e-12)


def test_a_loss_without_a_reference_plans_none() -> None:
    plan = estimate(row_work("x", TINY, seen(pairs()), DpoSettings(loss="simpo")), H100)
    assert [phase.name for phase in plan.phases] == ["training"]


def test_a_step_of_a_reward_model_counts_as_planned(reward_model) -> None:
    groups = pairs()
    optimizers = build_optimizers(reward_model, TRAIN)
    found = counted(lambda: optimizer_step(reward_model, optimizers, groups, RewardLoss(), TRAIN, rate=1e-4))
    settings = RewardSettings(train=TRAIN.model_copy(update={"epochs": 1}))
    assert found == pytest.approx(estimate(row_work("x", TINY, seen(groups), settings), H100).flops, rel=1e-12)


def test_recomputing_activations_costs_one_more_pass_but_for_the_last_product_of_a_block() -> None:
    groups, model = pairs(), tiny()
    recompute_activations(model)
    model.train()
    optimizers = build_optimizers(model, TRAIN)
    found = counted(lambda: optimizer_step(model, optimizers, groups, SFT(), TRAIN, rate=1e-4))
    assert found == pytest.approx(training_flops(TINY, seen(groups), recompute=True), rel=1e-12)


def test_adapters_spare_the_gradients_of_frozen_matrices() -> None:
    groups, rank = pairs(), 4
    model = add_adapters(tiny(), LoraSettings(r=rank), seed=0).model
    optimizers = build_optimizers(model, TRAIN)
    found = counted(lambda: optimizer_step(model, optimizers, groups, SFT(), TRAIN, rate=1e-4))
    # the first block needs no gradient of its input, which a formula by token leaves out
    assert found == pytest.approx(training_flops(TINY, seen(groups), rank=rank), rel=0.08)
    assert found < 0.8 * training_flops(TINY, seen(groups))


def test_a_rollout_of_ppo_counts_as_planned(reward_model) -> None:
    policy, reference = tiny(), tiny(seed=1)
    settings = PpoSettings(
        train=TRAIN.model_copy(update={"batch_size": 4}),
        prompts_per_step=8,
        steps=1,
        num_ppo_epochs=2,
        response_length=6,
    )
    sampled = [
        Sampled(Response(str(i), (), "text", True, 6), row(str(i), 22, 6), 0, i)
        for i in range(settings.prompts_per_step)
    ]
    reward = WeightedReward(ScorerReward(lambda c: [float(i) for i in range(len(c))], name="r"))
    kept = {}

    def score() -> None:
        kept["experience"] = gather_experience(
            policy, reference, reward_model, sampled, [reward], settings, kl_coef=0.05
        )

    scoring = counted(score)
    learners = _learners(policy, reward_model, settings)
    updating = counted(lambda: _update(learners, kept["experience"], settings, 0, 1, False))
    work = online_work("x", TINY, settings, prompts=8, prompt_tokens=16, answer_tokens=6, reward=None)
    plan = estimate(work, H100)
    flops = {phase.name: phase.flops for phase in plan.phases}
    # the plan reckons with rows of different lengths, whose squares are larger than those of equal rows
    assert scoring == pytest.approx(flops["scoring"], rel=0.05)
    assert updating == pytest.approx(flops["updating"], rel=0.05)
    assert plan.updates == 4
    assert plan.tokens == 2 * sum(len(s.row) for s in sampled)


def test_sampling_with_a_cache_counts_as_planned() -> None:
    from transformers import DynamicCache

    model, prompt, answer = tiny().eval(), 20, 12

    def sample() -> None:
        cache = DynamicCache()
        ids = torch.randint(3, 300, (2, prompt))
        with torch.inference_mode():
            for _ in range(answer):
                logits = model(input_ids=ids, past_key_values=cache, logits_to_keep=1).logits
                ids = logits.argmax(-1)

    assert counted(sample) == pytest.approx(sampling_flops(TINY, 2, prompt, answer), rel=0.05)


def test_targets_alone_are_projected() -> None:
    few, many = [(row("a", 24, 2),)], [(row("a", 24, 20),)]
    difference = forward_flops(TINY, seen(many)) - forward_flops(TINY, seen(few))
    assert difference == 18 * 2 * 48 * 300
    model = tiny()
    from agora.train.batch import collate

    found = [counted(lambda g=g: target_logprobs(model, collate(g[0]))) for g in (few, many)]
    assert found[1] - found[0] == difference


H100 = parse_gpus("H100")


@pytest.fixture
def reward_model(tmp_path):
    from agora.train.reward_model import new_reward_model

    tiny().save_pretrained(tmp_path)
    model = new_reward_model(str(tmp_path), seed=0)
    model.config._attn_implementation = "eager"
    return model
