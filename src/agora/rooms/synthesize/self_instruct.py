"""Self-Instruct (arXiv:2212.10560), the seeded way to instructions, as a generator to compare with.

A prompt shows eight tasks, six of a person's seeds and two that the model wrote before, and the model goes on with the
list. A new task joins the pool when its ROUGE-L with every task there is under 0.7. Rounds are the unit of work: the
examples of a round come from the pool as it stood when the round began, so the result does not depend on the order in
which answers come back, and a killed run repeats only what was under way.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agora import __version__
from agora.core.errors import CapabilityError, ConfigError, EngineError
from agora.core.records import Message, Sample, stable_id
from agora.core.tables import read_rows
from agora.engines.types import ChatRequest, CompleteRequest, Engine, Generation, Sampling
from agora.rooms.synthesize.clean import Cleaned, clean_instruction
from agora.rooms.synthesize.draw import sample_id, sample_seed
from agora.rooms.synthesize.journal import Journal
from agora.rooms.synthesize.types import AnswerDraw

SLICE = "self-instruct"
_WORD = re.compile(r"\w+")
_ASK = (
    "Here is a list of tasks of many kinds. Write only the tasks that come next in the list, one a line, numbered on."
)


@dataclass(frozen=True, slots=True)
class SelfInstruct:
    """How to write tasks from seeds.

    Args:
        seeds: file of a person's tasks: rows with ``instruction``, ``prompt`` or ``messages``, or plain lines.
        seed_examples: of each prompt; the paper shows 6.
        own_examples: of each prompt, from what was written before; the paper shows 2.
        per_request: tasks at most that one reply may bring; the paper allows 8. At 1 a reply ends with its line.
        novelty: least ROUGE-L with a task of the pool at which a new one is refused; 0.7 in the paper.
        style: ``completion`` continues the list raw, as the paper does; ``chat`` asks a chat model to.
        round_size: requests of one round.
        max_requests: stop after so many requests even when too few tasks were written.
        temperature: 0.7 in the paper.
        top_p: in (0, 1].
        max_tokens: of one reply.
    """

    seeds: str
    seed_examples: int = 6
    own_examples: int = 2
    per_request: int = 8
    novelty: float = 0.7
    style: str = "completion"
    round_size: int = 64
    max_requests: int = 100_000
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        rules = {
            "seed_examples": self.seed_examples >= 1,
            "own_examples": self.own_examples >= 0,
            "per_request": self.per_request >= 1,
            "round_size": self.round_size >= 1,
            "novelty": 0 < self.novelty <= 1,
            "temperature": self.temperature > 0,
            "style": self.style in ("completion", "chat"),
        }
        for name, holds in rules.items():
            if not holds:
                raise ConfigError(f"self_instruct.{name} cannot be {getattr(self, name)!r}")


def read_seeds(path: Path) -> list[str]:
    """A person's tasks from a file of rows or of plain lines; repeats count once.

    Raises:
        MissingError: no such file.
        ConfigError: it holds no task.
    """
    path = Path(path)
    if path.suffix in (".txt", ".md"):
        found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        found = [_task_of(row.data) for row in read_rows(path)]
    tasks = list(dict.fromkeys(task for task in found if task))
    if not tasks:
        raise ConfigError("no task among the seeds", where=str(path), hint="rows need instruction, prompt or messages")
    return tasks


def _task_of(row: dict[str, object]) -> str:
    for key in ("instruction", "prompt"):
        value = row.get(key)
        if isinstance(value, str):
            return value.strip()
    messages = row.get("messages")
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, dict) and message.get("role") == "user":
            return str(message.get("content") or "").strip()
    return ""


def self_instruct(
    engine: Engine,
    seeds: Sequence[str],
    count: int,
    *,
    run_id: str,
    settings: SelfInstruct,
    seed: int = 0,
    journal: Path | None = None,
) -> Iterator[Sample]:
    """Write tasks until ``count`` new ones are kept; all come back, those refused with a reason.

    Args:
        engine: continues raw text (``completion``) or chats (``chat``).
        seeds: a person's tasks; their wording is never returned.
        count: tasks to keep.
        run_id: part of every sample's id.
        settings: how to write.
        seed: of the run.
        journal: file of finished replies; those in it are not asked for again. None keeps them in memory.

    Raises:
        CapabilityError: the engine lacks what the style needs.
        EngineError: a round brings nothing but errors.
    """
    needed = "complete" if settings.style == "completion" else "chat"
    if needed not in engine.capabilities:
        raise CapabilityError(f"Self-Instruct in style {settings.style!r} needs {needed!r}", where=engine.uri)
    pool = Pool(seeds, settings.novelty)
    with Journal(journal, AnswerDraw) as book:
        index = kept = number = 0
        while kept < count and number < settings.max_requests:
            prompts = [_prompt(pool, settings, seed, number + i) for i in range(settings.round_size)]
            replies = _round(engine, prompts, number, run_id, settings, seed, book)
            for reply in replies:
                for raw in read_tasks(reply.text, settings.per_request, complete=reply.finish_reason != "length"):
                    if kept >= count:
                        return
                    sample = _sample(raw, index, reply, engine, run_id, settings, seed, pool)
                    index, kept = index + 1, kept + sample.kept
                    yield sample
            number += settings.round_size


class Pool:
    """The tasks so far: the person's, then those written and kept."""

    def __init__(self, seeds: Sequence[str], novelty: float) -> None:
        self.seeds = list(seeds)
        self.own: list[str] = []
        self._novelty = novelty
        self._words: list[list[str]] = [words(text) for text in seeds]

    def add(self, text: str) -> float:
        """Take a task in if it is new; the highest ROUGE-L with a task of the pool either way."""
        new = words(text)
        places: dict[str, int] = {}
        for i, word in enumerate(new):
            places[word] = places.get(word, 0) | 1 << i
        best = 0.0
        for old in self._words:
            total = len(old) + len(new)
            # the LCS is at most the shorter length: most pairs cannot come near
            if not total or 2 * min(len(old), len(new)) / total <= best:
                continue
            best = max(best, 2 * _lcs(places, len(new), old) / total)
            if best >= self._novelty:
                return best
        self.own.append(text)
        self._words.append(new)
        return best


def words(text: str) -> list[str]:
    """Lower-cased words, as ROUGE splits them."""
    return _WORD.findall(text.lower())


def rouge_l(a: str, b: str) -> float:
    """ROUGE-L F-measure of two texts, in [0, 1]: twice the longest common subsequence over both lengths, in words."""
    first, second = words(a), words(b)
    places: dict[str, int] = {}
    for i, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << i
    total = len(first) + len(second)
    return 2 * _lcs(places, len(first), second) / total if total else 0.0


def _lcs(places: dict[str, int], length: int, other: Sequence[str]) -> int:
    """Length of the longest common subsequence, one machine operation a word (Hyyrö 2004)."""
    row = (1 << length) - 1
    whole = row
    for word in other:
        match = row & places.get(word, 0)
        row = (row + match | row - match) & whole
    return length - row.bit_count()


def _prompt(pool: Pool, settings: SelfInstruct, seed: int, number: int) -> str:
    rng = random.Random(f"self-instruct/{seed}/{number}")
    own = rng.sample(pool.own, min(settings.own_examples, len(pool.own)))
    seeds = rng.sample(pool.seeds, min(settings.seed_examples + settings.own_examples - len(own), len(pool.seeds)))
    shown = [*seeds, *own]
    rng.shuffle(shown)
    lines = [f"Task {i}: {' '.join(task.split())}" for i, task in enumerate(shown, 1)]
    return "\n".join([*lines, f"Task {len(shown) + 1}:"])


def _round(
    engine: Engine,
    prompts: Sequence[str],
    number: int,
    run_id: str,
    settings: SelfInstruct,
    seed: int,
    book: Journal[AnswerDraw],
) -> list[AnswerDraw]:
    """The replies of one round, in the order of its requests; a failed one is left out, and asked again next time."""
    ids = [stable_id("self-instruct", run_id, number + i) for i in range(len(prompts))]
    how = (settings.style, settings.temperature, settings.top_p, settings.max_tokens)
    asked = [stable_id(engine.uri, prompt, *how) for prompt in prompts]
    place = {id: i for i, id in enumerate(ids)}

    stop = ("\n",) if settings.per_request == 1 else ()

    def sampling(i: int) -> Sampling:
        own = sample_seed(seed, SLICE, number + i)
        return Sampling(settings.temperature, settings.top_p, settings.max_tokens, stop, seed=own)

    open_ones = [i for i, id in enumerate(ids) if id not in book]
    replies: Iterator[Generation] = iter(())
    if open_ones and settings.style == "completion":
        replies = engine.complete(CompleteRequest(ids[i], prompt=prompts[i], sampling=sampling(i)) for i in open_ones)
    elif open_ones:
        replies = engine.chat(
            ChatRequest(ids[i], ({"role": "user", "content": f"{_ASK}\n\n{prompts[i]}"},), sampling(i))
            for i in open_ones
        )
    failed = ""
    for reply in replies:
        if reply.id not in place or reply.id in book:
            continue
        if reply.finish_reason == "error":
            failed = reply.error or "unknown error"
            continue
        book.add(AnswerDraw.of(reply, asked[place[reply.id]]))
    done = [(i, id) for i, id in enumerate(ids) if id in book]
    if not done:
        raise EngineError(f"every request of a round failed: {failed}", where=engine.uri)
    found = []
    for i, id in done:
        reply_of = book.take(id)
        if reply_of.asked != asked[i]:
            raise ConfigError(
                "the journal was written with other seeds or settings", where=str(book.path), hint="use a new --out"
            )
        found.append(reply_of)
    return found


def read_tasks(text: str, most: int, *, complete: bool = True) -> list[str]:
    """The tasks that a reply adds to the list; an unfinished last one is left out.

    Args:
        text: what followed ``Task N:``.
        most: tasks to take at most.
        complete: False when the reply was cut off by length.
    """
    pieces = re.split(r"\n\s*(?:[Tt]ask\s*)?\d{1,3}\s*[:.)]\s*", "\n" + text.strip() if text[:1] == "\n" else text)
    tasks = [piece.strip() for piece in pieces]
    if not complete and tasks:
        tasks = tasks[:-1]
    first_paragraphs = [re.split(r"\n\s*\n|\n", task, maxsplit=1)[0].strip() for task in tasks]
    return [task for task in first_paragraphs if task][:most]


def _sample(
    raw: str, index: int, reply: AnswerDraw, engine: Engine, run_id: str, settings: SelfInstruct, seed: int, pool: Pool
) -> Sample:
    cleaned = clean_instruction(raw)
    similarity = pool.add(cleaned.text) if not cleaned.flags else 0.0
    reason = _reason(cleaned, similarity, settings.novelty)
    return Sample(
        id=sample_id(run_id, SLICE, index),
        run_id=run_id,
        slice=SLICE,
        index=index,
        seed=seed,
        messages=(Message("user", cleaned.text, id="0"),),
        raw_text=raw,
        finish_reason=reply.finish_reason if reply.finish_reason != "length" else "stop_string",
        clean_ops=tuple(op._asdict() for op in cleaned.ops),
        flags=cleaned.flags,
        gen={
            "model": engine.uri,
            "generator": SLICE,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "engine": engine.uri.partition(":")[0],
            "engine_version": __version__,
            "request": reply.id,
            "rouge_l": round(similarity, 4),
        },
        kept=reason is None,
        reason=reason,
    )


def _reason(cleaned: Cleaned, similarity: float, novelty: float) -> str | None:
    if cleaned.flags:
        return f"flag:{cleaned.flags[0]}"
    return "duplicate" if similarity >= novelty else None
