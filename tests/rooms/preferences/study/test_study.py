"""A whole study on the toy task: what is shared, reused, recomputed, detected and reported. Every training is real."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agora.core.errors import ConfigError, DataError
from agora.core.tables import read_json, read_rows, write_json
from agora.rooms.preferences.study.result import StudyReport
from tests.rooms.preferences.study.conftest import Counting, run
from tests.rooms.preferences.toy import recipe_values

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def finished(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyReport, Counting]:
    folder = tmp_path_factory.mktemp("study") / "run"
    return folder, *run(folder, recipe_values(files))


@pytest.fixture
def copied(finished: tuple[Path, StudyReport, Counting], tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished[0], tmp_path / "run"))


def stage_folders(folder: Path, kind: str, label: str = "") -> list[Path]:
    found = [path.parent for path in sorted((folder / "stages").glob(f"{kind}-*/artifact.json"))]
    return [path for path in found if label in read_json(path / "artifact.json")["label"]]


def test_three_conversions_and_two_seeds_are_six_dpo_runs_and_one_sft_run(
    finished: tuple[Path, StudyReport, Counting],
) -> None:
    folder, report, did = finished
    assert did.kinds["start model"] == 1 and did.kinds["DPO"] == 6
    (study,) = report.studies
    assert [arm.arm.value for arm in study.arms] == ["true", "noisy", "longer"]
    for arm in study.arms[1:]:
        effect = arm.effect()
        assert effect is not None and set(effect.by_seed) == {0, 1}
        assert effect.difference.low <= effect.difference.estimate <= effect.difference.high
        assert "10,000 resamples" in effect.difference.method
    page = (folder / "report.html").read_text()
    assert all(
        text in page for text in ("Proof of what differs", "p (Holm)", "seed by seed", "agora preferences study")
    )


def test_running_again_computes_nothing_and_finds_the_same(
    finished: tuple[Path, StudyReport, Counting], copied: Path, files: dict[str, str]
) -> None:
    again, did = run(copied, recipe_values(files))
    assert did.done == []
    assert again.as_json()["studies"] == finished[1].as_json()["studies"]


def test_deleting_one_checkpoint_recomputes_it_and_its_descendants_alone(copied: Path, files: dict[str, str]) -> None:
    (folder,) = stage_folders(copied, "dpo", "noisy, seed 1")
    shutil.rmtree(folder / "model")
    _, did = run(copied, recipe_values(files))
    name = "labels: noisy, seed 1"
    assert sorted(did.done) == sorted([f"DPO ({name})", f"answers of {name}", f"tests of {name}"])


@pytest.mark.slow
def test_deleting_the_start_model_recomputes_everything_that_grew_from_it(copied: Path, files: dict[str, str]) -> None:
    (folder,) = stage_folders(copied, "sft")
    shutil.rmtree(folder)
    _, did = run(copied, recipe_values(files))
    assert did.kinds == {"start model": 1, "DPO": 6, "answers": 7, "tests": 7}


def test_a_learning_rate_edited_by_hand_is_detected_and_named(copied: Path, files: dict[str, str]) -> None:
    (folder,) = stage_folders(copied, "dpo", "longer, seed 0")
    record = read_json(folder / "artifact.json")
    record["config"]["settings"]["train"]["learning_rate"] = 0.5
    write_json(folder / "artifact.json", record)
    with pytest.raises(DataError, match=r"DPO \(labels: longer, seed 0\) was changed by hand.*learning_rate"):
        run(copied, recipe_values(files))


def test_a_file_edited_by_hand_is_detected_and_named(copied: Path, files: dict[str, str]) -> None:
    (folder,) = stage_folders(copied, "dpo", "true, seed 0")
    card = read_json(folder / "stage.json")
    card["settings"]["train"]["learning_rate"] = 0.5
    write_json(folder / "stage.json", card)
    with pytest.raises(DataError, match=r"changed after the stage was made: stage\.json"):
        run(copied, recipe_values(files))


def test_a_confounded_study_is_refused_and_labeled_when_forced(tmp_path: Path, files: dict[str, str]) -> None:
    values = recipe_values(files, seeds=[0])
    reach = {"algorithm": {"settings": {"train": {"learning_rate": 2e-3}}}}
    values["studies"]["labels"]["values"] = {"noisy": {"sources": [{"path": files["noisy"]}], "with": reach}}
    with pytest.raises(ConfigError, match="learning_rate"):
        run(tmp_path / "run", values)
    assert not (tmp_path / "run" / "stages").exists()
    report, _ = run(tmp_path / "run", values, force=True)
    assert report.confounded and "confounded" in " ".join(report.recommendation)
    assert "(confounded)" in (tmp_path / "run" / "report.html").read_text()


def test_seconds_and_tokens_of_the_stages_sum_to_the_whole(finished: tuple[Path, StudyReport, Counting]) -> None:
    folder, report, _ = finished
    cost = report.cost
    assert cost.stage_seconds + cost.overhead_seconds == pytest.approx(cost.total_seconds, rel=0.02)
    assert sum(row.seconds for row in cost.rows) == pytest.approx(cost.stage_seconds, rel=0.02)
    trained = sum(row.tokens or 0 for row in cost.rows if row.kind in ("sft", "dpo"))
    logs = [
        row
        for kind in ("sft", "dpo")
        for path in stage_folders(folder, kind)
        for _, row in read_rows(path / "train_log.jsonl")
    ]
    assert trained == sum(row["tokens"] for row in logs)


@pytest.mark.slow
def test_only_one_value_runs_it_and_its_baseline_and_the_rest_follows_later(
    tmp_path: Path, files: dict[str, str]
) -> None:
    values = recipe_values(files, seeds=[0])
    first, did = run(tmp_path / "run", values, only=["noisy"])
    assert [arm.arm.value for arm in first.studies[0].arms] == ["true", "noisy"] and did.kinds["DPO"] == 2
    whole, did = run(tmp_path / "run", values)
    assert len(whole.studies[0].arms) == 3 and did.kinds == {"DPO": 1, "answers": 1, "tests": 1, "pairs": 1}


@pytest.mark.slow
def test_arms_get_as_many_pairs_as_the_smallest_and_the_same_prompts(tmp_path: Path, files: dict[str, str]) -> None:
    values = recipe_values(files, seeds=[0])
    values["fixed"]["match_rows"] = "min"
    values["studies"]["labels"]["values"] = {"few": {"sources": [{"path": files["noisy"], "rows": 60}]}}
    report, _ = run(tmp_path / "run", values)
    assert [row.rows for arm in report.studies[0].arms for row in arm.seeds] == [60, 60]


@pytest.mark.slow
def test_updates_are_matched_to_the_baseline(tmp_path: Path, files: dict[str, str]) -> None:
    values = recipe_values(files, seeds=[0])
    values["fixed"]["match"] = "updates"
    values["studies"]["labels"]["values"] = {"few": {"sources": [{"path": files["noisy"], "rows": 60}]}}
    report, _ = run(tmp_path / "run", values)
    base, few = (arm.seeds[0].budgets["policy"] for arm in report.studies[0].arms)
    assert base.updates == few.updates == 3 and few.epochs == pytest.approx(3 / 2)
