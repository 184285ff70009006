"""A real HTTP server that judges by the length of what it is shown, and counts its calls."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from tests.engines.servers import Behavior, Handler, Server, chat_answer
from tests.rooms.judge.support import block, kind_of, token_of


def verdict_by_length(prompt: str) -> dict[str, Any]:
    """What this judge says: longer is better, checklists are met by long answers."""
    token = token_of(prompt)
    if kind_of(prompt) == "pair":
        gap = len(block(prompt, "RESPONSE A")) - len(block(prompt, "RESPONSE B"))
        return {"reason of A>B": "", "choice": "A+" if gap > 0 else "B+" if gap else "A=B", "verdict_id": token}
    length = len(block(prompt, "ANSWER"))
    if kind_of(prompt) == "checklist":
        questions = block(prompt, "CHECKLIST").splitlines()
        met = "yes" if length > 30 else "no"
        items = [{"item": i, "evidence": "e", "met": met} for i in range(1, len(questions) + 1)]
        return {"items": items, "verdict_id": token}
    return {"strengths": "s", "weaknesses": "w", "score": str(1 + length % 10), "verdict_id": token}


class JudgeServer(Server):
    """Answers every prompt with a verdict; ``prompts`` are those seen; trouble that was asked for comes first."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.prompts: list[str] = []
        self.garble = 0  # so many replies that cannot be read come first
        self.cut = 0  # then so many that end in the middle
        self.script: list[Behavior | None] = []  # what meets the first calls; None: a verdict
        self.forms: list[dict[str, Any] | None] = []  # the response_format of every call
        self.refused: set[str] = set()  # types of response_format that it does not know
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        return f"{self.base_url}#m"

    def on_post(self, handler: Handler, body: dict[str, Any]) -> None:
        prompt = body["messages"][-1]["content"]
        with self._lock:
            self.forms.append(body.get("response_format"))
            if (self.forms[-1] or {}).get("type") in self.refused:
                return handler.reply(400, {"error": {"message": "response_format: not supported"}})
            self.prompts.append(prompt)
            garbled, self.garble = self.garble > 0, max(0, self.garble - 1)
            cut, self.cut = not garbled and self.cut > 0, self.cut if garbled else max(0, self.cut - 1)
            behavior = self.script.pop(0) if self.script else None
        time.sleep(self.delay_s)
        if behavior is not None:
            return behavior(handler, body)
        text = json.dumps(verdict_by_length(prompt))
        if garbled:
            return handler.reply(200, chat_answer("I like it."))
        return handler.reply(200, chat_answer(text[:9], finish="length") if cut else chat_answer(text))
