"""A log without state into the store: read, link both ways, keep one of them, tell the difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from agora.core.errors import DataError, UsageError
from agora.core.garbage import rare_collections
from agora.core.records import JsonMap
from agora.core.tables import Rejects
from agora.rooms.collect.linking.records import reference_conversations, tree_conversations
from agora.rooms.collect.linking.reference import ReferenceLinks, link_reference
from agora.rooms.collect.linking.rows import FASTCHAT_LOG, ReadLog, log_kind, read_logs
from agora.rooms.collect.linking.tree import Forest, LinkRules, link_tree
from agora.rooms.collect.records import store_conversations
from agora.store import Store
from agora.store.pseudonyms import ip_pseudonym

MODES = ("tree", "reference")


@dataclass(frozen=True, slots=True)
class LinkReport:
    """What became of a log's rows. ``lost`` are the ids of rows that the published rules leave out, by reason.

    ``read`` counts rows of the files, ``turns`` those that hold a history and a reply, ``kept`` those of them that are
    in a conversation.
    """

    files: tuple[Path, ...]
    format: str
    link: str
    read: int
    bad: int
    passed_over: dict[str, int]
    turns: int
    kept: int
    conversations: int
    new: int
    duplicate: int
    grown: int
    not_grown: int
    messages: int
    branched: int
    reconstructed: int
    double: int
    reference_conversations: int
    reference_kept: int
    lost: dict[str, list[str]]
    fields_left_out: dict[str, int]
    rejects: Path | None

    def as_json(self) -> JsonMap:
        """The report as plain JSON values."""
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        return plain | {"files": [str(path) for path in self.files]}

    def lines(self) -> list[str]:
        """The report for people."""
        told = [
            f"{self.read:,} rows read, {self.turns:,} turns, {self.bad:,} bad; "
            f"{self.conversations:,} conversations ({self.link}) hold {self.kept:,} turns: "
            f"{self.new:,} new, {self.grown:,} grown, {self.duplicate:,} duplicate",
            f"  {self.branched:,} conversations branch, {self.reconstructed:,} messages are reconstructed, "
            f"{self.double:,} turns were sent twice",
            f"  the published rules: {self.reference_conversations:,} conversations hold {self.reference_kept:,} turns",
        ]
        if self.not_grown:
            told.append(f"  {self.not_grown:,} stored conversations differ from the log and are left as they are")
        told += [f"  they lose {len(ids):,}: {reason} ({_some(ids)})" for reason, ids in self.lost.items()]
        told += [f"  passed over {count:,}: {reason}" for reason, count in self.passed_over.items()]
        if self.fields_left_out:
            names = ", ".join(f"{name} ({count:,})" for name, count in self.fields_left_out.items())
            told.append(f"  fields not kept, since nothing says that they hold no address: {names}")
        return told + ([f"  bad and lost rows: {self.rejects}"] if self.rejects else [])


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")


def import_log(
    store: Store,
    paths: Sequence[Path],
    *,
    link: str = "tree",
    rules: LinkRules | None = None,
    rejects: Path,
) -> LinkReport:
    """Link the rows of some log files, as one log, and put the conversations into the store.

    Doing it again adds nothing; after a kill it links again and adds what is missing. A longer log adds its new turns
    to the conversations that are stored.

    Args:
        store: an open store; its keys make the pseudonyms, no address is stored.
        paths: files of one kind, in any order.
        link: ``tree`` keeps every turn; ``reference`` follows the published rules, and the turns that they lose go to
            ``rejects`` with the reason.
        rules: of ``tree``.
        rejects: the file for rows that cannot be read.

    Raises:
        UsageError: no such mode, or files of two kinds.
        DataError: a file is no log, or holds no turn.
    """
    if link not in MODES:
        raise UsageError(f"unknown way to link {link!r}", hint=f"choose {' or '.join(MODES)}")
    paths = [Path(path) for path in paths]
    kind = _kind(paths)
    with rare_collections(), Rejects(rejects) as refused:
        log = read_logs(paths, kind, refused)
        bad = refused.count
        if not log.rows:
            reason = next(iter(refused.by_reason or log.passed_over), "no rows")
            raise DataError(f"no turn among {log.read:,} rows: {reason}", where=str(paths[0]))
        forest, links = link_tree(log.rows, rules), link_reference(log.rows)
        if kind == FASTCHAT_LOG:
            links = last_of_each(log)
        pseudonym = lru_cache(maxsize=65536)(lambda address: ip_pseudonym(store.keys, address)[1])
        if link == "tree":
            added = store_conversations(store, tree_conversations(log, forest, pseudonym), grow=True)
        else:
            added = store_conversations(store, reference_conversations(log, links, pseudonym), grow=True)
            for number, reason in links.lost.items():
                row = log.rows[number]
                raw = {"id": row.id, "turns": [said._asdict() for said in row.turns], "reply": row.reply}
                refused.add(f"{row.path}:{row.line}", reason, raw)
        wrote = refused.count > 0
    counts = _tree_counts(log, forest)
    by_reason: dict[str, list[str]] = {}
    for number, reason in links.lost.items():
        by_reason.setdefault(reason, []).append(log.rows[number].id)
    kept = len(log.rows) - len(links.lost)
    return LinkReport(
        files=tuple(paths),
        format=kind,
        link=link,
        read=log.read,
        bad=bad,
        passed_over=dict(log.passed_over),
        turns=len(log.rows),
        kept=counts["kept"] if link == "tree" else kept,
        conversations=added.new + added.known,
        new=added.new,
        duplicate=added.known - added.grown,
        grown=added.grown,
        not_grown=added.other,
        messages=added.messages,
        branched=counts["branched"],
        reconstructed=counts["reconstructed"],
        double=counts["double"],
        reference_conversations=len(links.conversations),
        reference_kept=kept,
        lost=by_reason,
        fields_left_out=dict(log.fields_left_out),
        rejects=rejects if wrote else None,
    )


def _kind(paths: Sequence[Path]) -> str:
    kinds = {path: log_kind(path) for path in paths}
    for path, kind in kinds.items():
        if kind is None:
            raise DataError(
                "no log of turns: its rows have neither 'payload' and 'partial_words' nor 'type' and 'tstamp'",
                where=str(path),
                hint="leave --link out to import conversations",
            )
    found = set(kinds.values())
    if len(found) > 1:
        raise UsageError("the files are logs of different kinds", hint="import them one kind at a time")
    return str(found.pop())


def last_of_each(log: ReadLog) -> ReferenceLinks:
    """FastChat's own way: of each conversation the last event; earlier ones are in its history, or were replaced."""
    last = {row.scope: number for number, row in enumerate(log.rows)}
    final = set(last.values())
    lost: dict[int, str] = {}
    for number, row in enumerate(log.rows):
        told = log.rows[last[row.scope]].keys
        if number not in final and row.keys[-1] not in told:
            lost[number] = "another answer took its place"
    return ReferenceLinks([[number] for number in sorted(final)], lost)


def _tree_counts(log: ReadLog, forest: Forest) -> Counter[str]:
    counts: Counter[str] = Counter()
    for tree in forest.trees:
        parents = [forest.nodes[number].parent for number in tree]
        counts["branched"] += len(set(parents)) < len(parents)
    for node in forest.nodes:
        counts["reconstructed"] += not node.rows
        if node.role == "assistant":
            counts["kept"] += len(node.rows)
            counts["double"] += max(len(node.rows) - 1, 0)
    return counts
