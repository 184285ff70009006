"""Train the two shipped models from the seed: ``base`` on documents, ``chat`` on conversations.

``chat`` branches off after the first half of the documents; ``base`` reads on, because a minute of fine-tuning can only
bring out skills, such as copying from the prompt, that it already has. Both use the package's one step loop. About two
hours on one CPU core; minutes on a GPU.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agora.core.files import make_folder
from agora.core.records import stable_id
from agora.microcosm.tokenizer import train_tokenizer
from agora.microcosm.world import World
from agora.train.batch import EncodedSequence, Group
from agora.train.config import TrainConfig
from agora.train.loop import StepLog, train
from agora.train.objectives import SFT
from agora.train.render import encode_chat

OnProgress = Callable[[str, StepLog], None]
TWO_TURN_SHARE = 0.1
SYSTEM_SHARE = 0.1
# Rows on which the user's turn is a target too: enough to be able to write instructions ("Magpied"), while most of the
# gradient goes to answering. Two polishes at falling rates sharpen both, the last one the writing above all.
USER_TARGET_SHARE = {"chat": 0.4, "polish": 0.6, "finish": 0.8}

_STAGE_TOKENS = ("shared_tokens", "base_tokens", "chat_tokens", "polish_tokens", "finish_tokens")


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """What the shipped models are made from. Token counts are training tokens."""

    world_seed: int = 0
    seed: int = 0
    vocab_size: int = 1024
    hidden_size: int = 192
    num_layers: int = 4
    num_heads: int = 6
    num_kv_heads: int = 3
    shared_tokens: int = 5_000_000
    base_tokens: int = 4_000_000
    chat_tokens: int = 9_000_000
    polish_tokens: int = 2_500_000
    finish_tokens: int = 3_500_000
    block: int = 256
    tokens_per_step: int = 4096
    shared_learning_rate: float = 4e-3
    learning_rate: float = 3e-3
    polish_learning_rate: float = 1e-3
    finish_learning_rate: float = 7e-4

    @property
    def total_tokens(self) -> int:
        """Training tokens of all stages."""
        return sum(getattr(self, name) for name in _STAGE_TOKENS)

    def scaled(self, share: float) -> BuildConfig:
        """The same build with a share of the training tokens of every stage."""
        counts: dict[str, Any] = {name: round(getattr(self, name) * share) for name in _STAGE_TOKENS}
        return replace(self, **counts)


def build_models(out: Path, config: BuildConfig, *, on_progress: OnProgress | None = None) -> dict[str, float]:
    """Train the tokenizer, ``base`` and ``chat`` into ``out/base`` and ``out/chat``.

    A build that was interrupted goes on from its last checkpoint under ``out/work``.

    Returns:
        Seconds spent on each stage.

    Raises:
        AgoraError: ``out`` cannot be made.
    """
    import torch

    make_folder(out)  # hours of training should not end at a folder that cannot be written
    device = "cuda" if torch.cuda.is_available() else "cpu"
    world = World(config.world_seed)
    tokenizer = train_tokenizer(_tokenizer_texts(world, config.seed), config.vocab_size)
    shared = new_model(tokenizer, config).to(device)
    seconds: dict[str, float] = {}

    def run(name: str, model: Any, rows: Iterator[EncodedSequence], rate: float) -> None:
        started = time.monotonic()
        on_step = None if on_progress is None else (lambda step: on_progress(name, step))
        groups: list[Group] = [(row,) for row in rows]
        settings = _settings(groups, config, rate, bf16=device == "cuda")
        train(model, groups, SFT(), settings, checkpoint_dir=out / "work" / name, on_step=on_step)
        seconds[name] = round(time.monotonic() - started, 1)

    run("shared", shared, document_rows(world, tokenizer, config, part="shared"), config.shared_learning_rate)
    chat = copy.deepcopy(shared)
    run("base", shared, document_rows(world, tokenizer, config, part="base"), config.learning_rate)
    run("chat", chat, chat_rows(world, tokenizer, config, part="chat"), config.learning_rate)
    run("polish", chat, chat_rows(world, tokenizer, config, part="polish"), config.polish_learning_rate)
    run("finish", chat, chat_rows(world, tokenizer, config, part="finish"), config.finish_learning_rate)
    for name, model in (("base", shared), ("chat", chat)):
        model.save_pretrained(out / name)
        tokenizer.save_pretrained(out / name)
    return seconds


def document_rows(world: World, tokenizer: Any, config: BuildConfig, *, part: str) -> Iterator[EncodedSequence]:
    """Documents, each opened by ``<|doc|>``, packed into blocks; every token is a target.

    Args:
        part: ``shared`` (what both models read) or ``base`` (what base alone reads on).
    """
    total = config.shared_tokens if part == "shared" else config.base_tokens
    separator = tokenizer.convert_tokens_to_ids("<|doc|>")
    rng = random.Random(f"documents/{config.seed}" + ("" if part == "shared" else f"/{part}"))
    buffer: list[int] = []
    made = 0
    while made < total:
        texts = [document.text for document in world.documents(rng, 1000)]
        for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
            buffer += [separator, *ids]
        while len(buffer) >= config.block and made < total:
            block, buffer = buffer[: config.block], buffer[config.block :]
            made += len(block)
            mask = np.ones(len(block), dtype=np.uint8)
            yield EncodedSequence(f"doc-{made}", np.asarray(block, dtype=np.int32), mask)


def chat_rows(world: World, tokenizer: Any, config: BuildConfig, *, part: str) -> Iterator[EncodedSequence]:
    """Conversations of one or two exercises, some under a system prompt that names the kind of help.

    Args:
        part: ``chat``, ``polish`` or ``finish``; other rows, and another share of user turns among the targets.
    """
    total = {"chat": config.chat_tokens, "polish": config.polish_tokens, "finish": config.finish_tokens}[part]
    rng = random.Random(f"{part}/{config.seed}")
    made = 0
    exercises = world.exercises(rng, 100_000_000, split="train")
    while made < total:
        first = next(exercises)
        messages = []
        if rng.random() < SYSTEM_SHARE:
            messages.append({"role": "system", "content": system_prompt(first.category)})
        turns = [first, next(exercises)] if rng.random() < TWO_TURN_SHARE else [first]
        for exercise in turns:
            messages.append({"role": "user", "content": exercise.instruction})
            messages.append({"role": "assistant", "content": world.answer(exercise, rng)})
        targets = "all" if rng.random() < USER_TARGET_SHARE[part] else "assistant"
        row = encode_chat(tokenizer, messages, id=stable_id(made), targets=targets, max_tokens=512)
        if row is not None:
            made += len(row)
            yield row


def system_prompt(category: str) -> str:
    """The system prompt under which ``chat`` was shown instructions of one category."""
    return f"You are an assistant for {category.lower()}."


def _settings(groups: list[Group], config: BuildConfig, rate: float, *, bf16: bool) -> TrainConfig:
    tokens = sum(len(group[0]) for group in groups)
    return TrainConfig(
        learning_rate=rate,
        min_learning_rate=rate / 50,
        schedule="cosine",
        warmup=0.02,
        epochs=1,
        batch_size=max(1, round(config.tokens_per_step * len(groups) / tokens)),
        token_budget=config.tokens_per_step,
        optimizer="muon",
        adam_betas=(0.9, 0.95),
        weight_decay=0.01,
        seed=config.seed,
        bf16=bf16,
        checkpoint_every_s=120,
    )


def describe(config: BuildConfig) -> dict[str, Any]:
    """The build's settings as JSON."""
    return asdict(config)


def _tokenizer_texts(world: World, seed: int) -> Iterator[str]:
    rng = random.Random(f"tokenizer/{seed}")
    for document in world.documents(rng, 6000):
        yield document.text
    for exercise in world.exercises(rng, 6000, split="train"):
        yield exercise.instruction
        yield exercise.reference


def new_model(tokenizer: Any, config: BuildConfig) -> Any:
    """A Llama with random weights that the seed of the configuration decides, in fp32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(config.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=round(config.hidden_size * 8 / 3 / 64) * 64,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads,
            tie_word_embeddings=True,
            max_position_embeddings=1024,
            initializer_range=0.02,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
