"""PPO against the last TRL release that had a PPO trainer: same models, same prompts, fp32, same threads.

    pip install --no-deps --target /tmp/trl-1.12 trl==1.12.0
    python benchmarks/ppo.py --peer /tmp/trl-1.12 [--repeats 3] [--threads 2] [--vocabulary 16384]

What the peer does: TRL 1.12 (`trl.experimental.ppo`; gone in 1.16) pads every rollout to its longest response, projects
the whole vocabulary at every position of policy and reference, and runs the value model over prompt and response padded
alike. Both sides start from the microcosm's chat model (whose vocabulary of 1,024 tokens is widened to that of usual
models by tokens that are never sampled) with a reward model on the same backbone, sample at temperature
1, take one update a rollout with the same batch and learning rate, and stop at the same number of responses. The
responses are each side's own samples, so their token counts are printed beside the times. Each side runs in a process
of its own; medians of alternating repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BATCH = 32
RESPONSE_LENGTH = 64
RATE = 1e-5


def load(threads: int, vocabulary: int) -> tuple[Any, Any, Any]:
    """(policy, reward model, tokenizer)."""
    import torch

    from agora.engines.registry import microcosm_folder
    from agora.train.models import load_policy
    from agora.train.reward_model import new_reward_model

    torch.set_num_threads(threads)
    policy, tokenizer = load_policy("microcosm:chat")
    reward_model = new_reward_model(str(microcosm_folder("chat")), seed=0)
    if vocabulary > policy.config.vocab_size:
        widen(policy, reward_model, tokenizer, vocabulary)
    return policy, reward_model, tokenizer


def widen(policy: Any, reward_model: Any, tokenizer: Any, vocabulary: int) -> None:
    """Give models as many tokens as usual ones have, the new ones with practically no probability."""
    import torch

    from agora.core.records import Message
    from agora.engines.hf import HfEngine
    from agora.train.rollout import encode_prompts, sample_responses

    old = policy.config.vocab_size
    given = [(str(i), (Message("user", text),)) for i, text in enumerate(instructions(256))]
    prompts, _ = encode_prompts(tokenizer, given, max_tokens=512)
    drawn = sample_responses(
        HfEngine.from_model(policy, tokenizer),
        prompts,
        num_generations=1,
        temperature=1.0,
        max_tokens=64,
        seed=1,
        step=0,
    )
    with torch.no_grad():
        states = [
            policy.get_decoder()(input_ids=torch.from_numpy(s.row.input_ids).long()[None]).last_hidden_state[0]
            for s in drawn
        ]
        hidden = torch.cat([state[-s.response.n_tokens - 1 :] for state, s in zip(states, drawn, strict=True)])
        # the direction along which all states of answers lie about equally far
        common = torch.linalg.lstsq(hidden, torch.ones(len(hidden), 1)).solution[:, 0]
        for model in (policy, reward_model):
            model.resize_token_embeddings(vocabulary, mean_resizing=False)
        policy.get_input_embeddings().weight[old:] = -300 * common


def instructions(n: int) -> list[str]:
    """Instructions of the microcosm, the same for both sides."""
    from agora.microcosm.world import World

    return [e.instruction for e in World(0).exercises(random.Random(0), n, split="train")]


def run_ours(n: int, threads: int, vocabulary: int) -> dict[str, float]:
    """Seconds and sampled tokens of our trainer."""
    import copy

    from agora.core.records import Message
    from agora.train.config import TrainConfig
    from agora.train.online import train_online
    from agora.train.online_config import OnlineConfig
    from agora.train.reward_model import score_conversations
    from agora.train.rewards import ScorerReward, WeightedReward
    from agora.train.rollout import encode_prompts

    policy, reward_model, tokenizer = load(threads, vocabulary)
    given = [(str(i), (Message("user", text),)) for i, text in enumerate(instructions(n))]
    config = OnlineConfig(
        train=TrainConfig(learning_rate=RATE, schedule="constant", warmup=0, epochs=1, batch_size=BATCH),
        prompts_per_step=BATCH,
        temperature=1.0,
        response_length=RESPONSE_LENGTH,
        missing_eos_penalty=None,
    )
    prompts, _ = encode_prompts(tokenizer, given, max_tokens=512)
    frozen = copy.deepcopy(reward_model).eval()
    reward = ScorerReward(lambda c: score_conversations(frozen, tokenizer, c), name="reward")
    started, cpu = time.perf_counter(), time.process_time()
    result = train_online(policy, tokenizer, prompts, [WeightedReward(reward)], config, value_model=reward_model)
    seconds = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    return {**seconds, "samples": result.samples, "tokens": result.response_tokens}


def run_peer(n: int, threads: int, vocabulary: int) -> dict[str, float]:
    """Seconds and sampled tokens of TRL's trainer; tokenization is outside the clock."""
    import copy
    import tempfile
    import warnings

    warnings.simplefilter("ignore")
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from datasets import Dataset
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    policy, reward_model, tokenizer = load(threads, vocabulary)
    tokenizer.padding_side = "left"
    rows = [
        {
            "input_ids": tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
            )
        }
        for text in instructions(n)
    ]
    counted = [0]
    generate = policy.generate

    def counting(*args: Any, **kwargs: Any) -> Any:
        out = generate(*args, **kwargs)
        sequences = out.sequences if hasattr(out, "sequences") else out
        responses = sequences[:, kwargs["input_ids"].shape[1] :]
        ended = (responses == tokenizer.eos_token_id).int()
        first = ended.argmax(1) + 1
        lengths = first.where(ended.any(1), first.new_full((len(first),), responses.shape[1]))
        counted[0] += int(lengths.sum())
        return out

    policy.generate = counting
    with tempfile.TemporaryDirectory() as folder:
        config = PPOConfig(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            gradient_accumulation_steps=1,
            num_mini_batches=1,
            num_ppo_epochs=1,
            total_episodes=n,
            response_length=RESPONSE_LENGTH,
            local_rollout_forward_batch_size=BATCH,
            temperature=1.0,
            stop_token="eos",
            learning_rate=RATE,
            lr_scheduler_type="constant",
            kl_coef=0.05,
            num_sample_generations=0,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=1000,
            seed=0,
        )
        trainer = PPOTrainer(
            args=config,
            processing_class=tokenizer,
            model=policy,
            ref_model=copy.deepcopy(policy),
            reward_model=copy.deepcopy(reward_model).eval(),
            value_model=reward_model,
            train_dataset=Dataset.from_list(rows),
            eval_dataset=Dataset.from_list(rows[:BATCH]),
        )
        started, cpu = time.perf_counter(), time.process_time()
        trainer.train()
        seconds = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
        return {**seconds, "samples": n, "tokens": counted[0]}


def main() -> None:
    """Print samples and tokens per second of both sides and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, help="folder that `pip install --target` put TRL 1.12 into")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=16384, help="1024 leaves the shipped model as it is")
    parser.add_argument("--side", choices=["ours", "peer"], help="run one side in this process and print JSON")
    options = parser.parse_args()
    if options.side:
        run = run_ours if options.side == "ours" else run_peer
        print("RESULT " + json.dumps(run(options.samples, options.threads, options.vocabulary)))
        return
    if options.peer is None:
        print("ppo: skipped, --peer names no folder with TRL 1.12 (see the head of this file)")
        return
    rates: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
    samples_text = str(options.samples)
    for _ in range(options.repeats):
        for side in rates:
            path = f"{options.peer}{os.pathsep}" if side == "peer" else ""
            found = subprocess.run(
                [
                    sys.executable,
                    __file__,
                    "--side",
                    side,
                    "--threads",
                    str(options.threads),
                    "--samples",
                    samples_text,
                    "--vocabulary",
                    str(options.vocabulary),
                ],
                env={**os.environ, "PYTHONPATH": path + os.environ.get("PYTHONPATH", "")},
                capture_output=True,
                text=True,
            )
            lines = [line for line in found.stdout.splitlines() if line.startswith("RESULT ")]
            if not lines:
                sys.exit(f"{side} failed: {found.stderr[-2000:]}")
            rates[side].append(json.loads(lines[-1].removeprefix("RESULT ")))
    for side, rows in rates.items():
        samples = statistics.median(r["samples"] / r["seconds"] for r in rows)
        tokens = statistics.median(r["tokens"] / r["seconds"] for r in rows)
        mean = statistics.median(r["tokens"] / r["samples"] for r in rows)
        print(f"{side:5} {samples:7.2f} samples/s {tokens:8.0f} response tokens/s, {mean:.1f} tokens a response")
    for name, clock in (("seconds", "second"), ("cpu", "CPU second")):  # the second says more where others compute too
        ratios = [
            (a["tokens"] / a[name]) / (b["tokens"] / b[name]) for a, b in zip(rates["ours"], rates["peer"], strict=True)
        ]
        print(f"ratio of response tokens a {clock}", f"{statistics.median(ratios):.2f}", *(f"{r:.2f}" for r in ratios))


if __name__ == "__main__":
    main()
