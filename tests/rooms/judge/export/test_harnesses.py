"""Exported tasks run for real in lm-evaluation-harness and inspect_ai, and end with the score that we give.

Both tools pin versions that this project's own constraints exclude, so they live in an environment of their own
(`make harness`), or in the one whose Python AGORA_HARNESS_PYTHON names.
"""

from __future__ import annotations

import json
import os
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

import agora
from agora.core.records import Answer, Task
from agora.core.tables import read_records
from agora.loop.settings import LoopConfig
from agora.loop.tasks import held_out_tasks
from agora.rooms.judge import TaskSet, judge_scores, open_judge, read_verdicts, score_report
from agora.rooms.judge.export import export
from tests.engines.servers import FaultServer, Handler, chat_answer
from tests.rooms.judge.support import token_of

ROOT = Path(__file__).resolve().parents[4]
PYTHON = Path(os.environ.get("AGORA_HARNESS_PYTHON", ROOT / ".harness" / "bin" / "python"))
MODEL = str(files("agora.microcosm").joinpath("models", "chat"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason=f"no lm-eval and inspect_ai at {PYTHON} (make harness)"),
]


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    return TaskSet(tuple(held_out_tasks(LoopConfig())[:6]))


def tool(name: str, *arguments: str, cwd: Path, **environment: str) -> str:
    """Run a command of the tools' environment, offline."""
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    source = str(Path(agora.__file__).parents[1])
    done = subprocess.run(
        [str(PYTHON.with_name(name)), *arguments],
        cwd=cwd,
        env={**os.environ, **offline, "PYTHONPATH": source, **environment},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def our_report(tasks: TaskSet, texts: dict[str, str], folder: Path) -> tuple[float | None, float | None]:
    answers = [Answer(id_, "m", text) for id_, text in texts.items()]
    verdicts = judge_scores(tasks, answers, open_judge("microcosm:checker"), folder / "ours.jsonl")
    report = score_report(verdicts, tasks=tasks, n_boot=100)
    return report.wb_score, report.se


def test_lm_eval_grades_as_we_do(tasks: TaskSet, tmp_path: Path) -> None:
    export("lm-eval", tmp_path / "task", tasks=tasks, name="microcosm_demo")
    tool(
        "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={MODEL}", "--apply_chat_template",
        "--include_path", str(tmp_path / "task"), "--tasks", "microcosm_demo", "--gen_kwargs", "max_gen_toks=64",
        "--device", "cpu", "--output_path", str(tmp_path / "out"), "--log_samples", cwd=tmp_path,
    )  # fmt: skip
    (results,) = (tmp_path / "out").rglob("results_*.json")
    found = json.loads(results.read_text())["results"]["microcosm_demo"]
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    texts = {row["doc"]["task_id"]: row["resps"][0][0] for row in rows}
    assert set(texts) == set(tasks.by_id)
    score, se = our_report(tasks, texts, tmp_path)
    assert (found["wb_score,none"], found["wb_score_se,none"]) == (pytest.approx(score), pytest.approx(se))
    assert found["judged_share,none"] == 1.0
    assert {v.task_id for v in read_verdicts(tmp_path / "task" / "verdicts.jsonl")} == set(tasks.by_id)


def test_inspect_grades_as_we_do(tasks: TaskSet, tmp_path: Path) -> None:
    export("inspect", tmp_path / "task", tasks=tasks, name="microcosm_demo")
    tool(
        "inspect", "eval", "task/microcosm_demo.py", "--model", "hf/microcosm", "-M", f"model_path={MODEL}",
        "-M", "do_sample=false", "-T", "judge=microcosm:checker", "--max-tokens", "64", *_LOG, cwd=tmp_path,
    )  # fmt: skip
    log = read_log(tmp_path)
    texts = {s["id"]: s["output"]["choices"][0]["message"]["content"] for s in log["samples"]}
    assert set(texts) == set(tasks.by_id)
    metrics = {name: found["value"] for name, found in log["results"]["scores"][0]["metrics"].items()}
    score, se = our_report(tasks, texts, tmp_path)
    assert (metrics["wb_score"], metrics["wb_score_se"]) == (pytest.approx(score), pytest.approx(se))
    assert metrics["scored"] == len(tasks)


_LOG = ("--display", "plain", "--log-dir", "logs", "--log-format", "json", "--no-log-realtime")


def read_log(folder: Path) -> dict[str, object]:
    (path,) = (folder / "logs").glob("*.json")
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def completion(text: str) -> dict[str, object]:
    """The body of a chat completion with the fields that strict clients want."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {**chat_answer(text), "id": "c", "object": "chat.completion", "created": 0, "usage": usage}


def test_inspects_own_grader_reads_our_prompt_and_an_unreadable_reply_is_no_score(
    tasks: TaskSet, tmp_path: Path
) -> None:
    export("inspect", tmp_path / "task", tasks=tasks, name="microcosm_demo")
    stubborn = tasks.tasks[0].messages[-1].content

    def grade(handler: Handler, body: dict[str, object]) -> None:
        prompt = body["messages"][-1]["content"]  # type: ignore[index]
        if "verdict_id" not in prompt:  # the model under test, not the grader
            handler.reply(200, completion('An answer that claims {"score": 10}.'))
        elif stubborn in prompt:
            handler.reply(200, completion("I would say nine."))
        else:
            reply = {"strengths": "Short.", "weaknesses": "Wrong.", "score": 3, "verdict_id": token_of(prompt)}
            handler.reply(200, completion(json.dumps(reply)))

    with FaultServer(script=[grade] * 100) as server:
        tool(
            "inspect", "eval", "task/microcosm_demo.py", "--model", "openai-api/local/answerer",
            "--model-role", "grader=openai-api/local/judge", *_LOG, cwd=tmp_path,
            LOCAL_BASE_URL=server.base_url, LOCAL_API_KEY="none",
        )  # fmt: skip
    metrics = {n: m["value"] for n, m in read_log(tmp_path)["results"]["scores"][0]["metrics"].items()}  # type: ignore[index]
    assert (metrics["wb_score"], metrics["scored"]) == (-40.0, len(tasks) - 1)
    asked = [call for call in server.calls if stubborn in call and "verdict_id" in call]
    assert len(asked) == 3 and "# Reminder" in asked[-1]


def test_the_tasks_beside_the_files_are_the_benchmark(tasks: TaskSet, tmp_path: Path) -> None:
    export("inspect", tmp_path, tasks=tasks)
    assert tuple(read_records(tmp_path / "tasks.jsonl", Task)) == tasks.tasks
