"""Every model answers the same tasks, greedily."""

from __future__ import annotations

from collections.abc import Sequence

from agora.core.progress import progress
from agora.core.records import Answer, Task
from agora.core.runs import RunDir
from agora.engines import open_engine
from agora.engines.types import ChatRequest, Sampling
from agora.loop.models import uri_of
from agora.loop.settings import LoopConfig


def answer_tasks(run: RunDir, config: LoopConfig, tasks: Sequence[Task], name: str) -> list[Answer]:
    """Answers of one model, in the order of the tasks.

    A failed call leaves its task without an answer; the judge's coverage shows it.
    """
    sampling = Sampling(temperature=0.0, max_tokens=config.max_answer_tokens)
    requests = [ChatRequest(t.id, tuple(m.as_chat() for m in t.messages), sampling) for t in tasks]
    engine = open_engine(uri_of(run, config, name), cache=run.file(f"cache/{name}.sqlite"))
    found: dict[str, Answer] = {}
    with progress(len(requests), f"{name} answers", unit="task") as bar:
        for reply in engine.chat(requests):
            bar.advance()
            if reply.finish_reason != "error":
                found[reply.id] = Answer(
                    reply.id, name, reply.text, reply.finish_reason, reply.usage.completion_tokens, {"temperature": 0.0}
                )
    engine.close()
    return [found[task.id] for task in tasks if task.id in found]
