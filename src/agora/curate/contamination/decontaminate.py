"""Remove from a file what tests ask: copies by runs of words, paraphrases by retrieval and a judge.

For each test item its most similar rows are put before the judge; where it says True the row goes, and the item's next
rows are looked at, until no new one is found. Without a judge the retrieved rows are listed as undecided, and stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from agora.core.errors import DataError, UsageError
from agora.core.jobs import check_place
from agora.core.json_rows import Row
from agora.core.jsonl import write_jsonl
from agora.core.lock import FolderLock
from agora.core.progress import progress
from agora.core.records import JsonMap, stable_id
from agora.curate.contamination.items import Part, TestItem, read_items
from agora.curate.contamination.ngrams import RUN_WORDS, NgramIndex, Overlap
from agora.curate.contamination.recall import recall_of
from agora.curate.contamination.retrieve import LEXICAL, retrieve
from agora.curate.contamination.scripts import unlike_scripts
from agora.curate.contamination.verdicts import KINDS, Ask, Judge
from agora.curate.curation import CurateReport, Curation, curate
from agora.curate.embeddings import find_embedder, write_texts
from agora.curate.rows import user_turns, with_tag
from agora.curate.write import beside

_NO_RUN, _NO_TWIN = "shares no words with a test", "is no test item in other words"
_SHOWN_CHARS = 300


@dataclass(frozen=True, slots=True)
class DecontaminateSettings:
    """What is looked for.

    Args:
        words: length of a run of words; 13 is usual, 10 and 8 find more.
        part: what is compared: the instruction (user turns with the test's prompt), the answer, or both.
        top: rows retrieved for each item; 0 leaves retrieval out.
        retrieval: ``chars``, ``words`` (TF-IDF) or an embedder's name.
        kind: what the judge is asked: ``knowledge``, ``numbers`` or ``code``.
        drop_undecided: remove rows about which the judge gave no readable verdict too.

    Raises:
        UsageError: a value is out of range.
    """

    words: int = RUN_WORDS
    part: str = "instruction"
    top: int = 5
    retrieval: str = "chars"
    kind: str = "knowledge"
    drop_undecided: bool = False

    def __post_init__(self) -> None:
        if self.words < 2:
            raise UsageError(f"a run must have at least 2 words, got {self.words}")
        if self.top < 0:
            raise UsageError(f"rows an item must be at least 0, got {self.top}")
        for value, known, what in ((self.part, ("instruction", "answer", "both"), "part"), (self.kind, KINDS, "kind")):
            if value not in known:
                raise UsageError(f"{value!r} is no {what}", hint=f"choose {', '.join(known)}")


class Hit(NamedTuple):
    """A test item and a row that may hold it. ``method`` is ``exact``, ``ngram`` or the retrieval's name."""

    item: int
    row: int
    method: str
    score: float
    verdict: Literal["yes", "no", "undecided"]
    said: str  # the shared words, or the judge's reply


def decontaminate_file(
    path: Path,
    out: Path,
    against: Sequence[Path],
    settings: DecontaminateSettings | None = None,
    *,
    judge: Judge | None = None,
    judge_name: str = "",
    format: str = "auto",
    work: Path | None = None,
    on: str = "local",
    workers: int | None = None,
) -> CurateReport:
    """Remove what tests ask from a file.

    Beside the output lie the removed rows with the items that they meet (``OUT.rejects.jsonl``) and every hit with its
    places in both files (``OUT.contamination.jsonl``). Rows that a judge could not decide on get the tag
    ``contamination``. The facts of the report say which layers were used, what they are known to find, and which share
    of each test was met.

    Args:
        path: any readable file.
        out: the rows that stay.
        against: files or folders of tests.
        settings: what is looked for.
        judge: says whether an item and a row pose the same problem; see
            :func:`agora.curate.contamination.verdicts.engine_judge`.
        judge_name: for the report.
        format: of the input.
        work: folder for texts, vectors and candidates; default: ``OUT.work`` beside the output.
        on: where shared words are looked for and rows retrieved, see :func:`agora.curate.row_parts.parts_of`; the judge
            is asked from here, and which rows come before it depends on what it said of the others.
        workers: processes for that.

    Raises:
        UsageError: a setting is out of range, no test is named, or the output is the input.
        DataError: a test has no column with a prompt, or no item has the part that is compared.
    """
    settings = settings or DecontaminateSettings()
    check_place(on)
    if settings.top and settings.retrieval not in LEXICAL:
        find_embedder(settings.retrieval)
    items = _read_tests(against, cast(Part, settings.part))
    config = {**asdict(settings), "against": [str(test) for test in against], "judge": judge_name or None}
    folder = Path(work) if work else beside(Path(out), "work")
    steps = [_NO_RUN, *([_NO_TWIN] if settings.top else [])]
    with curate(path, out, verb="decontaminate", steps=steps, config=config, format=format) as curation:
        search = _Search(curation, items, settings)
        search.by_runs(on, workers)
        if settings.top and search.texts:
            lock = FolderLock(folder)
            try:
                search.by_retrieval(judge, folder, on, workers)
            finally:
                lock.release()
        listed = beside(Path(out), "contamination.jsonl")
        write_jsonl(listed, search.listed())
        curation.facts |= search.facts(judge_name) | {"hits": str(listed)}
        curation.write(search.kept())
    return curation.report


def _read_tests(against: Sequence[Path], part: Part) -> list[TestItem]:
    if not against:
        raise UsageError("no test is named", hint="--against takes files of tests")
    items = [item for path in against for item in read_items(path)]
    if not any(text.strip() for item in items for text in item.texts(part)):
        raise DataError(f"no item of these tests has what is compared ({part})", hint="compare another --part")
    return items


class _Search:
    """The rows of a file, the items of the tests, and what was found between them so far."""

    def __init__(self, curation: Curation, items: list[TestItem], settings: DecontaminateSettings) -> None:
        self.curation, self.items, self.settings = curation, items, settings
        self.texts: list[str] = []  # of the rows, in the order of the file
        self.hits: list[Hit] = []
        self.rounds = self.judged = 0
        self._places: list[str] = []
        self._ids: list[str] = []
        self._removed: dict[int, str] = {}  # row: step

    def by_runs(self, on: str, workers: int | None) -> None:
        """Read the rows and find those that share a run of words with an item."""
        part = cast(Part, self.settings.part)
        index = NgramIndex(self.settings.words)
        numbers: dict[str, int] = {}
        for number, item in enumerate(self.items):
            numbers.setdefault(item.name, number)
            for text in item.texts(part):
                index.add(text, item.name)
        meet = partial(_meet, index, part, self.curation.source.path)
        for found in self.curation.in_parts(meet, on=on, workers=workers, label="shared words"):
            first = len(self.texts)
            self.texts += found.texts
            self._ids += found.ids
            self._places += found.places
            for row, overlaps in enumerate(found.overlaps, first):
                for overlap in overlaps:
                    self.hits.append(Hit(numbers[overlap.test], row, overlap.kind, 1.0, "yes", overlap.shared))
                    self._removed[row] = _NO_RUN

    def by_retrieval(self, judge: Judge | None, folder: Path, on: str, workers: int | None) -> None:
        """Put each item's most similar rows before the judge until no new one is found."""
        table = folder / "texts.jsonl"
        write_texts(table, zip(self._ids, self.texts, strict=True))
        asked: set[tuple[int, int]] = set()
        open_items = [n for n, item in enumerate(self.items) if self._text(item).strip()]
        while open_items:
            self.rounds += 1
            found = retrieve(
                [self._text(self.items[n]) for n in open_items],
                table,
                self.settings.top,
                method=self.settings.retrieval,
                folder=folder,
                without=self._removed,
                on=on,
                workers=workers,
            )
            pairs = [
                (item, int(row), float(score))
                for item, rows, scores in zip(open_items, found.rows, found.scores, strict=True)
                for row, score in zip(rows, scores, strict=True)
                if row >= 0 and score > 0 and (item, int(row)) not in asked
            ]
            asked.update((item, row) for item, row, _ in pairs)
            fresh = self._judge(judge, pairs)
            self.hits += fresh
            met = {hit.item for hit in fresh if hit.verdict == "yes"}
            self._removed |= {hit.row: _NO_TWIN for hit in fresh if self._leaves(hit)}
            open_items = [n for n in open_items if n in met]

    def _judge(self, judge: Judge | None, pairs: list[tuple[int, int, float]]) -> list[Hit]:
        method = self.settings.retrieval
        if judge is None:
            return [Hit(item, row, method, score, "undecided", "") for item, row, score in pairs]
        asks = [Ask(stable_id(item, row), self._text(self.items[item]), self.texts[row]) for item, row, _ in pairs]
        self.judged += len(asks)
        return [
            Hit(item, row, method, score, _VERDICTS[opinion.same], opinion.raw)
            for (item, row, score), opinion in zip(pairs, judge(asks) if asks else [], strict=True)
        ]

    def _leaves(self, hit: Hit) -> bool:
        undecided = hit.verdict == "undecided" and self.judged > 0 and self.settings.drop_undecided
        return hit.verdict == "yes" or undecided

    def _text(self, item: TestItem) -> str:
        return "\n".join(item.texts(cast(Part, self.settings.part))[:2])

    def listed(self) -> Iterator[JsonMap]:
        """Every hit that is not a plain no, by test item, with its places in both files."""
        for hit in sorted(self.hits, key=lambda h: (h.item, -h.score, h.row)):
            if hit.verdict == "no":
                continue
            item = self.items[hit.item]
            yield {
                "test": item.name,
                "row": self._places[hit.row],
                "row_id": self._ids[hit.row],
                "method": hit.method,
                "score": round(hit.score, 4),
                "verdict": hit.verdict,
                "said": hit.said[:_SHOWN_CHARS],
                "test_text": self._text(item)[:_SHOWN_CHARS],
                "row_text": self.texts[hit.row][:_SHOWN_CHARS],
            }

    def kept(self) -> Iterator[JsonMap]:
        """The rows that stay; the others go to the reject file with what they meet."""
        by_row: dict[int, list[Hit]] = {}
        for hit in self.hits:
            if hit.verdict == "yes" or (hit.verdict == "undecided" and self.judged):
                by_row.setdefault(hit.row, []).append(hit)
        with progress(len(self.texts), "writing", "rows") as bar:
            for number, row in enumerate(self.curation.again()):
                bar.advance()
                found = by_row.get(number)
                if found is None:
                    yield row
                    continue
                row = with_tag(row, "contamination", self._tag(found))
                step = self._removed.get(number)
                if step is None:
                    yield row
                    continue
                first = next((h for h in found if h.verdict == "yes"), found[0])
                name = self.items[first.item]
                how = {"exact": "equals", "ngram": f"{self.settings.words} words of"}.get(
                    first.method, "same problem as"
                )
                how = "undecided against" if first.verdict == "undecided" else how
                where = self._places[number]
                self.curation.drop(
                    row, step, f"{how} {name.source}", where=where, detail=f"{name.name}: {first.said[:80]}"
                )

    def _tag(self, hits: list[Hit]) -> JsonMap:
        found = [
            {
                "set": self.items[hit.item].source,
                "item_id": self.items[hit.item].name,
                "method": hit.method,
                "score": round(hit.score, 4),
                "verdict": hit.verdict,
            }
            for hit in hits
        ]
        return {"value": "yes" if any(h.verdict == "yes" for h in hits) else "undecided", "status": "ok", "hits": found}

    def facts(self, judge_name: str) -> JsonMap:
        """Layers with what they are known to find, and what was met of each test."""
        settings = self.settings
        layers = [f"{settings.words}-gram"]
        if settings.top:
            layers.append(f"{settings.retrieval} top {settings.top}")
            layers.append(f"judge {judge_name} ({settings.kind})" if judge_name else "no judge")
        facts: JsonMap = {
            "layers": layers,
            "recall": recall_of(settings.words, settings.retrieval if settings.top else None, settings.top),
            "tests": self._tests(),
            "rounds": self.rounds,
            "judged": self.judged,
            "undecided": sum(hit.verdict == "undecided" for hit in self.hits),
            "warnings": [],
        }
        lexical = settings.retrieval in LEXICAL or settings.retrieval == "tfidf" or not settings.top
        unlike = unlike_scripts([self._text(item) for item in self.items], self.texts) if lexical else ""
        if unlike:
            facts["warnings"].append(
                f"{unlike}: what compares spelling is blind to translations; use --retrieve st:MULTILINGUAL-MODEL"
            )
        return facts

    def _tests(self) -> JsonMap:
        """For each test: its items, and how many were met by which layer."""
        totals = Counter(item.source for item in self.items)
        met: dict[str, dict[str, set[int]]] = {name: {} for name in totals}
        for hit in self.hits:
            if hit.verdict != "no":
                layer = (
                    "words" if hit.method in ("exact", "ngram") else "undecided" if hit.verdict != "yes" else "judge"
                )
                met[self.items[hit.item].source].setdefault(layer, set()).add(hit.item)
        tests: JsonMap = {}
        for name, items in totals.items():
            sure = met[name].get("words", set()) | met[name].get("judge", set())
            tests[name] = {
                "items": items,
                "met": len(sure),
                "share": len(sure) / items,
                "by": {layer: len(found) for layer, found in sorted(met[name].items())},
            }
        return tests


_VERDICTS: dict[bool | None, Any] = {True: "yes", False: "no", None: "undecided"}


class _Met(NamedTuple):
    """Some rows: their texts, ids and places, and what each shares with which items."""

    texts: list[str]
    ids: list[str]
    places: list[str]
    overlaps: list[list[Overlap]]


def _meet(index: NgramIndex, part: Part, path: Path, rows: list[Row]) -> _Met:
    texts = [row_text(row.data, part) for row in rows]
    ids, places = [str(row.data["id"]) for row in rows], [_place(row, path) for row in rows]
    return _Met(texts, ids, places, list(index.meet_each(texts)))


def row_text(row: JsonMap, part: str) -> str:
    """What of a row is compared: user turns, assistant turns, or all turns."""
    if part == "instruction":
        return "\n".join(user_turns(row))
    roles = ("assistant",) if part == "answer" else ("user", "assistant")
    return "\n".join(str(m["content"]) for m in row["messages"] if m["role"] in roles)


def _place(row: Row, path: Path) -> str:
    """``FILE:LINE`` of the row's origin, which an earlier verb may have read."""
    origin = row.data.get("provenance") or {}
    return f"{origin.get('path') or path}:{origin.get('line') or row.line}"
