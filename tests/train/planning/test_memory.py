"""Memory on paper against real tensors."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest
import torch

from agora.train.config import TrainConfig
from agora.train.lora import LoraSettings, add_adapters
from agora.train.models import recompute_activations
from agora.train.optim import build_optimizers
from agora.train.planning import Rows, estimate, parse_gpus, row_work
from agora.train.planning.memory import activation_parts, block_activations, kv_bytes, peak_bytes, state_parts
from agora.train.planning.shapes import gated_decoder
from agora.train.settings import SftSettings
from tests.tiny import make_model

TINY = gated_decoder("tiny", layers=2, hidden=48, heads=4, kv_heads=2, ffn=144, vocabulary=300)


def kept_bytes(model, rows: int, tokens: int, *, bf16: bool) -> int:
    """Bytes of the tensors that autograd keeps in one forward pass through the decoder, parameters left out."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    shapes = {tuple(p.shape) for p in model.parameters()} | {
        tuple(p.T.shape) for p in model.parameters() if p.ndim == 2
    }
    kept: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if (
            storage.data_ptr() not in weights and tuple(tensor.shape) not in shapes
        ):  # casts of weights are counted apart
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    ids = torch.randint(3, 300, (rows, tokens))
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16),
    ):
        hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
    assert hidden.requires_grad
    return sum(size for size, _ in kept.values())


def of_one_block(*, bf16: bool = False, cast: bool = False, again: bool = False) -> float:
    """Bytes a token and block: what one block more keeps more."""
    found = []
    for layers in (2, 3):
        model = make_model(300, layers=layers).train()
        if cast:
            model.to(torch.bfloat16)
        if again:
            recompute_activations(model)
        found.append(kept_bytes(model, 3, 40, bf16=bf16))
    return (found[1] - found[0]) / 120


def test_a_block_keeps_what_is_planned_in_each_precision() -> None:
    assert of_one_block() == block_activations(TINY, "fp32")
    assert of_one_block(bf16=True) == block_activations(TINY, "autocast")
    assert of_one_block(cast=True) == block_activations(TINY, "bf16")


def test_a_recomputed_block_keeps_its_input_alone() -> None:
    assert of_one_block(again=True) == 4 * TINY.hidden


def test_weights_gradients_and_optimizer_are_the_real_tensors_sizes() -> None:
    model = make_model(300)
    optimizer = build_optimizers(model, TrainConfig())[0]
    model(input_ids=torch.randint(3, 300, (1, 8))).logits.sum().backward()
    optimizer.step()
    real = {
        "weights": sum(p.nbytes for p in model.parameters()),
        "gradients": sum(p.grad.nbytes for p in model.parameters()),
        "optimizer": sum(t.nbytes for s in optimizer.state.values() for t in s.values() if t.ndim),
    }
    parts = state_parts(TINY, "vocabulary", TrainConfig(), None, gpus=1, who="model")
    assert {p.name.removeprefix("model: "): p.bytes for p in parts} == real


def test_adapters_learn_as_many_parameters_as_peft_makes() -> None:
    model = add_adapters(make_model(300), LoraSettings(r=8), seed=0).model
    assert TINY.adapter_parameters(8) == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_gpus_share_the_state_and_gather_two_blocks() -> None:
    one = state_parts(TINY, "vocabulary", TrainConfig(), None, gpus=1, who="m")
    four = {p.name: p.bytes for p in state_parts(TINY, "vocabulary", TrainConfig(), None, gpus=4, who="m")}
    assert all(four[p.name] == p.bytes / 4 for p in one)
    assert four["m: gathered weights"] == 4 * (2 * TINY.block_parameters + TINY.outer_parameters)


def test_a_cache_holds_keys_and_values_of_every_slot() -> None:
    from transformers import DynamicCache

    cache = DynamicCache()
    with torch.inference_mode():
        make_model(300)(input_ids=torch.randint(3, 300, (2, 10)), past_key_values=cache, use_cache=True)
    real = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert kv_bytes(TINY, 20, bytes_each=4) == real


def test_updating_and_sampling_are_not_held_at_once() -> None:
    from agora.train.planning import MemoryPart

    parts = [MemoryPart("a", 10), MemoryPart("b", 5, "updating"), MemoryPart("c", 7, "sampling")]
    assert peak_bytes(parts) == 17


def test_logits_beyond_the_limit_are_recomputed_by_chunks() -> None:
    wide = gated_decoder("wide", layers=1, hidden=48, heads=4, kv_heads=2, ffn=144, vocabulary=150_000)

    def logits(targets: float) -> float:
        parts = activation_parts(wide, "vocabulary", TrainConfig(), tokens=10_000, targets=targets, gpus=1)
        return next(p.bytes for p in parts if p.name == "logits")

    assert logits(200) == 3 * 4 * 200 * 150_000
    assert logits(10_000) == 3 * 4 * 8_000_000


_CHILD = """
    import ctypes, json, sys
    import numpy as np, torch
    from agora.train.batch import EncodedSequence
    from agora.train.config import TrainConfig
    from agora.train.loop import optimizer_step
    from agora.train.models import recompute_activations
    from agora.train.objectives import SFT
    from agora.train.optim import build_optimizers
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.set_num_threads(1)
    again = sys.argv[1] == "again"
    config = TrainConfig(batch_size=4, token_budget=1024, gradient_checkpointing=again)
    ids = np.random.default_rng(0).integers(3, 4000, (4, 256)).astype(np.int32)
    mask = np.r_[np.zeros(128, np.uint8), np.ones(128, np.uint8)]
    rows = [(EncodedSequence(str(i), row, mask),) for i, row in enumerate(ids)]
    def vm(name):
        return next(int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith(name))
    def step(layers, width):
        model = LlamaForCausalLM(LlamaConfig(vocab_size=4000, hidden_size=width, intermediate_size=3 * width,
            num_hidden_layers=layers, num_attention_heads=8, num_key_value_heads=4, tie_word_embeddings=False)).train()
        if again:
            recompute_activations(model)
        optimizers = build_optimizers(model, config)
        for _ in range(2):
            optimizer_step(model, optimizers, rows, SFT(), config, rate=1e-4)
    step(1, 64)  # what the libraries themselves take at first use
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    base = vm("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    step(6, 384)
    print(json.dumps(vm("VmHWM") - base))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
@pytest.mark.parametrize("again", [False, True])
def test_the_peak_of_a_real_step_is_near_the_plan(again: bool) -> None:
    shape = gated_decoder("x", layers=6, hidden=384, heads=8, kv_heads=4, ffn=1152, vocabulary=4000)
    train = TrainConfig(batch_size=4, token_budget=1024, epochs=1, gradient_checkpointing=again)
    work = row_work("x", shape, Rows.of([256] * 4, [128] * 4), SftSettings(train=train))
    planned = peak_bytes(list(estimate(work, parse_gpus("H100")).memory))
    command = [sys.executable, "-c", textwrap.dedent(_CHILD), "again" if again else "kept"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert planned == pytest.approx(json.loads(done.stdout), rel=0.15)
