from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import agora.rooms.preferences.best_of_n_run as module
from agora.core.errors import AgoraError, UsageError
from agora.core.records import Measure, Message, PromptItem
from agora.core.tables import read_records, write_jsonl
from agora.engines.types import ChatRequest, Generation
from agora.rooms.preferences.best_of_n_run import BestOfNSettings, ChosenFrom, evaluate_best_of_n
from agora.rooms.preferences.reward_commands import best_of_n
from agora.rooms.preferences.scorers import OpenedScorer, parse_scorer
from tests.rooms.preferences.rewards import last_word_scorer

SETTINGS = BestOfNSettings(n=4, n_boot=100)


class Sampler:
    """Answers with a number that depends on the item's seed alone."""

    uri = "test:sampler"
    capabilities = frozenset({"chat"})

    def __init__(self, fail: str = "") -> None:
        self.fail, self.asked = fail, list[str]()

    def chat(self, requests: Iterable[ChatRequest]) -> Iterator[Generation]:
        for request in reversed(list(requests)):
            self.asked.append(request.id)
            if self.fail and self.fail in request.id:
                yield Generation(request.id, "", "error", error="overloaded")
            else:
                yield Generation(request.id, f"I say {request.sampling.seed % 7}", "stop_token")

    def close(self) -> None:
        pass


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    write_jsonl(path, [PromptItem(f"q{i}", (Message("user", f"number {i}?"),)) for i in range(30)])
    return path


@pytest.fixture
def sampler(monkeypatch: pytest.MonkeyPatch) -> Sampler:
    engine = Sampler()
    use(monkeypatch, engine)
    return engine


def use(monkeypatch: pytest.MonkeyPatch, engine: Sampler) -> None:
    def negative(talks: Any) -> list[float | None]:
        return [None if value is None else -value for value in last_word_scorer(talks)]

    scorers = {"reward:good": last_word_scorer, "reward:bad": negative, "microcosm:checker": last_word_scorer}
    monkeypatch.setattr(module, "open_engine", lambda uri, **more: engine)
    monkeypatch.setattr(module, "open_scorer", lambda uri: OpenedScorer(parse_scorer(uri), scorers[uri]))


def test_choosing_by_the_truth_reaches_the_ceiling(prompts: Path, sampler: Sampler) -> None:
    done = evaluate_best_of_n("test:x", "reward:good", "microcosm:checker", prompts, SETTINGS)
    assert [p.n for p in done.curve.points] == [1, 2, 4]
    assert all(p.true == p.ceiling for p in done.curve.points)
    assert done.curve.points[-1].gain.low > 0
    assert not done.curve.overoptimized
    assert (done.curve.num_prompts, len(done.samples)) == (30, 120)


def test_a_folder_gets_samples_measures_and_a_page_that_warns(prompts: Path, sampler: Sampler, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = evaluate_best_of_n(
        "test:x", "reward:bad", "microcosm:checker", prompts, SETTINGS, out=out, command="agora x"
    )
    assert done.curve.overoptimized
    samples = list(read_records(out / "samples.jsonl", ChosenFrom))
    assert tuple(samples) == done.samples
    assert [(s.prompt_id, s.sample_no) for s in samples[:5]] == [("q0", 0), ("q0", 1), ("q0", 2), ("q0", 3), ("q1", 0)]
    assert samples[0].reward == -float(str(samples[0].text).split()[-1]) == -(samples[0].true or 0)
    assert {m.name for m in read_records(out / "measures.jsonl", Measure)} >= {"best_of_4_true", "best_of_4_gain"}
    page = (out / "report.html").read_text()
    for shown in ("Over-optimization", "agora x", "Where the choice was poor", "KL (nats)"):
        assert shown in page


def test_a_finished_folder_samples_and_scores_nothing_again(prompts: Path, sampler: Sampler, tmp_path: Path) -> None:
    first = evaluate_best_of_n("test:x", "reward:good", "microcosm:checker", prompts, SETTINGS, out=tmp_path / "out")
    again = evaluate_best_of_n("test:x", "reward:good", "microcosm:checker", prompts, SETTINGS, out=tmp_path / "out")
    assert len(sampler.asked) == 120
    assert first.as_json() == again.as_json()


def test_every_sample_has_its_own_seed(prompts: Path, sampler: Sampler) -> None:
    one = evaluate_best_of_n("test:x", "reward:good", "microcosm:checker", prompts, SETTINGS)
    few = evaluate_best_of_n(
        "test:x", "reward:good", "microcosm:checker", prompts, SETTINGS.model_copy(update={"limit": 3})
    )
    assert [s.text for s in one.samples[:12]] == [s.text for s in few.samples]
    assert len({s.text for s in one.samples}) > 3


def test_a_prompt_without_all_its_answers_is_left_out_and_counted(
    prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Sampler(fail="q3#1"))
    done = evaluate_best_of_n("test:x", "reward:good", "microcosm:checker", prompts, SETTINGS)
    assert (done.curve.num_prompts, done.curve.dropped_prompts, done.curve.missing_samples) == (29, 1, 1)
    assert done.samples[13].text is None and done.samples[13].finish_reason == "error"


def test_a_model_that_never_answers_is_an_error(prompts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Sampler(fail="q"))
    with pytest.raises(AgoraError, match="gave no answer: overloaded"):
        evaluate_best_of_n("test:x", "reward:good", "microcosm:checker", prompts, SETTINGS)


def test_a_wrong_scorer_is_told_before_anything_is_sampled(prompts: Path, sampler: Sampler) -> None:
    with pytest.raises(UsageError, match="names no scorer"):
        evaluate_best_of_n("test:x", "reward:good", "cheker", prompts, SETTINGS)
    assert sampler.asked == []


def test_the_command_prints_the_curve(prompts: Path, sampler: Sampler) -> None:
    app = typer.Typer()
    app.command()(best_of_n)
    words = ["--model", "test:x", "--reward", "reward:bad", "--truth", "microcosm:checker", "--data", str(prompts)]
    shown = CliRunner().invoke(app, [*words, "--set", "n=4"], catch_exceptions=False).stdout
    assert "gain over one" in shown and "30 prompts; 0 samples without a score" in shown
    assert "warning: the true score falls after n = 1" in shown
    as_json = json.loads(CliRunner().invoke(app, [*words, "--set", "n=2", "--json"], catch_exceptions=False).stdout)
    assert [p["n"] for p in as_json["points"]] == [1, 2] and as_json["overoptimized"] is True
