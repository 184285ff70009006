"""Files of verdicts, ours and other people's, read into the one record.

These forms are told apart by their keys:

- our own ``verdict/1`` rows;
- the flat form of judged WildBench files: lines of ``session_id``, ``model``, ``judge``, ``score``, ``output``;
- the reference's score files: a JSON list of ``session_id``, ``model_test``, ``parsed_result``, ``score``,
  ``model_output``;
- the reference's pair files: a JSON list of ``session_id``, ``model_A``, ``model_B``, ``winner``, ``extent``,
  ``model_outputs``;
- AlpacaEval's annotations, with or without texts (:mod:`agora.rooms.judge.formats.alpaca_files`);
- Arena-Hard's judgments and FastChat's single grades (:mod:`agora.rooms.judge.formats.arena_files`).

Files that do not name their judge have it from their folder (``<judge>.<version>/``), or from the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from agora.core.csv_table import CsvTable
from agora.core.errors import DataError, MissingError
from agora.core.files import require_file
from agora.core.garbage import keep_freed_memory, rare_collections
from agora.core.quick_records import quick
from agora.core.records import Answer, Verdict, VerdictStatus
from agora.core.schemas import from_row
from agora.core.tables import read_rows
from agora.rooms.judge.asking._parse import read_score
from agora.rooms.judge.formats.alpaca_files import alpaca_row, compact_row
from agora.rooms.judge.formats.arena_files import arena_rows, single_grade
from agora.rooms.judge.scoring.reward import BASELINES

#: Tasks of WildBench v2, whose judged files leave out what the judge's parser could not read.
WILDBENCH_V2_TASKS = 1024

_new_verdict = quick(Verdict)
_V2 = re.compile(r"v2\.\d+")
_FOLDER = re.compile(r"(?P<judge>.+)\.(?P<version>v\d+\.\d+)")
_SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")
_CUT_MARK = "... (truncated)"
_EXTENTS = {"0": 0.0, "1": 0.5, "2": 1.0}
_EMPTY_MARK = "[This model response is empty.]"
#: How a text ends that is empty, blank or marked; no other text is looked at further.
_ODD_ENDS = frozenset({"", ")", "]", *filter(str.isspace, map(chr, range(0x3001)))})


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """The verdicts of one file.

    Args:
        version: of the evaluation, where the source states one; verdicts of two versions never share a ranking.
        truncated: answers that the source cut before the judge saw them, by model.
        texts: task, model and text of the answers that the file holds, where they were asked for; our own hold none.
    """

    path: Path
    verdicts: tuple[Verdict, ...]
    version: str = ""
    truncated: dict[str, int] | None = None
    texts: tuple[tuple[str, str, str], ...] = ()

    @property
    def num_tasks(self) -> int | None:
        """The benchmark's size as far as the version tells it."""
        return WILDBENCH_V2_TASKS if _V2.fullmatch(self.version) else None


def judged_paths(paths: Iterable[Path]) -> list[Path]:
    """The files among the paths, folders replaced by the judged files in them.

    Raises:
        MissingError: a path does not exist, or a folder holds no judged file.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        inside = [file for file in _tables_in(path) if not _of_a_run(file, path)]
        if not inside:
            raise MissingError("the folder holds no judged files (.jsonl, .json, .parquet)", where=str(path))
        found.extend(inside)
    return list(dict.fromkeys(found))


def _of_a_run(file: Path, top: Path) -> bool:
    """True for what a judging's folder holds beside its verdicts."""
    folders = [folder for folder in file.parents if folder == top or top in folder.parents]
    run = next((folder for folder in folders if (folder / "run.json").exists()), None)
    return run is not None and file.relative_to(run).parts[0] != "verdicts"


def _tables_in(folder: Path) -> list[Path]:
    """The ``model_judgment`` of Arena-Hard's folders, AlpacaEval's annotations without its other files, or all."""
    if (folder / "model_judgment").is_dir():
        folder = folder / "model_judgment"
    tables = sorted(p for p in folder.rglob("*") if p.is_file() and _bare(p).suffix in _SUFFIXES)
    return [p for p in tables if p.name == "annotations.json"] or tables


def _bare(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in (".zst", ".gz") else path


def read_judged(
    path: Path,
    *,
    judge: str | None = None,
    version: str | None = None,
    baseline: str | None = None,
    texts: bool = False,
) -> JudgedFile:
    """Read a file of verdicts in any of the forms above.

    Args:
        judge, version: of a file that does not state them; else the folder's name ``<judge>.<version>`` does.
        baseline: which model of a reference's pair file is the baseline; else the one that is a baseline of the paper.
        texts: keep the answers' texts too.

    Raises:
        MissingError: no such file.
        DataError: a row of none of the forms, or one that breaks its form; names file and line.
    """
    path = Path(path)
    require_file(path)
    folder = _FOLDER.fullmatch(path.parent.name)
    source = _Source(
        judge or (folder["judge"] if folder else "unknown"), version or (folder["version"] if folder else ""), baseline
    )
    keep_freed_memory()
    with rare_collections():
        return _read(path, source, texts)


def _read(path: Path, source: _Source, texts: bool) -> JudgedFile:
    verdicts: dict[str, Verdict] = {}
    read: _Reader | None = None
    versions, truncated = set(), dict[str, int]()
    said: list[tuple[str, str, str]] = []
    for line, row in _rows(path):
        try:
            read = read or _reader(row)
            found = read(row, source)
        except KeyError as err:
            raise DataError(f"field {err} is missing", where=f"{path}:{line}") from None
        except DataError as err:
            raise DataError(err.what, where=f"{path}:{line}", hint=err.hint) from None
        if texts and read is not _own_row:
            said.extend(_texts(row))
        for verdict in found:
            id_, meta = verdict.id, verdict.meta
            if id_ in verdicts and read is not _own_row:
                raise DataError(f"a second verdict on task {verdict.task_id}", where=f"{path}:{line}", hint="keep one")
            verdicts[id_] = verdict
            versions.add(meta.get("version", ""))
            if meta.get("truncated"):
                truncated[verdict.model] = truncated.get(verdict.model, 0) + 1
    if len(versions) > 1:
        raise DataError(f"the file mixes evaluation versions: {', '.join(sorted(versions))}", where=str(path))
    own_version = versions.pop() if versions else source.version
    return JudgedFile(path, tuple(verdicts.values()), own_version, truncated, tuple(said))


def _texts(row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    outputs = row.get("model_outputs") or {
        row.get("model", row.get("model_test")): row.get("output", row.get("model_output"))
    }
    for model, text in outputs.items():
        if isinstance(text, str):
            yield row["session_id"], model, text


def read_judged_answers(path: Path) -> list[Answer]:
    """The answers that a judged score file holds beside its verdicts, as the judge saw them."""
    answers = []
    for line, row in read_rows(Path(path)):
        output = row.get("output", row.get("model_output"))
        model, task = row.get("model", row.get("model_test")), row.get("session_id")
        if not isinstance(model, str) or not isinstance(task, str):
            raise DataError("the row holds no judged answer (session_id, model, output)", where=f"{path}:{line}")
        answers.append(Answer(task, model, output if isinstance(output, str) else ""))
    return answers


@dataclass(frozen=True, slots=True)
class _Source:
    """What a file's place says of its rows."""

    judge: str
    version: str
    baseline: str | None
    meetings: dict[tuple[Any, ...], _Meeting] = field(default_factory=dict)

    def meeting(self, row: dict[str, Any]) -> _Meeting:
        """Who met whom in a row of a pair file."""
        key = row["model_A"], row["model_B"], row.get("baseline"), row.get("judge"), row.get("version")
        found = self.meetings.get(key)
        if found is None:
            found = self.meetings[key] = _Meeting.of(*key, self)
        return found


class _Meeting(NamedTuple):
    """What all rows of a pair file share that show the same two models in the same order."""

    candidate: str
    baseline: str
    order: str
    judge: str
    version: str
    id_before: str  # the task's id
    id_after: str
    prompt: str

    @classmethod
    def of(
        cls, first: str, second: str, baseline: str | None, judge: str | None, version: str | None, source: _Source
    ) -> _Meeting:
        judge, version = judge or source.judge, version or source.version
        baseline = baseline or source.baseline or _known_baseline(first, second)
        if baseline not in (first, second):
            raise DataError(f"the baseline {baseline} is neither {first} nor {second}")
        candidate = second if baseline == first else first
        order = "candidate_first" if candidate == first else "candidate_second"
        before, prompt = f"{judge}/{version}/{candidate}/{baseline}/", f"wildbench/{version}"
        return cls(candidate, baseline, order, judge, version, before, f"/{order}", prompt)


_Reader = Callable[[dict[str, Any], _Source], tuple[Verdict, ...]]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if _bare(path).suffix == ".csv":
        return enumerate(map(dict, CsvTable.read(path).rows), 2)
    return read_rows(path)


def _reader(row: dict[str, Any]) -> _Reader:
    """Which form a file has, by its first row."""
    if row.get("schema") == Verdict.SCHEMA:
        return _own_row
    keys = row.keys()
    for needed, reader in _FORMS:
        if needed <= keys:
            return reader
    raise DataError(
        f"not a judged file: a row has the keys {', '.join(sorted(row)[:6])}",
        hint="expected verdict/1 rows, or WildBench's session_id, model, score and output",
    )


def _own_row(row: dict[str, Any], source: _Source) -> tuple[Verdict, ...]:
    """A row of our own; in a verdict file the last one on an id counts."""
    return (from_row(Verdict, row),)


def _score_row(row: dict[str, Any], source: _Source) -> tuple[Verdict, ...]:
    """A row of the flat form or of the reference's score files."""
    flat = "output" in row
    model = row["model"] if flat else row["model_test"]
    judge, version = row.get("judge") or source.judge, row.get("version") or source.version
    task, output = row["session_id"], row["output"] if flat else row["model_output"]
    fields = row.get("judge_json") if flat else row.get("parsed_result")
    if not (isinstance(task, str) and isinstance(model, str)):
        raise DataError(f"session_id and model must be text, got {task!r} and {model!r}")
    text = output if isinstance(output, str) else ""
    read = read_score(row["score"])
    parsed: dict[str, Any] = fields if isinstance(fields, dict) else {}
    meta: dict[str, Any] = {"version": version}
    if text[-1:] in _ODD_ENDS:
        if not text or text.isspace():
            meta["empty"] = True
        elif _is_cut(text):
            meta["truncated"] = True
    # by position, which costs half of what seventeen names do
    verdict = _new_verdict(
        f"{judge}/{version}/{model}/{task}",
        "score",
        task,
        model,
        judge,
        "ok" if read.status == "ok" else _why_unscored(row),
        read.value,
        "",
        f"wildbench/{version}",
        "",
        None,
        None,
        parsed if read.status == "ok" else {**parsed, "reason": read.status},
        len(text),
        None,
        _usage(row),
        meta,
    )
    return (verdict,)


def _why_unscored(row: dict[str, Any]) -> VerdictStatus:
    """Our exports say why a row has no score; the reference leaves such rows out."""
    given: VerdictStatus = row["status"] if row.get("status") in ("refused", "missing") else "unparsed"
    return given


def _usage(row: dict[str, Any]) -> dict[str, Any]:
    details = row.get("meta_data")
    if details is None and "prompt_tokens" not in row and "completion_tokens" not in row:
        return {}
    nested = details.get("usage") if isinstance(details, dict) else None
    found = nested if isinstance(nested, dict) else row
    if "prompt_tokens" not in found and "completion_tokens" not in found:
        return {}
    return {key: found[key] for key in ("prompt_tokens", "completion_tokens") if found.get(key) is not None}


def _reference_pair(row: dict[str, Any], source: _Source) -> tuple[Verdict, ...]:
    """A row of the reference's pair files, from the candidate's side."""
    candidate, baseline, order, judge, version, before, after, prompt = source.meeting(row)
    winner, extent, task = row["winner"], row["extent"], row["session_id"]
    size = _EXTENTS.get(str(extent))
    if size is None or winner not in (candidate, baseline, "tie"):
        raise DataError(f"winner {winner!r} or extent {extent!r} is none of a pair file's values")
    outputs = row.get("model_outputs") or {}
    meta: dict[str, Any] = {"version": version}
    parsed = row.get("parsed_result")
    verdict = _new_verdict(
        f"{before}{task}{after}",
        "pair",
        task,
        candidate,
        judge,
        "ok",
        0.0 if winner == "tie" else size if winner == candidate else -size,
        "",
        prompt,
        "",
        baseline,
        order,
        parsed if isinstance(parsed, dict) else {},
        _length(outputs.get(candidate), meta, ""),
        _length(outputs.get(baseline), meta, "baseline_"),
        _usage(row),
        meta,
    )
    return (verdict,)


def _length(text: Any, meta: dict[str, Any], whose: str) -> int | None:
    """An answer's characters; notes in ``meta`` whether it was empty, or cut before the judge saw it."""
    if not isinstance(text, str):
        return None
    if text[-1:] not in _ODD_ENDS:
        return len(text)
    if text == _EMPTY_MARK or not text or text.isspace():
        meta[f"{whose}empty"] = True
        return 0 if text == _EMPTY_MARK else len(text)
    if _is_cut(text):
        meta[f"{whose}truncated"] = True
    return len(text)


def _is_cut(text: str) -> bool:
    return text.endswith(_CUT_MARK) or (text[-1:].isspace() and text.rstrip().endswith(_CUT_MARK))


def _known_baseline(first: str, second: str) -> str:
    if (first in BASELINES) == (second in BASELINES):
        raise DataError(f"which of {first} and {second} is the baseline cannot be told", hint="name it with --baseline")
    return first if first in BASELINES else second


_FORMS: tuple[tuple[frozenset[str], _Reader], ...] = (
    (frozenset({"winner", "extent"}), _reference_pair),
    (frozenset({"score", "output"}), _score_row),
    (frozenset({"score", "model_output"}), _score_row),
    (frozenset({"games", "model"}), lambda row, source: tuple(arena_rows(row, source.judge, source.baseline))),
    (frozenset({"instruction", "generator_2", "preference"}), lambda row, source: (alpaca_row(row, source.judge),)),
    (
        frozenset({"index", "preference", "len_model"}),
        lambda row, source: (compact_row(row, source.judge, source.baseline or "baseline"),),
    ),
    (frozenset({"question_id", "model", "judgment", "score"}), lambda row, source: (single_grade(row, source.judge),)),
)
