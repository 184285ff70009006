"""Every loss against the golden file made with another library and checked by float64 numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from agora.train.advantages import (
    gae,
    grpo_advantages,
    kl_estimate,
    rloo_advantages,
    shaped_rewards,
    token_mask,
    whiten,
)
from agora.train.batch import EncodedSequence, Group
from agora.train.objectives import DPO, SFT, Objective, RewardLoss, reference_logprobs
from agora.train.online_objectives import clipped_policy_loss, clipped_value_loss
from tests.train.test_losses import loss_and_gradient


class Golden(NamedTuple):
    file: dict[str, Any]
    policy: Any
    reference: Any
    groups: list[Group]
    folder: Path


@pytest.fixture(scope="module")
def golden(shared_dir: Path) -> Golden:
    from safetensors.torch import load_file
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = shared_dir / "data/preference/golden"
    file = json.loads((folder / "model_level.json").read_text())
    config = {k: v for k, v in file["config"].items() if k != "architecture"}
    models = []
    for name in ("policy", "reference"):
        model = LlamaForCausalLM(LlamaConfig(**config)).eval()
        assert not model.load_state_dict(load_file(folder / f"{name}.safetensors"), strict=False).unexpected_keys
        models.append(model)
    groups: list[Group] = []
    for i, example in enumerate(file["examples"]):
        prompt = example["prompt_ids"]
        rows = []
        for side in ("chosen_ids", "rejected_ids"):
            ids = np.asarray(prompt + example[side], dtype=np.int32)
            mask = np.asarray([0] * len(prompt) + [1] * len(example[side]), dtype=np.uint8)
            rows.append(EncodedSequence(str(i), ids, mask))
        groups.append((rows[0], rows[1]))
    return Golden(file, models[0], models[1], groups, folder)


LABELS = [
    "sigmoid|beta=0.1|label_smoothing=0",
    "hinge|beta=0.1|label_smoothing=0",
    "ipo|beta=0.1|label_smoothing=0",
    "robust|beta=0.1|label_smoothing=0.1",
    "exo_pair|beta=0.1|label_smoothing=0.001",
    "nca_pair|beta=0.1|label_smoothing=0",
    "bco_pair|beta=0.1|label_smoothing=0",
    "sppo_hard|beta=0.1|label_smoothing=0",
    "aot|beta=0.1|label_smoothing=0",
    "aot_unpaired|beta=0.1|label_smoothing=0",
    "apo_zero|beta=0.1|label_smoothing=0",
    "apo_down|beta=0.1|label_smoothing=0",
    "discopop|beta=0.1|label_smoothing=0",
    "sigmoid_norm|beta=0.1|label_smoothing=0",
    "sigmoid_norm|beta=5.0|label_smoothing=0",
]


def tolerance(label: str) -> float:
    """Relative. A square of a sum of log-probabilities, or a large beta, enlarges what fp32 differs in by processor."""
    return 2e-6 if label.startswith(("sppo_hard", "ipo_sum", "sigmoid_norm|beta=5.0")) else 1e-6


@pytest.mark.parametrize("share", [False, True], ids=["padded", "shared prompt"])
@pytest.mark.parametrize("label", LABELS)
def test_a_preference_loss_and_its_gradient_equal_the_golden_ones(golden: Golden, label: str, share: bool) -> None:
    name, *rest = label.split("|")
    options = {key: float(value) for key, value in (part.split("=") for part in rest)}
    objective = DPO(reference_logprobs(golden.reference, golden.groups), loss=name, **options)  # type: ignore[arg-type]
    loss, gradient = loss_and_gradient(golden.policy, golden.groups, objective, 60, share=share)
    expected = golden.file["dpo_losses"][label]
    assert loss == pytest.approx(expected["own_loss"], abs=1e-6, rel=tolerance(label))
    if expected.get("grad_norm") is not None:
        assert float(gradient.norm()) == pytest.approx(expected["grad_norm"], rel=1e-4)


@pytest.mark.parametrize(
    ("label", "objective"),
    [
        ("cdpo", {"loss": "cdpo", "label_smoothing": 0.1}),
        ("ipo_sum", {"loss": "ipo_sum"}),
        ("simpo", {"loss": "simpo", "beta": 2.0, "gamma_ratio": 0.3}),
    ],
)
def test_forms_that_the_other_library_lacks_equal_the_golden_ones(
    golden: Golden, label: str, objective: dict[str, Any]
) -> None:
    reference = reference_logprobs(golden.reference, golden.groups) if label != "simpo" else {}
    loss, _ = loss_and_gradient(golden.policy, golden.groups, DPO(reference, **objective), 60)
    expected = next(v for k, v in golden.file["other_losses"].items() if k.startswith(label + "|"))
    assert loss == pytest.approx(expected, rel=tolerance(label))


def test_the_likelihood_loss_equals_the_golden_one_alone_and_as_an_added_term(golden: Golden) -> None:
    expected = golden.file["dpo_losses"]["sft|beta=0.1|label_smoothing=0"]
    loss, gradient = loss_and_gradient(golden.policy, [(group[0],) for group in golden.groups], SFT(), 60)
    assert loss == pytest.approx(expected["own_loss"], abs=1e-6)
    assert float(gradient.norm()) == pytest.approx(expected["grad_norm"], rel=1e-4)
    reference = reference_logprobs(golden.reference, golden.groups)
    plain, _ = loss_and_gradient(golden.policy, golden.groups, DPO(reference), 60)
    added, _ = loss_and_gradient(golden.policy, golden.groups, DPO(reference, sft_weight=0.5), 60)
    assert added - plain == pytest.approx(0.5 * expected["own_loss"], abs=1e-5)


@pytest.mark.parametrize("share", [False, True], ids=["padded", "shared prompt"])
@pytest.mark.parametrize("budget", [20, 60, 1000])
def test_reward_losses_equal_the_golden_ones(golden: Golden, budget: int, share: bool) -> None:
    from safetensors.torch import load_file
    from transformers import LlamaConfig, LlamaForSequenceClassification

    config = {k: v for k, v in golden.file["config"].items() if k != "architecture"}
    model = LlamaForSequenceClassification(LlamaConfig(**config, num_labels=1)).eval()
    model.model.load_state_dict(golden.policy.model.state_dict())
    model.load_state_dict(load_file(golden.folder / "reward_head.safetensors"), strict=False)
    margins = {str(i): value for i, value in enumerate(golden.file["rm_margins"])}
    cases: dict[str, Objective] = {
        "plain": RewardLoss(),
        "centered_0.01": RewardLoss(center=0.01),
        "margin": RewardLoss(margins=margins),
    }
    for name, objective in cases.items():
        loss, _ = loss_and_gradient(model, golden.groups, objective, budget, share=share)
        assert loss == pytest.approx(golden.file["rm_losses"][name]["own_loss"], abs=1e-6)


@pytest.fixture(scope="module")
def ppo(shared_dir: Path) -> dict[str, Any]:
    file: dict[str, Any] = json.loads((shared_dir / "data/preference/golden/ppo_functions.json").read_text())
    return file


def test_ppo_functions_equal_the_golden_ones(ppo: dict[str, Any]) -> None:
    old, ref, new, values, new_values = (
        np.asarray(ppo[k]) for k in ("old_logp", "ref_logp", "new_logp", "old_values", "new_values")
    )
    expected, length = ppo["expected"], np.asarray(ppo["L"])
    mask = token_mask(length, old.shape[1])
    score = np.where(ppo["ends_with_eos"], ppo["rm_score"], ppo["no_eos_score"])
    assert score.tolist() == expected["score"]
    rewards = shaped_rewards(old, ref, score, length, kl_coef=0.05)
    assert np.allclose(rewards, expected["rewards"], atol=1e-10)
    found = gae(rewards, values, length)
    assert np.allclose(found.advantage_BT, expected["advantages"], atol=1e-10)
    assert np.allclose(found.return_BT, expected["returns"], atol=1e-10)
    white = whiten(found.advantage_BT, length, eps=1e-6)
    assert np.allclose(white, expected["advantages_whitened_eps1e_6"], atol=1e-10)
    assert np.allclose(
        whiten(found.advantage_BT, length, eps=1e-8), expected["advantages_whitened_eps1e_8"], atol=1e-10
    )
    real = torch.from_numpy(mask)
    new_t, old_t, adv, v_new, v_old, ret = (
        torch.from_numpy(x)[real] for x in (new, old, white, new_values, values, found.return_BT)
    )
    policy, clipped = clipped_policy_loss(new_t, old_t, adv, 0.2)
    value = clipped_value_loss(v_new, v_old, ret, 0.2)
    assert float(policy.mean()) == pytest.approx(expected["policy_loss"], abs=1e-10)
    assert float(value.mean()) == pytest.approx(expected["value_loss"], abs=1e-10)
    assert float(policy.mean() + 0.1 * value.mean()) == pytest.approx(expected["total_loss"], abs=1e-10)
    assert float(clipped.double().mean()) == expected["policy_clip_fraction"]
    assert float((new_t - old_t).exp().mean()) == pytest.approx(expected["ratio_mean"], abs=1e-10)


def test_kl_estimators_and_group_advantages_equal_the_golden_ones(ppo: dict[str, Any]) -> None:
    old, ref, length = np.asarray(ppo["old_logp"]), np.asarray(ppo["ref_logp"]), np.asarray(ppo["L"])
    mask = token_mask(length, old.shape[1])
    for name, expected in (("k1", -0.0417478), ("k2", 0.0238065), ("k3", 0.0232585)):
        assert kl_estimate(old, ref, name)[mask].mean() == pytest.approx(expected, abs=1e-6)  # type: ignore[arg-type]
    groups = np.asarray(ppo["groups"])
    assert np.allclose(rloo_advantages(groups), ppo["expected_rloo"], atol=1e-10)
    assert np.allclose(grpo_advantages(groups), ppo["expected_grpo_std"], atol=1e-10)
    assert np.allclose(grpo_advantages(groups, scale="none"), ppo["expected_grpo_none"], atol=1e-10)
