"""Any server that speaks OpenAI's ``/v1/moderations``. Texts leave the machine only for the address that is named."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agora.core.errors import EngineError
from agora.core.redact import redact

if TYPE_CHECKING:
    import httpx

PROVIDER = "openai"
_BATCH = 32
_SHORTEST = 64  # characters; a piece that fails below this is not halved again
_TRIES = 3
_WAIT_S = 0.5
_WORTH_ANOTHER_TRY = frozenset({408, 409, 429, 500, 502, 503, 504})


class ModerationClient:
    """A provider of toxicity annotations.

    A text that the server refuses or fails on is halved again and again; flags of the parts are joined by OR, scores by
    their maximum.

    Args:
        url: base address such as ``http://localhost:8000/v1``.
        model: its name there; empty leaves the choice to the server.
        api_key: sent as a bearer token; empty for none.
        timeout_s: of one request.
    """

    name = "tox"

    def __init__(self, url: str, model: str = "", api_key: str = "", *, timeout_s: float = 30) -> None:
        self._url, self._model, self._key, self._timeout_s = url.rstrip("/"), model, api_key, timeout_s

    @property
    def version(self) -> str:
        """``openai:MODEL``, at most 32 characters."""
        return f"{PROVIDER}:{self._model or 'default'}"[:32]

    def annotate(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """One result for each text; an empty text is not sent and not flagged.

        Raises:
            EngineError: the server cannot be reached, or fails on texts however short.
        """
        todo = [i for i, text in enumerate(texts) if text.strip()]
        found: list[dict[str, Any]] = [{"flagged": False, "categories": {}, "scores": {}, "provider": PROVIDER}] * len(
            texts
        )
        import httpx

        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        with httpx.Client(headers=headers, timeout=self._timeout_s) as client:
            for at in range(0, len(todo), _BATCH):
                places = todo[at : at + _BATCH]
                for place, one in zip(places, self._ask_all(client, [texts[i] for i in places]), strict=True):
                    found[place] = one
        return found

    def _ask_all(self, client: httpx.Client, texts: list[str]) -> list[dict[str, Any]]:
        """Results of a batch; where it fails, of its texts one by one, and of their halves."""
        try:
            return self._post(client, texts)
        except EngineError as error:
            if len(texts) > 1:
                return [self._ask_all(client, [text])[0] for text in texts]
            if len(texts[0]) <= _SHORTEST or isinstance(error.__cause__, OSError):
                raise
            parts = [self._ask_all(client, [half])[0] for half in halves(texts[0])]
            return [joined(parts)]

    def _post(self, client: httpx.Client, texts: list[str]) -> list[dict[str, Any]]:
        import httpx

        body: dict[str, Any] = {"input": texts} | ({"model": self._model} if self._model else {})
        said = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_WAIT_S * 2 ** (attempt - 1))
            try:
                answer = client.post(f"{self._url}/moderations", json=body)
            except httpx.HTTPError as error:
                raise EngineError(
                    f"no answer from {redact(self._url)}/moderations: {error}", hint="is the server running?"
                ) from (OSError(str(error)))
            if answer.status_code == 200:
                return _read(answer, len(texts), self._url)
            said = f"{answer.status_code} {redact(answer.text[:200])}"
            if answer.status_code not in _WORTH_ANOTHER_TRY:
                break
        raise EngineError(f"{redact(self._url)}/moderations refused: {said}")


def halves(text: str) -> tuple[str, str]:
    """A text cut in two near its middle, at white space if there is some."""
    middle = len(text) // 2
    space = text.rfind(" ", middle // 2, middle + 1)
    at = space if space > 0 else middle
    return text[:at], text[at:]


def joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The result of a text from those of its parts: flags by OR, scores by maximum."""
    categories: dict[str, bool] = {}
    scores: dict[str, float] = {}
    for part in parts:
        for name, value in part["categories"].items():
            categories[name] = categories.get(name, False) or bool(value)
        for name, value in part["scores"].items():
            scores[name] = max(scores.get(name, 0.0), float(value))
    flagged = any(part["flagged"] for part in parts)
    return {"flagged": flagged, "categories": categories, "scores": scores, "provider": PROVIDER}


def _read(answer: httpx.Response, n: int, url: str) -> list[dict[str, Any]]:
    try:
        results = answer.json()["results"]
        found = [
            {
                "flagged": bool(r["flagged"]),
                "categories": {str(k): bool(v) for k, v in r["categories"].items() if v is not None},
                "scores": {str(k): float(v) for k, v in (r.get("category_scores") or {}).items() if v is not None},
                "provider": PROVIDER,
            }
            for r in results
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"{redact(url)}/moderations answered with something else than results") from error
    if len(found) != n:
        raise EngineError(f"{redact(url)}/moderations gave {len(found)} results for {n} texts")
    return found
