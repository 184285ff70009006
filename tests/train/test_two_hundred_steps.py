"""200 steps are 100, a kill -9 and 100 more, to the last bit, for every trainer as its stage runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_CHILD = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    from agora.core.records import Message
    from agora.train import loop, online, stages
    from agora.train.config import TrainConfig
    from agora.train.rewards import FunctionReward, WeightedReward
    from agora.train.settings import DpoSettings, PpoSettings, RewardSettings, SftSettings
    from tests.train.test_stages import many_pairs

    kind, start, out, kill_at = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    train = TrainConfig(
        learning_rate=1e-3, epochs=200 * 8 / 60, batch_size=8, token_budget=512, checkpoint_every_s=1e-6, warmup=0.05
    )
    module, name = (online, "_update") if kind == "ppo" else (loop, "optimizer_step")
    step, done = getattr(module, name), [0]

    def counting(*args, **kwargs):
        found = step(*args, **kwargs)
        done[0] += 1
        if done[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(module, name, counting)
    pairs = many_pairs()
    if kind == "sft":
        rows = [(p.id, (*p.prompt, *p.chosen)) for p in pairs]
        result = stages.train_sft(start, rows, out, SftSettings(train=train, max_tokens=32))
    elif kind == "reward":
        result = stages.train_reward(start, pairs, out, RewardSettings(train=train, max_tokens=32))
    elif kind == "dpo":
        result = stages.train_dpo(start, pairs, out, DpoSettings(train=train, max_tokens=32))
    else:
        settings = PpoSettings(
            train=train.model_copy(update={"schedule": "constant"}), steps=200, prompts_per_step=8, response_length=4,
            temperature=1.0,
        )
        reward = WeightedReward(FunctionReward(lambda r: float(r.text.count("x")), name="x"))
        result = stages.train_ppo(start, [(p.id, p.prompt) for p in pairs], [reward], out, settings)
    print(result.steps, done[0])
    """
)


def run(kind: str, start: Path, out: Path, kill_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _CHILD, kind, str(start), str(out), str(kill_at)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sft", "reward", "dpo", "ppo"])
def test_a_hundred_steps_a_kill_and_a_hundred_more_are_two_hundred_steps(kind: str, tmp_path: Path) -> None:
    from tests.train.letters import letters_model, letters_tokenizer

    start = tmp_path / "start"
    letters_model().save_pretrained(start)
    letters_tokenizer().save_pretrained(start)
    whole = run(kind, start, tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    total, _ = map(int, whole.stdout.split())
    assert total >= 200
    killed = run(kind, start, tmp_path / "broken", 100)
    assert killed.returncode == -signal.SIGKILL
    rest = run(kind, start, tmp_path / "broken", 0)
    assert rest.returncode == 0, rest.stderr
    again, done_after = map(int, rest.stdout.split())
    assert again == total and done_after <= total - 99
    for name in ("model/model.safetensors", "train_log.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()
