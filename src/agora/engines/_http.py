"""JSON calls to a server: many in flight, retried where that can help, and told apart where it cannot.

An event loop runs in a thread of its own behind ordinary functions, so that callers need no ``async``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import queue
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from agora.core.errors import EngineError

_RETRIED = frozenset({408, 409, 425, 429})
_LANE_WIDTH = 4
_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Retry:
    """When to try again.

    Args:
        attempts: most calls for one request, at least 1.
        first_wait_s: the wait after the first failure; it doubles with each, with jitter.
        longest_wait_s: the back-off's ceiling (a server's Retry-After may ask for more).
        timeout_s: without a byte from the server for so long, an attempt has failed.
        deadline_s: for one request with all its attempts and waits.
    """

    attempts: int = 8
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    timeout_s: float = 300.0
    deadline_s: float = 1200.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request came to: ``data`` with status 200, else ``error`` says why."""

    data: dict[str, Any] | None
    error: str | None = None
    status: int | None = None
    attempts: int = 1


class RefusedError(EngineError):
    """The server refused in a way that every further call would share: a wrong key, an unknown model."""


@dataclass(slots=True)
class _Lane:
    """A client with a few connections. Its pool looks at each of them several times for every request, so 64 calls in
    flight cost 5 ms of CPU each in one pool, and under 1 ms in lanes of four.
    """

    client: httpx.AsyncClient
    in_flight: int = 0


class HttpClient:
    """POSTs JSON to one base URL. Nothing it raises or returns holds the key.

    Args:
        base_url: e.g. ``http://127.0.0.1:8000/v1``.
        key: bearer token, or None.
        key_hint: what to say about the key when it is refused, e.g. the variable it comes from.
        retry: when to try again.
        concurrency: most requests in flight.
    """

    def __init__(
        self, base_url: str, *, key: str | None, key_hint: str, retry: Retry, concurrency: int, where: str
    ) -> None:
        self._base_url, self._key, self._key_hint = base_url, key, key_hint
        self._retry, self.concurrency, self._where = retry, concurrency, where
        self._resume_at = 0.0  # no call before this monotonic time: a server that said when is not asked sooner
        self._jitter = random.Random()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lanes: list[_Lane] = []
        self._lock = threading.Lock()
        self._closed = False

    def post(self, path: str, body: dict[str, Any]) -> Reply:
        """One call, waited for."""
        return self._submit(self._call("POST", path, body)).result()

    def get(self, path: str, *, attempts: int) -> Reply:
        """One GET, waited for."""
        return self._submit(self._call("GET", path, None, attempts)).result()

    def stream(
        self, jobs: Iterable[_Job], prepare: Callable[[_Job], tuple[str, dict[str, Any]]], may_go_on: Callable[[], bool]
    ) -> Iterator[tuple[_Job, Reply]]:
        """Run jobs with at most ``concurrency`` in flight; replies come as they finish.

        Args:
            jobs: read only as room appears, in the caller's thread.
            prepare: path and body of a job.
            may_go_on: asked before each call; false begins no more, and what is in flight still arrives.
        """
        done: queue.SimpleQueue[Future[Reply]] = queue.SimpleQueue()
        flying: dict[Future[Reply], _Job] = {}
        source: Iterator[_Job] | None = iter(jobs)
        try:
            while True:
                while source is not None and len(flying) < self.concurrency:
                    job = next(source, None)
                    if job is None or not may_go_on():
                        source = None
                        break
                    future = self._submit(self._call("POST", *prepare(job)))
                    flying[future] = job
                    future.add_done_callback(done.put)
                if not flying:
                    return
                future = done.get()
                yield flying.pop(future), future.result()
        finally:
            for future in flying:
                future.cancel()

    def close(self) -> None:
        """End the connections and the thread; safe to call twice."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        with contextlib.suppress(Exception):  # a connection that is already broken closes as well as it can
            asyncio.run_coroutine_threadsafe(self._end(), loop).result(timeout=5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        loop.close()

    async def _end(self) -> None:
        calls = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        for lane in self._lanes:
            await lane.client.aclose()
        self._lanes = []

    def _submit(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        with self._lock:
            if self._closed:
                work.close()
                raise EngineError("this engine is closed", where=self._where)
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="agora-http", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _open_lanes(self) -> list[_Lane]:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        limits = httpx.Limits(max_connections=_LANE_WIDTH, max_keepalive_connections=_LANE_WIDTH)
        timeout = httpx.Timeout(self._retry.timeout_s, connect=min(10.0, self._retry.timeout_s), pool=None)
        near = urlsplit(self._base_url).hostname in ("localhost", "127.0.0.1", "::1")
        # a proxy from the environment is for the world outside, never for this machine
        verify = httpx.create_ssl_context(trust_env=not near)
        return [
            _Lane(httpx.AsyncClient(headers=headers, limits=limits, timeout=timeout, verify=verify, trust_env=not near))
            for _ in range(math.ceil(self.concurrency / _LANE_WIDTH))
        ]

    async def _request(self, method: str, url: str, content: bytes | None) -> httpx.Response:
        """One request, on the lane with the fewest in flight."""
        if not self._lanes:
            self._lanes = self._open_lanes()
        lane = min(self._lanes, key=lambda each: each.in_flight)
        lane.in_flight += 1
        try:
            return await lane.client.request(method, url, content=content)
        finally:
            lane.in_flight -= 1

    async def _call(self, method: str, path: str, body: dict[str, Any] | None, attempts: int | None = None) -> Reply:
        end = time.monotonic() + self._retry.deadline_s
        most = attempts or self._retry.attempts
        content = (
            None if body is None else json.dumps(body).encode()
        )  # ASCII: a lone surrogate is the server's to refuse
        for attempt in range(1, most + 1):
            pause = self._resume_at - time.monotonic()
            if pause > 0:
                await asyncio.sleep(min(pause, max(0.0, end - time.monotonic())))
            try:
                # httpx's timeout is per byte; a server that drips bytes must still meet the deadline
                async with asyncio.timeout(max(0.001, end - time.monotonic())):
                    response = await self._request(method, self._base_url + path, content)
                reply, wait = self._judge(response, attempt)
            except TimeoutError:
                return Reply(None, f"no answer within {self._retry.deadline_s:g} s", None, attempt)
            except httpx.ConnectError as error:
                if attempt == most > 1:
                    hint = "start it and run the same command again; finished answers are kept"
                    raise EngineError(f"the server is gone ({_reason(error)})", where=self._where, hint=hint) from error
                reply, wait = Reply(None, _reason(error), None, attempt), None
            except httpx.RequestError as error:
                reply, wait = Reply(None, _reason(error), None, attempt), None
            if reply.data is not None or wait == float("inf") or attempt == most:
                return reply
            wait = self._back_off(attempt) if wait is None else wait
            if time.monotonic() + wait >= end:
                why = f"{reply.error} (gave up: the next try would be past the deadline)"
                return Reply(None, why, reply.status, attempt)
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    def _back_off(self, attempt: int) -> float:
        ceiling = min(self._retry.longest_wait_s, self._retry.first_wait_s * 2.0 ** (attempt - 1))
        return ceiling * self._jitter.uniform(0.5, 1.0)

    def _judge(self, response: httpx.Response, attempt: int) -> tuple[Reply, float | None]:
        """The reply, and how long to wait before the next try: None is the usual back-off, infinity never.

        Raises:
            RefusedError: no other call would fare better.
        """
        status = response.status_code
        if status == 200:
            try:
                data = response.json()
            except ValueError:
                data = None
            if isinstance(data, dict):
                return Reply(data, None, status, attempt), None
            return Reply(None, "the server's answer is not a JSON object", status, attempt), None
        message = self._message(response)
        if status in (401, 403):
            raise RefusedError(f"key refused ({status}): {message}", where=self._where, hint=self._key_hint)
        if "insufficient_quota" in message:
            raise RefusedError(f"the account's quota is used up: {message}", where=self._where)
        reply = Reply(None, f"HTTP {status}: {message}", status, attempt)
        if status not in _RETRIED and status < 500:
            return reply, float("inf")
        wait = retry_after_s(response.headers)
        if wait is not None:
            self._resume_at = max(self._resume_at, time.monotonic() + wait)
        return reply, wait

    def _message(self, response: httpx.Response) -> str:
        """What the server says, in one line, without the key."""
        try:
            body = response.json()
        except ValueError:
            body = response.text
        if isinstance(body, dict):
            found = body.get("error", body.get("detail", body.get("message", body)))
            if isinstance(found, dict):
                code = found.get("code") or ""
                found = f"{found.get('message', found)} {code if isinstance(code, str) else ''}"
            body = found
        text = " ".join(str(body).split())
        if self._key:
            text = text.replace(self._key, "[redacted]")
        return text[:300] or response.reason_phrase


def _reason(error: httpx.RequestError) -> str:
    if isinstance(error, httpx.ConnectError):
        text = str(error)
        refused = "refused" in text.lower() or "attempts failed" in text
        return "connection refused" if refused else f"cannot connect: {text}"
    if isinstance(error, httpx.TimeoutException):
        return "the server did not answer in time"
    return f"the connection broke: {str(error) or type(error).__name__}"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to wait, from Retry-After (seconds or an HTTP date); None when it does not say."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
