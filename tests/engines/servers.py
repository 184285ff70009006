"""Real HTTP servers on 127.0.0.1: one that fails on command and counts, one with a model behind it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from agora.engines import ChatRequest, CompleteRequest, Sampling, ScoreRequest
from agora.engines.hf import HfEngine

Behavior = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    """Reads JSON, asks its server what to do, and keeps quiet."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits 40 ms for the client to acknowledge the headers

    def do_GET(self) -> None:
        self.server.owner.on_get(self)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.owner.on_post(self, body)

    def reply(self, status: int, body: Any, **headers: str) -> None:
        """Send a whole answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def drop(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = True
        self.connection.close()

    def log_message(self, *args: Any) -> None:
        """Nothing on stderr."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # more connections at once than the usual 5 would wait a second to be tried again
    owner: Any

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class Server:
    """Runs while its context lasts."""

    def __enter__(self) -> Self:
        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._server.owner = self
        self.port = self._server.server_address[1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def on_get(self, handler: Handler) -> None:
        handler.reply(200, {"object": "list", "data": [{"id": "m", "max_model_len": 512}]})

    def on_post(self, handler: Handler, body: dict[str, Any]) -> None:
        raise AssertionError("not reached")


def chat_answer(text: str, *, finish: str = "stop", tokens: int = 5) -> dict[str, Any]:
    """The body of a chat completion."""
    return {
        "model": "m-served",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": tokens},
    }


class FaultServer(Server):
    """Each POST meets the next behavior of ``script``, and a good answer when none is left.

    ``calls`` holds the last user message of every POST; ``most_at_once`` is the highest concurrency seen.
    """

    def __init__(self, script: list[Behavior] | None = None, delay_s: float = 0.0) -> None:
        self.script = list(script or [])
        self.by_text: dict[str, Behavior] = {}
        self.delay_s = delay_s
        self.calls: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.key: str | None = None
        self._now = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def on_get(self, handler: Handler) -> None:
        if self._wrong_key(handler):
            return
        super().on_get(handler)

    def on_post(self, handler: Handler, body: dict[str, Any]) -> None:
        text = body["messages"][-1]["content"] if "messages" in body else str(body.get("prompt"))
        with self._lock:
            self.calls.append(text)
            self.bodies.append(body)
            self.times.append(time.monotonic())
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            behavior = self.by_text.get(text) or (self.script.pop(0) if self.script else None)
        try:
            if self._wrong_key(handler):
                return
            if self.delay_s:
                time.sleep(self.delay_s)
            if behavior is not None:
                behavior(handler, body)
            else:
                handler.reply(200, chat_answer(f"echo {text}"))
        finally:
            with self._lock:
                self._now -= 1

    def _wrong_key(self, handler: Handler) -> bool:
        sent = handler.headers.get("Authorization")
        if self.key is None or sent == f"Bearer {self.key}":
            return False
        handler.reply(401, {"error": {"message": f"Incorrect API key provided: {sent}", "code": "invalid_api_key"}})
        return True


def status(code: int, message: str = "no", **headers: str) -> Behavior:
    """An error status."""
    return lambda handler, body: handler.reply(code, {"error": {"message": message}}, **headers)


def truncated(handler: Handler, body: dict[str, Any]) -> None:
    """Half of a body whose length was promised, then a closed connection."""
    data = json.dumps(chat_answer("never whole")).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    handler.wfile.flush()
    handler.drop()


def cut_stream(handler: Handler, body: dict[str, Any]) -> None:
    """A chunked body that ends in the middle of a chunk."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b'20\r\n{"choices": [')
    handler.wfile.flush()
    handler.drop()


def bad_json(handler: Handler, body: dict[str, Any]) -> None:
    """A body of the promised length that is half a JSON document."""
    handler.reply(200, b'{"choices": [{"message": {"cont')


def wrong_shape(handler: Handler, body: dict[str, Any]) -> None:
    """JSON, but not an answer."""
    handler.reply(200, {"weather": "fine"})


def dropped(handler: Handler, body: dict[str, Any]) -> None:
    """The connection is lost."""
    handler.drop()


def hang(seconds: float) -> Behavior:
    """No byte for a while."""

    def behavior(handler: Handler, body: dict[str, Any]) -> None:
        time.sleep(seconds)
        handler.reply(200, chat_answer("too late"))

    return behavior


class ModelServer(Server):
    """An OpenAI-compatible server over an in-process engine: ids as prompts, echo with log-probabilities, as vLLM does.

    ``mode``: ``raw``; ``wrap`` puts every prompt into the chat template; ``bos`` counts and feeds one token more.
    """

    def __init__(self, engine: HfEngine, mode: str = "raw") -> None:
        self.engine, self.mode = engine, mode
        self.posts = 0
        self._lock = threading.Lock()

    def on_post(self, handler: Handler, body: dict[str, Any]) -> None:
        with self._lock:
            self.posts += 1
            try:
                answer = self._answer(handler.path, body)
            except (KeyError, ValueError) as error:
                return handler.reply(400, {"error": {"message": str(error)}})
        return handler.reply(200, answer)

    def _answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/embeddings"):
            vectors = self.engine.embed(body["input"])
            return {"data": [{"index": i, "embedding": v} for i, v in enumerate(vectors)]}
        if body.get("echo"):
            return self._echo(body["prompt"])
        sampling = Sampling(
            body.get("temperature", 1.0),
            body.get("top_p", 1.0),
            body["max_tokens"],
            tuple(body.get("stop", ())),
            tuple(body.get("stop_token_ids", ())),
            body.get("seed", 0),
        )
        if path.endswith("/chat/completions"):
            found = next(self.engine.chat([ChatRequest("0", tuple(body["messages"]), sampling)]))
        else:
            found = next(self.engine.complete([self._raw(body["prompt"], sampling)]))
        if found.error:
            raise ValueError(found.error)
        choice = {"index": 0, "finish_reason": "length" if found.finish_reason == "length" else "stop"}
        choice |= {"message": {"content": found.text}} if "messages" in body else {"text": found.text}
        if found.finish_reason == "stop_string":
            choice["stop_reason"] = found.stopped_by
        usage = {"prompt_tokens": found.usage.prompt_tokens, "completion_tokens": found.usage.completion_tokens}
        return {"model": "tiny", "choices": [choice], "usage": usage}

    def _raw(self, prompt: Any, sampling: Sampling) -> CompleteRequest:
        ids = list(prompt) if isinstance(prompt, list) else self.engine.tokenizer.encode(prompt)
        if self.mode == "bos":
            ids = [5, *ids]
        if self.mode == "wrap":
            ids = [2, *ids, 1, 3]
        return CompleteRequest("0", tuple(ids), sampling=sampling)

    def _echo(self, prompt: str) -> dict[str, Any]:
        tokenizer = self.engine.tokenizer
        encoded = tokenizer(prompt, return_offsets_mapping=True, add_special_tokens=False)
        ids, offsets = encoded["input_ids"], [start for start, _ in encoded["offset_mapping"]]
        first = tokenizer.decode(ids[:1])
        score = next(self.engine.score([ScoreRequest("0", first, prompt[len(first) :])]))
        values = [None, *score.logprobs]
        return {"choices": [{"logprobs": {"text_offset": offsets, "token_logprobs": values[: len(offsets)]}}]}
