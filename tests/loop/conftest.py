"""A loop small enough for tests: the real thing with fewer rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agora.loop.settings import LoopConfig

SMALL = (
    "visitors=12",
    "instructions=160",
    "sft_rows=100",
    "tasks=40",
    "pairs.prompts=40",
    "sft.train.epochs=3",
    "dpo.train.epochs=1",
    "reward.train.epochs=1",
    "ppo.steps=3",
    "ppo.prompts_per_step=16",
    "sft.train.batch_size=16",
    "dpo.train.batch_size=8",
    "reward.train.batch_size=8",
    "ppo.train.batch_size=16",
    *(f"{name}.train.checkpoint_every_s=0.01" for name in ("sft", "dpo", "reward", "ppo")),
)


@pytest.fixture
def small() -> LoopConfig:
    from agora.core.config import load_config

    return load_config(LoopConfig, None, SMALL)


def agora(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real command in a process of its own."""
    env = {**os.environ, "AGORA_PROGRESS": "0", "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", "agora.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=280)


def loop_arguments(out: Path, *more: str) -> list[str]:
    return ["loop", "--out", str(out), "--json", *(x for item in SMALL for x in ("--set", item)), *more]


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result
