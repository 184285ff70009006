"""The loop's first words: the microcosm's visitors talk with a real ``agora serve``, and a release is made of it.

Their words go the way of anybody's: enrichment, nine gates, redaction, k-anonymity. Only what the release holds is
mined and learned from.

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

from agora.core.config import load_config
from agora.core.errors import EngineError, MissingError
from agora.core.records import Conversation, Message, Provenance
from agora.core.runs import RunDir
from agora.core.tables import write_json, write_jsonl
from agora.engines.registry import parse_uri
from agora.loop.settings import LoopConfig
from agora.microcosm.world import World
from agora.rooms.collect.enrich.pipeline import enrich
from agora.rooms.collect.release.build import build_release
from agora.rooms.collect.release.records import released_records
from agora.rooms.collect.settings import ServeSettings
from agora.rooms.collect.visitors import VisitReport, send_visitors
from agora.store import Store, keys_beside

CONVERSATIONS = "visitors/conversations.jsonl"
VISITS = "visitors/visits.json"
RELEASE = "visitors/release"
_KINDS = ("lang", "pii", "secret")  # no model of toxicity is shipped
_K = 5  # people who share what a row tells of one; fewer where few come
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
    """Let visitors talk with the model and release what they agreed to publish; the file of it is returned.

    A stage that was killed begins anew: its people would meet their own half conversations.

    Raises:
        EngineError: the service did not start or broke off.
        MissingError: a library that looks at texts is not installed.
        GateError: nothing of it may be released.
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
        write_jsonl(file, _released(file.parent / "chat.db", run.file(RELEASE), report, config))
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


def _released(db: Path, out: Path, report: VisitReport, config: LoopConfig) -> Iterator[Conversation]:
    """The conversations of a release of the store, in the order of their visitors."""
    store = Store.open(str(db), keys=keys_beside(str(db)))
    try:
        for kind in enrich(store, _KINDS):
            if kind.unavailable:
                raise MissingError(f"nothing looks for {kind.kind}: {kind.unavailable}", hint="or set visitors=0")
        build_release(store, str(db), out, _release_settings(len(report.visits)))
        kept = {conversation.id: conversation for conversation in released_records(store, out)}
    finally:
        store.close()
    for visit in report.visits:
        conversation = kept.get(visit.conversation_id)
        if conversation is not None:
            yield _without_times(conversation, visit.visitor, config)


def _release_settings(visitors: int) -> ServeSettings:
    k = max(1, min(_K, visitors // 5))
    # made for this run alone, at once: nobody is left who could come back and erase
    sets = ["collect.quarantine_days=0", "release.profile=native", f"release.k={k}"]
    return load_config(ServeSettings, None, [*sets, f"release.require=[{', '.join(_KINDS)}]"])


def _without_times(conversation: Conversation, name: str, config: LoopConfig) -> Conversation:
    place = {message.id: str(i) for i, message in enumerate(conversation.messages)}
    messages = tuple(
        Message(m.role, m.content, id=place[m.id], parent=place[m.parent] if m.parent else None, meta=m.meta)
        for m in conversation.messages
    )
    consent = conversation.provenance.consent
    provenance = Provenance("microcosm visitors", name, licence="Apache-2.0", consent=consent)
    return Conversation(name, messages, provenance, meta={"model": config.model})
