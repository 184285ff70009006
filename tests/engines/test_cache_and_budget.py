"""Nothing is computed twice, nothing stale is served, errors are not kept."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agora.core.errors import BudgetError, ConfigError, DataError, UsageError
from agora.engines import Budget, CachedEngine, ChatRequest, CompleteRequest, Sampling, ScoreRequest, Usage, open_engine
from agora.engines.hf import HfEngine
from agora.engines.openai import OpenAIEngine
from tests.engines.servers import FaultServer, status
from tests.engines.test_servers import FAST
from tests.tiny import make_model, make_tiny_model, make_tokenizer


def _requests(n: int) -> list[ChatRequest]:
    return [ChatRequest(f"r{i}", ({"role": "user", "content": f"question {i}"},)) for i in range(n)]


def _cached(server: FaultServer, path: Path) -> CachedEngine:
    return CachedEngine(OpenAIEngine(server.base_url, "m", retry=FAST), path)


def test_a_finished_answer_is_never_asked_for_again(faults: FaultServer, tmp_path: Path) -> None:
    with_cache = _cached(faults, tmp_path / "answers.sqlite")
    first = {g.id: g for g in with_cache.chat(_requests(10))}
    with_cache.close()
    again = _cached(faults, tmp_path / "answers.sqlite")
    second = {g.id: g for g in again.chat(_requests(12))}
    again.close()
    assert len(faults.calls) == 12 == len(set(faults.calls))
    assert all(replace(second[i], cached=False) == first[i] and second[i].cached for i in first)
    assert not second["r11"].cached


def test_the_id_does_not_matter_and_everything_else_does(faults: FaultServer, tmp_path: Path) -> None:
    engine = _cached(faults, tmp_path)
    base = _requests(1)[0]
    list(engine.chat([base]))
    assert next(iter(engine.chat([replace(base, id="other")]))).cached
    assert next(iter(engine.chat([replace(base, sampling=Sampling(temperature=0))]))).cached  # 0 is 0.0
    for sampling in (Sampling(seed=1), Sampling(0.5), Sampling(max_tokens=9), Sampling(stop=("x",))):
        assert not next(iter(engine.chat([replace(base, sampling=sampling)]))).cached
    engine.close()
    other = CachedEngine(OpenAIEngine(faults.base_url, "another", retry=FAST), tmp_path)
    assert not next(iter(other.chat([base]))).cached
    other.close()


def test_errors_are_not_kept(faults: FaultServer, tmp_path: Path) -> None:
    faults.script = [status(400, "no")]
    engine = _cached(faults, tmp_path)
    assert next(iter(engine.chat(_requests(1)))).finish_reason == "error"
    found = next(iter(engine.chat(_requests(1))))
    engine.close()
    assert (found.text, found.cached) == ("echo question 0", False)


def test_equal_requests_in_one_stream_are_asked_once(faults: FaultServer, tmp_path: Path) -> None:
    faults.delay_s = 0.1
    engine = _cached(faults, tmp_path)
    base = _requests(1)[0]
    found = list(engine.chat(replace(base, id=str(i)) for i in range(5)))
    engine.close()
    assert len(faults.calls) == 1
    assert sorted(g.id for g in found) == list("01234")
    assert sum(g.cached for g in found) == 4


def test_two_requests_with_one_id_are_refused(faults: FaultServer, tmp_path: Path) -> None:
    engine = _cached(faults, tmp_path)
    faults.delay_s = 0.1
    requests = [replace(r, id="same") for r in _requests(2)]
    with pytest.raises(DataError, match="same id"):
        list(engine.chat(requests))
    engine.close()


def test_an_in_process_answer_comes_back_whole(tiny_model_dir: Path, tmp_path: Path) -> None:
    uri = f"hf:{tiny_model_dir}"
    requests = [CompleteRequest(str(i), (10 + i, 20), sampling=Sampling(1.0, max_tokens=6, seed=i)) for i in range(4)]
    scores = [ScoreRequest("s", "How many", " apples")]
    engine = open_engine(uri, cache=tmp_path / "a.sqlite")
    fresh = [{g.id: g for g in engine.complete(requests)}, list(engine.score(scores)), engine.embed(["fox", "dog"])]
    kept = [{g.id: g for g in engine.complete(requests)}, list(engine.score(scores)), engine.embed(["dog", "fox"])]
    engine.close()
    assert kept[0] == {i: replace(g, cached=True) for i, g in fresh[0].items()}  # type: ignore[union-attr]
    assert kept[1] == fresh[1]
    assert kept[2] == fresh[2][::-1]  # type: ignore[index]


def test_a_retrained_model_in_the_same_folder_is_asked_afresh(tmp_path: Path) -> None:
    request = CompleteRequest("a", (10, 20), sampling=Sampling(max_tokens=4))
    texts = []
    for seed in (0, 1):
        folder = make_tiny_model(tmp_path / "model", seed=seed)
        engine = open_engine(f"hf:{folder}", cache=tmp_path / "answers.sqlite")
        found = next(iter(engine.complete([request])))
        engine.close()
        assert not found.cached
        texts.append(found.token_ids)
    assert texts[0] != texts[1]


def test_a_live_model_is_not_cached(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    with pytest.raises(UsageError, match="live model"):
        CachedEngine(HfEngine.from_model(make_model(len(tokenizer)), tokenizer), tmp_path / "a.sqlite")


def test_a_file_that_is_no_cache_is_named(faults: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, and long enough to be read as one" * 9)
    with pytest.raises(DataError, match=r"notes.txt: cannot open the answer cache"):
        _cached(faults, tmp_path / "notes.txt")


_WRITER = """
import sys
from pathlib import Path
from agora.engines.cache import AnswerStore
store = AnswerStore(Path(sys.argv[1]))
for i in range(200):
    store.put(f"{sys.argv[2]}-{i}", {"n": i})
"""


_KILLED = """
import os, signal, sys
from pathlib import Path
from agora.engines import CachedEngine, ChatRequest
from agora.engines.openai import OpenAIEngine
engine = CachedEngine(OpenAIEngine(sys.argv[1], "m", concurrency=2), Path(sys.argv[2]))
requests = [ChatRequest(str(i), ({"role": "user", "content": f"question {i}"},)) for i in range(40)]
for i, answer in enumerate(engine.chat(requests)):
    if i == 9:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_loses_only_what_is_in_flight(faults: FaultServer, tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    killed = subprocess.run([sys.executable, "-c", _KILLED, faults.base_url, str(path)], timeout=60, check=False)
    assert killed.returncode == -9
    engine = _cached(faults, path)
    assert sum(g.cached for g in engine.chat(_requests(40))) >= 10
    engine.close()
    assert len(faults.calls) <= 40 + 2


def test_two_processes_share_a_cache(tmp_path: Path) -> None:
    from agora.engines.cache import AnswerStore

    path = tmp_path / "answers.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, str(path), name]) for name in "ab"]
    assert [w.wait(timeout=60) for w in writers] == [0, 0]
    store = AnswerStore(path)
    assert len(store) == 400
    assert store.get("b-199") == {"n": 199}
    store.close()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 50), max_size=30), st.integers(0, 400))
def test_a_budget_is_reached_exactly_when_the_sum_is(spends: list[int], limit: int) -> None:
    budget = Budget(max_tokens=limit)
    for n in spends:
        budget.add(Usage(n, 0))
    assert (budget.reached is not None) == (sum(spends) >= limit)


def test_a_negative_budget_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_tokens"):
        Budget(max_tokens=-1)


def test_an_in_process_engine_stops_at_the_budget_and_hits_are_free(tiny_model_dir: Path, tmp_path: Path) -> None:
    requests = [CompleteRequest(str(i), (10 + i, 20), sampling=Sampling(1.0, max_tokens=8, seed=i)) for i in range(60)]
    budget = Budget(max_tokens=100)
    engine = open_engine(f"hf:{tiny_model_dir}", cache=tmp_path, budget=budget)
    found = []
    with pytest.raises(BudgetError, match="raise the limit"):
        found.extend(engine.complete([]))
        for answer in engine.complete(requests):
            found.append(answer)
    assert 0 < len(found) < 60
    assert budget.spent_tokens < 100 + 10
    done = [r for r in requests if r.id in {g.id for g in found}]
    assert all(g.cached for g in engine.complete(done))  # the budget is spent, the answers are there
    engine.close()
