"""A release, from the store to a folder that may be given away.

    freeze the input list -> gates -> k-anonymity -> redact and write -> card, manifest, report -> look again -> publish

Everything grows in ``OUT/.building`` and moves to its place at the end; a build that is killed goes on with what is
finished. Where a gate fails, nothing is published and what was written is removed, the report excepted.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from agora import __version__
from agora.core.errors import AgoraError, UsageError
from agora.core.files import make_folder, sha256_file, sweep_temporaries, write_bytes
from agora.core.json_text import dumps
from agora.core.jsonl import read_json, write_json, write_jsonl
from agora.core.lock import FolderLock
from agora.core.workers import LocalRunner, SerialRunner
from agora.rooms.collect.release import publish
from agora.rooms.collect.release.asked import DAY_US, Asked
from agora.rooms.collect.release.card import write_card
from agora.rooms.collect.release.columns import read_batches
from agora.rooms.collect.release.facts import Facts
from agora.rooms.collect.release.found import wanted_versions
from agora.rooms.collect.release.gates import HARD, Tally, gates_of
from agora.rooms.collect.release.plan import Plan, freeze
from agora.rooms.collect.release.profiles import schema_of
from agora.rooms.collect.release.pseudonyms import ReleaseKey
from agora.rooms.collect.release.report import write_report
from agora.rooms.collect.release.schema_check import schema_difference
from agora.rooms.collect.release.shards import Counted, Shard, WriteShard, choices_of
from agora.rooms.collect.release.shown import anonymize, cut_slices
from agora.rooms.collect.settings import ServeSettings
from agora.rooms.collect.statistics import tally as statistics
from agora.store import Store
from agora.store.ids import now_us

WORK = ".building"
SERIES = "series"
_OUT_NOTE = "published.json"
_TOLD = (
    "checksums.sha256",
    "README.md",
    "gates.json",
    "statistics.json",
    "report.html",
    "removals-*.jsonl",
    "manifest.json",
)
_TRIES = 20


class GateError(AgoraError):
    """A gate failed; nothing was published."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Built:
    """A release that is out: where, and the numbers that the command prints."""

    path: Path
    numbers: Mapping[str, Any]


def build_release(
    store: Store,
    url: str,
    out: Path,
    settings: ServeSettings,
    *,
    name: str | None = None,
    workers: int = 1,
    as_of_us: int | None = None,
) -> Built:
    """Build and publish a release.

    Args:
        store: open; told what is published.
        url: of the same store, for the processes that help.
        out: folder of the release; made if needed.
        settings: of the service, whose section ``release`` says how.
        name: of the release; the folder's by default.
        workers: how many processes read and write.
        as_of_us: the moment from which the quarantine is counted back, microseconds since 1970, UTC; default now, or
            that of the release if it is known.

    Raises:
        GateError: a gate failed; the report is in the folder.
        UsageError: the name is taken, or the folder holds something else.
    """
    name = name or out.resolve().name
    lock = FolderLock(out)
    try:
        sweep_temporaries(out)
        build = _Build(store, url, out, settings, name, workers, as_of_us)
        with build.runner:
            return build.run()
    finally:
        lock.release()


class _Build:
    def __init__(
        self, store: Store, url: str, out: Path, settings: ServeSettings, name: str, workers: int, as_of_us: int | None
    ) -> None:
        self.store, self.out, self.settings, self.name = store, out, settings, name
        self.work = out / WORK
        self.runner = LocalRunner(workers) if workers > 1 else SerialRunner()
        self.parts = 4 * workers if workers > 1 else 1
        store.write(publish.note_withdrawn)
        self.removals: list[tuple[str, str]] = []
        self.asked, self.release = self._begin(url, as_of_us)

    def _begin(self, url: str, as_of_us: int | None) -> tuple[Asked, publish.Release]:
        """What is asked: resumed from the folder, repeated from the store, or new."""
        wish = {
            "name": self.name,
            "release": self.settings.release.model_dump(mode="json"),
            "license": self.settings.collect.license,
            "quarantine_days": self.settings.collect.quarantine_days,
            "as_of_us": as_of_us,
            "code": __version__,
        }
        note = self.work / "asked.json"
        with self.store.reading() as connection:
            known = publish.find_release(connection, self.name)
            seq = publish.input_seq(connection)
            wanted = wanted_versions(connection, self.settings.release.versions)
        resumed: dict[str, Any] | None = read_json(note) if note.exists() else None
        if resumed is None or resumed["wish"] != wish:
            shutil.rmtree(self.work, ignore_errors=True)
            out_already = known is not None and known.state in (publish.PUBLISHED, publish.RETRACTED)
            moment = as_of_us or (known.as_of_us if known and out_already else now_us())
            resumed = {"wish": wish, "as_of_us": moment, "seq": seq, "wanted": sorted(wanted)}
            _private_folder(self.work)
            write_json(note, resumed)
        series = self.settings.release.linkable_series
        asked = Asked(
            name=self.name,
            url=url,
            folder=self.work,
            key=ReleaseKey(self.store.keys.release(SERIES if series else f"name:{self.name}")),
            settings=self.settings.release,
            license=self.settings.collect.license,
            quarantine_us=self.settings.collect.quarantine_days * DAY_US,
            as_of_us=resumed["as_of_us"],
            texts_on_site=self.settings.collect.explore.published,
            wanted=frozenset((kind, version) for kind, version in resumed["wanted"]),
        )
        told = {
            "profile": asked.settings.profile,
            "input_seq": resumed["seq"],
            "as_of_us": asked.as_of_us,
            "asked_sha256": sha256(dumps(resumed)).hexdigest(),
        }
        self._check_folder()
        return asked, self.store.write(lambda c: publish.begin(c, self.name, told))

    def _check_folder(self) -> None:
        manifest = self.out / "manifest.json"
        if manifest.exists() and read_json(manifest).get("name") != self.name:
            raise UsageError("the folder holds another release", where=str(self.out), hint="choose another --out")

    def run(self) -> Built:
        """Build until nothing was erased while building."""
        if (self.work / _OUT_NOTE).exists():  # published, and killed before all was in its place
            return self._move()
        plan = freeze(self.asked, self.runner, self.parts)
        gone: set[str] = set()
        for _ in range(_TRIES):
            facts = self._write(plan, gone)
            if facts.failed or not facts.rows:
                self._refuse(facts)
            manifest = self._tell(facts)
            if self._publish(facts, manifest, gone):
                write_json(self.work / _OUT_NOTE, summary(facts, self.out, manifest))
                return self._move()
        raise AgoraError("conversations are erased faster than the release is built", hint="try again later")

    def _write(self, plan: Plan, gone: set[str]) -> Facts:
        hopeless = any(plan.tally.counts[reason] for reason in HARD)  # then writing would be in vain
        while True:
            shown = anonymize(plan, self.asked.settings.profile, self.asked.settings.k, gone)
            shards: list[Shard] = []
            if not hopeless:
                cut_slices(self.asked, plan, shown)
                work = WriteShard(self.asked, plan.shards, plan.public_names)
                shards = sorted(self.runner.map(work, range(plan.shards)), key=lambda shard: shard.index)
            found = {i for shard in shards for i in shard.counted.gone}
            if not found:
                break
            gone |= found
        counted, tally, counts = Counted(), Tally(), statistics.Tally(choices_of(self.asked))
        for shard in shards:
            counted.add(shard.counted)
            counts.merge(statistics.Tally.from_json(read_json(shard.tally), counts.choices))
        tally.update(plan.tally)
        tally.update(Tally(Counter(class_too_small=shown.num_dropped), {"class_too_small": shown.dropped}))
        for reason, ids in (("erased_meanwhile", gone), ("residual_span", counted.residual_ids)):
            for identifier in ids:
                tally.add(reason, identifier)
        with self.store.reading() as connection:
            self.removals = publish.removals_before(connection, self.release)
        facts = Facts(
            name=self.name,
            number=self.release.number,
            operator=self.settings.site.operator,
            contact=self.settings.site.contact,
            asked=self.asked,
            input_seq=self.release.input_seq,
            plan=plan,
            shown=shown,
            gates=(),
            shards=shards,
            counted=counted,
            tally=counts,
            removals=len(self.removals),
        )
        return self._judged(facts, tally)

    def _judged(self, facts: Facts, tally: Tally) -> Facts:
        """The facts with their gates; the last two gates are about what was written."""
        expected = schema_of(facts.profile)
        notes: dict[str, str] = {}
        for shard in facts.shards:
            difference = schema_difference(self.work / "data" / shard.name, expected)
            if difference:
                tally.add("other_schema", shard.name)
                notes["schema"] = difference
        if not self.asked.settings.redaction.residual_scan:
            tally.add("residual_span", "not looked for")
            notes["residue"] = "the scan was switched off"
        elif facts.counted.exempt:
            notes["residue"] = f"{facts.counted.exempt.total():,} spans stay, as the published rules have it"
        elif facts.counted.residual:
            found = ", ".join(f"{kind} {n}" for kind, n in sorted(facts.counted.residual.items()))
            notes["residue"] = f"still found: {found}"
        if tally.counts["not_enriched"]:
            have = {kind for kind, _ in self.asked.wanted}
            lacking = [kind for kind in self.asked.settings.require if kind not in have]
            notes["enrichment"] = f"never run: {', '.join(lacking)}" if lacking else ""
            notes["enrichment"] += "; " * bool(lacking) + "run agora collect enrich"
        facts = replace(facts, gates=gates_of(tally, notes))
        _, empty = write_card(facts)
        for title in empty:
            tally.add("empty_section", title)
        return replace(facts, gates=gates_of(tally, notes)) if empty else facts

    def _refuse(self, facts: Facts) -> None:
        """Leave the report, remove the rest, and say which gate failed."""
        self.store.write(
            lambda c: publish.fail(c, self.release, {"gates": [gate.as_json(ids=True) for gate in facts.gates]})
        )
        ids = facts.counted.residual_ids
        shutil.rmtree(self.work)
        if not (self.out / "manifest.json").exists():
            write_bytes(self.out / "report.html", write_report(facts).encode())
            write_json(self.out / "gates.json", [gate.as_json(ids=True) for gate in facts.gates])
        if ids:
            write_bytes(self.out / "residue-ids.txt", "".join(f"{i}\n" for i in ids).encode())
        hint = f"nothing was published; see {self.out / 'report.html'}"
        if not facts.failed:
            why = ", ".join(f"{n:,} {r.replace('_', ' ')}" for g in facts.gates for r, n in g.found.counts.items() if n)
            raise GateError(f"no conversation passes the gates ({why or 'the store holds none'})", hint=hint)
        gate = facts.failed[0]
        counts = ", ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in sorted(gate.found.counts.items()) if n)
        note = f"; {gate.note}" if gate.note else ""
        raise GateError(f"gate {gate.number} ({gate.name}) failed: {counts}{note}", hint=hint)

    def _tell(self, facts: Facts) -> str:
        """Write what is told of the files; the hash of the manifest is returned."""
        work = self.work
        card, _ = write_card(facts)
        write_bytes(work / "README.md", card.encode())
        write_jsonl(
            work / f"removals-{facts.number}.jsonl",
            [{"release": name, "row_sha256": digest} for name, digest in self.removals],
        )
        write_json(work / "gates.json", [gate.as_json(ids=False) for gate in facts.gates])
        write_json(work / "statistics.json", facts.statistics())
        write_bytes(work / "report.html", write_report(facts).encode())
        write_json(work / "manifest.json", _manifest(facts))
        hashes = {f"data/{shard.name}": shard.sha256 for shard in facts.shards}
        hashes |= {file.name: sha256_file(file) for pattern in _TOLD[1:] for file in work.glob(pattern)}
        lines = [f"{digest}  {name}\n" for name, digest in sorted(hashes.items())]
        write_bytes(work / "checksums.sha256", "".join(lines).encode())
        return sha256_file(work / "manifest.json")

    def _publish(self, facts: Facts, manifest: str, gone: set[str]) -> bool:
        """Tell the store; False, with ``gone`` grown, where someone erased or withdrew a row in the meantime."""
        report: dict[str, Any] = {
            "gates": [g.as_json(ids=True) for g in facts.gates],
            "manifest_sha256": manifest,
            "out": str(self.out),
        }
        report["anonymity"] = facts.anonymity()
        if self.release.state in (publish.PUBLISHED, publish.RETRACTED):
            if self.release.report.get("manifest_sha256") != manifest:
                raise AgoraError(
                    "the files differ from those that were published under this name",
                    hint="libraries of other versions write other bytes; see the manifests",
                )
            return True
        self.store.write(lambda c: publish.forget_rows(c, self.release))
        for shard in facts.shards:
            for batch in read_batches(shard.hashes):
                names = batch.select(["conversation_id", "row_sha256", "person"])
                rows = list(zip(*(column.to_pylist() for column in names.columns), strict=True))
                self.store.write(partial(publish.add_rows, release=self.release, rows=rows))
                if self.asked.texts_on_site:
                    texts = batch.drop_columns(["person"]).to_pylist()
                    self.store.write(partial(publish.add_texts, release=self.release, rows=texts))
        done = self.store.write(lambda c: publish.publish(c, self.release, facts.rows, report, manifest))
        if not done:
            with self.store.reading() as connection:
                gone.update(publish.erased_or_withdrawn(connection, self.release))
        return bool(done)

    def _move(self) -> Built:
        """Put the files in their place, the manifest last."""
        made: dict[str, Any] = read_json(self.work / _OUT_NOTE)
        fresh, data = self.work / "data", self.out / "data"
        if fresh.exists():
            shutil.rmtree(data, ignore_errors=True)
            fresh.replace(data)
        told = [file for pattern in _TOLD for file in sorted(self.work.glob(pattern))]
        for file in told:
            file.replace(self.out / file.name)
        (self.out / "residue-ids.txt").unlink(missing_ok=True)
        shutil.rmtree(self.work)
        return Built(self.out, made)


def summary(facts: Facts, out: Path, manifest: str) -> dict[str, Any]:
    """What the command prints."""
    return {
        "release": facts.name,
        "number": facts.number,
        "out": str(out),
        "conversations": facts.rows,
        "subjects": facts.subjects,
        "k": facts.shown.k,
        "files": len(facts.shards),
        "left_out": {gate.name: gate.dropped for gate in facts.gates if gate.dropped},
        "manifest_sha256": manifest,
    }


def _manifest(facts: Facts) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "schema": "release/1",
        "name": facts.name,
        "number": facts.number,
        "profile": facts.profile,
        "license": facts.asked.license,
        "conversations": facts.rows,
        "input_seq": facts.input_seq,
        "as_of": datetime.fromtimestamp(facts.asked.as_of_us / 1_000_000, UTC).isoformat(),
        "quarantine_days": facts.asked.quarantine_us // DAY_US,
        "settings": _settings(facts),
        "pipeline_versions": facts.versions,
        "code": {"agora": __version__, **{name: version(name) for name in ("pyarrow", "numpy", "phonenumbers")}},
        "gates": [gate.as_json(ids=False) for gate in facts.gates],
        "anonymity": facts.anonymity(),
        "files": [
            {"path": f"data/{s.name}", "conversations": s.rows, "bytes": s.size, "sha256": s.sha256}
            for s in facts.shards
        ],
    }


def _settings(facts: Facts) -> dict[str, Any]:
    """The settings as they are given away: ids of excluded conversations stay here."""
    settings = facts.asked.settings.model_dump(mode="json")
    settings["selection"]["exclude"] = len(settings["selection"]["exclude"])
    return settings


def _private_folder(path: Path) -> None:
    """A folder only its owner may enter: what grows in it has not passed the gates yet."""
    make_folder(path)
    path.chmod(0o700)
