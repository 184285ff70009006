"""Tokenizers made on the spot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SPECIAL = ("<|bos|>", "<|im_start|>", "<|im_end|>", "<|pad|>")


def bpe(texts: Iterable[str], template: str, vocabulary: int = 2000, special: tuple[str, ...] = SPECIAL) -> Any:
    """A byte-level BPE tokenizer trained on texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokens = {"bos_token": "<|bos|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
    make: Any = PreTrainedTokenizerFast
    fast = make(
        tokenizer_object=tokenizer,
        extra_special_tokens=[s for s in special if s not in tokens.values()],
        **{name: text for name, text in tokens.items() if text in special},
    )
    fast.chat_template = template
    return fast
