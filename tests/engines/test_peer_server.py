"""Against a server that is not ours: `transformers serve` on the tiny model gives what the engine gives in process."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from agora.core.errors import CapabilityError, EngineError
from agora.engines import (
    ChatRequest,
    CompleteRequest,
    Retry,
    Sampling,
    check_engine,
    generate_file,
    open_engine,
    probe_raw_access,
)
from agora.engines.hf import HfEngine

pytestmark = pytest.mark.slow
START_S = 180


class Peer(NamedTuple):
    """A running `transformers serve`."""

    uri: str
    process: subprocess.Popen[bytes]


@contextmanager
def serving(tiny_model_dir: Path, home: Path) -> Iterator[Peer]:
    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "openai")):
        pytest.skip("the extra transformers[serving] is not installed")
    command = Path(sys.executable).with_name("transformers")
    program = str(command) if command.exists() else shutil.which("transformers")
    if program is None:
        pytest.skip("the command `transformers` is not installed")
    # without `do_sample` in the model's own configuration this server ignores the temperature
    folder = Path(shutil.copytree(tiny_model_dir, home / "model"))
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"do_sample": True}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "OMP_NUM_THREADS": "1"}
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with (home / "log.txt").open("w") as log:
        server = subprocess.Popen([program, "serve", str(folder), *options], env=environment, stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/health", server, home / "log.txt")
            yield Peer(f"http://127.0.0.1:{port}/v1#{folder}", server)
        finally:
            server.terminate()
            server.wait(timeout=20)


@pytest.fixture(scope="module")
def peer(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a running `transformers serve`."""
    with serving(tiny_model_dir, tmp_path_factory.mktemp("peer")) as found:
        yield found.uri


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    raise AssertionError(f"no answer in {START_S} s: {log.read_text()[-2000:]}")


def test_chats_and_raw_prompts_equal_those_in_process(peer: str, engine: HfEngine) -> None:
    remote = open_engine(peer, concurrency=3)
    sampling = Sampling(max_tokens=12)
    chats = [ChatRequest(str(i), ({"role": "user", "content": f"How many apples? {i}"},), sampling) for i in range(6)]
    raws = [CompleteRequest(str(i), prompt=f"<|user|>Sort {i}", sampling=sampling) for i in range(6)]
    for verb, requests in (("chat", chats), ("complete", raws)):
        here = {g.id: g for g in getattr(engine, verb)(requests)}
        there = {g.id: g for g in getattr(remote, verb)(requests)}
        assert {i: (g.text, g.usage) for i, g in there.items()} == {i: (g.text, g.usage) for i, g in here.items()}
        assert all(g.finish_reason == here[i].finish_reason for i, g in there.items())
    remote.close()


def test_what_the_server_lacks_is_found_out(peer: str) -> None:
    remote = open_engine(peer)
    assert remote.capabilities == {"chat", "complete"}
    with pytest.raises(CapabilityError, match="'score'"):
        remote.score([])
    remote.close()


def test_check_and_the_raw_probe_pass(peer: str) -> None:
    report = check_engine(peer, prefix="<|user|>")
    assert report.ok and report.raw_access is not None and report.raw_access.prompt_tokens == 1
    assert report.tokens_per_s is not None
    remote = open_engine(peer)
    by_ids = probe_raw_access(remote, (2,))
    remote.close()
    assert not by_ids.ok and "token_prompt" in by_ids.reason


def test_a_model_the_server_does_not_hold_is_an_error_item(peer: str) -> None:
    remote = open_engine(peer.partition("#")[0] + "#another/model")
    found = next(iter(remote.chat([ChatRequest("a", ({"role": "user", "content": "hi"},))])))
    remote.close()
    assert "pinned" in (found.error or "")


def test_a_file_is_answered(peer: str, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(f'{{"id": "q{i}", "prompt": "How many {i}?"}}\n' for i in range(8)))
    remote = open_engine(peer, cache=tmp_path)
    report = generate_file(remote, source, tmp_path / "out.jsonl", sampling=Sampling(max_tokens=6))
    remote.close()
    assert (report.written, report.failed) == (8, 0)
    assert report.completion_tokens > 0


def test_what_the_server_cannot_answer_is_an_error_item_among_answers(peer: str) -> None:
    messages = {
        "good": ({"role": "user", "content": "How many?"},),
        "bad": ({"role": "robot", "content": "beep"},),  # the template raises on an unknown role
        "fine": ({"role": "user", "content": "Sort these."},),
    }
    remote = open_engine(peer, retry=Retry(attempts=2, first_wait_s=0.01, longest_wait_s=0.01))
    found = {g.id: g for g in remote.chat(ChatRequest(i, m, Sampling(max_tokens=4)) for i, m in messages.items())}
    remote.close()
    assert found["good"].text and found["fine"].text
    assert found["bad"].finish_reason == "error"
    assert re.search(r"HTTP \d+: \w|connection broke: \w", found["bad"].error or "")  # it drops such a connection


def test_a_server_that_is_killed_ends_the_work_and_its_answers_are_kept(tiny_model_dir: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(f'{{"id": "q{i}", "prompt": "How many {i}?"}}\n' for i in range(40)))
    retry = Retry(attempts=4, first_wait_s=0.05, longest_wait_s=0.2)
    sampling = Sampling(max_tokens=8)
    (tmp_path / "peer").mkdir()
    with serving(tiny_model_dir, tmp_path / "peer") as server:
        remote = open_engine(server.uri, concurrency=2, retry=retry)
        threading.Thread(target=_kill_after_three_rows, args=(out, server.process)).start()
        with pytest.raises(EngineError, match=r"the server is gone .*; start it and run the same command again"):
            generate_file(remote, source, out, sampling=sampling)
        remote.close()
    kept = [json.loads(line)["output"] for line in out.read_text().splitlines()]
    assert 3 <= len(kept) < 40 and all(kept)


def _kill_after_three_rows(out: Path, process: subprocess.Popen[bytes]) -> None:
    while not out.exists() or out.read_bytes().count(b"\n") < 3:
        time.sleep(0.01)
    process.kill()
