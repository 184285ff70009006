"""Small models made on the spot."""

from __future__ import annotations

from typing import Any

import pytest


def tiny_llama(*, vocab_size: int = 97, seed: int = 0, **more: Any) -> Any:
    """A random two-layer Llama in eval mode, fp32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "initializer_range": 0.2,  # far from uniform, so that a wrong token would show
    }
    return LlamaForCausalLM(LlamaConfig(vocab_size=vocab_size, **{**config, **more})).eval()


@pytest.fixture
def model() -> Any:
    return tiny_llama()
