"""How many tokens a micro-batch should hold on this machine, and from when on sharing a prompt pays.

    python benchmarks/micro_batches.py [--threads 1] [--repeats 3]

One DPO forward and backward over 160 pairs with log-normal answer lengths, on the microcosm's architecture, for several
lengths of the prompt; tokens of both sides per CPU second, medians. There is no peer: the sides compared are our own.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch

from agora.train import batch as batches
from agora.train.batch import EncodedSequence, Group, micro_batches
from agora.train.models import load_policy
from agora.train.objectives import DPO, StepTotals, reference_logprobs

PAIRS, STEP = 160, 16
BUDGETS = (512, 1024, 2048, 8192)


def make_pairs(prompt: int, answer: int = 24) -> list[Group]:
    """Random pairs that share a prompt of ``prompt`` tokens."""
    rng = np.random.default_rng(0)
    pairs: list[Group] = []
    for i in range(PAIRS):
        ids = rng.integers(10, 1000, prompt).astype(np.int32)
        rows = []
        for _ in range(2):
            own = rng.integers(10, 1000, max(2, round(float(rng.lognormal(np.log(answer) - 0.18, 0.6))))).astype(
                np.int32
            )
            mask = np.r_[np.zeros(prompt), np.ones(len(own))].astype(np.uint8)
            rows.append(EncodedSequence(str(i), np.r_[ids, own], mask))
        pairs.append((rows[0], rows[1]))
    return pairs


def rate(model: Any, pairs: list[Group], objective: DPO, budget: int, share: bool) -> float:
    """Tokens per CPU second."""
    batches._CPU_TOKENS = budget
    started = time.process_time()
    for start in range(0, len(pairs), STEP):
        step = pairs[start : start + STEP]
        totals = StepTotals.of(step)
        for indices, batch in micro_batches(step, budget, share_prompts=share):
            loss, _ = objective.loss(model, batch, [step[i] for i in indices], totals)
            torch.autograd.backward(loss)
        model.zero_grad()
    return sum(len(row) for pair in pairs for row in pair) / (time.process_time() - started)


def main() -> None:
    """Print one line per prompt length and budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, _ = load_policy("microcosm:base")
    batches._SHARE_WHEN_SAVED = -1.0  # share always, to see where it stops paying
    print(f"{'prompt':>6} {'saved':>6} {'budget':>7} {'plain tok/s':>12} {'shared tok/s':>13} {'ratio':>6}")
    for prompt in (4, 12, 24, 48, 96):
        pairs = make_pairs(prompt)
        total = sum(len(row) for pair in pairs for row in pair)
        objective = DPO(reference_logprobs(model, pairs))
        for budget in BUDGETS:
            rates = {
                share: statistics.median(rate(model, pairs, objective, budget, share) for _ in range(options.repeats))
                for share in (False, True)
            }
            saved = PAIRS * prompt / total
            print(
                f"{prompt:6} {saved:6.0%} {budget:7} {rates[False]:12.0f} {rates[True]:13.0f} "
                f"{rates[True] / rates[False]:6.2f}"
            )


if __name__ == "__main__":
    main()
