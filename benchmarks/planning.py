"""Plans against runs: tokens, operations, memory and time of real trainings on this machine.

    python benchmarks/planning.py [--rows 200] [--threads 1] [--repeats 3]

`agora plan` reckons time as operations over peak times utilization. Here the peak is what this machine reaches on one
large fp32 matrix product; the utilization is measured on SFT alone, and the plans of reward models and DPO at that
utilization are compared with their own runs. Each training runs in a process of its own; CPU seconds, so that other
work on the machine counts little; medians over repeats. The peer is the run itself.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

KINDS = ("sft", "reward", "dpo")


def peak_flops(threads: int) -> float:
    """Operations a CPU second of a large fp32 product, the best of several."""
    import torch

    torch.set_num_threads(threads)
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = 0.0
    for _ in range(20):
        started = time.process_time()
        a @ b
        best = max(best, 2 * 1024**3 / (time.process_time() - started))
    return best


def write_data(folder: Path, rows: int) -> None:
    """Conversations and pairs of the microcosm."""
    from agora.core.records import Message, PreferencePair
    from agora.core.tables import write_jsonl
    from agora.microcosm.world import World

    world, rng = World(0), random.Random(0)
    asked = [(e, world.answer(e, rng), world.flawed_answer(e, rng)) for e in world.exercises(rng, rows, split="train")]
    chats = [{"messages": [_turn("user", e.instruction), _turn("assistant", a)]} for e, a, _ in asked]
    write_jsonl(folder / "chats.jsonl", chats)
    write_jsonl(
        folder / "pairs.jsonl",
        (
            PreferencePair(
                str(i), (Message("user", e.instruction),), (Message("assistant", a),), (Message("assistant", b),)
            )
            for i, (e, a, b) in enumerate(asked)
            if a != b
        ),
    )


def _turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def run(kind: str, folder: Path, threads: int) -> dict[str, float]:
    """One training, planned and done."""
    import torch

    from agora.core.config import load_config
    from agora.rooms.preferences import stages
    from agora.rooms.preferences.plan_training import SETTINGS, training_work
    from agora.train.planning import estimate, parse_gpus

    torch.set_num_threads(threads)
    data = folder / ("chats.jsonl" if kind == "sft" else "pairs.jsonl")
    given = ["train.batch_size=16", "train.epochs=2", "train.learning_rate=1e-4", "train.share_prompts=false"]
    work, _ = training_work(kind, "microcosm:base", data=data, overrides=given)
    plan = estimate(work, parse_gpus("H100"))
    train: Any = {"sft": stages.train_sft, "reward": stages.train_reward, "dpo": stages.train_dpo}[kind]
    settings = load_config(SETTINGS[kind], None, given)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as out:
        result = train("microcosm:base", data, Path(out) / "run", settings)
    return {
        "cpu_seconds": time.process_time() - started,
        "flops": plan.flops,
        "tokens": result.tokens,
        "planned_tokens": plan.tokens,
    }


def main() -> None:
    """Print planned and measured figures and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=KINDS, help="run one training in this process and print JSON")
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    if options.side:
        print("RESULT " + json.dumps(run(options.side, options.data, options.threads)))
        return
    peak = peak_flops(options.threads)
    print(f"peak of one product: {peak / 1e9:.0f} GFLOPS a CPU second")
    utilization = 0.0
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder), options.rows)
        for kind in KINDS:
            own = ["--side", kind, "--data", folder, "--threads", str(options.threads)]
            rows = []
            for _ in range(options.repeats):
                done = subprocess.run([sys.executable, __file__, *own], capture_output=True, text=True)
                found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
                if not found:
                    sys.exit(f"{kind} failed: {done.stderr[-2000:]}")
                rows.append(json.loads(found[-1].removeprefix("RESULT ")))
            seconds = statistics.median(row["cpu_seconds"] for row in rows)
            flops, tokens, planned = (rows[0][name] for name in ("flops", "tokens", "planned_tokens"))
            utilization = utilization or flops / (peak * seconds)
            at = flops / (peak * utilization)
            print(
                f"{kind:7} tokens {planned:,} planned, {tokens:,} done; {flops:.2e} operations; "
                f"{flops / (peak * seconds):.1%} of the peak; {at:.1f} s planned at SFT's {utilization:.1%}, "
                f"{seconds:.1f} s of CPU done, ratio {at / seconds:.2f}"
            )


if __name__ == "__main__":
    main()
