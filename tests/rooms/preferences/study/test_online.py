"""Studies with reward models and PPO: what is shared, what is measured, and what is resumed after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agora.core.differences import differences
from agora.core.tables import read_json, write_json
from tests.rooms.preferences.study.conftest import Counting, online_values, run
from tests.rooms.preferences.toy import recipe_values

Shared = tuple[Path, Any, Counting, Any, Counting]  # the folder, and two studies with what each did
pytestmark = pytest.mark.timeout(600)


def studies(**values: dict[str, Any]) -> dict[str, Any]:
    return {"studies": values}


def kl_study(files: dict[str, str]) -> dict[str, Any]:
    return recipe_values(files, **online_values(files)) | studies(
        kl={"vary": "algorithm", "values": {"no pull": {"settings": {"kl_coef": 0.0}}}}
    )


def prompt_study(files: dict[str, str]) -> dict[str, Any]:
    return recipe_values(files, **online_values(files)) | studies(
        prompts={"vary": "prompts", "values": {"pairs'": {"kind": "pairs"}}}
    )


@pytest.fixture(scope="module")
def shared(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder = tmp_path_factory.mktemp("online")
    first = run(folder / "kl", kl_study(files), store=folder / "stages")
    second = run(folder / "prompts", prompt_study(files), store=folder / "stages")
    return folder, *first, *second


def test_two_plans_that_share_a_reward_model_train_it_once(
    shared: Shared,
) -> None:
    _, _, first, _, second = shared
    assert first.kinds["reward model"] == first.kinds["start model"] == 1 and first.kinds["PPO"] == 2
    assert second.kinds == {"prompts": 1, "PPO": 1, "answers": 1, "rewards": 1, "tests": 1}


def test_accuracy_best_of_n_and_policy_stand_side_by_side(shared: Shared) -> None:
    report = shared[1]
    (row,) = report.rewards
    assert row.accuracy is not None and 0 <= row.accuracy.low <= row.accuracy.estimate <= row.accuracy.high <= 1
    assert row.longer is not None and row.best_of is not None and row.best_of_n == 4
    assert row.policy == report.studies[0].baseline.mean()
    page = (shared[0] / "kl" / "report.html").read_text()
    assert "Accuracy, best-of-N and the policy trained on it, side by side" in page


def test_reward_kl_length_and_ends_are_measured_on_the_same_prompts(
    shared: Shared,
) -> None:
    arm = shared[1].studies[0].baseline
    assert arm.reward_rise is not None and arm.reward_rise.n == 24
    for name in ("kl1", "kl3", "eos_rate", "tokens_an_answer", "truth", "reward", "total"):
        assert arm.sampled(name) is not None
    assert shared[1].start.sampled("kl1") == 0.0


_PROGRAM = """
import sys
from pathlib import Path
from agora.core.config import build_config
from agora.core.runs import RunDir
from agora.core.differences import differences
from agora.core.tables import read_json
from agora.rooms.preferences.study.recipe import Recipe
from agora.rooms.preferences.study.study import run_study
from tests.rooms.preferences.toy import ToyWorkshop
recipe = build_config(Recipe, read_json(Path(sys.argv[1])))
if __name__ == "__main__":
    with RunDir.open(Path(sys.argv[2]), command="study", config=recipe.model_dump(mode="json"), seed=0) as run:
        run_study(recipe, run, workshop=ToyWorkshop(threads=1), jobs=int(sys.argv[3]))
"""


def start(recipe: Path, out: Path, jobs: int) -> subprocess.Popen[str]:
    env = {**os.environ, "AGORA_PROGRESS": "0", "OMP_NUM_THREADS": "1"}
    program = recipe.parent / "program.py"
    program.write_text(_PROGRAM)
    root = str(Path(__file__).resolve().parents[4])
    env["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [env.get("PYTHONPATH")])])
    command = [sys.executable, str(program), str(recipe), str(out), str(jobs)]
    return subprocess.Popen(command, env=env, text=True, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", ["sft-*/started.json", "reward-*/started.json", "online-*/started.json", "online-*/rollouts/*"]
)
def test_a_killed_study_goes_on_and_ends_as_an_unbroken_one(
    moment: str, files: dict[str, str], shared: Shared, tmp_path: Path
) -> None:
    recipe, out = tmp_path / "recipe.json", tmp_path / "run"
    write_json(recipe, kl_study(files))
    process = start(recipe, out, 1)
    while process.poll() is None and not list((out / "stages").glob(moment)):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stderr is not None:
        process.stderr.close()
    before = {path.parent.name for path in (out / "stages").glob("*/artifact.json")}
    report, did = run_again(out, files)
    assert len(before) + len(did.done) == len(list((out / "stages").glob("*/artifact.json")))
    assert weights(out / "stages") == {name: weights(shared[0] / "stages")[name] for name in weights(out / "stages")}
    assert differences({"all": figures(shared[1])}, {"all": figures(report)}) == {}


def weights(store: Path) -> dict[str, str]:
    """Digest of every model of a store, by its stage."""
    found = {}
    for path in store.glob("*/artifact.json"):
        files = {file["path"]: file["sha256"] for file in read_json(path)["files"]}
        if "model/model.safetensors" in files:
            found[path.parent.name] = files["model/model.safetensors"]
    return found


def run_again(out: Path, files: dict[str, str]) -> tuple[Any, Counting]:
    state = read_json(out / "run.json")
    assert state["status"] == "running"  # it had no time to say anything else
    write_json(out / "run.json", state | {"command": "agora preferences study letters"})
    return run(out, kl_study(files))


def figures(report: Any) -> dict[str, Any]:
    rows = {f"{arm.arm.label}, {row.seed}": row for study in report.studies for arm in study.arms for row in arm.seeds}
    return {name: {"figures": r.figures, "sampled": r.sampled, "tokens": r.tokens} for name, r in rows.items()}


@pytest.mark.slow
def test_two_processes_find_what_one_finds(files: dict[str, str], shared: Shared, tmp_path: Path) -> None:
    recipe, out = tmp_path / "recipe.json", tmp_path / "run"
    write_json(recipe, kl_study(files))
    process = start(recipe, out, 2)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert weights(out / "stages") == {name: weights(shared[0] / "stages")[name] for name in weights(out / "stages")}
