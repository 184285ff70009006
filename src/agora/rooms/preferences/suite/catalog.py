"""All tests by name: what each needs, whether it can be taken here, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agora.core.errors import AgoraError, MissingError, UsageError
from agora.core.files import missing, nearest
from agora.rooms.preferences.suite.files import find_file, need_file
from agora.rooms.preferences.suite.judges import CHECKER, CheckerJudge, EngineJudge, PairJudge
from agora.rooms.preferences.suite.protocol import Test

if TYPE_CHECKING:
    from agora.engines.types import Engine

MICROCOSM, OFFLINE, JUDGED = "microcosm", "offline", "judged"
SUITES = (MICROCOSM, OFFLINE, JUDGED)


@dataclass(frozen=True, slots=True)
class SuiteSettings:
    """What the tests may use.

    Attributes:
        data: a folder of data files, or the file of the one test asked for.
        judge: an open engine that judges, or ``microcosm:checker``.
        allow_code: run programs that the model has written.
    """

    data: Path | None = None
    judge: Engine | str | None = None
    allow_code: bool = False


class Entry(NamedTuple):
    """A test that can be asked for by name. `make` raises where something it needs is absent."""

    name: str
    category: str
    suites: tuple[str, ...]
    needs: str
    make: Callable[[SuiteSettings], Test]


class Unavailable(NamedTuple):
    """A test of the suite asked for that cannot be taken here, and why."""

    name: str
    category: str
    reason: str


class Selection(NamedTuple):
    """The tests to run and those left out."""

    tests: list[Test]
    unavailable: list[Unavailable]


def choose_tests(names: Sequence[str], settings: SuiteSettings) -> Selection:
    """The tests of suites and names.

    A test that is named must be there; one that only belongs to a suite is left out with its reason.

    Args:
        names: suites (``microcosm``, ``offline``, ``judged``) and tests, in any mix.
        settings: what they may use.

    Raises:
        UsageError: an unknown name, or one file for several tests.
        MissingError: a named test, or all tests of a suite, lack something.
    """
    if not names:
        raise UsageError("no test is named", hint=f"name tests, or one of {', '.join(SUITES)}")
    entries = {entry.name: entry for entry in catalog()}
    wanted: dict[str, bool] = {}  # name -> asked for by that name
    for name in names:
        if name in entries:
            wanted[name] = True
        elif name in SUITES:
            members = [entry.name for entry in entries.values() if name in entry.suites]
            wanted |= {member: wanted.get(member, False) for member in members}
        else:
            near = nearest(name, [*SUITES, *entries])
            hint = f"did you mean {near}?" if near else "see: agora preferences eval --list"
            raise UsageError(f"there is no test or suite {name!r}", hint=hint)
    _check_data(wanted, settings)
    tests: list[Test] = []
    left_out: list[Unavailable] = []
    for name, named in wanted.items():
        try:
            tests.append(entries[name].make(settings))
        except MissingError as error:
            if named:
                raise
            left_out.append(Unavailable(name, entries[name].category, str(error)))
    if not tests:
        why = "; ".join(f"{test.name}: {test.reason}" for test in left_out[:3])
        raise MissingError(f"no test of {', '.join(names)} can be taken here ({why})")
    return Selection(tests, left_out)


def _check_data(wanted: dict[str, bool], settings: SuiteSettings) -> None:
    if settings.data is None:
        return
    if not settings.data.exists():
        raise missing(settings.data, "file or folder")
    reading = [name for name in wanted if not name.startswith(f"{MICROCOSM}/")]
    if settings.data.is_file() and len(reading) != 1:
        hint = "name the one test it is for with --suite, or give a folder"
        raise UsageError("one file cannot be the data of several tests", where=str(settings.data), hint=hint)


def status(entry: Entry, settings: SuiteSettings) -> str:
    """``ready``, or why the test cannot be taken with these settings."""
    try:
        entry.make(settings)
    except AgoraError as error:
        return str(error)
    return "ready"


def catalog() -> list[Entry]:
    """Every test, grouped by suite."""
    from agora.microcosm.world import CATEGORIES as KINDS
    from agora.microcosm.world.types import GROUP_OF_CATEGORY
    from agora.rooms.preferences.suite.microcosm import slug

    world = [
        Entry(f"{MICROCOSM}/{slug(kind)}", GROUP_OF_CATEGORY[kind], (MICROCOSM,), "nothing", _microcosm(kind))
        for kind in KINDS
    ]
    given = [
        ("gsm8k", "reasoning", OFFLINE, "--data with gsm8k/test.jsonl", _gsm8k),
        ("bbh", "reasoning", OFFLINE, "--data with bbh.jsonl and cot_prompts.json", _bbh),
        ("mmlu", "factuality", OFFLINE, "--data with mmlu/test.csv; an engine with log-probabilities", _mmlu),
        ("truthfulqa-mc", "truthfulness", OFFLINE, "--data with mc_task.json; log-probabilities", _truthfulqa),
        ("humaneval", "coding", OFFLINE, "--data with HumanEval.jsonl; --allow-code", _humaneval),
        ("mbpp", "coding", OFFLINE, "--data with mbpp.jsonl; --allow-code", _mbpp),
        ("ifeval", "instruction following", OFFLINE, "--data with ifeval/input_data.jsonl", _ifeval),
        ("xstest", "safety", OFFLINE, "--data with xstest_prompts.csv", _xstest),
        ("mmlu-text", "factuality", "", "--data with mmlu/test.csv; no log-probabilities", _mmlu_text),
        ("toxigen", "safety", JUDGED, "--data with toxigen.jsonl; a classifier or --judge ENGINE", _toxigen),
        ("alpaca-eval", "instruction following", JUDGED, "--data with a baseline's outputs; --judge", _alpaca_eval),
        ("truthfulqa", "truthfulness", JUDGED, "two fine-tuned judges", _truthfulqa_judged),
    ]
    return [
        *world,
        *(Entry(name, group, (suite,) if suite else (), needs, make) for name, group, suite, needs, make in given),
    ]


def _microcosm(kind: str) -> Callable[[SuiteSettings], Test]:
    def make(settings: SuiteSettings) -> Test:
        from agora.rooms.preferences.suite.microcosm import MicrocosmTest

        return MicrocosmTest(kind)

    return make


def _gsm8k(settings: SuiteSettings) -> Test:
    from agora.rooms.preferences.suite.gsm8k import FILES, Gsm8k

    return Gsm8k(need_file(settings.data, FILES, "gsm8k"))


def _bbh(settings: SuiteSettings) -> Test:
    from agora.rooms.preferences.suite.bbh import FILES, PROMPT_FILES, Bbh

    path = need_file(settings.data, FILES, "bbh")
    for folder in (path.parent, settings.data):
        with suppress(MissingError):
            if folder is not None and folder.is_dir() and (prompts := find_file(folder, PROMPT_FILES)) is not None:
                return Bbh(path, prompts)
    raise MissingError("no worked examples of bbh here", where=str(path.parent), hint=f"looked for {PROMPT_FILES[0]}")


def _mmlu(settings: SuiteSettings) -> Test:
    from agora.rooms.preferences.suite.choice import MMLU_FILES, MultipleChoice

    return MultipleChoice(need_file(settings.data, MMLU_FILES, "mmlu"))


def _mmlu_text(settings: SuiteSettings) -> Test:
    from agora.rooms.preferences.suite.choice import MMLU_FILES, MultipleChoice

    return MultipleChoice(need_file(settings.data, MMLU_FILES, "mmlu"), name="mmlu-text", by_text=True)


def _truthfulqa(settings: SuiteSettings) -> Test:
    from agora.rooms.preferences.suite.truthfulqa import FILES, TruthfulQa

    return TruthfulQa(need_file(settings.data, FILES, "truthfulqa-mc"))


def _truthfulqa_judged(settings: SuiteSettings) -> Test:
    what = "the generated form needs the two fine-tuned judges of its authors, which no offline rule replaces"
    raise MissingError(what, hint="take truthfulqa-mc instead")


def _humaneval(settings: SuiteSettings) -> Test:
    from agora.rooms.preferences.suite.code import HUMANEVAL_FILES, HumanEval

    path = need_file(settings.data, HUMANEVAL_FILES, "humaneval")
    _need_code(settings)
    return HumanEval(path)


def _mbpp(settings: SuiteSettings) -> Test:
    from agora.rooms.preferences.suite.code import MBPP_FILES, Mbpp

    path = need_file(settings.data, MBPP_FILES, "mbpp")
    _need_code(settings)
    return Mbpp(path)


def _need_code(settings: SuiteSettings) -> None:
    if not settings.allow_code:
        what = "this test runs programs that the model has written"
        raise MissingError(what, hint="allow it with --allow-code, best on a machine with nothing to lose")


def _ifeval(settings: SuiteSettings) -> Test:
    from agora.rooms.preferences.suite.ifeval import FILES, IfEval

    return IfEval(need_file(settings.data, FILES, "ifeval"))


def _xstest(settings: SuiteSettings) -> Test:
    from agora.rooms.preferences.suite.refusal import FILES, XsTest

    return XsTest(need_file(settings.data, FILES, "xstest"))


def _toxigen(settings: SuiteSettings) -> Test:
    from agora.rooms.preferences.suite.toxicity import FILES, ToxiGen

    path = need_file(settings.data, FILES, "toxigen")
    if settings.judge is None or isinstance(settings.judge, str):
        raise MissingError("no rule tells what is toxic", hint="give --judge ENGINE, or a classifier from Python")
    return ToxiGen(path, EngineJudge(settings.judge))


def _alpaca_eval(settings: SuiteSettings) -> Test:
    from agora.rooms.preferences.suite.pairwise import FILES, PairwiseTest

    path = need_file(settings.data, FILES, "alpaca-eval")
    return PairwiseTest(path, _pair_judge(settings))


def _pair_judge(settings: SuiteSettings) -> PairJudge:
    if settings.judge is None:
        raise MissingError("a comparison needs a judge", hint=f"give --judge ENGINE, or --judge {CHECKER}")
    if isinstance(settings.judge, str):
        if settings.judge != CHECKER:
            raise UsageError(f"{settings.judge!r} is no judge", hint=f"give an engine, or {CHECKER}")
        return CheckerJudge()
    return EngineJudge(settings.judge)
