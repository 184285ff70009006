"""The kind `dup`: prompts that repeat another one, exactly or nearly, and how much a subject looks like a program.

Near duplicates are those of :mod:`agora.curate.duplicates` (MinHash bands, then the exact Jaccard similarity of
character 5-grams), within a language. SimHash was the other choice; it has no second look, so templates with other
words in them fall together or apart by chance. All prompts of a language are held in memory.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean, pstdev
from typing import NamedTuple

import zstandard
from sqlalchemy import Connection, select, update

from agora.core.json_text import loads
from agora.curate.duplicates import mark_duplicates
from agora.rooms.collect.enrich.annotations import Annotation, add, latest
from agora.rooms.collect.enrich.work import Done
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.store import Store, events
from agora.store.tables import SUBJECTS

VERSION = "minhash:1"
THRESHOLD = 0.8  # Jaccard similarity of character 5-grams
PREFIX_CHARS = 64  # prompts that begin alike for so long come from one template
FEWEST_PROMPTS = 5  # below, regularity and reuse say nothing
_STEADY = 0.5  # intervals whose standard deviation is half their mean are a person's
_COMMIT = 500


class _Prompt(NamedTuple):
    message_id: str
    conversation_id: str
    subject_id: str | None
    created_us: int
    sha256: bytes
    text: str


def find_repeats(store: Store) -> Done:
    """Annotate user messages with their cluster, and mark conversations and subjects' automation scores.

    A cluster is named by its first message. A message that is annotated keeps its cluster; when a new message joins two
    clusters, only new messages are told.
    """
    with store.reading() as connection:
        prompts = _prompts(connection)
        ids = [p.message_id for p in prompts]
        told = latest(connection, ids, "lang")
        known = {m: str(a.result["cluster"]) for m, a in latest(connection, ids, "dup").items() if a.version == VERSION}
        headers = {row.subject_id: row.header_json for row in connection.execute(select(SUBJECTS))}
    by_language: dict[str, list[_Prompt]] = defaultdict(list)
    for prompt in prompts:
        code = str(told[prompt.message_id].result["code"]) if prompt.message_id in told else ""
        by_language[code].append(prompt)
    cluster = {m: c for some in by_language.values() for m, c in _clusters(some, known).items()}
    sha256 = {p.message_id: p.sha256 for p in prompts}
    new = [
        Annotation(m, "dup", VERSION, {"cluster": c, "exact": sha256.get(c) == sha256[m]})
        for m, c in cluster.items()
        if m not in known
    ]
    added = 0
    for start in range(0, len(new), _COMMIT):
        added += store.write(lambda c, some=new[start : start + _COMMIT]: add(c, some))  # type: ignore[misc]
    scores = automation_scores(prompts, cluster, headers)
    store.write(lambda c: _mark(c, prompts, cluster, scores, added))
    return Done("dup", VERSION, added, len({p.sha256 for p in prompts if p.message_id not in known}))


def _prompts(connection: Connection) -> list[_Prompt]:
    query = (
        select(MESSAGES, CONVERSATIONS.c.subject_id)
        .join(CONVERSATIONS, CONVERSATIONS.c.conversation_id == MESSAGES.c.conversation_id)
        .where(MESSAGES.c.role == "user")
        .order_by(MESSAGES.c.message_id)
    )
    return [
        _Prompt(
            row.message_id,
            row.conversation_id,
            row.subject_id,
            row.created_us,
            bytes(row.content_sha256),
            zstandard.decompress(row.content_zstd).decode("utf-8"),
        )
        for row in connection.execute(query)
    ]


def _clusters(prompts: Sequence[_Prompt], known: Mapping[str, str]) -> dict[str, str]:
    """The cluster of each message of one language; one that was told before stays."""
    marks = mark_duplicates([(p.message_id, p.text) for p in prompts], THRESHOLD)
    named: dict[str, str] = {}
    for mark in marks:
        if mark.id in known:
            named.setdefault(mark.cluster, known[mark.id])
    return {mark.id: known.get(mark.id) or named.get(mark.cluster, mark.cluster) for mark in marks}


def automation_scores(
    prompts: Iterable[_Prompt], cluster: Mapping[str, str], headers: Mapping[str, str | None]
) -> dict[str, float]:
    """How much each subject looks like a program, 0 to 1.

    Two fifths for the steadiness of the intervals between prompts, two for the share of prompts that have their first
    64 characters or their cluster in common with another prompt of the subject, one for missing headers. The first two
    need five prompts.
    """
    by_subject: dict[str, list[_Prompt]] = defaultdict(list)
    for prompt in prompts:
        if prompt.subject_id is not None:
            by_subject[prompt.subject_id].append(prompt)
    scores = {}
    for subject, some in by_subject.items():
        kept = loads(raw.encode()) if (raw := headers.get(subject)) else {}
        score = 0.2 * sum(name not in kept for name in ("accept-language", "user-agent")) / 2
        if len(some) >= FEWEST_PROMPTS:
            score += 0.4 * _steadiness([p.created_us for p in some]) + 0.4 * _reuse(some, cluster)
        scores[subject] = round(score, 4)
    return scores


def _steadiness(times_us: Sequence[int]) -> float:
    ordered = sorted(times_us)
    gaps = [b - a for a, b in pairwise(ordered)]
    mean = fmean(gaps)
    return max(0.0, 1 - pstdev(gaps) / mean / _STEADY) if mean else 1.0


def _reuse(prompts: Sequence[_Prompt], cluster: Mapping[str, str]) -> float:
    prefixes = Counter(p.text[:PREFIX_CHARS] for p in prompts if len(p.text) >= PREFIX_CHARS)
    clusters = Counter(cluster[p.message_id] for p in prompts)
    again = sum(prefixes[p.text[:PREFIX_CHARS]] > 1 or clusters[cluster[p.message_id]] > 1 for p in prompts)
    return again / len(prompts)


def _mark(
    connection: Connection,
    prompts: Sequence[_Prompt],
    cluster: Mapping[str, str],
    scores: Mapping[str, float],
    added: int,
) -> None:
    first: dict[str, _Prompt] = {}
    for prompt in sorted(prompts, key=lambda p: (p.created_us, p.message_id)):
        first.setdefault(prompt.conversation_id, prompt)
    for conversation_id, prompt in first.items():
        score = scores.get(prompt.subject_id) if prompt.subject_id else None
        values = {"dup_cluster": cluster[prompt.message_id], "automation_score": score}
        where = (CONVERSATIONS.c.conversation_id == conversation_id) & (CONVERSATIONS.c.state != "deleted")
        connection.execute(update(CONVERSATIONS).where(where).values(**values))
    if added:
        payload = {"kind": "dup", "version": VERSION, "messages": added}
        events.append(connection, events.Event("enrichment.done", payload=payload))
