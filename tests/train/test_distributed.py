"""Several processes do what one does: the same losses, the same files, exact resume; alone nothing changes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from agora.core.errors import ConfigError
from agora.core.tables import write_jsonl
from agora.train import loop
from agora.train.batch import micro_batches
from agora.train.checkpoint import Checkpoints
from agora.train.config import TrainConfig
from agora.train.distributed import World, from_first, in_turn, join, shared_micro_batches, sums, world
from agora.train.objectives import DPO, SFT
from agora.train.sharded import ShardedCheckpoints
from tests.train.letters import letters_model, letters_tokenizer
from tests.train.spread_job import groups_of

ROOT = Path(__file__).resolve().parents[2]
SAME = ("sft", "reward", "dpo", "untied, recomputed, few tokens", "chunked head", "one group a step", "lora", "saved")
ROUNDED = {"bf16": 2e-2, "lora in bf16": 2e-2}  # bf16 rounds in other places when weights are gathered in it


def torchrun(*arguments: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    """Run a module in several gloo processes on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    launcher += ["--master-port", port, "-m", *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(launcher, cwd=ROOT, env=env, capture_output=True, text=True, timeout=280)


def relative_gap(a: list[dict[str, Any]], b: list[dict[str, Any]], key: str) -> float:
    assert len(a) == len(b) > 0
    return max(abs(x[key] - y[key]) / abs(x[key]) for x, y in zip(a, b, strict=True))


@pytest.mark.slow
def test_two_processes_have_the_losses_and_leave_the_files_of_one(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    done = torchrun("tests.train.spread_job", str(two), *SAME, *ROUNDED)
    assert done.returncode == 0, done.stderr[-3000:]
    alone = [sys.executable, "-m", "tests.train.spread_job", str(one), *SAME, *ROUNDED]
    subprocess.run(alone, cwd=ROOT, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
    for name in (*SAME, *ROUNDED):
        logs = [json.loads((folder / f"{name}.json").read_text()) for folder in (one, two)]
        for key in ("loss", "grad_norm"):
            assert relative_gap(*logs, key) < ROUNDED.get(name, 1e-5), (name, key)
        assert logs[0][0].keys() == logs[1][0].keys()
    for file in (
        "saved/saved/model.safetensors",
        "lora/merged/model.safetensors",
        "lora/adapter/adapter_model.safetensors",
    ):
        a, b = load_file(one / file), load_file(two / file)
        assert a.keys() == b.keys() and all(torch.allclose(a[key], b[key], atol=1e-4) for key in a), file
    for part in ("config.json", "generation_config.json"):
        assert (one / "saved/saved" / part).read_text() == (two / "saved/saved" / part).read_text()


@pytest.mark.slow
def test_spread_training_resumes_with_the_same_bits_dropout_included(tmp_path: Path) -> None:
    done = torchrun("tests.train.spread_job", str(tmp_path), "resume", "resume adapters")
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("resume", "resume adapters"):
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert found["same"] and found["resumed"] == found["whole"] and found["kept"] == 2


@pytest.mark.slow
def test_the_command_line_trains_spread_and_only_the_first_process_speaks(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    letters_model().save_pretrained(tmp_path / "start")
    letters_tokenizer().save_pretrained(tmp_path / "start")
    rows = [
        {"messages": [{"role": "user", "content": "ab"[i % 2]}, {"role": "assistant", "content": "hello"[: 2 + i % 4]}]}
        for i in range(20)
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    given = ("--model", str(tmp_path / "start"), "--data", str(tmp_path / "rows.jsonl"))
    settings = ("--set", "train.batch_size=6", "--set", "train.learning_rate=1e-3")
    out = ("--out", str(tmp_path / "run"))
    done = torchrun("agora.cli", "train", "sft", *given, *settings, *out, "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["rows"] == 20  # one JSON object, not two
    AutoModelForCausalLM.from_pretrained(tmp_path / "run/model")
    alone = [sys.executable, "-m", "agora.cli", "train", "sft", *given, *settings, "--out", str(tmp_path / "alone")]
    subprocess.run(alone, cwd=ROOT, check=True, capture_output=True)
    logs = [
        [json.loads(line) for line in (tmp_path / name / "train_log.jsonl").read_text().splitlines()]
        for name in ("run", "alone")
    ]
    assert relative_gap(*logs, "loss") < 1e-5
    refused = torchrun("agora.cli", "train", "sft", *given, *out, "--set", "train.batch_size=2")
    assert refused.returncode != 0 and refused.stderr.count("agora: ") == 1
    assert "this run was started differently" in refused.stderr


def test_alone_nothing_is_shared_and_nothing_waits() -> None:
    groups = groups_of("dpo")
    assert world() == World(0, 1)
    assert from_first("x") == "x" and sums({"loss": 2.0}) == {"loss": 2.0}
    with join() as here, in_turn():
        assert here.is_first
    plain = [indices for indices, _ in micro_batches(groups, 100)]
    shared = list(shared_micro_batches(groups, 100))
    assert [[g[0].id for g in s.groups] for s in shared] == [[groups[i][0].id for i in part] for part in plain]
    assert all(s.weight == 1.0 for s in shared)


@pytest.mark.parametrize(
    ("objective", "config", "said"),
    [
        (DPO({}, loss="aot"), TrainConfig(), "dpo:aot looks at all pairs at once"),
        (DPO({}, loss="bco_pair"), TrainConfig(), "dpo:bco_pair looks at all pairs at once"),
        (SFT(), TrainConfig(optimizer="muon"), "muon needs whole matrices"),
    ],
)
def test_what_cannot_be_spread_is_refused(objective: Any, config: TrainConfig, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loop._refuse_unspreadable(objective, config)


def test_checkpoints_of_one_and_of_several_processes_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/step-00000003.pt").touch()
    with pytest.raises(ConfigError, match="made by one process; go on without torchrun"):
        ShardedCheckpoints(tmp_path / "one", {}).load({}, {})
    (tmp_path / "several/step-00000003").mkdir(parents=True)
    with pytest.raises(ConfigError, match="made by several processes; go on with torchrun"):
        Checkpoints(tmp_path / "several", {}).load({}, {})
