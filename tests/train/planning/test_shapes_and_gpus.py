"""Shapes and GPUs by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from agora.core.errors import UsageError
from agora.train.planning import Cluster, Rows, estimate, find_shape, known_gpus, parse_gpus, remedies, row_work
from agora.train.planning.estimate import sampling_work
from agora.train.planning.shapes import shape_of_config
from agora.train.settings import SftSettings


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("7B", 6_738_415_616), ("13B", 13_015_864_320), ("hf:allenai/tulu-2-70b", 68_976_648_192), ("8B", 8_030_261_248)],
)
def test_published_shapes_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    assert find_shape(name).parameters == parameters


def test_a_folder_is_counted_on_the_model_that_its_config_makes() -> None:
    from agora.train.models import load_policy

    for name in ("microcosm:base", "microcosm:chat"):
        shape = find_shape(name)
        assert shape.parameters == sum(p.numel() for p in load_policy(name)[0].parameters())
        assert shape.source == "its config.json"


def test_of_a_mixture_of_experts_the_chosen_ones_are_multiplied_with(tmp_path: Path) -> None:
    from transformers import MixtralConfig

    size = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MixtralConfig(
        vocab_size=100,
        num_key_value_heads=2,
        num_local_experts=8,
        num_experts_per_tok=2,
        tie_word_embeddings=False,
        **size,
    )
    config.architectures = ["MixtralForCausalLM"]
    config.save_pretrained(tmp_path)
    shape = shape_of_config(tmp_path)
    attention, expert, router = 2 * 64 * 64 + 2 * 64 * 32, 3 * 64 * 96, 8 * 64
    assert shape.block_matrices == attention + 2 * expert + router
    assert shape.block_parameters == attention + 8 * expert + router + 2 * 64


def test_a_size_between_published_ones_is_scaled_and_says_so() -> None:
    shape = find_shape("22B")
    assert shape.parameters == pytest.approx(22e9, rel=0.15)
    assert shape.source.startswith("scaled from")


@pytest.mark.parametrize("name", ["nothing", "hf:nobody/nameless", "/no/such/folder"])
def test_a_model_of_unknown_size_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="13B"):
        find_shape(name)


def test_a_folder_without_a_decoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nonsense"}')
    with pytest.raises(UsageError, match="no decoder"):
        find_shape(str(tmp_path))


def test_gpus_are_read_as_people_write_them() -> None:
    assert str(parse_gpus("8xH100")) == "8xH100" == str(parse_gpus("8 x h100"))
    assert parse_gpus("A100-80GB") == parse_gpus("1xA100")
    with pytest.raises(UsageError, match="did you mean H100"):
        parse_gpus("2xH10")
    with pytest.raises(UsageError, match="8xH100"):
        parse_gpus("0xH100")


def test_every_gpu_names_its_source_and_has_plausible_figures() -> None:
    for gpu in known_gpus().values():
        assert gpu.source and gpu.usd > 0 and gpu.bf16_tflops > gpu.fp32_tflops > 0
        assert 0.1 < gpu.bandwidth < 20 and 8 <= gpu.memory_gib <= 512


def test_what_does_not_fit_is_told_changes_after_which_it_does() -> None:
    work = row_work("x", find_shape("13B"), Rows.expected(1000, 300, 300, longest=4096), SftSettings())
    plan = estimate(work, parse_gpus("2xH100"))
    assert not plan.fits
    found = remedies(work, plan)
    assert found and all(remedy.plan.fits for remedy in found)
    assert any("lora" in remedy.change for remedy in found) and any("H100" in remedy.change for remedy in found)
    assert not remedies(work, estimate(work, parse_gpus("64xH200")))


def test_twice_the_gpus_halve_the_hours_of_training_and_leave_the_cost() -> None:
    work = row_work("x", find_shape("8B"), Rows.expected(1000, 300, 300), SftSettings())
    one, two = (estimate(work, Cluster(known_gpus()["H100"], n)) for n in (1, 2))
    assert two.hours == pytest.approx(one.hours / 2) and two.usd == pytest.approx(one.usd)


def test_calls_of_a_model_are_planned_with_a_cache_that_fits() -> None:
    plan = estimate(sampling_work("draw", find_shape("8B"), 100_000, 20, 400), parse_gpus("L4"))
    assert plan.fits and plan.tokens == 42_000_000
    more = estimate(sampling_work("draw", find_shape("8B"), 200_000, 20, 400), parse_gpus("L4"))
    assert more.hours == pytest.approx(2 * plan.hours, rel=0.01)
    assert not estimate(sampling_work("draw", find_shape("70B"), 10, 20, 400), parse_gpus("L4")).fits
