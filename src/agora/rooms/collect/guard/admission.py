"""Who may ask the model now: inside the transaction that keeps a message, before anything is charged or asked."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from agora.rooms.collect.guard.proof import has_proof
from agora.rooms.collect.guard.settings import AbuseSettings
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.rooms.collect.types import Status
from agora.site.refusals import RefusalError
from agora.store.addresses import is_blocked
from agora.store.consent import Subject
from agora.store.ids import now_us
from agora.store.prepared import Prepared
from agora.store.tables import BLOCKS, SUBJECTS

# one look for both, built once: it is part of every sending
_STATE = Prepared(
    select(
        select(func.count())
        .where(BLOCKS.c.ip_pseudonym == bindparam("pseudonym"), BLOCKS.c.until_us > bindparam("now"))
        .scalar_subquery(),
        select(func.count())
        .select_from(MESSAGES)
        .join(CONVERSATIONS, CONVERSATIONS.c.conversation_id == MESSAGES.c.conversation_id)
        .join(SUBJECTS, SUBJECTS.c.subject_id == CONVERSATIONS.c.subject_id)
        .where(MESSAGES.c.status == bindparam("streaming"), SUBJECTS.c.ip_pseudonym == bindparam("pseudonym"))
        .scalar_subquery(),
    )
)
_BLOCKED = "this address is blocked here for a while"


def check_visitor(connection: Connection, settings: AbuseSettings, subject: Subject) -> None:
    """Refuse someone from a blocked address, without the proof of work, or with too many replies under way.

    Raises:
        RefusalError: ``address_blocked``, ``proof_required`` or ``too_many_streams``.
    """
    if settings.proof_bits and not has_proof(connection, subject.id):
        raise RefusalError("proof_required", "solve the challenge of GET /api/v1/proof first", 403)
    if subject.ip_pseudonym is None:
        return
    values = {"pseudonym": subject.ip_pseudonym, "now": now_us(), "streaming": str(Status.STREAMING)}
    blocked, live = _STATE.run(connection, values).fetchone()
    if blocked:
        raise RefusalError("address_blocked", _BLOCKED, 403)
    if live >= settings.address_streams:
        raise RefusalError("too_many_streams", "please wait until a reply is finished", 429, retry_after_s=5)


def check_address(connection: Connection, pseudonyms: list[str]) -> None:
    """Refuse a new visit from a blocked address.

    Raises:
        RefusalError: ``address_blocked``.
    """
    if is_blocked(connection, pseudonyms):
        raise RefusalError("address_blocked", _BLOCKED, 403)
