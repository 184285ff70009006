"""A toy language of letters whose true reward is known, and a small model that speaks it."""

from __future__ import annotations

from string import ascii_lowercase
from typing import Any

from agora.core.records import Message
from agora.train.rollout import Prompt, encode_prompts

_TEMPLATE = (
    "{% for m in messages %}{{ m['content'] }}{% if m['role'] == 'assistant' %}<end>{% else %}:{% endif %}{% endfor %}"
)


def letters_tokenizer() -> Any:
    """One token a letter; a prompt is letters and a colon."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<end>", ":", *ascii_lowercase]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<end>")
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def letters_model(seed: int = 0, *, width: int = 32) -> Any:
    """A two-layer Llama over the letters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=29,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=0,
        )
    )
    return model.eval()


def value_model(seed: int = 1, *, width: int = 32) -> Any:
    """A scalar model of the same shape with a fresh head."""
    import torch
    from transformers import LlamaForSequenceClassification

    config = letters_model(width=width).config
    config.num_labels = 1
    torch.manual_seed(seed)
    return LlamaForSequenceClassification(config).eval()


def letter_prompts(n: int = 4) -> list[Prompt]:
    """Prompts of one letter each."""
    given = [(f"p{i}", (Message("user", ascii_lowercase[i % 26]),)) for i in range(n)]
    return encode_prompts(letters_tokenizer(), given, max_tokens=16)[0]
