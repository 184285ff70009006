"""Tokens per second of the in-process engine beside a bare loop and `transformers`' own ``generate``.

Two workloads on one random Llama, greedy, with the same prompts and the same number of new tokens in every contender:

- even: prompts of one length, the same number of new tokens. Nothing to gain, so this shows the engine's overhead.
- ragged: prompts and answers of many lengths, three batches long. The bare loops pad on the left, run a batch until its
  longest answer is done and count only the tokens asked for.

Rounds are interleaved; medians over rounds are reported with the spread. On a shared machine read the CPU seconds.

    python benchmarks/engine_overhead.py [--threads 1] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


class Item(NamedTuple):
    """A prompt and how many tokens to draw after it."""

    prompt: list[int]
    tokens: int


def build(layers: int, width: int, vocabulary: int) -> tuple[Any, Any]:
    """A random Llama of the microcosm's shape, and a tokenizer without an end token so that lengths are exact."""
    from tests.tiny import make_model, make_tokenizer

    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    model = make_model(vocabulary, 0, layers=layers, width=width, heads=width // 32, kv_heads=width // 32, context=1024)
    model.generation_config.eos_token_id = None
    model.config.eos_token_id = None
    return model, tokenizer


def even(rows: int, prompt: int, tokens: int, vocabulary: int) -> list[Item]:
    """Rows that are alike."""
    rng = random.Random(0)
    return [Item([rng.randrange(6, vocabulary) for _ in range(prompt)], tokens) for _ in range(rows)]


def ragged(rows: int, vocabulary: int) -> list[Item]:
    """Rows of many lengths."""
    rng = random.Random(1)
    return [
        Item([rng.randrange(6, vocabulary) for _ in range(rng.randint(8, 96))], rng.randint(8, 160))
        for _ in range(rows)
    ]


def run_bare(model: Any, items: list[Item], batch: int) -> None:
    """Forward, argmax, append: the least a generation loop can do (left-padded where prompts differ)."""
    import torch
    from transformers import DynamicCache

    for start in range(0, len(items), batch):
        part = items[start : start + batch]
        longest = max(len(i.prompt) for i in part)
        ids = torch.tensor([[0] * (longest - len(i.prompt)) + i.prompt for i in part])
        mask = torch.tensor([[0] * (longest - len(i.prompt)) + [1] * len(i.prompt) for i in part])
        padded = bool((mask == 0).any())
        cache = DynamicCache(config=model.config)
        drawn = []
        with torch.inference_mode():
            for _ in range(max(i.tokens for i in part)):
                more: dict[str, Any] = {}
                if padded:
                    position = mask.cumsum(-1) - 1
                    more = {"attention_mask": mask, "position_ids": position.clamp(min=0)[:, -ids.shape[1] :]}
                    mask = torch.nn.functional.pad(mask, (0, 1), value=1)
                logits = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **more).logits
                ids = logits[:, -1].argmax(-1, keepdim=True)
                drawn.append(ids)
            torch.cat(drawn, 1).tolist()


def run_generate(model: Any, items: list[Item], batch: int) -> None:
    """The library's own loop."""
    import torch

    for start in range(0, len(items), batch):
        part = items[start : start + batch]
        longest = max(len(i.prompt) for i in part)
        ids = torch.tensor([[0] * (longest - len(i.prompt)) + i.prompt for i in part])
        mask = torch.tensor([[0] * (longest - len(i.prompt)) + [1] * len(i.prompt) for i in part])
        model.generate(
            ids, attention_mask=mask, do_sample=False, max_new_tokens=max(i.tokens for i in part), pad_token_id=0
        ).tolist()


def run_engine(engine: Any, items: list[Item], temperature: float = 0.0) -> None:
    """Ours, text and log-probabilities included."""
    from agora.engines import CompleteRequest, Sampling

    requests = [
        CompleteRequest(str(n), tuple(i.prompt), sampling=Sampling(temperature, max_tokens=i.tokens, seed=n))
        for n, i in enumerate(items)
    ]
    drawn = sum(g.usage.completion_tokens for g in engine.complete(requests))
    assert drawn == sum(i.tokens for i in items), "the engine drew another number of tokens than asked for"


def measure(contenders: dict[str, Callable[[], None]], tokens: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median tokens/s by wall clock and by CPU seconds of each contender, rounds interleaved after one warm-up."""
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for round_index in range(rounds + 1):
        for name, call in contenders.items():
            t0, c0 = time.perf_counter(), time.process_time()
            call()
            if round_index:
                wall[name].append(time.perf_counter() - t0)
                cpu[name].append(time.process_time() - c0)
    return {
        name: {
            "tokens_per_s": tokens / statistics.median(wall[name]),
            "tokens_per_cpu_s": tokens / statistics.median(cpu[name]),
            "slowest": tokens / max(wall[name]),
            "fastest": tokens / min(wall[name]),
        }
        for name in contenders
    }


def main() -> None:
    """Measure both workloads and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=None, help="torch threads (default: torch's own)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--vocabulary", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    import torch

    from agora.engines.hf import HfEngine

    if args.threads:
        torch.set_num_threads(args.threads)
    model, tokenizer = build(args.layers, args.width, args.vocabulary)
    engine = HfEngine.from_model(model, tokenizer)
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "batch": args.batch, "rounds": args.rounds}
    for name, items in (
        ("even", even(args.batch, 48, 96, args.vocabulary)),
        ("ragged", ragged(3 * args.batch, args.vocabulary)),
    ):
        by_length = sorted(items, key=lambda i: len(i.prompt))
        contenders: dict[str, Callable[[], None]] = {
            "bare loop": lambda items=by_length: run_bare(model, items, args.batch),
            "transformers generate": lambda items=by_length: run_generate(model, items, args.batch),
            "engine, greedy": lambda items=items: run_engine(engine, items),
            "engine, sampled": lambda items=items: run_engine(engine, items, 1.0),
        }
        results = measure(contenders, sum(i.tokens for i in items), args.rounds)
        for row in results.values():
            row["ratio_to_bare"] = row["tokens_per_cpu_s"] / results["bare loop"]["tokens_per_cpu_s"]
        found[name] = results
    if args.json:
        print(json.dumps(found))
        return
    for name in ("even", "ragged"):
        print(f"{name}: tokens/s (wall; slowest..fastest), tokens per CPU second, ratio to the bare loop (CPU)")
        for contender, r in found[name].items():
            spread = f"{r['tokens_per_s']:7.0f} ({r['slowest']:.0f}..{r['fastest']:.0f})"
            print(f"  {contender:22} {spread:26} {r['tokens_per_cpu_s']:7.0f}  {r['ratio_to_bare']:.2f}")


if __name__ == "__main__":
    main()
