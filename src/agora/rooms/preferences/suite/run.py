"""Run a suite of tests through one engine: resumable, nothing paid for twice, missing never a number.

The run folder holds ``results.jsonl`` (one :class:`~agora.rooms.preferences.types.EvalResult` an example, appended as
it is scored), ``items.jsonl`` (what was asked), ``report.json`` and ``report.html``. The same call on the same folder
goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agora.core.errors import CapabilityError, DataError, UsageError
from agora.core.progress import progress
from agora.core.records import Measure, stable_id
from agora.core.runs import RunDir
from agora.core.tables import JsonlWriter, read_records, write_json, write_jsonl
from agora.engines.types import Engine
from agora.rooms.preferences.suite.asking import Asker
from agora.rooms.preferences.suite.figures import Figure, Sampled, TestFigure, figure_of, mean_figure
from agora.rooms.preferences.suite.protocol import Answered, Test
from agora.rooms.preferences.types import EvalItem, EvalResult

ITEMS, RESULTS, REPORT = "items.jsonl", "results.jsonl", "report.json"


@dataclass(frozen=True, slots=True)
class SuiteReport:
    """What :func:`run_suite` found.

    Attributes:
        model: the engine's URI.
        out: the run folder; ``results.jsonl`` in it has the results an example.
        by_test: figures by test name.
        categories: unweighted means over each category's tests.
        average: unweighted mean over the categories.
        answered: examples asked in this call; the others were finished before.
        seconds: of this call.
        notes: what a reader should know: tests not taken and why, intervals that cannot be known.
    """

    model: str
    out: Path
    by_test: dict[str, TestFigure]
    categories: dict[str, Figure]
    average: Figure
    answered: int
    seconds: float
    notes: tuple[str, ...] = ()
    command: str = ""

    def results(self) -> list[EvalResult]:
        """The results an example, in the tests' order."""
        return read_results(self.out)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)

    def measures(self) -> list[Measure]:
        """Every figure as a record with its n and interval."""
        named = {f"test/{name}": (t.figure, t.unit) for name, t in self.by_test.items()}
        named |= {f"category/{name}": (figure, "") for name, figure in self.categories.items()}
        named["average"] = (self.average, "")
        return [
            Measure(
                name=f"suite/{name}",
                value=figure.value,
                n=figure.n,
                ci_low=figure.low,
                ci_high=figure.high,
                method="bootstrap 95 %, 2,000 resamples of examples within tests",
                unit=unit,
                subject=self.model,
                meta={"missing": figure.missing},
            )
            for name, (figure, unit) in named.items()
        ]


def run_suite(
    engine: Engine,
    tests: Sequence[Test],
    out: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    notes: Iterable[str] = (),
    command: str = "agora preferences eval",
) -> SuiteReport:
    """Put every test's items before an engine and report.

    Give an engine with a cache (``open_engine(uri, cache=...)``): then the samples of a half-answered item are kept
    too. Items without a score (the engine failed, a judge gave none) are asked again by the next call on the folder.

    Args:
        engine: whom to test.
        tests: distinct names.
        out: the run folder, made or resumed.
        limit: most items a test.
        seed: of drawn items, sampling and the bootstrap.
        notes: kept in the report.
        command: the whole command line, for the record.

    Raises:
        CapabilityError: the engine can take none of the tests.
        ConfigError: the folder holds a run of another model, other items or other settings; names what differs.
        DataError: a test's file breaks a rule, or two items of a test share an id.
        EngineError, BudgetError: the work stopped; what was finished is in the folder.
    """
    start, asker = time.perf_counter(), Asker(engine, seed=seed)
    if not tests or len({test.name for test in tests}) != len(tests):
        raise UsageError("a suite needs one or more tests with distinct names")
    items = {test.name: _items(test, limit, seed) for test in tests}
    taken, said = _able(asker, tests, items)
    said = [*notes, *said]
    config = {
        "model": engine.uri,
        "revision": str(getattr(engine, "revision", "") or ""),
        "limit": limit,
        "tests": {test.name: _fingerprint(test, items[test.name]) for test in taken},
    }
    with RunDir.open(Path(out), command=command, config=config, seed=seed) as run:
        answered = _answer_all(asker, taken, items, run.file(RESULTS))
        done = _latest(run.file(RESULTS))
        ordered = {t.name: [done[(t.name, i.id)] for i in items[t.name] if (t.name, i.id) in done] for t in taken}
        write_jsonl(run.file(RESULTS), (result for results in ordered.values() for result in results))
        write_jsonl(run.file(ITEMS), (item for test in taken for item in items[test.name]))
        report = summarize(taken, ordered, engine.uri, run.path, seed=seed, answered=answered, notes=said)
        report = replace(report, seconds=round(time.perf_counter() - start, 3), command=command)
        _store(run, report, [item for test in taken for item in items[test.name]])
    return report


def summarize(
    tests: Sequence[Test],
    results: Mapping[str, Sequence[EvalResult]],
    model: str,
    out: Path,
    *,
    seed: int = 0,
    answered: int = 0,
    notes: Iterable[str] = (),
) -> SuiteReport:
    """Figures of tests, categories and the average from per-example results (by test name)."""
    by_test: dict[str, TestFigure] = {}
    by_category: dict[str, list[Sampled]] = {}
    for test in tests:
        by_test[test.name], sampled = figure_of(test, results[test.name], seed=seed)
        by_category.setdefault(test.category, []).append(sampled)
    categories = {name: mean_figure(parts) for name, parts in by_category.items()}
    average = mean_figure(list(categories.values()))
    figures = {name: sampled.figure for name, sampled in categories.items()}
    return SuiteReport(model, Path(out), by_test, figures, average.figure, answered, 0.0, tuple(notes))


def read_results(out: Path) -> list[EvalResult]:
    """The results of a run folder, the last one of each example, in the order of the file.

    Raises:
        MissingError: no suite was run there.
        DataError: the file is damaged; names the line.
    """
    return list(_latest(Path(out) / RESULTS).values())


def _latest(path: Path) -> dict[tuple[str, str], EvalResult]:
    if path.exists() and not path.stat().st_size:
        return {}
    return {result.key: result for result in read_records(path, EvalResult)}


def _items(test: Test, limit: int | None, seed: int) -> list[EvalItem]:
    items = test.items(limit=limit, seed=seed)
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise DataError(f"two items of {test.name} have the id {item.id!r}", hint="give each row its own id")
        seen.add(item.id)
    return items


def _able(asker: Asker, tests: Sequence[Test], items: Mapping[str, Sequence[EvalItem]]) -> tuple[list[Test], list[str]]:
    """The tests the engine can take, and why it cannot take the others."""
    taken, said, error = [], [], None
    for test in tests:
        try:
            if items[test.name]:
                asker.check(test.request(items[test.name][0]))
            taken.append(test)
        except CapabilityError as lack:
            error = lack
            said.append(f"{test.name} is not taken: {lack}")
    if error is not None and not taken:
        raise error
    return taken, said


def _fingerprint(test: Test, items: Sequence[EvalItem]) -> str:
    """What a test's results depend on beside the model."""
    return stable_id(test.scoring, [[asdict(item), asdict(test.request(item))] for item in items])


def _answer_all(asker: Asker, tests: Sequence[Test], items: Mapping[str, Sequence[EvalItem]], path: Path) -> int:
    """Append a result for every item that has no score yet; return how many were asked."""
    with JsonlWriter(path) as writer:
        finished = {key for key, result in _latest(path).items() if result.status == "ok"}
        todo = {t.name: [item for item in items[t.name] if (t.name, item.id) not in finished] for t in tests}
        # tests that score one item at a time share one stream, so that the engine's batches are full
        plain = [test for test in tests if type(test).score_all is Test.score_all]
        for together in [plain, *([test] for test in tests if test not in plain)]:
            pairs = [(test, item) for test in together for item in todo[test.name]]
            if pairs:
                _answer(asker, pairs, writer)
    return sum(map(len, todo.values()))


def _answer(asker: Asker, pairs: Sequence[tuple[Test, EvalItem]], writer: JsonlWriter) -> None:
    """Ask and score items, of several tests or of one that scores many at a time."""
    tests = {test.name: test for test, _ in pairs}
    label = next(iter(tests)) if len(tests) == 1 else f"{len(tests)} tests"
    with progress(len(pairs), label, unit="item") as bar:

        def stream() -> Iterator[Answered]:
            for reply in asker.answers(pairs):
                if isinstance(reply, EvalResult):
                    writer.write(reply)
                    bar.advance()
                else:
                    yield reply

        if len(tests) == 1:
            results = pairs[0][0].score_all(stream())
        else:
            results = (tests[answered.item.test].score(answered) for answered in stream())
        for result in results:
            writer.write(result)
            bar.advance()


def _store(run: RunDir, report: SuiteReport, items: Sequence[EvalItem]) -> None:
    from agora.rooms.preferences.suite.pages import html_report

    for measure in report.measures():
        run.metric(measure.name, measure.value, n=measure.n, ci_low=measure.ci_low, ci_high=measure.ci_high)
    write_json(run.file(REPORT), report.to_json())
    html_report(report, items).write(run.file("report.html"))
