"""All of it once: a model server, a person at the pages, enrichment, a release, erasure, the next release."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import yaml
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from agora.engines import open_engine
from agora.engines.types import ChatRequest, Sampling
from tests.rooms.collect.live import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LATER = (datetime.now(UTC) + timedelta(days=8)).isoformat(timespec="seconds")  # past the quarantine


def _model_server() -> FastAPI:
    """The microcosm's model behind the interface that every server of models speaks."""
    app, engine = FastAPI(), open_engine("microcosm:chat")
    app.router.on_shutdown.append(engine.close) if hasattr(app.router, "on_shutdown") else None

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> StreamingResponse:
        body = await request.json()
        asked = ChatRequest("1", tuple(body["messages"]), Sampling(temperature=0.0, max_tokens=32))
        (reply,) = engine.chat([asked])

        async def events() -> AsyncIterator[str]:
            for word in reply.text.split(" "):
                yield f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': word + ' '}}]})}\n\n"
            yield 'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


@contextmanager
def _serving(model: str, db: Path) -> Iterator[str]:
    command = [
        sys.executable,
        "-m",
        "agora.cli",
        "serve",
        "--port",
        "0",
        "--db",
        str(db),
        "--model",
        f"{model}/v1#tiny",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r" at (http://\S+)", server.stdout.readline())
        assert found is not None
        yield found.group(1)
        server.send_signal(signal.SIGINT)
        assert server.wait(30) in (0, 130)


def _agora(*words: str, **environment: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "agora.cli", "collect", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Browser:
    """Someone at the pages without scripts: follows links, fills in the forms that are there."""

    def __init__(self, address: str) -> None:
        headers = {"accept": "text/html", "accept-language": "en", "user-agent": "Mozilla/5.0 (X11) Firefox/140"}
        self.http = httpx.Client(base_url=address, headers=headers, follow_redirects=True, timeout=60)
        self.receipt = ""
        self.page = ""

    def hidden(self, name: str) -> str:
        """A value that the page's form carries."""
        found = re.findall(rf'name="{name}" value="([^"]*)"', self.page)
        assert found, name
        return str(found[0])

    def open(self, path: str) -> None:
        """Load a page."""
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        self.page = answer.text

    def send(self, path: str, **fields: str) -> None:
        """Send a form."""
        answer = self.http.post(path, data=fields)
        assert answer.status_code == 200, answer.text
        self.page, self.at = answer.text, str(answer.url)

    def consent(self) -> None:
        """Take both steps; keep the receipt."""
        self.open("/chat")
        self.send("/consent/terms", sha256=self.hidden("sha256"), accepted="1", age="1")
        token, words = self.hidden("form_token"), self.hidden("sha256")
        self.send("/consent/publication", form_token=token, sha256=words, decision="publish")
        found = re.search(r"[A-Z2-7]{5}(-[A-Z2-7]{4,5}){6}", self.page)
        assert found is not None
        self.receipt = found.group()

    def talk(self, *messages: str) -> None:
        """A conversation of some rounds; the last reply is asked for once more, and rated."""
        self.open("/chat")
        self.send("/chat", content=messages[0], form_token=self.hidden("form_token"))
        for message in messages[1:]:
            path = re.sub(r"\?.*", "", self.at).partition("://")[2].partition("/")[2]
            fields = {name: self.hidden(name) for name in ("form_token", "client_msg_id", "parent_id")}
            self.send(f"/{path}", content=message, **fields)
        again = re.findall(r'action="(/messages/\w+/regenerate)"', self.page)[-1]
        self.send(again, form_token=self.hidden("form_token"))
        rate = re.findall(r'action="(/messages/\w+/rate)"', self.page)[-1]
        self.send(rate, form_token=self.hidden("form_token"), rating="up")


def _said(release: Path) -> list[list[str]]:
    rows = [row for file in sorted((release / "data").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    return [[turn["content"] for turn in row["conversation"] if turn["role"] == "user"] for row in rows]


def test_from_a_persons_words_to_a_release_and_out_of_the_next_one(tmp_path: Path, shared_dir: Path) -> None:
    db, toxicity = tmp_path / "chat.db", tmp_path / "toxicity.npz"
    labeled = shared_dir / "data/wildchat/moderation/openai_moderation_eval_noS3.jsonl.gz"
    train = [sys.executable, "-m", "agora.cli", "curate", "toxicity", "train", str(labeled), "--out", str(toxicity)]
    subprocess.run(train, check=True, capture_output=True, timeout=300)
    talks = [
        ("What is 2 plus 3?", "What is 4 plus 5?", "And a word about quokkas?"),
        ("What is 7 plus 1?", "Please write to mira@example.com about it.", "Thank you."),
    ]
    with running(_model_server()) as model:
        with _serving(model, db) as address:
            people = [Browser(address) for _ in talks]
            for person, said in zip(people, talks, strict=True):
                person.consent()
                person.talk(*said)
                person.http.close()
        numbers = _agora("stats", "--db", str(db))["store"]
        assert numbers["messages"] == {"user": 6, "assistant": 8} and numbers["replies_by_status"] == {"complete": 8}
        _agora("enrich", "--db", str(db), AGORA_TOXICITY=str(toxicity))
        first = tmp_path / "first"
        _agora("release", "build", "--db", str(db), "--out", str(first), "--k", "1", "--as-of", LATER)
        found = _said(first)
        assert sorted(found)[0] == list(talks[0]) and len(found) == 2
        assert "mira@example.com" not in str(found) and "PRESIDIO_ANONYMIZED_EMAIL_ADDRESS" in str(found)
        card = (first / "README.md").read_text()
        assert yaml.safe_load(card.split("---")[1])["license"]
        with _serving(model, db) as address:
            erased = httpx.post(f"{address}/api/v1/receipts/delete", json={"receipt": people[0].receipt}, timeout=60)
            assert erased.json() == {"erased": 1}
    second = tmp_path / "second"
    _agora("release", "build", "--db", str(db), "--out", str(second), "--k", "1", "--as-of", LATER)
    assert [said[0] for said in _said(second)] == [talks[1][0]]
    assert b"quokkas" not in b"".join(file.read_bytes() for file in tmp_path.glob("chat.db*"))
    assert _agora("verify", "--db", str(db))["events"] > 20
