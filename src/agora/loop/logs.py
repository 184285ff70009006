"""The user's own conversations: imported with a reject file, mined for tasks; those tasks stay out of training."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from agora.core.records import Conversation, Message, Sample, Task, stable_id
from agora.core.runs import RunDir
from agora.core.tables import Rejects, read_json, read_records, write_json, write_jsonl
from agora.curate.funnel import Funnel
from agora.curate.importers import import_conversations
from agora.loop.settings import LoopConfig
from agora.loop.stored import read_stored
from agora.rooms.judge.mining.mine import mine_tasks
from agora.rooms.judge.mining.outcome import Mined


@dataclass(frozen=True, slots=True)
class Logs:
    """What came of an import: rows of the run folder and the funnel of the mining."""

    conversations: Path
    num_conversations: int
    num_rejected: int
    rejects: Path
    funnel: Funnel


def import_logs(run: RunDir, path: Path, format: str, config: LoopConfig) -> Logs:
    """Import conversations and mine tasks from them; both are files of the run folder afterwards."""
    stored = run.file("conversations.jsonl")
    rejects_path = run.file("conversations.rejects.jsonl")
    counts = run.file("mining.json")
    if not run.done("import"):
        with run.stage("import"):
            with Rejects(rejects_path) as rejects:
                num_read = write_jsonl(stored, import_conversations(path, format=format, rejects=rejects))
                num_rejected = rejects.count
                reasons = dict(rejects.by_reason)
            mined = _mine(run, stored, config)
            write_jsonl(run.file("mined_tasks.jsonl"), read_stored(mined.tasks, Task))
            steps = [{"step": "rows that could be read", "kept": num_read, "reasons": reasons, "starts": True}]
            whole = Funnel.from_json([*steps, *mined.funnel.to_json()[2:]])  # without the mining's own two on rows
            write_json(counts, {"conversations": num_read, "rejected": num_rejected, "funnel": whole.to_json()})
            run.event("imported", conversations=num_read, rejected=num_rejected, tasks=mined.num_tasks)
    known = read_json(counts)
    return Logs(stored, known["conversations"], known["rejected"], rejects_path, Funnel.from_json(known["funnel"]))


def _mine(run: RunDir, stored: Path, config: LoopConfig) -> Mined:
    """Mine the imported conversations in a run folder of its own, so that a killed mining goes on."""
    settings = config.mine.model_copy(update={"seed": config.seed})
    with RunDir.open(
        run.path / "mining",
        command="agora judge mine",
        config=settings.model_dump(mode="json"),
        seed=config.seed,
        inputs={"conversations": stored},
    ) as own:
        return mine_tasks(stored, own, settings, format="agora", workers=1)


def logged_samples(logs: Logs, limit: int) -> list[Sample]:
    """First exchanges of the logs as training samples, at most ``limit``, in the order of the file."""
    samples: list[Sample] = []
    for conversation in read_records(logs.conversations, Conversation):
        path = next(conversation.paths(), ())
        pair = _first_exchange(path)
        if pair is None or len(samples) >= limit:
            continue
        id = stable_id("log", conversation.id)
        samples.append(Sample(id, "logs", "logs", len(samples), 0, pair, pair[0].content, "stop_token"))
    return samples


def _first_exchange(path: tuple[Message, ...]) -> tuple[Message, Message] | None:
    for first, second in pairwise(path):
        disliked = second.meta.get("rating") == -1  # nobody learns from what a person found wrong
        asked = first.role == "user" and second.role == "assistant"
        if asked and first.content.strip() and second.content.strip() and not disliked:
            return Message("user", first.content, id="0"), Message("assistant", second.content, id="1", parent="0")
    return None
