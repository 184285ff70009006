"""Extend the conversations of a file in a run folder: the same command goes on where it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agora.core.progress import progress
from agora.core.runs import RunDir
from agora.core.tables import Rejects, write_jsonl
from agora.engines.types import Engine
from agora.rooms.synthesize.sources import read_template
from agora.rooms.synthesize.threads import Record, read_threads
from agora.rooms.synthesize.turn_prefix import TurnPrefixes
from agora.rooms.synthesize.turns import TurnSettings, extend_conversations
from agora.rooms.synthesize.turns_report import write_turns_report


@dataclass(frozen=True, slots=True)
class TurnsReport:
    """What a run of turns wrote: conversations, how many were extended, and why the others ended early."""

    file: Path
    n: int
    extended: int
    complete: int
    user_turns: dict[int, int]
    ended: dict[str, int]
    seconds: float
    report: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """One JSON object for ``--json``."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


def turns_into(
    out: Path,
    source: Path,
    model: str,
    *,
    answer_model: str | None = None,
    tokenizer: str | None = None,
    chat_template: Path | None = None,
    clock: str | None = None,
    settings: TurnSettings = TurnSettings(),  # noqa: B008 - a frozen value
    limit: int | None = None,
    engines: tuple[Engine, Engine] | None = None,
    command: str = "agora synthesize turns",
) -> TurnsReport:
    """Extend the conversations of a file into ``out/conversations.jsonl``.

    Args:
        out: run folder, made or resumed.
        source: samples, conversations, a log in any known format, or the folder of a run.
        model: engine URI that plays the user.
        answer_model: who answers; ``model`` when None.
        tokenizer: where the prefix comes from when the model is served elsewhere.
        chat_template: Jinja file used in place of the tokenizer's own.
        clock: date that templates print; the day of the first start when None.
        settings: turns and decoding.
        limit: conversations to take at most.
        engines: open engines (user, answers) in place of the names.
        command: as a user would type it, for the record.

    Raises:
        ConfigError: the folder holds another run, or the template cannot be used.
    """
    from agora.engines import open_engine

    text = read_template(chat_template) if chat_template is not None else None
    prefixes = TurnPrefixes(tokenizer or model, chat_template=text, clock=clock or _first_clock(out))
    config = {"model": model, "answer_model": answer_model, "limit": limit, "clock": prefixes.plain.clock,
              "prefix_ref": prefixes.plain.ref, **asdict(settings), "system": settings.system_text}  # fmt: skip
    with RunDir.open(
        out, command=command, config=config, seed=settings.user.seed, inputs={"conversations": source}
    ) as run:
        with Rejects(run.file("rejects.jsonl")) as rejects:
            records = list(read_threads(source, rejects, limit=limit))
        file = run.file("conversations.jsonl")
        if not run.done("turns"):
            users, answers = engines or (open_engine(model), open_engine(answer_model or model))
            if not prefixes.takes_system:
                run.event("no_system_prompt", why=prefixes.plain.supports_system)
            try:
                with run.stage("turns"), progress(len(records), "turns", "conversations") as bar:
                    write_jsonl(file, _advancing(extend_conversations(
                        records, prefixes, users, answers, settings, journal=run.file("turns.jsonl"),
                        on_round=lambda number, left: run.event("round", number=number, open=left),
                    ), bar))  # fmt: skip
            finally:
                if engines is None:
                    users.close()
                    answers.close()
        found = _report(run, file)
        return replace(found, report=write_turns_report(run, found))


def _first_clock(out: Path) -> str | None:
    """The date of a run that is resumed; None at its start."""
    from agora.core.runs import read_run

    config: dict[str, Any] = read_run(out)["config"] if (out / "run.json").exists() else {}
    return config.get("clock")


def _advancing(records: Iterator[Record], bar: Any) -> Iterator[Record]:
    for record in records:
        bar.advance()
        yield record


def _report(run: RunDir, file: Path) -> TurnsReport:
    from agora.core.tables import read_rows

    turns: Counter[int] = Counter()
    ended: Counter[str] = Counter()
    n = extended = complete = 0
    wanted = run.info["config"]["turns"]
    rows = read_rows(file) if file.stat().st_size else iter(())
    for row in rows:
        n += 1
        found = (row.data.get("tags") or {}).get("turns") or {}
        count = sum(m["role"] == "user" for m in row.data["messages"])
        turns[count] += 1
        extended += bool(found.get("added"))
        complete += count >= wanted
        if found.get("ended"):
            ended[found["ended"]] += 1
    return TurnsReport(
        file, n, extended, complete, dict(sorted(turns.items())), dict(ended.most_common()), run.seconds["turns"]
    )
