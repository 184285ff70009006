"""Judging through OpenAI's batch files, at half the price: calls written to a file, replies read from one.

A batch is one round: a reply that cannot be read leaves its item open, and the next batch asks it again with the
reminder, as a live judge would at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agora.core.errors import CapabilityError, DataError, UsageError
from agora.engines.types import Capability, ChatRequest, CompleteRequest, Generation, Score, ScoreRequest
from agora.rooms.judge.asking.estimate import refuse_private
from agora.rooms.judge.asking.judges import split_name
from agora.rooms.judge.asking.judging import (
    Docket,
    JudgingSettings,
    Means,
    Seat,
    open_calls,
    open_folder,
    sum_up,
    verb_of,
)
from agora.rooms.judge.asking.llm import LlmJudge, custom_id
from agora.rooms.judge.asking.score import settle, settle_without_call
from agora.rooms.judge.asking.summary import Judging

if TYPE_CHECKING:
    from agora.engines._wire import Prices

#: What a server takes in one file.
MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
_HALF = 0.5
_PLAIN = Means()


@dataclass(frozen=True, slots=True)
class BatchOut:
    """Files of calls that were written; ``calls`` of each."""

    files: tuple[Path, ...]
    calls: tuple[int, ...]


class BatchReplies:
    """An engine whose answers stand in files that a batch server made.

    Args:
        uri: of the judge.
        files: responses, and errors where the server writes them apart.
        prices: what the server charges for live calls; a batch costs half.

    Raises:
        DataError: a line is not of the format, or two lines answer one call.
    """

    def __init__(self, uri: str, files: Sequence[Path] = (), prices: Prices | None = None) -> None:
        from agora.engines._wire import Prices
        from agora.engines.batch import read_batch

        half = Prices(prices.input_usd * _HALF, prices.output_usd * _HALF) if prices else None
        self._uri = uri
        self.replies: dict[str, Generation] = {}
        for file in files:
            for reply in read_batch(Path(file), prices=half):
                earlier = self.replies.get(reply.id)
                if earlier is not None and earlier.finish_reason != "error" and reply.finish_reason != "error":
                    raise DataError(f"two replies to {reply.id}", where=str(file), hint="give each response file once")
                if earlier is None or earlier.finish_reason == "error":
                    self.replies[reply.id] = reply

    @property
    def uri(self) -> str:
        """The judge's URI."""
        return self._uri

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Replies to chats."""
        return frozenset({"chat"})

    def chat(self, requests: Iterable[ChatRequest]) -> Iterator[Generation]:
        """The stored replies, matched by id."""
        for request in requests:
            reply = self.replies.get(request.id)
            yield reply or Generation(request.id, "", "error", error="the batch files hold no reply")

    def complete(self, requests: Iterable[CompleteRequest]) -> Iterator[Generation]:
        """Not what batch files of a judging hold."""
        raise CapabilityError("a batch file answers chats only")

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[Score]:
        """Not what batch files hold."""
        raise CapabilityError("a batch file answers chats only")

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Not what batch files hold."""
        raise CapabilityError("a batch file answers chats only")

    def close(self) -> None:
        """Nothing is open."""


def write_judge_batch(
    out: Path,
    docket: Docket,
    settings: JudgingSettings,
    file: Path,
    means: Means = _PLAIN,
    *,
    command: str = "agora judge score",
) -> BatchOut:
    """Write all open calls of a judging as batch files; a second file begins where a server's limits are reached.

    Raises:
        UsageError: several judges, one that is no model, or private tasks for a judge elsewhere.
        ConfigError: the folder holds another judging.
    """
    from agora.engines.batch import write_batch

    seat = _one_model(docket)
    refuse_private(docket.tasks, [split_name(seat.uri)[1]], send_private=means.send_private)
    file = Path(file)
    with open_folder(out, docket, settings, command) as run:
        calls = open_calls(run.path, docket, seat, means.retry)
        judge = _round(BatchReplies(split_name(seat.uri)[1]), seat, settings)
        files, counts = [], []
        for i, part in enumerate(_parts(judge.requests(calls))):
            path = file if i == 0 else file.with_name(f"{file.stem}-{i + 1}{file.suffix}")
            counts.append(write_batch(path, part, _model_name(seat.uri)))
            files.append(path)
        run.event("batch written", files=[str(path) for path in files], calls=sum(counts))
    return BatchOut(tuple(files), tuple(counts))


def read_judge_batch(
    out: Path,
    docket: Docket,
    settings: JudgingSettings,
    files: Sequence[Path],
    means: Means = _PLAIN,
    *,
    command: str = "agora judge score",
    force: bool = False,
) -> tuple[Judging, int]:
    """Take over the replies of a batch as verdicts; nothing is asked.

    Returns:
        the summary, and how many lines of the files belong to no open call.

    Raises:
        DataError: a file is no batch response file.
    """
    seat = _one_model(docket)
    start = time.perf_counter()
    with open_folder(out, docket, settings, command) as run:
        engine = BatchReplies(split_name(seat.uri)[1], files, means.prices_of(seat.place))
        judge = _round(engine, seat, settings)
        used = set()
        with run.stage(f"batch {seat.name}"):
            for kind, items in docket.items.items():
                answered = [item for item in items if custom_id(item) in engine.replies]
                used |= {custom_id(item) for item in answered}
                with seat.stored(run.path, kind) as stored:
                    settle(answered, judge, verb_of(judge, kind), stored, means.retry)
                    rest = [item for item in items if custom_id(item) not in engine.replies]
                    settle_without_call(rest, judge, stored, means.retry)
        judging = sum_up(run, docket, settings, time.perf_counter() - start, force=force)
    return judging, len(engine.replies.keys() - used)


def _one_model(docket: Docket) -> Seat:
    if len(docket.seats) != 1 or docket.seats[0].judge is not None:
        raise UsageError("a batch is for one judge that is a model", hint="name one --judge, such as openai:MODEL")
    return docket.seats[0]


def _round(engine: BatchReplies, seat: Seat, settings: JudgingSettings) -> LlmJudge:
    # a batch cannot fall back call by call: it asks for a form only where it was named
    form = "none" if settings.response_format == "auto" else settings.response_format
    return LlmJudge(
        engine,
        name=seat.name,
        seed=settings.seed,
        max_tokens=settings.max_tokens,
        num_reasks=settings.num_reasks,
        response_format=form,
        one_round=True,
    )


def _model_name(uri: str) -> str:
    from agora.engines.registry import parse_uri

    return parse_uri(split_name(uri)[1]).name


def _parts(requests: Iterable[ChatRequest]) -> Iterator[list[ChatRequest]]:
    """The requests in parts that a server takes."""
    part: list[ChatRequest] = []
    size = 0
    for request in requests:
        length = 600 + 2 * len(request.messages[0]["content"].encode("utf-8", "surrogatepass"))
        if part and (len(part) == MOST_REQUESTS or size + length > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(request)
        size += length
    if part:
        yield part
