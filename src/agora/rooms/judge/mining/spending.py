"""What raters and checklist writers cost: told before the first call and limited, as with judges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from agora.core.errors import ConfigError
from agora.core.jsonl import Rejects
from agora.core.records import Task
from agora.core.runs import RunDir
from agora.core.tables import read_records
from agora.rooms.judge.asking.estimate import Estimate, estimate, is_server, left_to_pay, num_bytes
from agora.rooms.judge.asking.judges import judge_name
from agora.rooms.judge.asking.judging import Means
from agora.rooms.judge.mining.asking import Ask, first_requests, prompt_of, run_secret

if TYPE_CHECKING:
    from agora.engines.types import ChatRequest, Engine


class Paid(Protocol):
    """A row of a journal: what one call came to, and what it took."""

    @property
    def usage(self) -> dict[str, float]:
        """Tokens and ``cost_usd``."""


Row = TypeVar("Row")


def read_journal(path: Path, record_type: type[Row]) -> list[Row]:
    """All rows of a journal; none of one that is not there. The torn line that a killed process left is passed over."""
    if not path.exists() or not path.stat().st_size:
        return []
    with path.open("rb") as file:
        file.seek(-1, 2)
        torn = file.read(1) != b"\n"
    return list(read_records(path, record_type, rejects=Rejects() if torn else None))


def spent(rows: Sequence[Paid]) -> float:
    """US dollars that the rows of a journal have cost."""
    return sum(row.usage.get("cost_usd", 0.0) for row in rows)


def secret_file(folder: Path, cache: Path | None) -> Path:
    """Where the secret of the prompts' codes is kept: in the run's folder, or beside a cache that several runs share.

    A reply is found in a cache by its prompt, and the prompt holds the code.
    """
    return folder / "secret" if cache is None else Path(f"{cache}.secret")


def check_budget(uris: Sequence[str], means: Means) -> None:
    """See before the work begins that a budget in money can be kept.

    Raises:
        ConfigError: a server has no price.
    """
    for place, uri in enumerate(uris):
        if means.max_cost is not None and is_server(uri) and means.prices_of(place) is None:
            what = f"--max-cost needs a price of {judge_name(uri)}"
            raise ConfigError(what, hint="say --price IN OUT, US dollars per million tokens")


@contextmanager
def opened(uris: Sequence[str], run: RunDir, means: Means, paid: float) -> Iterator[list[Engine]]:
    """Models with one cache and one budget between them, closed at the end.

    Args:
        paid: US dollars that the folder has cost so far.
    """
    from agora.engines import Budget, open_engine

    budget = Budget(max_cost_usd=means.max_cost, spent_usd=paid) if means.max_cost is not None else None
    cache = means.cache or run.file("cache/replies.sqlite")
    engines: list[Engine] = []
    try:
        for place, uri in enumerate(uris):
            prices = means.prices_of(place)
            engines.append(
                open_engine(uri, cache=cache, budget=budget, prices=prices, concurrency=means.concurrency)
            )  # fmt: skip
        yield engines
    finally:
        for engine in engines:
            engine.close()


def estimate_asking(
    ask: Ask, uris: Sequence[str], todo: Callable[[str], list[Task]], folder: Path, means: Means
) -> list[Estimate]:
    """Calls, tokens and cost of what several models are still to be asked; none is asked.

    Args:
        todo: by a model's name, the tasks that it has yet to be asked about.
        folder: where a run without a shared cache keeps its secret.
    """
    file = secret_file(folder, means.cache)
    secret = run_secret(file) if file.exists() else ""  # without one nothing was asked, so nothing is in the cache

    def requests(tasks: list[Task]) -> Callable[[Engine], Iterator[ChatRequest]]:
        return lambda _: first_requests(ask, tasks, secret)

    found = []
    for place, uri in enumerate(uris):
        tasks, free = todo(judge_name(uri)), not is_server(uri)
        paid = tasks if free else left_to_pay(tasks, uri, means.cache, requests(tasks))
        told = estimate(
            judge_name(uri),
            (num_bytes(prompt_of(ask, task, secret)[0]) for task in paid),
            usual_reply=ask.usual_tokens,
            most_reply=ask.max_tokens,
            prices=means.prices_of(place),
            free=free,
        )
        found.append(replace(told, cached=len(tasks) - len(paid)))
    return found
