"""What each of several processes does in the tests of spread training; run by ``torchrun``, or alone.

python -m tests.train.spread_job OUT CASE...
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agora.train.config import TrainConfig
from agora.train.distributed import join, world
from agora.train.doctor import check_start
from agora.train.loop import train
from agora.train.lora import LoraSettings
from agora.train.models import Trainee, prepare, save_model
from agora.train.objectives import DPO, SFT, RewardLoss, reference_logprobs
from agora.train.settings import ModelSettings
from tests.train import naive
from tests.train.conftest import tiny_llama
from tests.train.letters import letters_tokenizer, value_model

CONFIG = TrainConfig(learning_rate=3e-3, epochs=3, batch_size=5, token_budget=60, checkpoint_every_s=1e-6)


def groups_of(kind: str) -> list[Any]:
    """13 groups of unlike length: 3 steps an epoch, the last of 3 groups."""
    pairs = naive.random_pairs(np.random.default_rng(0), 13, longest=12)
    if kind == "sft":
        return [(pair[0],) for pair in pairs]
    if kind == "reward":  # the reward model knows 29 tokens
        for pair in pairs:
            for row in pair:
                row.input_ids[:] %= 29
    return pairs


def start(kind: str, lora: LoraSettings | None = None, config: TrainConfig = CONFIG, **more: Any) -> Trainee:
    """A model of its kind, ready to train here."""
    model = value_model() if kind == "reward" else tiny_llama(**more)
    return prepare(model, letters_tokenizer(), ModelSettings(train=config, lora=lora))


def run(kind: str, trainee: Trainee, config: TrainConfig = CONFIG, **more: Any) -> list[dict[str, Any]]:
    """Train; the log."""
    groups = groups_of(kind)
    objective: Any = SFT() if kind == "sft" else RewardLoss() if kind == "reward" else None
    if objective is None:
        check_start(trainee.model, groups)
        objective = DPO(reference_logprobs(trainee.model, groups))
    return list(train(trainee.model, groups, objective, config, **more).log)


def case(name: str, out: Path) -> Any:
    """One case: what it leaves besides files."""
    if name in ("sft", "reward", "dpo"):
        return run(name, start(name))
    if name == "untied, recomputed, few tokens":
        trainee = start("dpo", tie_word_embeddings=False)
        return run("dpo", trainee, CONFIG.model_copy(update={"token_budget": 16, "gradient_checkpointing": True}))
    if name == "chunked head":
        from agora.train import logprobs

        logprobs.KEEP_LOGITS, logprobs.CHUNK_ELEMENTS = 97, 970
        return run("sft", start("sft"))
    if name == "bf16":
        config = CONFIG.model_copy(update={"bf16": True})
        return run("reward", start("reward", config=config), config)
    if name == "one group a step":
        return run("dpo", start("dpo"), CONFIG.model_copy(update={"batch_size": 1, "epochs": 0.3}))
    if name in ("lora", "lora in bf16"):
        trainee = start("dpo", LoraSettings(r=4, bf16_base="bf16" in name))
        log = run("dpo", trainee)
        assert trainee.adapters is not None
        trainee.adapters.save(out / "adapter")
        trainee.adapters.merge()
        save_model(trainee.model, trainee.tokenizer, out / "merged")
        return log
    if name == "saved":
        trainee = start("sft")
        log = run("sft", trainee)
        save_model(trainee.model, trainee.tokenizer, out / "saved")
        return log
    return resumed(out, LoraSettings(r=4, dropout=0.2) if "adapters" in name else None)


def resumed(out: Path, lora: LoraSettings | None) -> Any:
    """An unbroken run, and one that is stopped and goes on: their logs, and whether they end with the same bits."""

    def stop(entry: Any) -> None:
        if entry.step > 4:
            raise KeyboardInterrupt

    folder = out / "checkpoints" if world().is_first else out / "elsewhere"  # the first process's counts
    unbroken = start("dpo", lora)
    whole = run("dpo", unbroken)
    with suppress(KeyboardInterrupt):
        run("dpo", start("dpo", lora), checkpoint_dir=folder, on_step=stop)
    again = start("dpo", lora)
    log = run("dpo", again, checkpoint_dir=folder)
    same = all(
        torch.equal(_local(a), _local(b))
        for a, b in zip(unbroken.model.parameters(), again.model.parameters(), strict=True)
    )
    return {"whole": whole, "resumed": log, "same": same, "kept": len(list(folder.glob("step-*")))}


def _local(parameter: Any) -> torch.Tensor:
    found: torch.Tensor = parameter.to_local() if hasattr(parameter, "to_local") else parameter
    return found


def main() -> None:
    """Run the cases; the first process writes what they left."""
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    with join() as here:
        for name in sys.argv[2:]:
            (out / name).mkdir(parents=True, exist_ok=True)
            found = case(name, out / name)
            if here.is_first:
                (out / f"{name}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
