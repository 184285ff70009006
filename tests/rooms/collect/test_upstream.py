"""Reading what servers really send: cut anywhere, wrong in every way, late, or not at all."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.engines.registry import open_engine
from agora.rooms.collect.stream_parser import EventStream
from agora.rooms.collect.types import Params
from agora.rooms.collect.upstream import EngineUpstream, Piece, UpstreamError
from agora.rooms.collect.upstream_http import HttpUpstream, Patience
from tests.engines.servers import FaultServer, Handler, chat_answer

QUICK = Patience(connect_s=1, first_token_s=0.5, idle_s=0.5, total_s=3, backoff_s=0.01)
PATIENT = Patience(connect_s=20, first_token_s=20, idle_s=20, total_s=60, backoff_s=0.01)


def _chunk(text: str | None = None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {"id": "up-1", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}


RECORDED = (
    ": a comment\r\n\r\n"
    + "".join(
        f"data: {json.dumps(_chunk(t), ensure_ascii=False)}\r\n\r\n" for t in ("Grüße, ", "世界 ", "🙂 ", "a\u2028b")
    )
    + f"event: note\ndata: {json.dumps(_chunk())}\n\n"
    + 'data: {"id": "up-1",\ndata: "choices": []}\n\n'
    + f"data:{json.dumps(_chunk(reason='stop'))}\r\r"
    + f"data: {json.dumps({'id': 'up-1', 'choices': [], 'usage': {'prompt_tokens': 7, 'completion_tokens': 5}})}\n\n"
    + "data: [DONE]\n\n"
).encode()


def _datas(parts: list[bytes]) -> list[str]:
    stream = EventStream()
    found = [data for part in parts for data in stream.feed(part)]
    return found + list(stream.end())


def test_a_stream_cut_at_every_byte_tells_the_same() -> None:
    whole = _datas([RECORDED])
    assert len(whole) == 9 and whole[-1] == "[DONE]"
    for cut in range(len(RECORDED)):
        assert _datas([RECORDED[:cut], RECORDED[cut:]]) == whole
    assert _datas([RECORDED[i : i + 1] for i in range(len(RECORDED))]) == whole


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_are_read_the_same_however_they_are_cut(parts: list[bytes]) -> None:
    assert _datas(parts) == _datas([b"".join(parts)])


def _stream(*parts: bytes, pause_s: float = 0.0, cut: bool = False) -> Callable[[Handler, Any], None]:
    def behave(handler: Handler, body: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in parts:
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            handler.wfile.flush()
            time.sleep(pause_s)
        if cut:
            handler.drop()
        else:
            handler.wfile.write(b"0\r\n\r\n")

    return behave


def _answer(status: int, body: Any, **headers: str) -> Callable[[Handler, Any], None]:
    return lambda handler, _: handler.reply(status, body, **headers)


def _ask(server: FaultServer, patience: Patience = PATIENT) -> tuple[str, Piece | UpstreamError]:
    async def run() -> tuple[str, Piece | UpstreamError]:
        upstream, text = HttpUpstream(server.base_url, "m", patience=patience), ""
        try:
            async for piece in upstream.stream([{"role": "user", "content": "hi"}], Params()):
                text, last = text + piece.text, piece
            return text, last
        except UpstreamError as err:
            return text, err
        finally:
            await upstream.close()

    return asyncio.run(run())


def test_a_stream_is_told_piece_by_piece_with_its_end() -> None:
    with FaultServer([_stream(*[RECORDED[i : i + 7] for i in range(0, len(RECORDED), 7)])]) as server:
        text, last = _ask(server)
        assert text == "Grüße, 世界 🙂 a\u2028b"
        assert last == Piece(
            finish_reason="stop", usage={"prompt_tokens": 7, "completion_tokens": 5}, upstream_id="up-1"
        )
        assert server.bodies[0]["stream"] is True and server.bodies[0]["stream_options"] == {"include_usage": True}


def _event(data: Any) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"


HELLO = _event(_chunk("Hello"))


@pytest.mark.parametrize(
    ("behavior", "text", "code"),
    [
        (_stream(HELLO, _event(_chunk(reason="length"))), "Hello", None),  # no [DONE]
        (_stream(HELLO, b"data: [DONE]"), "Hello", None),  # no finish reason, no last line end
        (_stream(_event(b"not json"), HELLO, _event(_chunk(reason="stop"))), "Hello", None),
        (_stream(_event(["a", "list"]), HELLO, _event(b"[DONE]")), "Hello", None),
        (_stream(_event({"choices": [{"delta": None}]}), HELLO, _event(b"[DONE]")), "Hello", None),
        (_stream(_event(_chunk(None, reasoning="hm")), HELLO, _event(b"[DONE]")), "Hello", None),
        (_answer(200, chat_answer("Hello")), "Hello", None),  # plain JSON although a stream was asked for
        (_stream(HELLO), "Hello", "upstream_broken"),
        (_stream(HELLO, cut=True), "Hello", "upstream_broken"),
        (_stream(HELLO, _event({"error": {"message": "boom"}})), "Hello", "upstream_error"),
        (_answer(200, b"<html>nginx</html>"), "", "upstream_invalid"),
        (_answer(400, {"error": "bad"}), "", "upstream_refused"),
        (_answer(401, b"<html>secret page</html>"), "", "upstream_refused"),
        (lambda handler, _: handler.drop(), "", "upstream_broken"),
        (_stream(b": ping\n\n", b": ping\n\n", pause_s=0.8), "", "timeout"),
        (_stream(HELLO, HELLO, pause_s=0.8), "Hello", "timeout"),
    ],
)
def test_what_servers_really_send(behavior: Any, text: str, code: str | None) -> None:
    short = {"idle_s" if text else "first_token_s": 0.5} if code == "timeout" else {}
    with FaultServer([behavior] * 3) as server:  # what is asked again meets the same
        said, last = _ask(server, replace(PATIENT, **short))
    assert said == text
    assert (last.code if isinstance(last, UpstreamError) else None) == code
    assert "secret page" not in str(last)


def test_a_busy_server_is_asked_again_before_the_first_word_only() -> None:
    busy = _answer(503, {"error": "busy"}, Retry_After="0")
    with FaultServer([busy, busy, _stream(HELLO, _event(b"[DONE]"))]) as server:
        assert _ask(server)[0] == "Hello"
        assert len(server.calls) == 3
    with FaultServer([busy, busy, busy]) as server:
        last = _ask(server)[1]
        assert isinstance(last, UpstreamError) and last.code == "upstream_busy"
    with FaultServer([lambda handler, _: handler.drop(), _stream(HELLO, _event(b"[DONE]"))]) as server:
        assert _ask(server)[0] == "Hello"  # a kept connection that the server had closed looks like this
    with FaultServer([_stream(HELLO, cut=True)]) as server:
        _ask(server)
        assert len(server.calls) == 1


def test_a_server_that_is_not_there_is_named_as_such() -> None:
    with FaultServer() as server:
        pass
    last = _ask(server)[1]
    assert isinstance(last, UpstreamError) and last.code == "upstream_unreachable" and last.retryable


def test_an_engine_answers_those_who_wait_together() -> None:
    async def run() -> list[list[Piece]]:
        upstream = EngineUpstream(open_engine("microcosm:chat"))

        async def one(i: int) -> list[Piece]:
            turns = [{"role": "user", "content": f"What is {i} plus 2?"}]
            return [piece async for piece in upstream.stream(turns, Params(temperature=0.0, max_tokens=20))]

        answers = await asyncio.gather(*(one(i) for i in range(6)))
        await upstream.close()
        return list(answers)

    for pieces in asyncio.run(run()):
        assert pieces[0].text and pieces[-1].finish_reason in ("stop", "length")
        assert pieces[-1].usage["completion_tokens"] > 0


def test_an_engine_that_fails_reaches_the_one_who_asked() -> None:
    class Broken:
        uri = "broken:x"

        def chat(self, requests: Any) -> Any:
            raise RuntimeError("out of memory")

        def close(self) -> None:
            pass

    async def run() -> None:
        upstream = EngineUpstream(Broken())  # type: ignore[arg-type]
        with pytest.raises(UpstreamError, match="out of memory"):
            async for _ in upstream.stream([{"role": "user", "content": "x"}], Params()):
                pass
        await upstream.close()

    asyncio.run(run())
