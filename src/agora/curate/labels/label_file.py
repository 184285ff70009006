"""Label the rows of a file: language, what a model says of the instruction, what a reward model says of the answer.

Rows stream through, so memory does not grow with the file. A reply is in the cache of the run folder before the next
is asked for: after a kill the same command repeats only the calls that were in flight, and ends with the same bytes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from agora.core.errors import ConfigError
from agora.core.files import nearest
from agora.core.jobs import check_place
from agora.core.json_rows import Row
from agora.core.progress import progress
from agora.core.records import JsonMap, stable_id
from agora.core.runs import RunDir
from agora.curate import providers
from agora.curate.curation import CurateReport, Curation, curate
from agora.curate.labels.agreement import LabelAgreement, label_agreement
from agora.curate.labels.by_language import label_language
from agora.curate.labels.by_reward import RewardLabeler, reward_of
from agora.curate.labels.kinds import KINDS
from agora.curate.labels.labelers import Labeler, open_labeler
from agora.curate.rows import tag_of
from agora.curate.write import beside

LABELS = (*KINDS, "language", "reward")
FAILURES_TO_WARN_OF = 0.02
_WINDOW_ROWS = 8192


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """What to label, and with whom.

    Args:
        labels: of ``LABELS``.
        engine: URI of a labeler, for the labels of ``KINDS``.
        reward: URI of a scorer, for ``reward``: ``reward:PATH``, ``judge:ENGINE``, ...
        check: URI of a second labeler, asked about a sample: the two are compared.
        check_rows: size of that sample.
        seed: of the prompts' codes and the sample.
        max_tokens: longest reply.
    """

    labels: tuple[str, ...]
    engine: str = ""
    reward: str = ""
    check: str = ""
    check_rows: int = 500
    seed: int = 0
    max_tokens: int = 512
    engine_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.labels:
            raise ConfigError("no label is asked for", hint=f"choose among {', '.join(LABELS)}")
        for name in self.labels:
            if name not in LABELS:
                near = nearest(name, list(LABELS))
                hint = f"did you mean {near}?" if near else f"choose among {', '.join(LABELS)}"
                raise ConfigError(f"there is no label {name!r}", hint=hint)
        if self.kinds and not self.engine:
            raise ConfigError(
                f"{', '.join(self.kinds)} need a model to label with", hint="give --engine URI, such as openai:MODEL"
            )
        if "reward" in self.labels and not self.reward:
            raise ConfigError("a reward needs a scorer", hint="give --reward reward:PATH or judge:ENGINE")
        if self.check and not self.kinds:
            raise ConfigError("there are no labels of a model to check", hint="leave --check out")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The labels that a model gives."""
        return tuple(name for name in self.labels if name in KINDS)

    def config(self) -> JsonMap:
        """What decides the result."""
        return {k: v for k, v in asdict(self).items() if k not in ("engine_options", "seed")}


def label_file(
    path: Path,
    out: Path,
    settings: LabelSettings,
    *,
    format: str = "auto",
    on: str = "local",
    workers: int | None = None,
) -> CurateReport:
    """Label a file; a label that a row has already stays.

    Args:
        path: any readable file.
        out: all its rows with their tags; a label that could not be had has status ``failed``.
        settings: what to label, and with whom.
        format: of the input.
        on: where the language is told, see :func:`agora.curate.row_parts.parts_of`. Models are asked from here: their
            server is what can be large, and the budget and the cache of replies are one.
        workers: processes for that.

    Raises:
        ConfigError: the settings contradict each other, or the run folder beside the output holds other work.
        BudgetError, EngineError: the work stopped; its replies are in the run folder, the same command goes on.
    """
    path, out = Path(path), Path(out)
    config = settings.config()
    check_place(on)
    with ExitStack() as stack:
        work = stack.enter_context(
            curate(path, out, verb="label", steps=[], config=config, seed=settings.seed, format=format)
        )
        run = stack.enter_context(
            RunDir.open(
                beside(out, "run"), command="curate label", config=config, seed=settings.seed, inputs={"rows": path}
            )
        )
        tally, sample = _Tally(settings.labels), _Sample(settings.check_rows if settings.check else 0, settings.seed)
        labeler = _opened(settings.engine, run, settings, stack) if settings.kinds else None
        with run.stage("label"), progress(None, "label", "rows") as bar:
            rows = _labeled(_read(work, settings, on, workers), settings, labeler, run, stack)
            work.write(_watched(rows, tally, sample, bar))
        work.facts |= tally.facts()
        if labeler is not None:
            work.facts["spent"] = asdict(labeler.spent)
        if settings.check and labeler is not None:
            with run.stage("check"):
                found = _check(sample.rows, settings, labeler.name, run, stack)
            work.facts["agreement"] = [one.as_json() for one in found]
        for name, share in work.facts["failed_share"].items():
            run.metric("failed_share", share, label=name)
    return work.report


def _opened(uri: str, run: RunDir, settings: LabelSettings, stack: ExitStack) -> Labeler:
    labeler, close = open_labeler(
        uri,
        cache=run.file("cache.sqlite"),
        seed=settings.seed,
        max_tokens=settings.max_tokens,
        **settings.engine_options,
    )
    stack.callback(close)
    return labeler


def _read(work: Curation, settings: LabelSettings, on: str, workers: int | None) -> Iterator[JsonMap]:
    if "language" not in settings.labels:
        return work.rows()
    return chain.from_iterable(work.in_parts(_with_language, on=on, workers=workers, label="language"))


def _with_language(rows: list[Row]) -> list[JsonMap]:
    return list(label_language(row.data for row in rows))


def _labeled(
    rows: Iterable[JsonMap], settings: LabelSettings, labeler: Labeler | None, run: RunDir, stack: ExitStack
) -> Iterator[JsonMap]:
    stream = iter(rows)
    if labeler is not None:
        stream = _in_windows(stream, labeler, settings.kinds)
    if "reward" in settings.labels:
        if not providers.SCORERS:
            raise ConfigError("no scorers are known here", hint="run it through the agora command")
        scored = RewardLabeler(providers.SCORERS[0](settings.reward), settings.reward, run.file("rewards.sqlite"))
        stack.callback(scored.close)
        stream = scored.label(stream)
    return stream


def _in_windows(rows: Iterator[JsonMap], labeler: Labeler, kinds: Sequence[str]) -> Iterator[JsonMap]:
    """Window by window, so that a row whose reply is late holds back few others."""
    asked = [KINDS[name] for name in kinds]
    while window := list(islice(rows, _WINDOW_ROWS)):
        yield from labeler.label(window, asked)


class _Tally:
    """How often each value of each label was given, and how often none."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._values: dict[str, Counter[str]] = {name: Counter() for name in labels}
        self._failed: Counter[str] = Counter()
        self._rewards: list[float] = []
        self._n = 0

    def add(self, row: JsonMap) -> None:
        """Count a row's labels."""
        self._n += 1
        for name in self._labels:
            tag = reward_of(row) if name == "reward" else tag_of(row, name)
            value = (tag or {}).get("value")
            if value is None:
                self._failed[name] += 1
            elif name == "reward":
                self._rewards.append(value)
            else:
                self._values[name][str(value)] += 1

    def facts(self) -> JsonMap:
        """Counts a label, shares of failures, and warnings where these are many."""
        shares = {name: self._failed[name] / self._n if self._n else 0.0 for name in self._labels}
        facts: JsonMap = {
            "labels": {name: dict(c.most_common()) for name, c in self._values.items() if name != "reward"},
            "failed": {name: self._failed[name] for name in self._labels},
            "failed_share": shares,
        }
        if self._rewards:
            facts["mean_reward"] = sum(self._rewards) / len(self._rewards)
        many = [name for name, share in shares.items() if share > FAILURES_TO_WARN_OF]
        if many:
            facts["warnings"] = [f"{name}: {shares[name]:.1%} of the rows could not be labeled" for name in many]
        return facts


class _Sample:
    """The ``n`` rows whose ids hash lowest: the same ones in whatever order they come."""

    def __init__(self, n: int, seed: int) -> None:
        self._n, self._seed = n, seed
        self._heap: list[tuple[int, str, JsonMap]] = []

    def add(self, row: JsonMap) -> None:
        """Take a row if it belongs to the sample so far."""
        if not self._n:
            return
        item = (-int(stable_id("check", self._seed, row["id"]), 16), str(row["id"]), row)
        if len(self._heap) < self._n:
            heapq.heappush(self._heap, item)
        elif item[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, item)

    @property
    def rows(self) -> list[JsonMap]:
        """The sample, in a fixed order."""
        return [row for *_, row in sorted(self._heap, key=lambda item: item[:2], reverse=True)]


def _watched(rows: Iterable[JsonMap], tally: _Tally, sample: _Sample, bar: Any) -> Iterator[JsonMap]:
    for row in rows:
        bar.advance()
        tally.add(row)
        sample.add(row)
        yield row


def _check(
    rows: list[JsonMap], settings: LabelSettings, first: str, run: RunDir, stack: ExitStack
) -> list[LabelAgreement]:
    """Ask the second labeler about the sample and compare."""
    second = _opened(settings.check, run, settings, stack)
    kinds = [KINDS[name] for name in settings.kinds]
    bare = [{**row, "tags": {k: v for k, v in row["tags"].items() if k not in settings.kinds}} for row in rows]
    again = list(second.label(bare, kinds))
    names = (first, second.name)

    def values(labeled: list[JsonMap], name: str) -> list[str | None]:
        return [(tag_of(row, name) or {}).get("value") for row in labeled]

    return [
        label_agreement(k.name, values(rows, k.name), values(again, k.name), names=names, seed=settings.seed)
        for k in kinds
    ]
