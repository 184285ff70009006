"""Consent in two steps, kept on the server: who agreed to which words, and when.

    nobody --accept terms--> terms --agree to publication--> publish --withdraw--> withdrawn
                               \\----decline publication----> declined

A page can show and hide what it likes; what counts is the row of the subject, read anew for each request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from agora.core.errors import AgoraError
from agora.core.json_text import dumps
from agora.store import events
from agora.store.ids import new_id, now_us
from agora.store.keys import Keys
from agora.store.prepared import Prepared
from agora.store.pseudonyms import ip_pseudonym
from agora.store.receipts import new_receipt, read_receipt
from agora.store.tables import CONSENT_TEXTS, SUBJECTS

#: The only request headers that are kept.
KEPT_HEADERS = ("accept-language", "user-agent")
_HEADER_CHARS = 512
_FIND = select(
    SUBJECTS.c.subject_id,
    SUBJECTS.c.consent_state,
    SUBJECTS.c.consent_version,
    SUBJECTS.c.consent_sha256,
    SUBJECTS.c.locale,
    SUBJECTS.c.ip_pseudonym,
)
_FIND_BY_ID = Prepared(_FIND.where(SUBJECTS.c.subject_id == bindparam("subject")))  # every request asks it


class ConsentState(StrEnum):
    """How far a subject has agreed."""

    TERMS = "terms"
    PUBLISH = "publish"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class ConsentError(AgoraError):
    """The server refuses for want of consent. ``code`` is for programs."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code


@dataclass(frozen=True, slots=True)
class ConsentText:
    """The words of both steps in one language. A change of a word asks for a new version."""

    version: str
    locale: str
    terms: str
    publication: str

    @property
    def sha256(self) -> str:
        """64 hex digits over both steps; what a subject's row refers to."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    @property
    def text(self) -> str:
        """Both steps as they are stored."""
        return f"{self.terms}\n\n---\n\n{self.publication}\n"


@dataclass(frozen=True, slots=True)
class Visitor:
    """What a request tells of the person behind it. The address is used for a pseudonym and then forgotten."""

    locale: str = "en"
    address: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    source: str = "web"
    country_iso: str | None = None
    subdivision: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """A person as far as the store knows one."""

    id: str
    state: ConsentState
    version: str | None
    sha256: str | None
    locale: str
    ip_pseudonym: str | None


def register_texts(connection: Connection, texts: Iterable[ConsentText]) -> None:
    """Store the words that people are asked to agree to; words once stored under a version never change.

    Raises:
        ConsentError: the version is known with other words.
    """
    for text in texts:
        known = connection.scalar(
            select(CONSENT_TEXTS.c.sha256).where(
                CONSENT_TEXTS.c.version == text.version, CONSENT_TEXTS.c.locale == text.locale
            )
        )
        if known is None:
            connection.execute(
                insert(CONSENT_TEXTS).values(
                    version=text.version,
                    locale=text.locale,
                    sha256=text.sha256,
                    text=text.text,
                    valid_from_us=now_us(),
                )
            )
        elif known != text.sha256:
            raise ConsentError(
                "consent_text_changed",
                f"the consent text {text.version} ({text.locale}) has other words than those people agreed to; "
                "give the new words a new version",
            )


def accept_terms(connection: Connection, keys: Keys, text: ConsentText, visitor: Visitor) -> Subject:
    """The first step: a new subject who has agreed to the terms."""
    subject_id, at = new_id(), now_us()
    epoch, pseudonym = ip_pseudonym(keys, visitor.address)
    kept = {name: visitor.headers[name][:_HEADER_CHARS] for name in KEPT_HEADERS if visitor.headers.get(name)}
    connection.execute(
        insert(SUBJECTS).values(
            subject_id=subject_id,
            created_us=at,
            consent_version=text.version,
            consent_sha256=text.sha256,
            consent_terms_us=at,
            consent_state=ConsentState.TERMS,
            locale=visitor.locale,
            key_epoch=epoch,
            ip_pseudonym=pseudonym,
            header_json=dumps(kept).decode(),
            country_iso=visitor.country_iso,
            subdivision=visitor.subdivision,
            source=visitor.source,
        )
    )
    _log(connection, "consent.given", subject_id, step="terms", version=text.version, sha256=text.sha256)
    return Subject(subject_id, ConsentState.TERMS, text.version, text.sha256, visitor.locale, pseudonym)


def decide_publication(
    connection: Connection, keys: Keys, subject_id: str, text: ConsentText, *, publish: bool
) -> str | None:
    """The second step. Agreeing returns the receipt, this once; only a code of it is stored.

    Raises:
        ConsentError: the first step is missing, was for other words, or the second step was taken before.
    """
    subject = find_subject(connection, subject_id)
    if subject is None or subject.state is not ConsentState.TERMS:
        raise ConsentError("consent_step_order", "the terms come first, and each step is taken once")
    if subject.sha256 != text.sha256:
        raise ConsentError("consent_version_stale", "the words have changed since; please read them again")
    receipt = new_receipt() if publish else None
    connection.execute(
        update(SUBJECTS)
        .where(SUBJECTS.c.subject_id == subject_id)
        .values(
            consent_state=ConsentState.PUBLISH if publish else ConsentState.DECLINED,
            consent_publication_us=now_us(),
            receipt_mac=keys.mac("receipt", receipt) if receipt else None,
        )
    )
    kind = "consent.given" if publish else "consent.declined"
    _log(connection, kind, subject_id, step="publication", version=text.version, sha256=text.sha256)
    return receipt


def withdraw(connection: Connection, subject_id: str) -> None:
    """Stop the subject's chat and keep every row of theirs out of future releases. Cannot be undone."""
    connection.execute(
        update(SUBJECTS).where(SUBJECTS.c.subject_id == subject_id).values(consent_state=ConsentState.WITHDRAWN)
    )
    _log(connection, "consent.withdrawn", subject_id)


def find_subject(connection: Connection, subject_id: str | None) -> Subject | None:
    """The subject of an id."""
    if subject_id is None:
        return None
    return _subject(_FIND_BY_ID.run(connection, {"subject": subject_id}).fetchone())


def subject_of_receipt(connection: Connection, keys: Keys, receipt: str) -> Subject | None:
    """The subject a receipt was given to; None for any other text. Both take one look into the database."""
    plain = read_receipt(receipt) or receipt
    found = connection.execute(_FIND.where(SUBJECTS.c.receipt_mac == keys.mac("receipt", plain))).first()
    return _subject(found)


def require_consent(subject: Subject | None, current: str, *, allow_unpublished: bool = False) -> Subject:
    """The subject, if they may chat now.

    Args:
        subject: as the store has it.
        current: version of the words in force.
        allow_unpublished: whether those who declined publication may chat.

    Raises:
        ConsentError: they may not; the code says why.
    """
    if subject is None or subject.state is ConsentState.TERMS:
        raise ConsentError("consent_required", "please read and agree to both steps first")
    if subject.state is ConsentState.WITHDRAWN:
        raise ConsentError("consent_withdrawn", "you have withdrawn your consent")
    if subject.version != current:
        raise ConsentError("consent_version_stale", "the words have changed; please read them again")
    if subject.state is ConsentState.DECLINED and not allow_unpublished:
        raise ConsentError("consent_declined", "this chat is for conversations that may be published")
    return subject


def _subject(row: Any) -> Subject | None:
    if row is None:
        return None
    subject_id, state, version, sha256, locale, pseudonym = row
    return Subject(subject_id, ConsentState(state), version, sha256, locale, pseudonym)


def _log(connection: Connection, kind: str, subject_id: str, **payload: str) -> None:
    events.append(connection, events.Event(kind, subject_id=subject_id, payload=payload))
