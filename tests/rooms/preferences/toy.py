"""A task so small that every training of a study is real and takes a second: answer with letters, best with a to e.

A prompt is three random letters; an answer is 4 to 10 letters, uniform after fine-tuning; its true reward is the share
of the letters a to e among its letters (uniform: 5 of 26).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agora.core.records import Message, PreferencePair, PromptItem
from agora.core.tables import write_jsonl
from agora.engines.types import Sampling
from agora.rooms.preferences.scorers import Scorer, answer_text
from agora.rooms.preferences.study.blocks import EvaluateBlock
from agora.rooms.preferences.study.work import Workshop
from agora.rooms.preferences.suite.protocol import Answered, Ask, Request, Test
from agora.rooms.preferences.types import EvalItem, EvalResult

LETTERS = "abcdefghijklmnopqrstuvwxyz"
GOOD = "abcde"
_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<bos>{{ m['content'] }}|"
    "{% else %}{{ m['content'] }}<eos>{% endif %}{% endfor %}"
)


def true_reward(text: str) -> float:
    """Share of the letters a to e."""
    letters = [c for c in text if c in LETTERS]
    return sum(c in GOOD for c in letters) / len(letters) if letters else 0.0


def make_base(folder: Path, seed: int = 0) -> Path:
    """The untrained model: Llama of two layers over 32 tokens, with its tokenizer."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<bos>", "<eos>", *LETTERS, "|", "<30>", "<31>"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<31>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<31>"
    )
    fast.chat_template = _TEMPLATE
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def random_answer(rng: random.Random) -> str:
    """4 to 10 uniform letters."""
    return "".join(rng.choices(LETTERS, k=rng.randint(4, 10)))


def write_demonstrations(path: Path, n: int, seed: int = 0) -> Path:
    """Conversations with random answers."""
    rng = random.Random(f"demonstrations/{seed}")
    rows = [
        {
            "messages": [
                {"role": "user", "content": "".join(rng.choices(LETTERS, k=3))},
                {"role": "assistant", "content": random_answer(rng)},
            ]
        }
        for _ in range(n)
    ]
    write_jsonl(path, rows)
    return path


def write_pairs(path: Path, n: int, *, label: str = "true", noise: float = 0.0, seed: int = 0) -> Path:
    """Pairs of random answers; prompts and answers depend on the seed alone, labels on the rule and its noise.

    Args:
        label: ``true`` prefers the true reward, ``longer`` the longer answer.
        noise: share of labels that are turned round.
    """
    rng = random.Random(f"pairs/{seed}")
    flips = random.Random(f"flips/{seed}")
    made = []
    while len(made) < n:
        prompt = "".join(rng.choices(LETTERS, k=3))
        two = [random_answer(rng), random_answer(rng)]
        value = true_reward if label == "true" else len
        if true_reward(two[0]) == true_reward(two[1]) or len(two[0]) == len(two[1]):
            continue
        better = sorted(two, key=value, reverse=True)
        if flips.random() < noise:
            better.reverse()
        made.append(
            PreferencePair(
                f"pair-{len(made)}",
                (Message("user", prompt),),
                (Message("assistant", better[0]),),
                (Message("assistant", better[1]),),
            )
        )
    write_jsonl(path, made)
    return path


def write_prompts(path: Path, n: int, seed: int = 0) -> Path:
    """Prompts to sample for."""
    rng = random.Random(f"prompts/{seed}")
    texts = sorted({"".join(rng.choices(LETTERS, k=3)) for _ in range(2 * n)})
    rng.shuffle(texts)
    write_jsonl(path, [PromptItem(f"prompt-{text}", (Message("user", text),)) for text in texts[:n]])
    return path


class LetterTest(Test):
    """The true reward of one sampled answer a prompt."""

    name, category, unit = "letters", "letters", "% of letters a to e"

    def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
        rng = random.Random(f"letter test/{seed}")
        texts = ["".join(rng.choices(LETTERS, k=3)) for _ in range(80 if limit is None else limit)]
        return [
            EvalItem(self.name, self.category, f"{i}-{text}", (Message("user", text),)) for i, text in enumerate(texts)
        ]

    def request(self, item: EvalItem) -> Request:
        return Ask(Sampling(temperature=1.0, max_tokens=16))

    def score(self, answered: Answered) -> EvalResult:
        return answered.result(self.value(answered.texts[0]))

    def value(self, text: str) -> float:
        return true_reward(text)


class ShortTest(LetterTest):
    """Whether an answer keeps to at most ten letters."""

    name, category, unit = "short", "form", "% of at most ten letters"

    def value(self, text: str) -> float:
        return float(len(text) <= 10)


class ToyWorkshop(Workshop):
    """The study's own work, with the toy's tests and truth."""

    def tests(self, block: EvaluateBlock) -> Sequence[Test]:
        return [LetterTest(), ShortTest()]

    def truth(self, uri: str) -> Scorer:
        return lambda conversations: [true_reward(answer_text(talk)) for talk in conversations]


def write_files(folder: Path, *, demonstrations: int = 192, pairs: int = 96, prompts: int = 32) -> dict[str, str]:
    """The base model and all files of the task.

    Returns:
        Names to put into a recipe: ``base, sft, pairs, noisy, longer, prompts, held``.
    """
    make_base(folder / "base")
    return {
        "base": f"hf:{folder / 'base'}",
        "sft": str(write_demonstrations(folder / "sft.jsonl", demonstrations)),
        "pairs": str(write_pairs(folder / "pairs.jsonl", pairs)),
        "noisy": str(write_pairs(folder / "noisy.jsonl", pairs, noise=0.5)),
        "longer": str(write_pairs(folder / "longer.jsonl", pairs, label="longer")),
        "prompts": str(write_prompts(folder / "prompts.jsonl", prompts)),
        "held": str(write_prompts(folder / "held.jsonl", 24, seed=1)),
    }


def recipe_values(files: dict[str, str], **more: Any) -> dict[str, Any]:
    """A recipe over the toy's files; `more` replaces top-level keys."""
    values: dict[str, Any] = {
        "title": "Letters",
        "fixed": {
            "model": files["base"],
            "start": {
                "data": {"kind": "files", "source": {"path": files["sft"]}},
                "settings": {"train": {"learning_rate": 3e-3, "epochs": 3, "batch_size": 64}, "max_tokens": 32},
            },
            "evaluate": {"tests": ["toy"], "limit": 24},
            "measure": {
                "prompts": {"kind": "files", "sources": [{"path": files["held"]}]},
                "rows": 24,
                "max_tokens": 16,
                "best_of": 4,
                "truth": "toy",
            },
        },
        "data": {"kind": "files", "sources": [{"path": files["pairs"]}]},
        "algorithm": {
            "name": "dpo",
            "settings": {"train": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 32}, "max_tokens": 32},
        },
        "seeds": [0, 1],
        "studies": {
            "labels": {
                "vary": "data",
                "baseline": "true",
                "values": {
                    "noisy": {"sources": [{"path": files["noisy"]}]},
                    "longer": {"sources": [{"path": files["longer"]}]},
                },
            }
        },
    }
    return {**values, **more}
