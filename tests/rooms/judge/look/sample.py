"""A small judged benchmark with all that a page must bear: two judges, both orders, gaps, private and hostile texts."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from agora.core.records import Answer, Message, Task, Verdict
from agora.core.tables import write_jsonl
from agora.rooms.judge.look.data import TAGS
from tests.rooms.judge.support import make_pair, make_score

HOSTILE = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">{{7*7}}"
SCRIPTS = "مرحبا بالعالم \u202e desrever 日本語 עברית ไทย 🧑🏽‍🚀 Z̷͓̈a̷l̷g̷o̷"
MODELS = ("alpha", "beta", "gamma", "delta", "weak baseline", "strong baseline")
BASELINES = ("weak baseline", "strong baseline")
ABILITY = dict(zip(MODELS, (7.5, 6.8, 6.7, 4.0, 3.0, 8.5), strict=True))


class Sample(NamedTuple):
    """Where the sample's files are, and what is in them."""

    folder: Path
    tasks: Path
    answers: Path
    verdicts: list[Verdict]
    task_list: list[Task]


def make_tasks(n: int, rng: random.Random) -> list[Task]:
    tasks = []
    for i in range(n):
        first, second = rng.sample(TAGS, 2)
        history = (Message("user", "Hello."), Message("assistant", "Hello, how can I help?")) if i % 3 == 0 else ()
        query = (
            f"Plan number {i}: write a summary of chapter {i} for a reader who has little time, in at most five lines."
        )
        query = {1: HOSTILE, 2: SCRIPTS}.get(i, query)
        tasks.append(
            Task(
                f"task-{i:03d}",
                "Demo",
                "1",
                (*history, Message("user", query)),
                checklist=("Is the summary at most five lines long?", "Does it name the main point?", HOSTILE),
                intent="Save a reader time.",
                primary_tag=first,
                secondary_tags=(second,) if i % 2 else (),
                difficulty="hard",
                split="private" if i == 5 else "public",
            )
        )
    return tasks


def make_sample(folder: Path, *, n: int = 60, seed: int = 0, two_judges: bool = True) -> Sample:
    """Write the sample's files."""
    rng = random.Random(seed)
    tasks = make_tasks(n, rng)
    answers = {(t.id, m): _answer(t, m, rng) for t in tasks for m in MODELS}
    verdicts = [v for judge in ("judge-1", "judge-2")[: 1 + two_judges] for v in _verdicts(judge, tasks, answers, rng)]
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / "tasks.jsonl", tasks)
    write_jsonl(folder / "answers.jsonl", list(answers.values()))
    for judge in {v.judge for v in verdicts}:
        write_jsonl(folder / "verdicts" / f"{judge}.jsonl", [v for v in verdicts if v.judge == judge])
    return Sample(folder / "verdicts", folder / "tasks.jsonl", folder / "answers.jsonl", verdicts, tasks)


def _answer(task: Task, model: str, rng: random.Random) -> Answer:
    if task.id == "task-007" and model == "alpha":
        return Answer(task.id, model, "")
    if task.id == "task-001":
        return Answer(task.id, model, HOSTILE * 3)
    if task.id == "task-002":
        return Answer(task.id, model, SCRIPTS * 20)
    if task.id == "task-003" and model == "beta":
        return Answer(task.id, model, "A very long answer. " * 50_000)
    words = rng.choices(
        ("point", "chapter", "reader", "summary", "time", "line", "argument", "however"), k=rng.randint(20, 400)
    )
    return Answer(task.id, model, f"{model} says: " + " ".join(words))


def _verdicts(
    judge: str, tasks: list[Task], answers: dict[tuple[str, str], Answer], rng: random.Random
) -> list[Verdict]:
    out: list[Verdict] = []
    for task in tasks:
        for model in MODELS if judge == "judge-1" else MODELS[:3]:
            if model == "delta" and int(task.id[-3:]) % 8 == 0:
                continue  # delta is partial: never judged on every eighth task
            n_chars = len(answers[task.id, model].output)
            reasons = {"strengths": f"It is clear. {HOSTILE}", "weaknesses": "It could be shorter."}
            value: float | None = min(10.0, max(1.0, float(round(rng.gauss(ABILITY[model], 1.8)))))
            if rng.random() < 0.02:
                value, reasons = None, {}
            extra = {
                "n_chars": n_chars,
                "parsed": reasons,
                "raw_text": "" if value else "I cannot say.",
                "usage": {"prompt_tokens": 900, "completion_tokens": 120, "cost_usd": 0.004},
            }
            out.append(make_score(task.id, value, model, judge, **extra))
            if judge == "judge-1":
                out += _pairs(task, model, answers, rng, judge)
    return out


def _pairs(
    task: Task, model: str, answers: dict[tuple[str, str], Answer], rng: random.Random, judge: str
) -> list[Verdict]:
    out = []
    for baseline in BASELINES:
        if baseline == model or (model == "gamma" and baseline == "strong baseline" and rng.random() < 0.1):
            continue
        orders = (
            ("candidate_first", "candidate_second")
            if rng.random() < 0.3
            else (rng.choice(("candidate_first", "candidate_second")),)
        )
        for order in orders:
            gap = rng.gauss(ABILITY[model] - ABILITY[baseline], 3)
            value = 1.0 if gap > 4 else 0.5 if gap > 0.5 else 0.0 if gap > -0.5 else -0.5 if gap > -4 else -1.0
            pair = make_pair(
                task.id,
                value,
                model,
                baseline,
                order,
                n_chars=len(answers[task.id, model].output),
                baseline_n_chars=len(answers[task.id, baseline].output),
                parsed={"analysis of A": "Good.", "reason of A>B": HOSTILE, "choice": "A+"},
            )
            out.append(replace(pair, judge=judge, id=f"{judge}/{pair.id}"))
    return out
