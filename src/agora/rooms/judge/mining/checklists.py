"""Checklists for tasks: several models each propose yes/no questions from the task alone, and the proposals are merged.

The reference does not say how it combined its two lists. Here they are interleaved, a question that repeats an earlier
one goes, at most ten stay, and each keeps who proposed it; people edit them in the review file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from agora.core.errors import ConfigError
from agora.core.jsonl import JsonlWriter
from agora.core.progress import progress
from agora.core.records import Task, VerdictStatus, stable_id
from agora.core.runs import RunDir
from agora.core.tables import write_jsonl
from agora.curate.text import normalize, words
from agora.rooms.judge.mining.asking import Ask, UnreadableError, ask_all, check_chats, name_of, run_secret
from agora.rooms.judge.mining.personal import COMMON_WORDS
from agora.rooms.judge.mining.spending import estimate_asking, read_journal, secret_file

if TYPE_CHECKING:
    import numpy as np

    from agora.engines.types import Engine
    from agora.rooms.judge.asking.estimate import Estimate
    from agora.rooms.judge.asking.judging import Means

Embed = Callable[[Sequence[str]], "np.ndarray"]

PROPOSALS = "proposals.jsonl"
MAX_QUESTIONS, FEW_QUESTIONS = 10, 5
EMBEDDING_COSINE = 0.85
_SAME_WORDS = 0.8  # Jaccard similarity of the words that carry meaning
_EMPTY_WORDS = COMMON_WORDS - {"no", "not"} | {"answer", "response", "reply", "assistant", "does"}
_MAX_CHARS = 400
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s*")
_ENDS = ("?", "？", "؟", ";")  # the last is the question mark of Greek


@dataclass(frozen=True, slots=True)
class Proposal:
    """One writer's questions for one task. Without status ``ok`` there are none."""

    SCHEMA: ClassVar[str] = "checklist_proposal/1"
    task_id: str
    shown: str  # hash of the turns that the writer saw
    writer: str
    status: VerdictStatus
    questions: tuple[str, ...] = ()
    raw_text: str = ""
    error: str | None = None
    prompt_name: str = ""
    prompt_hash: str = ""
    attempts: int = 1
    usage: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Written:
    """What came of writing checklists. ``few`` tasks have fewer than five questions, ``none`` have none."""

    folder: Path
    tasks: Path
    num_tasks: int
    written: int
    kept: int
    few: tuple[str, ...]
    none: tuple[str, ...]
    writers: tuple[dict[str, Any], ...]
    num_questions: int
    merged: int

    def to_json(self) -> dict[str, Any]:
        """The object that ``agora judge checklist --json`` prints."""
        return {
            "folder": str(self.folder),
            "tasks": str(self.tasks),
            "num_tasks": self.num_tasks,
            "written": self.written,
            "kept": self.kept,
            "few": list(self.few),
            "none": list(self.none),
            "writers": list(self.writers),
            "num_questions": self.num_questions,
            "merged": self.merged,
        }


def read_questions(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The questions of a reply's object: text that ends as a question does, each once, ten at most.

    Raises:
        UnreadableError: no list, or no question in it.
    """
    listed = fields.get("questions")
    if not isinstance(listed, list):
        raise UnreadableError("questions is no list")
    texts = [" ".join(_BULLET.sub("", item).split()) for item in listed if isinstance(item, str)]
    found = [text for text in texts if text.endswith(_ENDS) and len(text) <= _MAX_CHARS and len(words(text)) > 1]
    if not found:
        raise UnreadableError("no question in the list")
    return tuple({normalize(text): text for text in reversed(found)}.values())[::-1][:MAX_QUESTIONS]


WRITE = Ask("write_checklist", "questions", read_questions, {}, usual_tokens=250)


def write_checklists(
    tasks: Sequence[Task],
    run: RunDir,
    writers: Sequence[Engine],
    *,
    embed: Embed | None = None,
    redo: bool = False,
    secret: Path | None = None,
) -> Written:
    """Give every task without a checklist one; ``tasks.jsonl`` of the run holds all tasks afterwards.

    Proposals are kept as they come, so that a run that was killed asks only for what is missing.

    Args:
        tasks: a task that has a checklist keeps it, unless ``redo``.
        run: an open run folder.
        writers: chat models; two or more make better lists than one.
        embed: unit vectors of texts; questions with a cosine above 0.85 count as one.
        redo: write new checklists for tasks that have one.
        secret: file of the secret of the prompts' codes; one in the run's folder when None.

    Raises:
        ConfigError: no writer, or two of one name.
        CapabilityError: a writer cannot chat.
    """
    names = [name_of(writer) for writer in writers]
    check_writers(names)
    for writer in writers:
        check_chats(writer)
    todo = _without_checklist(tasks, redo)
    proposals = _propose(run, todo, writers, secret or secret_file(run.path, None))
    wanted = {task.id for task in todo}
    finished: list[Task] = []
    merged = 0
    for task in tasks:
        if task.id in wanted:
            own = [p for name in names if (p := proposals.get((task.id, name))) is not None]
            task, lost = with_checklist(task, own, embed)
            merged += lost
        finished.append(task)
    write_jsonl(run.file("tasks.jsonl"), finished)
    made = [task for task in finished if task.id in wanted]
    return Written(
        folder=run.path,
        tasks=run.path / "tasks.jsonl",
        num_tasks=len(finished),
        written=sum(bool(task.checklist) for task in made),
        kept=len(finished) - len(made),
        few=tuple(task.id for task in made if 0 < len(task.checklist) < FEW_QUESTIONS),
        none=tuple(task.id for task in made if not task.checklist),
        writers=tuple(_writer_row(name, proposals) for name in names),
        num_questions=sum(len(task.checklist) for task in made),
        merged=merged,
    )


def check_writers(names: Sequence[str]) -> None:
    """See that there are writers and that they differ.

    Raises:
        ConfigError: there is none, or two have one name.
    """
    if not names or len(set(names)) < len(names):
        what = "no writer is named" if not names else "a writer is named twice"
        raise ConfigError(what, hint="name two different models: --model URI --model URI")


def estimate_checklists(
    tasks: Sequence[Task], out: Path, writers: Sequence[str], means: Means, *, redo: bool = False
) -> list[Estimate]:
    """Calls, tokens and cost of the checklists that a folder still lacks, by writer; asks nothing.

    Args:
        out: the run's folder, which need not exist.
        writers: URIs.
    """
    todo = _without_checklist(tasks, redo)
    found = _proposals_on_file(out, {task.id: shown_hash(task) for task in todo})
    return estimate_asking(WRITE, writers, lambda name: _unasked(todo, name, found), out, means)


def _without_checklist(tasks: Sequence[Task], redo: bool) -> list[Task]:
    return [task for task in tasks if redo or not task.checklist]


def _proposals_on_file(out: Path, shown: Mapping[str, str]) -> dict[tuple[str, str], Proposal]:
    """What was asked with today's prompt about the tasks as they are now."""
    prompt, rows = WRITE.prompt.hash, read_journal(out / PROPOSALS, Proposal)
    return {(p.task_id, p.writer): p for p in rows if shown.get(p.task_id) == p.shown and p.prompt_hash == prompt}


def _unasked(tasks: Sequence[Task], writer: str, found: Mapping[tuple[str, str], Proposal]) -> list[Task]:
    return [t for t in tasks if (p := found.get((t.id, writer))) is None or p.status == "missing"]


def _propose(
    run: RunDir, tasks: Sequence[Task], writers: Sequence[Engine], secret_path: Path
) -> dict[tuple[str, str], Proposal]:
    """Proposals by task and writer; those on file are not asked for again, unless their call failed."""
    shown = {task.id: shown_hash(task) for task in tasks}
    prompt = WRITE.prompt
    secret = run_secret(secret_path)
    found = _proposals_on_file(run.path, shown)
    with JsonlWriter(run.file(PROPOSALS)) as file:
        for writer in writers:
            name = name_of(writer)
            todo = _unasked(tasks, name, found)
            with progress(len(tasks), f"checklists by {name}", "tasks") as bar:
                bar.advance(len(tasks) - len(todo))
                for reply in ask_all(WRITE, todo, writer, secret):
                    proposal = Proposal(
                        reply.task_id,
                        shown[reply.task_id],
                        name,
                        reply.status,
                        reply.value or (),
                        reply.raw_text,
                        reply.error,
                        prompt.name,
                        prompt.hash,
                        reply.attempts,
                        reply.usage,
                    )
                    file.write(proposal)
                    found[proposal.task_id, name] = proposal
                    bar.advance()
    return found


def shown_hash(task: Task) -> str:
    """Hash of what a writer is shown of a task."""
    return stable_id([(m.role, m.content) for m in task.messages])


def with_checklist(task: Task, proposals: Sequence[Proposal], embed: Embed | None = None) -> tuple[Task, int]:
    """The task with its writers' questions merged, and how many went as repeats.

    ``meta["checklist_sources"]`` says for each question who proposed it, and who proposed it too; the statuses of all
    writers are in ``meta["checklist_writers"]``.
    """
    listed = [[(question, p.writer, p.prompt_hash) for question in p.questions] for p in proposals]
    turns = [item for item in chain.from_iterable(zip_longest(*listed)) if item is not None]
    alike = _similarity([question for question, _, _ in turns], embed)
    kept: list[int] = []
    also: dict[int, list[str]] = {}
    for i, (_, writer, _) in enumerate(turns):
        twin = next((k for k in kept if alike(k, i)), None)
        if twin is None:
            kept.append(i)
        elif writer != turns[twin][1]:
            also.setdefault(twin, []).append(writer)
    best = kept[:MAX_QUESTIONS]
    sources: list[dict[str, Any]] = [
        {"source": turns[i][1], "prompt": turns[i][2]} | ({"also": also[i]} if i in also else {}) for i in best
    ]
    meta = {**task.meta, "checklist_sources": sources, "checklist_writers": {p.writer: p.status for p in proposals}}
    return replace(task, checklist=tuple(turns[i][0] for i in best), meta=meta), len(turns) - len(kept)


def _similarity(questions: Sequence[str], embed: Embed | None) -> Callable[[int, int], bool]:
    """Whether two questions ask the same: in nearly the same words that carry meaning, or close by their vectors.

    Questions of one list are often alike but for the one word that matters, so letters would mislead.
    """
    terms = [_meaning(question) for question in questions]
    vectors: Any = None
    if embed is not None and questions:
        import numpy as np

        vectors = np.asarray(embed(questions))

    def alike(a: int, b: int) -> bool:
        if vectors is not None and float(vectors[a] @ vectors[b]) > EMBEDDING_COSINE:
            return True
        return len(terms[a] & terms[b]) >= _SAME_WORDS * len(terms[a] | terms[b])

    return alike


def _meaning(question: str) -> frozenset[str]:
    """The words of a question without those that any question may have; all of them when none is left."""
    found = frozenset(words(question))
    return (found - _EMPTY_WORDS) or found


def _writer_row(name: str, proposals: Mapping[tuple[str, str], Proposal]) -> dict[str, Any]:
    """How one writer did: replies by status, questions, and what it cost."""
    own = [proposal for (_, writer), proposal in proposals.items() if writer == name]
    spent = {
        key: round(sum(p.usage.get(key, 0) for p in own), 6)
        for key in ("prompt_tokens", "completion_tokens", "cost_usd")
    }
    status = dict(Counter(proposal.status for proposal in own))
    return {"writer": name, "status": status, "questions": sum(len(p.questions) for p in own), **spent}
