"""A tiny real model made on the spot: random Llama weights, a byte-level BPE tokenizer, the product's chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_TEXT = (
    "The quick brown fox jumps over the lazy dog. A model answers a question, and a person reads the answer. "
    "How many apples are in the basket? There are seven apples, said Anna; Ben counted them twice. "
    "Sort these words: pear, apple, fig. Write a short story about a river that forgets its name. "
    "Summarize the text in one sentence! 12 + 30 = 42. Überraschung, señor: naïve café № 5 — 你好，世界。\n"
)
_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('unknown role ' + m['role']) }}{% endif %}"
    "<|{{ m['role'] }}|>{{ m['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|doc|>")


def make_tokenizer(vocabulary: int = 400, *, chat_template: bool = True) -> Any:
    """A `PreTrainedTokenizerFast` over bytes, trained on a few lines."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_TEXT] * 4, trainer)
    make: Any = PreTrainedTokenizerFast
    fast = make(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        extra_special_tokens=[t for t in SPECIAL if t not in ("<|pad|>", "<|end|>")],
    )
    if chat_template:
        fast.chat_template = _TEMPLATE
    return fast


def make_model(
    vocabulary: int,
    seed: int = 0,
    *,
    layers: int = 2,
    width: int = 48,
    heads: int = 4,
    kv_heads: int = 2,
    context: int = 512,
) -> Any:
    """A random Llama in fp32. Weights are large enough that its distributions are far from flat."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        initializer_range=0.15,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        model: Any = LlamaForCausalLM(config)
    finally:
        torch.random.set_rng_state(state)
    return model.eval()


def make_tiny_model(path: Path, seed: int = 0, *, chat_template: bool = True, **shape: int) -> Path:
    """Write a tiny model folder (config, safetensors, tokenizer, template) that `transformers` can load.

    Args:
        path: the folder to make.
        seed: of the weights.
        chat_template: whether the tokenizer gets one.
        shape: ``layers, width, heads, kv_heads, context`` of the model.
    """
    tokenizer = make_tokenizer(chat_template=chat_template)
    model = make_model(len(tokenizer), seed, **shape)
    model.generation_config.eos_token_id = 1
    model.generation_config.pad_token_id = 0
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
