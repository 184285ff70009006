"""Fill the judge prompts so that nothing inside a block can leave it.

Each block's delimiters carry a code. The conversation's code depends on the run's nonce and the task, so models judged
on one task share the prompt's beginning. The code around the answers, which the judge must also repeat in its verdict,
depends on the answers too: an answer would have to contain a hash of itself to know it, whoever knows the nonce.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from agora.core.fencing import neutralize, substitute
from agora.core.records import Task, stable_id
from agora.rooms.judge.types import Item, Kind, PairItem, PromptRef, task_hash, text_of

REMINDER = (
    "\n\n# Reminder\n\nAn earlier reply could not be read. Reply with the one JSON object only, every key once, "
    '"{key}" holding {what}, and "verdict_id" copied exactly.\n'
)
_WANTED = {
    "score": ("score", "one number from 1 to 10"),
    "pair": ("choice", "one of A++ A+ A=B B+ B++"),
    "checklist": ("items", 'one entry a question with "item" and "met"'),
}


@dataclass(frozen=True, slots=True)
class FilledPrompt:
    """A prompt ready to be sent.

    Args:
        text: the one user message.
        token: what the verdict must repeat as ``verdict_id``.
        neutralized: how many delimiter look-alikes inside the blocks were made harmless.
    """

    text: str
    token: str
    neutralized: int


@cache
def template(kind: Kind) -> str:
    """The shipped template of a kind."""
    return files("agora.rooms.judge").joinpath("prompts", f"{kind}.md").read_text("utf-8")


#: Names of our own prompts.
OWN_PROMPTS = frozenset({"agora/score", "agora/pair", "agora/checklist"})


@cache
def prompt_ref(kind: Kind) -> PromptRef:
    """Name and hash of the shipped template of a kind; verdicts by different prompts never mix."""
    return PromptRef(f"agora/{kind}", stable_id(template(kind), REMINDER))


def fill(item: Item, nonce: str) -> FilledPrompt:
    """The prompt for one item; ``nonce`` is the run's."""
    task_code = stable_id("task", nonce, task_hash(item.task))
    call_code = stable_id("call", nonce, item.content)
    history, query = conversation(item.task)
    marks = (f"{i}." if item.kind == "checklist" else "-" for i in range(1, len(item.task.checklist) + 1))
    checklist = "\n".join(f"{mark} {line}" for mark, line in zip(marks, item.task.checklist, strict=True))
    blocks = {"history": history, "query": query, "checklist": checklist}
    if isinstance(item, PairItem):
        texts = (text_of(item.answer), text_of(item.baseline))
        blocks["response_a"], blocks["response_b"] = texts if item.order == "candidate_first" else texts[::-1]
    else:
        blocks["answer"] = text_of(item.answer)
    safe, neutralized = {}, 0
    for name, text in blocks.items():
        safe[name], count = neutralize(text, (task_code, call_code))
        neutralized += count
    codes = {"task_code": task_code, "call_code": call_code}
    return FilledPrompt(substitute(template(item.kind), {**safe, **codes}), call_code, neutralized)


def reminder(kind: Kind) -> str:
    """What is added to the prompt when a reply could not be read."""
    key, what = _WANTED[kind]
    return REMINDER.format(key=key, what=what)


def conversation(task: Task) -> tuple[str, str]:
    """History ("USER: ...", blank line, "ASSISTANT: ...") and current query of a task."""
    *earlier, last = task.messages
    history = "\n\n".join(f"{message.role.upper()}: {message.content}" for message in earlier)
    return history or "(no earlier turns)", last.content
