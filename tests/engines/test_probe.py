"""What ``check`` finds out, and whether a raw prefix reaches the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agora.cli import app
from agora.core.errors import CapabilityError
from agora.engines import check_engine, probe_raw_access, require
from agora.engines.hf import HfEngine
from agora.engines.openai import OpenAIEngine
from agora.engines.probe import looks_like_greeting
from tests.engines.servers import FaultServer, Handler, ModelServer
from tests.engines.test_servers import FAST
from tests.tiny import make_tiny_model

USER_PREFIX = (2,)  # <|user|>


@pytest.mark.parametrize(
    "text",
    [
        "Hello! How can I assist you today?",
        "Hi there, what can I do for you?",
        "It seems like your message was cut off. Could you rephrase?",
        "It looks like you haven't asked a question yet.",
        "I'm an AI assistant, and I am happy to help with anything.",
        "你好！有什么可以帮你的吗？",
    ],
)
def test_an_assistant_that_was_asked_nothing_is_recognized(text: str) -> None:
    assert looks_like_greeting(text)


@pytest.mark.parametrize(
    "text",
    [
        "Hello, can you help me write a cover letter?",
        "How can I cook rice without a lid?",
        "What can I cook with two eggs?",
        "Hi! Translate 'good morning' into Thai.",
        "Write an essay on how AI assistants help students.",
        "",
    ],
)
def test_a_user_is_not_taken_for_an_assistant(text: str) -> None:
    assert not looks_like_greeting(text)


def test_a_raw_engine_passes(engine: HfEngine) -> None:
    raw = probe_raw_access(engine, USER_PREFIX)
    assert raw.ok and (raw.prompt_tokens, raw.expected_tokens) == (1, 1)
    assert len(raw.texts) == 8 and len(set(raw.texts)) == 8
    assert raw == probe_raw_access(engine, USER_PREFIX)


@pytest.mark.parametrize(
    ("mode", "counted", "words"), [("bos", 2, "a BOS was added"), ("wrap", 4, "changes the prompt")]
)
def test_a_wrong_token_count_fails_with_its_cause(engine: HfEngine, mode: str, counted: int, words: str) -> None:
    with ModelServer(engine, mode) as server:
        remote = OpenAIEngine(server.base_url, "tiny")
        assert "token_prompt" not in remote.capabilities  # two ids are counted as more
        by_ids = probe_raw_access(remote, USER_PREFIX)
        by_text = probe_raw_access(remote, prefix="<|user|>", expected_tokens=1)
        remote.close()
    assert not by_ids.ok and "raw routes that work" in by_ids.reason
    assert not by_text.ok and words in by_text.reason
    assert by_text.prompt_tokens == counted


def test_a_server_that_greets_is_refused(faults: FaultServer) -> None:
    greetings = iter(["Hello! How can I help you today?"] * 3 + ["Compute 2 + 2."] * 5)

    def complete(handler: Handler, body: dict[str, object]) -> None:
        text = next(greetings) if body["max_tokens"] != 1 else "x"
        handler.reply(200, {"choices": [{"text": text, "finish_reason": "stop"}]})

    faults.script = [complete] * 20
    remote = OpenAIEngine(faults.base_url, "m", retry=FAST)
    raw = probe_raw_access(remote, prefix="<|user|>")
    remote.close()
    assert not raw.ok and raw.greetings == 3
    assert "greet like an assistant" in raw.reason and "raw routes that work" in raw.reason


def test_check_measures_an_engine_in_process(tiny_model_dir: Path) -> None:
    report = check_engine(f"hf:{tiny_model_dir}", prefix_ids=USER_PREFIX)
    assert report.ok and report.problems == ()
    assert report.capabilities == ("chat", "complete", "token_prompt", "score", "embed")
    assert report.context == 512 and report.repeatable is True
    assert report.latency_s is not None and report.tokens_per_s is not None and report.tokens_per_s > 1
    assert report.stop in ("honored", "unknown")  # the text of random weights may be too short to tell
    assert report.raw_access is not None and report.raw_access.ok


def test_check_probes_raw_access_by_default_where_the_template_is_known() -> None:
    from agora.rooms.synthesize import derive_prefix

    done = CliRunner().invoke(app, ["engines", "check", "microcosm:chat", "--json"])
    raw = json.loads(done.stdout)["raw_access"]
    prefix = derive_prefix("microcosm:chat").prefix_ids
    assert raw["ok"] and prefix and raw["prompt_tokens"] == raw["expected_tokens"] == len(prefix)


def test_the_opening_of_a_user_turn_is_what_all_renderings_share(engine: HfEngine) -> None:
    assert engine.user_prefix == list(USER_PREFIX)


def test_without_a_template_no_raw_probe_is_made(tmp_path: Path) -> None:
    report = check_engine(f"hf:{make_tiny_model(tmp_path, chat_template=False)}")
    assert report.ok and report.raw_access is None and "chat" not in report.capabilities


def test_check_measures_a_server(model_server: ModelServer) -> None:
    report = check_engine(f"{model_server.base_url}#tiny")
    assert report.ok and report.repeatable
    assert report.capabilities == ("chat", "complete", "token_prompt", "score", "embed")


def test_check_reports_what_fails(faults: FaultServer) -> None:
    faults.script = [lambda handler, body: handler.reply(200, {"choices": []})] * 99
    report = check_engine(f"{faults.base_url}#m")
    assert not report.ok
    assert report.problems == ("it answers neither chats nor raw prompts",)


def test_a_server_that_ignores_the_temperature_is_found_out(faults: FaultServer) -> None:
    report = check_engine(f"{faults.base_url}#m")
    assert report.samples is False and report.repeatable and not report.ok
    assert "ignores the temperature" in report.problems[0]
    remote = OpenAIEngine(faults.base_url, "m", retry=FAST)
    faults.script = [lambda handler, body: handler.reply(200, {"choices": [{"text": "Why?"}]})] * 9
    raw = probe_raw_access(remote, prefix="<|user|>")
    remote.close()
    assert not raw.ok and "ignores the temperature" in raw.reason


def test_a_missing_capability_is_named_with_what_would_do(faults: FaultServer) -> None:
    faults.script = [lambda handler, body: handler.reply(404, {"detail": "Not Found"})] * 9
    remote = OpenAIEngine(faults.base_url, "m", retry=FAST)
    with pytest.raises(CapabilityError, match="lacks token_prompt, score; would do: vLLM"):
        require(remote, "token_prompt", "score")
    remote.close()
