"""Other architectures: what cannot share a ragged cache runs by equal lengths, and is as exact."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from agora.engines import CompleteRequest, Sampling, ScoreRequest
from agora.engines.hf import HfEngine
from tests.tiny import make_tokenizer

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.15,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


def _build(family: str, vocabulary: int) -> Any:
    import transformers as t

    torch.manual_seed(0)
    if family == "gpt2":
        config = t.GPT2Config(
            vocab_size=vocabulary,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=256,
            initializer_range=0.15,
            eos_token_id=1,
        )
        return t.GPT2LMHeadModel(config).eval()
    if family == "mistral with a window":
        return t.MistralForCausalLM(t.MistralConfig(vocab_size=vocabulary, sliding_window=12, **SHAPE)).eval()
    if family == "gemma2 with soft caps":
        config = t.Gemma2Config(vocab_size=vocabulary, head_dim=8, sliding_window=12, query_pre_attn_scalar=8, **SHAPE)
        config._attn_implementation = "eager"
        return t.Gemma2ForCausalLM(config).eval()
    if family == "qwen3":
        return t.Qwen3ForCausalLM(t.Qwen3Config(vocab_size=vocabulary, head_dim=8, **SHAPE)).eval()
    config = t.MambaConfig(
        vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, state_size=4, eos_token_id=1, pad_token_id=0
    )
    return t.MambaForCausalLM(config).eval()


@pytest.mark.parametrize(
    ("family", "ragged", "plain_head"),
    [
        ("gpt2", True, True),
        ("qwen3", True, True),
        ("mistral with a window", False, True),
        ("gemma2 with soft caps", False, False),
    ],
)
def test_every_family_is_exact(family: str, ragged: bool, plain_head: bool) -> None:
    tokenizer = make_tokenizer()
    model = _build(family, len(tokenizer))
    engine = HfEngine.from_model(model, tokenizer, f"hf:{family}")
    assert (engine._net.ragged, engine._net.plain_head) == (ragged, plain_head)
    rng = random.Random(0)
    requests = [
        CompleteRequest(str(i), tuple(rng.randrange(6, 300) for _ in range(n)), sampling=Sampling(max_tokens=3 * i + 1))
        for i, n in enumerate((3, 20, 20, 31, 20, 3))
    ]
    for found in engine.complete(requests):
        ids = list(requests[int(found.id)].prompt_ids or ())
        with torch.no_grad():
            logits = model(torch.tensor([[*ids, *(found.token_ids or ())]]), use_cache=False).logits[0].double()
        naive = torch.log_softmax(logits, -1)[len(ids) - 1 : -1]
        tokens = torch.tensor(found.token_ids)
        assert torch.equal(naive.argmax(-1), tokens)
        assert found.logprobs == pytest.approx(naive.gather(1, tokens[:, None])[:, 0].tolist(), abs=1e-4)
    texts = [ScoreRequest(str(i), "How many apples", f" are in basket {i}?" * (i + 1)) for i in range(5)]
    for score in engine.score(texts):
        prompt = tokenizer.encode("How many apples")
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *score.token_ids]]), use_cache=False).logits[0].double()
        naive = torch.log_softmax(logits, -1)[len(prompt) - 1 : -1]
        expected = naive.gather(1, torch.tensor(score.token_ids)[:, None])[:, 0].tolist()
        assert score.logprobs == pytest.approx(expected, abs=1e-5)


def test_a_row_that_ends_early_leaves_the_equal_length_batch() -> None:
    tokenizer = make_tokenizer()
    model = _build("mistral with a window", len(tokenizer))
    engine = HfEngine.from_model(model, tokenizer)
    requests = [
        CompleteRequest(str(i), (10 + i, 20, 30), sampling=Sampling(1.0, max_tokens=1 + 5 * (i % 4), seed=i))
        for i in range(9)
    ]
    together = {g.id: g.token_ids for g in engine.complete(requests)}
    assert together == {r.id: next(engine.complete([r])).token_ids for r in requests}
