"""Answers kept by content, so that nothing is computed or paid for twice.

The key is everything that decides an answer: engine URI, model revision, verb, and the whole request with its sampling
settings and seed, but not its id. Errors are never kept.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from agora.core.errors import AgoraError, DataError, MissingError, UsageError
from agora.core.records import stable_id
from agora.engines.types import Capability, ChatRequest, CompleteRequest, Engine, Generation, Score, ScoreRequest, Usage

_SCHEMA = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
_Answer = TypeVar("_Answer", Generation, Score)


class AnswerStore:
    """A SQLite file of answers. Each is committed as it comes; threads and processes may share the file."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            self.path = self.path / "answers.sqlite"
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing; only a power cut could
            self._db.execute(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"cannot open the answer cache: {error}", where=str(self.path), hint="move it away"
            ) from error
        except OSError as error:
            raise MissingError(f"cannot make the answer cache: {error.strerror}", where=str(self.path)) from error

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored answer, or None."""
        with self._lock:
            row = self._db.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Store an answer; it is on disk when this returns."""
        text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
        try:
            with self._lock:
                self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, text))
        except sqlite3.OperationalError as error:
            raise AgoraError(
                f"cannot write the answer cache: {error}", where=str(self.path), hint="free disk space and run again"
            ) from error

    def __len__(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._db.close()


class CachedEngine:
    """Another engine behind a cache: hits come from the file with ``cached=True``, every new answer is stored at once.

    Equal requests in one stream are asked once. Request ids must be unique within a stream.
    """

    def __init__(self, inner: Engine, path: Path) -> None:
        self.inner = inner
        revision = getattr(inner, "revision", "")
        if revision is None:
            raise UsageError(
                "a live model changes under the cache", where=inner.uri, hint="save it and open the folder"
            )
        self._store = AnswerStore(path)
        self._source = (inner.uri, str(revision))

    @property
    def uri(self) -> str:
        """The inner engine's URI."""
        return self.inner.uri

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The inner engine's capabilities."""
        return self.inner.capabilities

    def chat(self, requests: Iterable[ChatRequest]) -> Iterator[Generation]:
        """Answer conversations, from the cache where it can."""
        return self._through("chat", requests, self.inner.chat, _generation)

    def complete(self, requests: Iterable[CompleteRequest]) -> Iterator[Generation]:
        """Continue raw prefixes, from the cache where it can."""
        return self._through("complete", requests, self.inner.complete, _generation)

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[Score]:
        """Log-probabilities, from the cache where it can."""
        return self._through("score", requests, self.inner.score, _score)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Vectors, from the cache where it can."""
        keys = [stable_id(*self._source, "embed", text, size=20) for text in texts]
        found = {key: hit["vector"] for key in set(keys) if (hit := self._store.get(key)) is not None}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        for key, vector in zip(missing, self.inner.embed(list(missing.values())), strict=True) if missing else ():
            found[key] = vector
            self._store.put(key, {"vector": vector})
        return [found[key] for key in keys]

    def holds(self, verb: str, request: ChatRequest | CompleteRequest | ScoreRequest) -> bool:
        """Whether the answer to a request is in the file; nothing is asked."""
        return self._store.get(self._key(verb, request)) is not None

    def close(self) -> None:
        """Close the file and the inner engine."""
        self._store.close()
        self.inner.close()

    def __getattr__(self, name: str) -> Any:
        # tokenizer, context, revision: whatever the inner engine offers beyond the protocol
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _key(self, verb: str, request: Any) -> str:
        content = asdict(request)
        del content["id"]
        if content.get("schema") is None:
            content.pop("schema", None)
        for name in ("temperature", "top_p", "first_token_temperature") if "sampling" in content else ():
            content["sampling"][name] = float(content["sampling"][name])  # 1 and 1.0 are one setting
        return stable_id(*self._source, verb, content, size=20)

    def _through(
        self,
        verb: str,
        requests: Iterable[Any],
        call: Callable[[Iterable[Any]], Iterator[_Answer]],
        restore: Callable[[dict[str, Any], str], _Answer],
    ) -> Iterator[_Answer]:
        ready: deque[_Answer] = deque()
        asked: dict[str, str] = {}  # request id -> key, of what is in flight
        waiting: dict[str, list[str]] = {}  # key -> ids of equal requests

        def misses() -> Iterator[Any]:
            for request in requests:
                key = self._key(verb, request)
                hit = self._store.get(key)
                if hit is not None:
                    ready.append(restore(hit, request.id))
                elif key in waiting:
                    waiting[key].append(request.id)
                elif request.id in asked:
                    raise DataError("two requests of one stream have the same id", where=request.id)
                else:
                    asked[request.id], waiting[key] = key, []
                    yield request

        answers = call(misses())

        def stream() -> Iterator[_Answer]:
            for answer in answers:
                yield from _drain(ready)
                key = asked.pop(answer.id)
                followers = waiting.pop(key)
                if not isinstance(answer, Generation) or answer.finish_reason != "error":
                    self._store.put(key, asdict(answer))
                yield answer
                for follower in followers:
                    again = replace(answer, id=follower)
                    yield replace(again, cached=again.error is None) if isinstance(again, Generation) else again
            yield from _drain(ready)

        return stream()


def _drain(ready: deque[_Answer]) -> Iterator[_Answer]:
    while ready:
        yield ready.popleft()


def _generation(stored: dict[str, Any], request_id: str) -> Generation:
    stored |= {
        "id": request_id,
        "usage": Usage(**stored["usage"]),
        "cached": True,
        "token_ids": None if stored["token_ids"] is None else tuple(stored["token_ids"]),
        "logprobs": None if stored["logprobs"] is None else tuple(stored["logprobs"]),
    }
    return Generation(**stored)


def _score(stored: dict[str, Any], request_id: str) -> Score:
    return Score(request_id, tuple(stored["token_ids"]), tuple(stored["logprobs"]))
