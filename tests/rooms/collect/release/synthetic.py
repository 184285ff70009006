"""A store full of made-up conversations, annotated: rows as the service and the pipeline write them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import zstandard
from sqlalchemy import Connection, Table, insert

from agora.core.json_text import dumps
from agora.curate.personal import annotate_personal, annotate_secrets
from agora.rooms.collect.tables import ANNOTATIONS, CONVERSATIONS, MESSAGES
from agora.store import Store, events
from agora.store.consent import ConsentText, register_texts
from agora.store.ids import new_id
from agora.store.tables import SUBJECTS

NOW = 1_790_000_000_000_000  # 2026-09-21, microseconds
DAY = 86_400_000_000
TEXT = ConsentText("1", "en", "What is kept.", "What is published.")
PLACES = (
    ("Germany", "DE", ("Hesse", "Saxony", "Berlin")),
    ("France", "FR", ("Brittany", "Normandy")),
    ("Japan", "JP", ("Osaka", "Tokyo")),
    ("Peru", "PE", ("Lima",)),
)
LANGUAGES = (("en", "English"), ("de", "German"), ("fr", "French"))
BROWSERS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/{0}.0 Mobile/15E148 Safari/604.1",
)
ACCEPTS = ("en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.7", "fr,en;q=0.5", "en")
WORDS = (
    "sea",
    "ship",
    "light",
    "road",
    "old",
    "map",
    "bread",
    "winter",
    "garden",
    "letter",
    "stone",
    "music",
    "river",
    "paper",
    "window",
    "salt",
)
MAIL, CARD, KEY = (
    "zoe.quist@northwind-mail.org",
    "4539578763621486",
    "ghp_" + "a1B2c3D4e5F6g7H8i9J0" + "k1L2m3N4o5P6q7R8",
)
SECRETS = (f"write to {MAIL} please", f"my card is {CARD}", f"the key is {KEY}")
VERSIONS = {"lang": "cascade:1", "pii": "1", "secret": "1", "tox": "linear:1", "geo": "city:1"}


def fill(
    store: Store,
    conversations: int,
    *,
    subjects: int = 40,
    seed: int = 0,
    planted: float = 0.0,
    unlike: float = 1.0,
    batch: int = 2000,
) -> list[str]:
    """Put conversations into a store; the subjects' ids are returned.

    Args:
        store: open.
        conversations: how many; they are spread over the 60 days before :data:`NOW`, less eight days.
        subjects: whose they are, chosen unevenly.
        seed: decides everything but ids.
        planted: share of conversations with something of :data:`SECRETS` in a message.
        unlike: 1 for people whose browsers differ in their versions, 0 for three kinds of browser alone.
        batch: conversations of one transaction.
    """
    rng = random.Random(seed)
    people = [new_id(NOW - 90 * DAY) for _ in range(subjects)]
    store.write(lambda c: register_texts(c, [TEXT]))
    store.write(lambda c: c.execute(insert(SUBJECTS), [_subject(i, rng, unlike) for i in people]) and None)
    for start in range(0, conversations, batch):
        rows = [_conversation(rng, people, planted) for _ in range(min(batch, conversations - start))]
        tables = ((CONVERSATIONS, 0), (MESSAGES, 1), (ANNOTATIONS, 2))
        for table, place in tables:
            flat = [row for made in rows for row in made[place]]
            store.write(partial(_insert, table=table, rows=flat))
    store.write(lambda c: events.append(c, events.Event("import.batch", payload={"conversations": conversations})))
    return people


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(table), rows)


def _subject(subject_id: str, rng: random.Random, unlike: float) -> dict[str, Any]:
    version = rng.randint(100, 130) if rng.random() < unlike else 120
    headers = {"accept-language": rng.choice(ACCEPTS), "user-agent": rng.choice(BROWSERS).format(version)}
    return {
        "subject_id": subject_id,
        "created_us": NOW - 90 * DAY,
        "consent_version": "1",
        "consent_sha256": TEXT.sha256,
        "consent_terms_us": NOW - 90 * DAY,
        "consent_publication_us": NOW - 90 * DAY,
        "consent_state": "publish",
        "locale": "en",
        "key_epoch": 1,
        "header_json": dumps(headers).decode(),
        "source": "web",
    }


def _conversation(rng: random.Random, people: Sequence[str], planted: float) -> tuple[list[Any], list[Any], list[Any]]:
    at = NOW - 8 * DAY - rng.randrange(60 * DAY)
    conversation = new_id(at)
    subject = people[min(int(rng.paretovariate(0.9)) - 1, len(people) - 1)]
    place, language = rng.choice(PLACES), rng.choices(LANGUAGES, (6, 2, 1))[0]
    state = rng.choice(place[2])
    rounds = min(1 + int(rng.expovariate(0.6)), 12)
    texts = [_text(rng) for _ in range(2 * rounds)]
    if rng.random() < planted:
        texts[rng.randrange(len(texts))] += " " + rng.choice(SECRETS)
    messages, annotations = [], []
    parent = None
    for i, text in enumerate(texts):
        message = new_id(at + i * 1_000_000)
        messages.append(message_row(message, conversation, parent, i, text, at + i * 1_000_000))
        annotations += list(_annotations(rng, message, i, text, place, state, language, planted > 0))
        parent = message
    head = {
        "conversation_id": conversation,
        "subject_id": subject,
        "created_us": at,
        "updated_us": at + len(texts) * 1_000_000,
        "state": "open",
        "source": "web",
    }
    return [head], messages, annotations


def message_row(message: str, conversation: str, parent: str | None, i: int, text: str, at: int) -> dict[str, Any]:
    """A finished message."""
    raw = text.encode()
    return {
        "message_id": message,
        "conversation_id": conversation,
        "parent_id": parent,
        "role": "assistant" if i % 2 else "user",
        "content_zstd": zstandard.compress(raw, 3),
        "content_sha256": hashlib.sha256(raw).digest(),
        "created_us": at,
        "completed_us": at,
        "status": "complete",
        "model": "example-1" if i % 2 else None,
        "params_json": '{"temperature":1.0,"top_p":1.0,"max_tokens":1024}' if i % 2 else None,
        "usage_json": '{"prompt_tokens":12,"completion_tokens":30,"total_tokens":42}' if i % 2 else None,
    }


def _annotations(
    rng: random.Random, message: str, i: int, text: str, place: Any, state: str, language: Any, look: bool
) -> Iterator[dict[str, Any]]:
    score = round(rng.random() * 0.5, 4)
    look = look and any(planted in text for planted in SECRETS)  # in a text of plain words nothing is to be found
    results: dict[str, Any] = {
        "lang": {"code": language[0], "name": language[1], "source": "agree", "score": 0.99, "mixed": False},
        "pii": annotate_personal([text])[0] if look else {"spans": []},
        "secret": annotate_secrets([text])[0] if look else {"spans": []},
        "tox": {
            "flagged": score > 0.49,
            "categories": {"hate": score > 0.49, "sexual": False},
            "scores": {"hate": score, "sexual": 0.01},
            "provider": "linear",
        },
    }
    if i % 2 == 0:
        results["geo"] = {"country": place[0], "country_iso": place[1], "state": state}
    for kind, result in results.items():
        yield {
            "message_id": message,
            "kind": kind,
            "pipeline_version": VERSIONS[kind],
            "result_json": dumps(result).decode(),
            "created_us": NOW - 8 * DAY,
        }


def _text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(5, 60)))
