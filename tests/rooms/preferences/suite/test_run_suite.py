"""Running a suite: results an example, resuming, what an engine lacks, how prompts reach it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import CapabilityError, ConfigError, DataError, UsageError
from agora.core.records import Message
from agora.core.tables import read_json, read_records
from agora.engines.hf import HfEngine
from agora.engines.types import Sampling
from agora.rooms.preferences.suite.asking import Asker
from agora.rooms.preferences.suite.protocol import Ask, Choose, Request
from agora.rooms.preferences.suite.run import RESULTS, SuiteReport, read_results, run_suite
from agora.rooms.preferences.types import EvalItem
from tests.rooms.preferences.suite.counting import run_all
from tests.rooms.preferences.suite.support import Echo, FunctionEngine, doubled
from tests.tiny import make_tiny_model


def test_report_has_tests_categories_and_average(tmp_path: Path) -> None:
    tests = [Echo(4, "one"), Echo(6, "two"), Echo(5, "three", "safety")]
    engine = FunctionEngine(lambda prompt: doubled(prompt) if prompt[-2] in "01234" else "wrong")
    report = run_suite(engine, tests, tmp_path / "run")
    assert [report.by_test[name].figure.value for name in ("one", "two", "three")] == [100, pytest.approx(500 / 6), 100]
    assert report.categories["reasoning"].value == pytest.approx((100 + 500 / 6) / 2)
    assert report.average.value == pytest.approx((report.categories["reasoning"].value or 0) / 2 + 50)
    assert len(report.results()) == 15 == report.answered
    assert [item.id for item in read_records(tmp_path / "run/items.jsonl", EvalItem)][:5] == [
        "e0",
        "e1",
        "e2",
        "e3",
        "e0",
    ]
    assert {m.name for m in report.measures()} >= {"suite/test/one", "suite/category/safety", "suite/average"}
    stored = read_json(tmp_path / "run/report.json")
    assert stored["average"]["value"] == report.average.value and stored["by_test"]["one"]["stopped"] == 100.0


def test_second_call_asks_nothing_and_says_the_same(tmp_path: Path) -> None:
    engine = FunctionEngine(doubled)
    first = run_suite(engine, [Echo(4)], tmp_path / "run")
    before = (tmp_path / "run" / RESULTS).read_bytes()
    second = run_suite(engine, [Echo(4)], tmp_path / "run")
    assert len(engine.asked) == 4 and second.answered == 0
    assert (first.by_test, first.average) == (second.by_test, second.average)
    assert (tmp_path / "run" / RESULTS).read_bytes() == before


def test_failed_items_are_missing_and_asked_again(tmp_path: Path) -> None:
    failing = FunctionEngine(lambda prompt: "ERROR: overloaded" if "1?" in prompt else doubled(prompt))
    report = run_suite(failing, [Echo(4)], tmp_path / "run")
    assert (report.by_test["echo"].figure.n, report.by_test["echo"].figure.missing) == (3, 1)
    assert report.by_test["echo"].reasons == {"ERROR: overloaded": 1}
    healthy = FunctionEngine(doubled)
    again = run_suite(healthy, [Echo(4)], tmp_path / "run")
    assert healthy.asked == ["echo: twice 1?"]
    assert [result.status for result in again.results()] == ["ok"] * 4
    assert [result.example_id for result in again.results()] == ["e0", "e1", "e2", "e3"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tests": [Echo(5)]}, "tests.echo"),
        ({"limit": 2}, "limit"),
        ({"seed": 1}, "seed"),
        ({"engine": FunctionEngine(doubled, uri="test:other")}, "model"),
    ],
)
def test_changed_settings_are_refused_and_named(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    settings: dict[str, Any] = {"engine": FunctionEngine(doubled), "tests": [Echo(4)], "out": tmp_path / "run"}
    run_suite(**settings)
    with pytest.raises(ConfigError, match=named):
        run_suite(**{**settings, **change})


class Judged(Echo):
    def __init__(self, judge: str) -> None:
        super().__init__(2)
        self.judge = judge

    @property
    def scoring(self) -> str:
        return self.judge


def test_scores_of_two_judges_are_not_mixed(tmp_path: Path) -> None:
    run_suite(FunctionEngine(doubled), [Judged("one")], tmp_path / "run")
    with pytest.raises(ConfigError, match=r"tests\.echo"):
        run_suite(FunctionEngine(doubled), [Judged("two")], tmp_path / "run")


def plain(report: SuiteReport) -> list[Any]:
    return [report.by_test, report.categories, report.average, report.results()]


@pytest.mark.slow
@pytest.mark.parametrize("after", [5, 30])
def test_killed_run_resumes_without_paying_twice(tmp_path: Path, after: int) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir(), part.mkdir()
    unbroken = run_all(whole, 0.0)
    program = [sys.executable, "-m", "tests.rooms.preferences.suite.counting", str(part), "0.1"]
    process = subprocess.Popen(program, cwd=Path(__file__).parents[4])
    calls = part / "calls.txt"
    deadline = time.monotonic() + 60
    while not calls.exists() or len(calls.read_text().splitlines()) < after:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(read_results(part / "run"))
    assert 0 < done < 30
    resumed = run_all(part, 0.0)
    asked = calls.read_text().splitlines()
    # only what was in flight when it was killed may have been asked twice
    assert 50 <= len(asked) <= 51
    assert plain(resumed) == plain(unbroken)


def test_limit_and_names_are_checked(tmp_path: Path) -> None:
    assert len(run_suite(FunctionEngine(doubled), [Echo(9)], tmp_path / "a", limit=3).results()) == 3
    with pytest.raises(UsageError, match="distinct"):
        run_suite(FunctionEngine(doubled), [Echo(1), Echo(2)], tmp_path / "b")
    with pytest.raises(UsageError):
        run_suite(FunctionEngine(doubled), [], tmp_path / "c")


class Twice(Echo):
    def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
        return super().items() * 2


def test_items_with_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'e0'"):
        run_suite(FunctionEngine(doubled), [Twice(1)], tmp_path / "run")


class Scored(Echo):
    def request(self, item: EvalItem) -> Request:
        return Choose((" a", " b"))


def test_test_that_the_engine_cannot_take_is_left_out_with_its_reason(tmp_path: Path) -> None:
    report = run_suite(FunctionEngine(doubled), [Echo(2), Scored(2, "letters")], tmp_path / "run")
    assert list(report.by_test) == ["echo"]
    assert any("letters is not taken" in note and "score" in note for note in report.notes)
    with pytest.raises(CapabilityError):
        run_suite(FunctionEngine(doubled), [Scored(2, "letters")], tmp_path / "other")


ITEM = EvalItem("t", "c", "1", (Message("user", "Add."),), prefix="Answer:")


def test_prefix_begins_the_models_own_turn_where_it_can(tmp_path: Path) -> None:
    engine = HfEngine.load(str(make_tiny_model(tmp_path / "model", seed=0)))
    asker, ask = Asker(engine), Ask(Sampling(max_tokens=4))
    prompt = asker.prompt(ITEM, ask)
    assert prompt == ("template", (), "<|user|>Add.<|end|><|assistant|> Answer:")
    (request,) = asker.requests(ITEM, ask, prompt, "0")
    assert engine.tokenizer.decode(request.prompt_ids) == prompt.text


@pytest.mark.parametrize(
    ("capabilities", "request_", "shape", "text"),
    [
        (("chat",), Ask(Sampling()), "chat+prefix", "Add.\n\nAnswer:"),
        (("complete",), Ask(Sampling()), "raw", "Add.\nAnswer:"),
        (("chat", "score"), Choose((" A", " B")), "raw", "Add.\nAnswer:"),
    ],
)
def test_prefix_goes_where_the_engine_lets_it(
    capabilities: tuple[Any, ...], request_: Request, shape: str, text: str
) -> None:
    prompt = Asker(FunctionEngine(capabilities=capabilities)).prompt(ITEM, request_)
    assert prompt.shape == shape
    assert (prompt.messages[-1]["content"] if prompt.messages else prompt.text) == text


def test_opening_of_a_program_is_not_put_in_the_users_turn() -> None:
    item = EvalItem("t", "c", "1", (Message("user", "Write f."),), prefix="Code:\n```python\ndef f():\n")
    assert Asker(FunctionEngine()).prompt(item, Ask(Sampling())).shape == "chat"


def test_prompt_hash_depends_on_all_that_decides_the_reply() -> None:
    asker, ask = Asker(FunctionEngine()), Ask(Sampling())
    hashes = {
        asker.prompt_hash(asker.prompt(ITEM, ask), ask),
        asker.prompt_hash(asker.prompt(ITEM, ask), Ask(Sampling(max_tokens=3))),
        asker.prompt_hash(asker.prompt(EvalItem("t", "c", "1", (Message("user", "Sub."),)), ask), ask),
        Asker(FunctionEngine(), seed=1).prompt_hash(asker.prompt(ITEM, ask), ask),
    }
    assert len(hashes) == 4


def test_item_beyond_the_context_is_missing_and_the_others_are_scored(tmp_path: Path) -> None:
    engine = HfEngine.load(str(make_tiny_model(tmp_path / "model", seed=0)))

    class Long(Scored):
        def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
            texts = ("short", "long " * 2000)
            return [EvalItem(self.name, self.category, str(i), (Message("user", t),)) for i, t in enumerate(texts)]

        def score(self, answered: Any) -> Any:
            return answered.result(1.0)

    class LongText(Long):
        def request(self, item: EvalItem) -> Request:
            return Ask(Sampling(max_tokens=2))

    report = run_suite(engine, [Long(0, "scored"), LongText(0, "written")], tmp_path / "run")
    for name in ("scored", "written"):
        figure = report.by_test[name].figure
        assert (figure.n, figure.missing) == (1, 1)
        assert "context" in next(iter(report.by_test[name].reasons))
