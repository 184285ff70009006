"""SFT, DPO and reward models against TRL's trainers: same model, same rows, same batches, fp32, same threads.

    python benchmarks/training.py [--repeats 3] [--threads 1]

What the peer does: TRL 1.16 pads every batch to its longest row, projects the whole vocabulary at every position and
(without precomputing) runs the reference model in each step. It is given its best settings on a CPU: fp32, no gradient
checkpointing, reference log-probabilities precomputed. Both sides are timed from tokenized rows to the last optimizer
step, the reference pass included; medians of alternating repeats. First both take one step on the same rows and their
losses are printed side by side. Rates are tokens per CPU second, which other programs on the machine
disturb less than the clock on the wall; with one thread and an idle machine the two are the same.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from agora.core.records import Message, PreferencePair
from agora.train.config import TrainConfig
from agora.train.loop import train
from agora.train.objectives import DPO, SFT, RewardLoss, reference_logprobs
from agora.train.render import encode_chat, encode_pair

VOCABULARY = 16_384
BATCH = 8
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|> {{ m['content'] }}{% if m['role'] == 'assistant' %} <|end|>{% endif %} "
    "{% endfor %}{% if add_generation_prompt %}<|assistant|> {% endif %}"
)
# mean lengths in words: (prompt, chosen, rejected); each row's are log-normal around them, as in real sets
SHAPES = {"HH-like": (104, 36, 41), "long answers": (172, 133, 149)}


def make_tokenizer() -> Any:
    """Whitespace words as tokens, so that both sides see the very same ids."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<|end|>", "<|user|>", "<|assistant|>", "<unk>"]
    words = special + [f"w{i}" for i in range(VOCABULARY - len(special))]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<|end|>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_model(tokenizer: Any) -> Any:
    """A Llama of about 8 million parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=256,
            intermediate_size=704,
            num_hidden_layers=5,
            num_attention_heads=8,
            num_key_value_heads=8,
            tie_word_embeddings=True,
            max_position_embeddings=2048,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def make_pairs(shape: tuple[int, int, int], n: int) -> list[PreferencePair]:
    """Random words with log-normal lengths."""
    rng = np.random.default_rng(0)

    def words(mean: int) -> str:
        count = max(2, round(float(rng.lognormal(np.log(mean) - 0.32, 0.8))))
        return " ".join(f"w{i}" for i in rng.integers(0, 4000, min(count, 900)))

    return [
        PreferencePair(
            str(i),
            (Message("user", words(shape[0])),),
            (Message("assistant", words(shape[1])),),
            (Message("assistant", words(shape[2])),),
        )
        for i in range(n)
    ]


def as_reward_model(model: Any) -> Any:
    """The same backbone with a scalar head of fixed weights."""
    from transformers import LlamaForSequenceClassification

    config = copy.deepcopy(model.config)
    config.num_labels = 1
    torch.manual_seed(1)
    reward = LlamaForSequenceClassification(config)
    reward.model.load_state_dict(model.model.state_dict())
    return reward


class Run(NamedTuple):
    """One training: wall and CPU seconds, the loss of its first batch, real tokens (0 where not counted)."""

    wall_s: float
    cpu_s: float
    first_loss: float
    tokens: int


def ours(kind: str, model: Any, tokenizer: Any, pairs: list[PreferencePair]) -> Run:
    """The training as `agora train` runs it, on rows that are tokenized."""
    config = TrainConfig(
        learning_rate=1e-6, schedule="constant", warmup=0, epochs=1, batch_size=BATCH, token_budget=4096
    )
    if kind == "sft":
        groups: list[Any] = [(encode_chat(tokenizer, (*pair.prompt, *pair.chosen), id=pair.id),) for pair in pairs]
    else:
        groups = [encode_pair(tokenizer, pair) for pair in pairs]
    model = as_reward_model(model) if kind == "reward" else model
    started = time.perf_counter(), time.process_time()
    objective: Any = {"sft": SFT, "reward": RewardLoss}.get(kind, lambda: DPO(reference_logprobs(model, groups)))()
    result = train(model, groups, objective, config)
    return Run(*_since(started), result.log[0]["loss"], result.tokens)


def _since(started: tuple[float, float]) -> tuple[float, float]:
    return time.perf_counter() - started[0], time.process_time() - started[1]


def peer(kind: str, model: Any, tokenizer: Any, pairs: list[PreferencePair]) -> Run:
    """The same with TRL's trainer; tokenization is outside the clock."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

    rows = [
        {
            "prompt": [p.prompt[0].as_chat()],
            **(
                {"chosen": [p.chosen[0].as_chat()], "rejected": [p.rejected[0].as_chat()]}
                if kind != "sft"
                else {"completion": [p.chosen[0].as_chat()]}
            ),
        }
        for p in pairs
    ]
    common: dict[str, Any] = {
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": 1,
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "max_length": None,
        "seed": 0,
    }
    with tempfile.TemporaryDirectory() as folder:
        data = Dataset.from_list(rows)
        trainer: Any
        if kind == "dpo":
            settings = DPOConfig(output_dir=folder, precompute_ref_log_probs=True, **common)
            trainer = DPOTrainer(model=model, args=settings, train_dataset=data, processing_class=tokenizer)
        elif kind == "reward":
            trainer = RewardTrainer(
                model=as_reward_model(model),
                args=RewardConfig(output_dir=folder, **common),
                train_dataset=data,
                processing_class=tokenizer,
            )
        else:
            trainer = SFTTrainer(
                model=model, args=SFTConfig(output_dir=folder, **common), train_dataset=data, processing_class=tokenizer
            )
        started = time.perf_counter(), time.process_time()
        trainer.train()
        seconds = _since(started)
        first = next(row["loss"] for row in trainer.state.log_history if "loss" in row)
    return Run(*seconds, float(first), 0)


def main() -> None:
    """Print one line per kind and shape: tokens per second, ratio, first losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--kinds", default="sft,dpo,reward")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    tokenizer = make_tokenizer()
    fresh = make_model(tokenizer)
    sides: dict[str, Callable[..., Run]] = {"ours": ours, "trl": peer}
    print(
        f"{'kind':6} {'rows':13} {'ours tok/s':>11} {'trl tok/s':>10} {'ratio':>6} {'wall':>6}  ratios of pairs of runs"
    )
    for kind in options.kinds.split(","):
        for label, shape in SHAPES.items():
            pairs = make_pairs(shape, options.pairs)
            losses = [run(kind, copy.deepcopy(fresh), tokenizer, pairs[:BATCH]).first_loss for run in sides.values()]
            gap = abs(losses[0] - losses[1]) / abs(losses[1])
            runs: dict[str, list[Run]] = {name: [] for name in sides}
            for repeat in range(options.repeats + 1):
                for name, run in sides.items():
                    done = run(kind, copy.deepcopy(fresh), tokenizer, pairs)
                    if repeat:  # the first round warms up
                        runs[name].append(done)
            both = list(zip(runs["ours"], runs["trl"], strict=True))
            ratios = [peer.cpu_s / own.cpu_s for own, peer in both]
            wall = statistics.median(peer.wall_s / own.wall_s for own, peer in both)
            tokens = runs["ours"][0].tokens
            rate = {name: tokens / statistics.median(r.cpu_s for r in many) for name, many in runs.items()}
            print(
                f"{kind:6} {label:13} {rate['ours']:11.0f} {rate['trl']:10.0f} "
                f"{statistics.median(ratios):6.2f} {wall:6.2f}  "
                + " ".join(f"{r:.2f}" for r in ratios)
                + f"  first losses {losses[0]:.6f} {losses[1]:.6f} (relative gap {gap:.1e})",
                flush=True,
            )


if __name__ == "__main__":
    main()
