"""Servers that fail: what is tried again, what is not, and what a user is told."""

from __future__ import annotations

import logging
import threading
import time
from email.utils import formatdate

import pytest

from agora.core.errors import BudgetError, CapabilityError, ConfigError, EngineError, MissingError, UsageError
from agora.engines import (
    Budget,
    ChatRequest,
    CompleteRequest,
    Generation,
    Prices,
    Retry,
    Sampling,
    ScoreRequest,
    open_engine,
)
from agora.engines.hf import HfEngine
from agora.engines.openai import OpenAIEngine
from tests.engines.servers import (
    Behavior,
    FaultServer,
    Handler,
    ModelServer,
    bad_json,
    chat_answer,
    cut_stream,
    dropped,
    hang,
    status,
    truncated,
    wrong_shape,
)

FAST = Retry(attempts=4, first_wait_s=0.01, longest_wait_s=0.05, timeout_s=0.4, deadline_s=5.0)


def _engine(server: FaultServer, retry: Retry = FAST, **more: object) -> OpenAIEngine:
    return OpenAIEngine(server.base_url, "m", retry=retry, **more)  # type: ignore[arg-type]


def _ask(engine: OpenAIEngine, *texts: str) -> dict[str, Generation]:
    requests = [ChatRequest(t, ({"role": "user", "content": t},)) for t in texts]
    return {g.id: g for g in engine.chat(requests)}


@pytest.mark.parametrize(
    "fault",
    [status(500), status(503), status(429, Retry_After="0.05"), truncated, cut_stream, bad_json, dropped, hang(0.6)],
    ids=["500", "503", "429", "truncated", "cut stream", "bad json", "dropped", "hang"],
)
def test_a_passing_fault_is_tried_again_and_costs_one_more_call(faults: FaultServer, fault: Behavior) -> None:
    faults.script = [fault]
    engine = _engine(faults)
    found = _ask(engine, "one")["one"]
    engine.close()
    assert (found.text, found.finish_reason, found.meta["attempts"]) == ("echo one", "stop_token", 2)
    assert faults.calls == ["one", "one"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (status(500, "boiler room flooded"), "500: boiler room flooded"),
        (dropped, "connection broke: "),
        (truncated, "connection broke: "),
        (bad_json, "JSON"),
    ],
)
def test_retries_stop_and_the_item_says_why_while_others_are_answered(
    faults: FaultServer, fault: Behavior, words: str
) -> None:
    faults.by_text["bad"] = fault
    engine = _engine(faults)
    found = _ask(engine, "good", "bad", "fine")
    engine.close()
    assert found["good"].text == "echo good" and found["fine"].text == "echo fine"
    said = found["bad"].error or ""
    assert found["bad"].finish_reason == "error" and words in said and not said.endswith(": ")
    assert faults.calls.count("bad") == FAST.attempts


def test_a_request_the_server_refuses_is_not_tried_again(faults: FaultServer) -> None:
    faults.by_text = {"bad": status(400, "temperature too hot"), "odd": wrong_shape, "huge": status(413, "too large")}
    engine = _engine(faults)
    found = _ask(engine, "bad", "odd", "huge")
    engine.close()
    assert "HTTP 400: temperature too hot" in (found["bad"].error or "")
    assert "unexpected answer" in (found["odd"].error or "")
    assert sorted(faults.calls) == ["bad", "huge", "odd"]


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_waited_for_by_every_request(faults: FaultServer, as_date: bool) -> None:
    seconds = 1.0 if as_date else 0.3

    def busy(handler: Handler, body: dict[str, object]) -> None:
        value = formatdate(time.time() + 2.0, usegmt=True) if as_date else str(seconds)  # dates have whole seconds
        status(429, Retry_After=value)(handler, body)

    faults.script = [busy]
    engine = _engine(faults, concurrency=1)
    found = _ask(engine, "one", "two")
    engine.close()
    assert {g.text for g in found.values()} == {"echo one", "echo two"}
    assert faults.times[1] - faults.times[0] >= seconds - 0.02
    assert len(faults.calls) == 3


def test_a_wait_past_the_deadline_is_not_begun(faults: FaultServer) -> None:
    faults.script = [status(429, "slow down", Retry_After="3600")]
    engine = _engine(faults)
    start = time.monotonic()
    found = _ask(engine, "one")["one"]
    engine.close()
    assert time.monotonic() - start < 2
    assert "429: slow down" in (found.error or "") and "deadline" in (found.error or "")
    assert len(faults.calls) == 1


def test_dripping_bytes_do_not_outlast_the_deadline(faults: FaultServer) -> None:
    def drip(handler: Handler, body: dict[str, object]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)

    faults.script = [drip]
    engine = _engine(faults, Retry(timeout_s=0.5, deadline_s=0.6))
    start = time.monotonic()
    found = _ask(engine, "one")["one"]
    assert time.monotonic() - start < 1.8
    assert "no answer within 0.6 s" in (found.error or "")
    engine.close()


def test_requests_in_flight_are_bounded_and_stream_back_as_they_finish(faults: FaultServer) -> None:
    faults.delay_s = 0.05
    faults.by_text["t0"] = hang(0.3)
    engine = _engine(faults, concurrency=4)
    order = list(_ask(engine, *(f"t{i}" for i in range(20))))
    engine.close()
    assert faults.most_at_once == 4
    assert sorted(order) == sorted(f"t{i}" for i in range(20))
    assert order[0] != "t0"


def test_requests_are_read_only_as_room_appears(faults: FaultServer) -> None:
    read = []

    def requests() -> object:
        for i in range(100):
            read.append(i)
            yield ChatRequest(str(i), ({"role": "user", "content": str(i)},))

    engine = _engine(faults, concurrency=3)
    stream = engine.chat(requests())  # type: ignore[arg-type]
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    engine.close()
    assert len(read) <= 4
    assert not [t for t in threading.enumerate() if t.name == "agora-http"]


def test_a_wrong_key_ends_the_work_and_is_shown_nowhere(
    faults: FaultServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    faults.key = "right"
    monkeypatch.setenv("AGORA_API_KEY", "sk-very-secret")
    with pytest.raises(EngineError, match=r"key refused \(401\).*set AGORA_API_KEY") as caught:
        open_engine(f"{faults.base_url}#m")
    monkeypatch.delenv("AGORA_API_KEY")
    with pytest.raises(EngineError, match="AGORA_API_KEY is not set"):
        open_engine(f"{faults.base_url}#m")
    engine = OpenAIEngine(faults.base_url, "m", key="sk-very-secret", retry=FAST)
    with pytest.raises(EngineError, match="key refused") as mid:
        _ask(engine, "one", "two")
    engine.close()
    assert len(faults.calls) <= 2  # never tried again
    assert "very-secret" not in f"{caught.value} {mid.value} {caplog.text} {engine!r} {vars(engine)}"


def test_a_server_that_is_gone_ends_the_work_and_keeps_what_is_finished() -> None:
    found = []
    with FaultServer() as server:
        engine = _engine(server, concurrency=1)
        answers = iter(engine.chat(ChatRequest(str(i), ({"role": "user", "content": str(i)},)) for i in range(50)))
        found += [next(answers), next(answers)]
        server.script = [dropped]  # the open connection ends as well
    with pytest.raises(EngineError, match=r"the server is gone .*; start it and run the same command again") as caught:
        found += answers
    engine.close()
    assert [g.text for g in found if not g.error][:2] == ["echo 0", "echo 1"] and len(found) < 50
    assert server.base_url in str(caught.value)


def test_the_right_key_is_sent(faults: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    faults.key = "right"
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    monkeypatch.setenv("OPENAI_BASE_URL", faults.base_url)
    engine = open_engine("openai:m")
    assert engine.uri == "openai:m"
    found = next(iter(engine.chat([ChatRequest("1", ({"role": "user", "content": "hi"},))])))
    engine.close()
    assert found.text == "echo hi"


def test_an_unknown_model_ends_the_work(faults: FaultServer) -> None:
    faults.script = [status(404, "The model m does not exist")]
    engine = _engine(faults)
    with pytest.raises(EngineError, match=r"no such model or endpoint.*does not exist"):
        _ask(engine, "one")
    engine.close()


def test_a_server_that_is_down_is_named_at_once() -> None:
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9/v1: connection refused; start the server"):
        open_engine("http://127.0.0.1:9/v1#m", retry=Retry(attempts=8, first_wait_s=5))


@pytest.mark.parametrize(
    ("uri", "kind", "words"),
    [
        ("hff:model", UsageError, "did you mean hf:model?"),
        ("vllm:x", UsageError, "known schemes"),
        ("chat", UsageError, "write microcosm:chat"),
        ("microcosm:chatt", UsageError, "did you mean microcosm:chat"),
        ("openai:", UsageError, "names no model"),
        ("http://127.0.0.1:8000/v1", UsageError, "#MODEL"),
        ("http://:8000/v1#m", UsageError, "names no host"),
        ("http://host:port/v1#m", UsageError, "malformed URL"),
        ("hf:/no/such/folder", MissingError, "no such model folder"),
        ("openai:gpt", MissingError, "OPENAI_API_KEY is not set"),
    ],
)
def test_a_wrong_uri_is_told_what_to_write(
    uri: str, kind: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(kind, match=words.replace("?", r"\?")):
        open_engine(uri)


def test_a_password_in_the_url_is_never_shown(faults: FaultServer) -> None:
    url = f"http://me:hunter2@127.0.0.1:{faults.port}/v1#m"
    engine = open_engine(url)
    engine.close()
    assert "hunter2" not in engine.uri
    with pytest.raises(EngineError) as caught:
        open_engine("http://me:hunter2@127.0.0.1:9/v1#m")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(UsageError) as unnamed:
        open_engine("http://me:hunter2@127.0.0.1:9/v1")
    assert "hunter2" not in str(unnamed.value)


def test_sampling_is_sent_and_only_what_is_meant(faults: FaultServer) -> None:
    engine = _engine(faults)
    user = ({"role": "user", "content": "hi"},)
    full = Sampling(0.7, 0.9, 33, ("\n\n",), (7,), seed=5)
    list(engine.chat([ChatRequest("1", user, full), ChatRequest("2", user, Sampling(seed=1 << 40))]))
    by_limit = {b["max_tokens"]: b for b in faults.bodies}
    sent = {"temperature": 0.7, "top_p": 0.9, "stop": ["\n\n"], "stop_token_ids": [7], "seed": 5}
    assert sent.items() <= by_limit[33].items()
    assert set(by_limit[256]) == {"model", "messages", "temperature", "max_tokens", "seed"}
    assert 0 <= by_limit[256]["seed"] < 2**31
    with pytest.raises(CapabilityError, match="first token"):
        list(engine.chat([ChatRequest("1", user, Sampling(first_token_temperature=1.2))]))
    engine.close()


def test_a_vendor_that_renamed_the_limit_is_asked_again_with_its_name(faults: FaultServer) -> None:
    faults.script = [status(400, "Unsupported parameter: use 'max_completion_tokens' instead.")]
    engine = _engine(faults, concurrency=1)
    found = _ask(engine, "one", "two")
    engine.close()
    assert {g.text for g in found.values()} == {"echo one", "echo two"}
    assert ["max_completion_tokens" in b for b in faults.bodies][1:] == [True] * 2 or len(faults.bodies) == 4


@pytest.mark.parametrize(
    ("choice", "stop", "expected"),
    [
        ({"finish_reason": "length"}, (), ("a b c", "length", None)),
        ({"finish_reason": "stop", "stop_reason": " c"}, (" c",), ("a b", "stop_string", " c")),
        ({"finish_reason": "stop"}, ("b",), ("a ", "stop_string", "b")),
        ({"finish_reason": "stop", "stop_reason": 2}, (), ("a b c", "stop_token", "2")),
        ({"finish_reason": "stop"}, ("a",), ("", "empty", "a")),
        ({"finish_reason": "content_filter"}, (), ("", "error", None)),
    ],
)
def test_finish_reasons_mean_the_same_everywhere(
    faults: FaultServer, choice: dict[str, object], stop: tuple[str, ...], expected: tuple[str, str, str | None]
) -> None:
    body = chat_answer("a b c")
    body["choices"][0] |= choice
    faults.script = [lambda handler, _: handler.reply(200, body)]
    engine = _engine(faults)
    found = next(engine.chat([ChatRequest("1", ({"role": "user", "content": "x"},), Sampling(stop=stop))]))
    engine.close()
    assert (found.text, found.finish_reason, found.stopped_by) == expected


def test_tokens_and_money_are_counted(faults: FaultServer) -> None:
    budget = Budget(max_cost_usd=1.0)
    engine = _engine(faults, prices=Prices(input_usd=2.0, output_usd=8.0), budget=budget)
    found = _ask(engine, "one", "two")
    engine.close()
    assert found["one"].usage.cost_usd == pytest.approx((10 * 2 + 5 * 8) / 1e6)
    assert budget.spent_tokens == 30 and budget.spent_usd == pytest.approx(2 * 60e-6)


def test_the_budget_stops_before_the_next_call_and_keeps_what_is_finished(faults: FaultServer) -> None:
    engine = _engine(faults, concurrency=2, budget=Budget(max_tokens=60))
    found = []
    with pytest.raises(BudgetError, match="tokens are spent"):
        for answer in engine.chat(ChatRequest(str(i), ({"role": "user", "content": str(i)},)) for i in range(50)):
            found.append(answer.id)
    engine.close()
    assert 4 <= len(found) <= 5  # 15 tokens each, at most two in flight
    assert len(faults.calls) == len(found)


def test_a_budget_that_just_suffices_is_no_error(faults: FaultServer) -> None:
    engine = _engine(faults, concurrency=1, budget=Budget(max_tokens=30))
    assert len(_ask(engine, "one", "two")) == 2
    with pytest.raises(BudgetError):
        _ask(engine, "three")
    engine.close()
    assert faults.calls == ["one", "two"]


def test_a_budget_in_money_needs_prices(faults: FaultServer) -> None:
    with pytest.raises(ConfigError, match="prices"):
        open_engine(f"{faults.base_url}#m", budget=Budget(max_cost_usd=1))


def test_a_chat_only_server_is_found_out_before_the_work(faults: FaultServer) -> None:
    def no_completions(handler: Handler, body: dict[str, object]) -> None:
        handler.reply(404, {"detail": "Not Found"})

    faults.script = [no_completions] * 9
    engine = _engine(faults)
    for verb in (engine.complete, engine.score, engine.embed):
        with pytest.raises(CapabilityError, match=r"this server lacks .*; use a server"):
            verb([])  # type: ignore[operator]
    assert len(faults.calls) == 3
    with pytest.raises(CapabilityError):
        engine.complete([])
    assert len(faults.calls) == 3  # remembered
    engine.close()


def test_a_model_server_answers_like_the_engine_in_process(engine: HfEngine, model_server: ModelServer) -> None:
    remote = OpenAIEngine(model_server.base_url, "tiny")
    assert remote.capabilities == {"chat", "complete", "token_prompt", "score", "embed"}
    ids = tuple(range(20, 40))
    requests = [
        CompleteRequest("ids", ids, sampling=Sampling(1.0, max_tokens=9, seed=4)),
        CompleteRequest("text", prompt="How many apples", sampling=Sampling(max_tokens=9, stop=("e",))),
    ]
    for there in remote.complete(requests):
        here = next(engine.complete([r for r in requests if r.id == there.id]))
        assert (there.text, there.finish_reason, there.usage) == (here.text, here.finish_reason, here.usage)
    scores = [ScoreRequest(str(i), "How many", f" apples {i}") for i in range(5)]
    expected = {s.id: s.logprobs for s in engine.score(scores)}
    for score in remote.score(scores):
        assert score.logprobs == pytest.approx(expected[score.id], abs=1e-5)
    assert remote.embed(["fox", "dog"])[1] == pytest.approx(engine.embed(["dog"])[0], abs=1e-6)
    remote.connect()
    remote.close()
