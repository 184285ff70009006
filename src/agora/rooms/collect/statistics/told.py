"""What is known of a conversation and its utterances: annotations made here, or the fields of its source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agora.core.records import Conversation, JsonMap, Message
from agora.core.tables import Rejects
from agora.curate.language_names import LANGUAGE_NAMES
from agora.rooms.collect.enrich.annotations import latest, latest_by_provider

if TYPE_CHECKING:
    from agora.store import Store

_AT_ONCE = 500


class Utterance(NamedTuple):
    """One message. What nobody measured is None: it is left out of shares, never counted as false.

    ``flagged`` holds the verdict of each classifier that saw it; ``detoxify`` and ``categories`` what two of them say
    in detail (scores 0 to 1; category -> verdict).
    """

    role: str
    content: str
    language: str | None
    flagged: Mapping[str, bool]
    detoxify: Mapping[str, float]
    categories: Mapping[str, bool]


class Verdicts(NamedTuple):
    """What the classifiers say of one message, as :class:`Utterance` has it."""

    flagged: Mapping[str, bool]
    detoxify: Mapping[str, float]
    categories: Mapping[str, bool]


class Told(NamedTuple):
    """One conversation: ``rounds`` are the questions on its longest path, ``created`` begins with a date."""

    id: str
    subject: str | None
    model: str | None
    country: str | None
    category: str | None
    created: str | None
    rounds: int
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """Many conversations, a list a fact: the first seven have an entry a conversation, as :class:`Told` has them.

    Conversation i has the utterances ``starts[i]:starts[i + 1]``, all of them users' and assistants'.
    """

    ids: Sequence[str]
    subjects: Sequence[str | None]
    models: Sequence[str | None]
    countries: Sequence[str | None]
    categories: Sequence[str | None]
    created: Sequence[str | None]
    rounds: Sequence[int]
    starts: Sequence[int]
    roles: Sequence[str]
    texts: Sequence[str]
    languages: Sequence[str | None]
    verdicts: Sequence[Verdicts]


def columns_of(told: Sequence[Told]) -> Columns:
    """Conversations as columns."""
    every = [u for one in told for u in one.utterances]
    return Columns(
        ids=[one.id for one in told],
        subjects=[one.subject for one in told],
        models=[one.model for one in told],
        countries=[one.country for one in told],
        categories=[one.category for one in told],
        created=[one.created for one in told],
        rounds=[one.rounds for one in told],
        starts=[0, *accumulate(len(one.utterances) for one in told)],
        roles=[u.role for u in every],
        texts=[u.content for u in every],
        languages=[u.language for u in every],
        verdicts=[Verdicts(u.flagged, u.detoxify, u.categories) for u in every],
    )


def told_by_file(path: Path, *, format: str = "auto", rejects: Rejects, threshold: float) -> Iterator[Told]:
    """The conversations of a file in any known format.

    Args:
        path: of the file.
        format: of the file, or ``auto``.
        rejects: takes the rows that cannot be read.
        threshold: a Detoxify score of toxicity above it is toxic.
    """
    from agora.curate.importers.read import import_conversations

    for conversation in import_conversations(path, format=format, rejects=rejects):
        yield tell(conversation, {}, threshold)


def told_by_store(store: Store, *, threshold: float) -> Iterator[Told]:
    """The conversations of a store, with the annotations that were made of them."""
    from agora.rooms.collect.records import stored_conversations

    found = stored_conversations(store, only_published=False)
    while batch := list(islice(found, _AT_ONCE)):
        ids = [message.id for conversation in batch for message in conversation.messages]
        with store.reading() as connection:
            languages = latest(connection, ids, "lang")
            toxic = latest_by_provider(connection, ids, "tox")
            places = latest(connection, ids, "geo")
        notes: dict[str, JsonMap] = {}
        for message_id, language in languages.items():
            notes.setdefault(message_id, {})["lang"] = language.result.get("name")
        for message_id, place in places.items():
            notes.setdefault(message_id, {})["country"] = place.result.get("country")
        for message_id, by_provider in toxic.items():
            notes.setdefault(message_id, {})["tox"] = {name: a.result for name, a in by_provider.items()}
        for conversation in batch:
            yield tell(conversation, notes, threshold)


def tell(conversation: Conversation, notes: Mapping[str, JsonMap], threshold: float) -> Told:
    """What is known of a conversation; ``notes`` are annotations by message id (``lang``, ``country``, ``tox``)."""
    meta, row = conversation.meta, conversation.meta.get("row")
    row = row if isinstance(row, Mapping) else {}
    moderated, scored = row.get("openai_moderation") or (), row.get("detoxify_moderation") or ()
    whole = row.get("language") or conversation.provenance.language
    utterances = tuple(
        _utterance(
            message,
            notes.get(message.id, {}),
            moderated[i] if i < len(moderated) else None,
            scored[i] if i < len(scored) else None,
            whole,
            threshold,
        )
        for i, message in enumerate(conversation.messages)
        if message.role in ("user", "assistant")
    )
    places = (notes.get(m.id, {}).get("country") or m.meta.get("country") for m in conversation.messages)
    seen = [row.get("hashed_ip"), meta.get("subject"), *(m.meta.get("hashed_ip") for m in conversation.messages)]
    return Told(
        id=conversation.id,
        subject=next((str(s) for s in seen if s), None),
        model=_model(conversation),
        country=next((c for c in places if c), row.get("country")),
        category=_category(conversation),
        created=conversation.provenance.created,
        rounds=rounds_of((m.id, m.parent, m.role) for m in conversation.messages),
        utterances=utterances,
    )


def _utterance(
    message: Message, note: JsonMap, moderated: Any, scored: Any, whole: str | None, threshold: float
) -> Utterance:
    results: dict[str, JsonMap] = {}
    if isinstance(moderated, Mapping) and moderated.get("flagged") is not None:
        results["openai"] = dict(moderated)
    if isinstance(scored, Mapping):
        scores = {name: score for name, score in scored.items() if isinstance(score, (int, float))}
        results["detoxify"] = {"scores": scores}
    flagged, detoxify, categories = verdicts({**results, **(note.get("tox") or {})}, threshold)
    said = note.get("lang") or message.meta.get("language") or message.meta.get("lang") or whole
    language = LANGUAGE_NAMES.get(said, said) if isinstance(said, str) else None  # some sources give codes
    return Utterance(message.role, message.content, language, flagged, detoxify, categories)


def verdicts(results: Mapping[str, Mapping[str, Any]], threshold: float) -> Verdicts:
    """Of the results by provider: each classifier's verdict, Detoxify's scores, OpenAI's categories.

    Args:
        results: of one message.
        threshold: a Detoxify score of toxicity above it is toxic.
    """
    flagged: dict[str, bool] = {}
    categories: Mapping[str, bool] = {}
    detoxify: Mapping[str, float] = {}
    for provider, result in results.items():
        if provider == "openai":
            flagged["openai_moderation"] = bool(result.get("flagged"))
            categories = one_spelling(result.get("categories") or {})
        elif provider == "detoxify":
            detoxify = result.get("detoxify") or result.get("scores") or {}
        else:
            flagged[provider] = bool(result.get("flagged"))
    if "toxicity" in detoxify:
        flagged["detoxify"] = detoxify["toxicity"] > threshold
    return Verdicts(flagged, detoxify, categories)


def one_spelling(categories: Mapping[str, Any]) -> dict[str, bool]:
    """Categories under their spelling with slash and hyphen; either spelling makes one true."""
    found: dict[str, bool] = {}
    for name, value in categories.items():
        if value is None:
            continue
        own = (
            "self-harm" + name.removeprefix("self_harm").replace("_", "/", 1) if name.startswith("self_harm") else name
        )
        own = own if own.startswith("self-harm") else own.replace("_", "/", 1)
        found[own] = found.get(own, False) or bool(value)
    return found


def _model(conversation: Conversation) -> str | None:
    own = conversation.meta.get("model")
    said = [m.meta.get("model") for m in reversed(conversation.messages) if m.role == "assistant"]
    found = own if isinstance(own, str) and own else next((model for model in said if model), None)
    return str(found) if found else None


def _category(conversation: Conversation) -> str | None:
    tag = conversation.tags.get("category")
    value = tag.get("value") if isinstance(tag, Mapping) else tag
    return value if isinstance(value, str) else None


def rounds_of(messages: Iterable[tuple[str, str | None, str]]) -> int:
    """User messages on the longest path, one look at each message: id, parent, role; parents before their children."""
    above: dict[str | None, int] = {None: 0}
    for own, parent, role in messages:
        above[own] = above.get(parent, 0) + (role == "user")
    return max(above.values())
