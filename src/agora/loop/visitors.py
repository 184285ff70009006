"""The loop's first words: the microcosm's visitors talk with a real ``agora serve``, and leave what may be published.

What later stages read is the same for the same seed: each reply is a function of its conversation, and conversations
are told in the order of the visitors, under their names and without times.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agora.core.errors import EngineError
from agora.core.records import Conversation, Message, Provenance
from agora.core.runs import RunDir
from agora.core.tables import write_json, write_jsonl
from agora.engines.registry import parse_uri
from agora.loop.settings import LoopConfig
from agora.microcosm.world import World
from agora.rooms.collect.records import stored_conversations
from agora.rooms.collect.visitors import VisitReport, send_visitors
from agora.store import Store

CONVERSATIONS = "visitors/conversations.jsonl"
VISITS = "visitors/visits.json"
_TOGETHER = 16
# all visitors come from one address
_WIDE = (
    "limits.messages_per_minute",
    "limits.messages_per_day",
    "limits.address_per_minute",
    "limits.receipt_tries_per_minute",
    "abuse.address_streams",
)


def number_of_visitors(config: LoopConfig) -> int:
    """How many come: what was asked for, else as many as make sense for the model.

    Visitors ask about the microcosm, which a served model knows nothing of.
    """
    if config.visitors is not None:
        return config.visitors
    return 80 if parse_uri(config.model).scheme == "microcosm" else 0


def hold_conversations(run: RunDir, config: LoopConfig) -> Path:
    """Let visitors talk with the model; the file of the conversations they agreed to publish is returned.

    A stage that was killed begins anew: its people would meet their own half conversations.

    Raises:
        EngineError: the service did not start or broke off.
    """
    file = run.file(CONVERSATIONS)
    if run.done("visitors"):
        return file
    with run.stage("visitors"):
        shutil.rmtree(file.parent)
        file.parent.mkdir()
        drawn = list(World().visitors(number_of_visitors(config), config.seed))
        with _serving(run, config) as url:
            report = send_visitors(url, drawn, concurrency=_TOGETHER, seed=config.seed)
        write_jsonl(file, _published(file.parent / "chat.db", report, config))
        visits = [visit.as_json() | {"conversation_id": None} for visit in report.visits]  # ids differ in each run
        write_json(run.file(VISITS), {**report.as_json(), "visits": visits})
        run.event("visited", **report.as_json())
    return file


@contextmanager
def _serving(run: RunDir, config: LoopConfig) -> Iterator[str]:
    """The service in a process of its own, in front of the loop's model; gives its address."""
    sets: dict[str, object] = {"model": config.model, "seed": config.seed, "max_tokens": config.max_answer_tokens}
    sets |= dict.fromkeys(_WIDE, 1_000_000) | {"enrich": "[]"}
    options = [word for name, value in sets.items() for word in ("--set", f"collect.{name}={value}")]
    db, log = run.file("visitors/chat.db"), run.file("visitors/serve.log")
    command = [sys.executable, "-m", "agora.web.child", "--port", "0", "--db", str(db), *options]
    with (
        log.open("wb") as told,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told) as server,
    ):
        assert server.stdin is not None and server.stdout is not None
        found = re.search(r" at (http://\S+)", server.stdout.readline().decode())
        if found is None:
            server.wait(30)
            last = (log.read_text().strip().splitlines() or ["it said nothing"])[-1]
            raise EngineError(f"the chat service did not start: {last}", where=str(log), hint="or set visitors=0")
        try:
            yield found.group(1)
        finally:
            server.terminate()
            server.wait(30)


def _published(db: Path, report: VisitReport, config: LoopConfig) -> Iterator[Conversation]:
    """The conversations that may be published, in the order of their visitors."""
    store = Store.open(str(db), keys=db.with_name(db.name + ".keys.json"))
    try:
        kept = {conversation.id: conversation for conversation in stored_conversations(store)}
    finally:
        store.close()
    for visit in report.visits:
        conversation = kept.get(visit.conversation_id)
        if conversation is not None:
            yield _without_times(conversation, visit.visitor, config)


def _without_times(conversation: Conversation, name: str, config: LoopConfig) -> Conversation:
    place = {message.id: str(i) for i, message in enumerate(conversation.messages)}
    messages = tuple(
        Message(m.role, m.content, id=place[m.id], parent=place[m.parent] if m.parent else None, meta=m.meta)
        for m in conversation.messages
    )
    consent = conversation.provenance.consent
    provenance = Provenance("microcosm visitors", name, licence="Apache-2.0", consent=consent)
    return Conversation(name, messages, provenance, meta={"model": config.model})
