"""What is missing for a late stage of the loop is told before the first minute of work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agora.core.config import load_config
from agora.core.errors import AgoraError, EngineError, MissingError, UsageError
from agora.core.runs import RunDir
from agora.loop.flow import close_loop
from agora.loop.needs import check_needs
from agora.loop.settings import LoopConfig
from tests.engines.servers import FaultServer

DOWN = "http://127.0.0.1:9/v1#m"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def config_of(*settings: str) -> LoopConfig:
    return load_config(LoopConfig, None, settings)


@pytest.mark.parametrize(
    ("setting", "error", "words"),
    [
        (f"model={DOWN}", EngineError, "connection refused; start the server"),
        ("model=openai:m", MissingError, "OPENAI_API_KEY is not set; export"),
        (f"judge={DOWN}", EngineError, "connection refused; start the server"),
        ("judge=nonsense", UsageError, "not an engine URI; write"),
        ("judge=microcosm:cheker", UsageError, "microcosm:checker"),
        ("judge=replay:nowhere.jsonl", MissingError, "nowhere.jsonl: no such file"),
        ("student=hf:/nowhere", MissingError, "/nowhere: no such model folder"),
        (f"student={DOWN}", UsageError, "cannot be trained.*use microcosm:base"),
        ("student=microcosm:bas", UsageError, "did you mean microcosm:base"),
    ],
)
def test_a_model_that_a_late_stage_lacks_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, error: type[AgoraError], words: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = config_of(setting)
    with RunDir.open(tmp_path / "run", command="agora loop", config=config.model_dump(mode="json"), seed=0) as run:
        with pytest.raises(error, match=words) as caught:
            close_loop(config, run)
        assert "\n" not in str(caught.value)
        assert not run.done("tasks")


def test_a_wrong_key_is_told_at_once(tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.key = "right"
    monkeypatch.setenv("AGORA_API_KEY", "wrong-key")
    config = config_of(f"judge={server.base_url}#m")
    stored = config.model_dump(mode="json")
    with (
        RunDir.open(tmp_path / "run", command="agora loop", config=stored, seed=0) as run,
        pytest.raises(EngineError, match=r"key refused \(401\).*set AGORA_API_KEY") as caught,
    ):
        check_needs(run, config)
    assert "wrong-key" not in str(caught.value)


def test_stages_that_are_done_need_nothing(tmp_path: Path) -> None:
    config = config_of(f"model={DOWN}", f"judge={DOWN}", "student=hf:/nowhere")
    with RunDir.open(tmp_path / "run", command="agora loop", config=config.model_dump(mode="json"), seed=0) as run:
        for name in ("data", "sft", "judge"):
            with run.stage(name):
                pass
        check_needs(run, config)
