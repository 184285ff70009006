"""Running toy studies and counting what they do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agora.core.config import build_config
from agora.core.runs import RunDir
from agora.rooms.preferences.study.recipe import Recipe
from agora.rooms.preferences.study.result import StudyReport
from agora.rooms.preferences.study.study import run_study
from tests.rooms.preferences.toy import ToyWorkshop, write_files


class Counting(ToyWorkshop):
    """Remembers what it did."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.done: list[str] = []

    def perform(self, root: Path, job: Any) -> Any:
        self.done.append(job.label)
        return super().perform(root, job)

    @property
    def kinds(self) -> Counter[str]:
        return Counter(label.split(" (")[0].split(" of ")[0] for label in self.done)


def run(folder: Path, values: dict[str, Any], **more: Any) -> tuple[StudyReport, Counting]:
    workshop = Counting()
    recipe = build_config(Recipe, values)
    command = "agora preferences study letters"
    with RunDir.open(folder, command=command, config=recipe.model_dump(mode="json"), seed=0) as opened:
        return run_study(recipe, opened, workshop=workshop, **more), workshop


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_files(tmp_path_factory.mktemp("toy"))


def online_values(files: dict[str, str], **settings: Any) -> dict[str, Any]:
    """Blocks of a small PPO study over the toy's files, to be laid over a recipe's."""
    return {
        "algorithm": {
            "name": "ppo",
            "settings": {
                "steps": 2,
                "prompts_per_step": 16,
                "num_ppo_epochs": 2,
                "temperature": 1.0,
                "max_prompt_tokens": 16,
                "response_length": 14,
                "train": {"learning_rate": 1e-3, "batch_size": 16, "warmup": 0.0, "schedule": "constant"},
                **settings,
            },
        },
        "reward_model": {
            "settings": {
                "max_tokens": 32,
                "valid_share": 0.1,
                "train": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 32},
            }
        },
        "prompts": {"kind": "files", "sources": [{"path": files["prompts"]}]},
        "seeds": [0],
    }
