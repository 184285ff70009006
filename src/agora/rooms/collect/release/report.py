"""The page beside a release: what each gate left out, how the classes of k grew, what is in the files."""

from __future__ import annotations

from agora.core.report import Report
from agora.rooms.collect.release.facts import Facts

_TOP = 15


def write_report(facts: Facts) -> str:
    """One self-contained HTML page; no text of a conversation is on it."""
    failed = facts.failed
    report = Report(
        f"Release {facts.name}", f"{facts.profile}, {facts.rows:,} conversations of {facts.subjects:,} people"
    )
    if failed:
        names = ", ".join(f"{gate.number} ({gate.name})" for gate in failed)
        report.text(f"Not published: gate {names} failed.", tone="bad")
    report.highlights(
        {"conversations": facts.rows, "people": facts.subjects, "k": facts.shown.k or 0, "files": len(facts.shards)}
    )
    report.facts(
        {
            "profile": facts.profile,
            "license": facts.asked.license,
            "frozen at event": facts.input_seq,
            "looked at": facts.plan.seen,
            "pipelines": ", ".join(f"{k} {v}" for k, v in facts.versions.items()) or "none",
        }
    )
    report.section("Gates").table(
        ["gate", "rule", "status", "left out", "why", "note"],
        [
            [
                f"{gate.number}. {gate.name}",
                gate.rule,
                "failed" if gate.failed else "passed",
                gate.dropped,
                ", ".join(f"{reason.replace('_', ' ')} {n:,}" for reason, n in sorted(gate.found.counts.items()) if n),
                gate.note,
            ]
            for gate in facts.gates
        ],
        caption="Conversations left out at each gate",
    )
    examples = [
        [f"{gate.number}. {gate.name}", reason.replace("_", " "), ", ".join(ids)]
        for gate in facts.gates
        for reason, ids in gate.found.ids.items()
        if ids
    ]
    if examples and failed:  # what is given away holds no ids: they tell times, also of people who withdrew
        report.table(
            ["gate", "reason", "ids"], examples, caption="Up to 20 ids for each reason, for who may look into the store"
        )
    _anonymity(report, facts)
    _figures(report, facts)
    return report.html()


def _anonymity(report: Report, facts: Facts) -> None:
    found = facts.anonymity()
    before, after = found["rows_by_class_size_before"], found["rows_by_class_size_after"]
    report.section("k-anonymity").text(
        "A class is everyone who shows the same values; its size is its number of distinct people. What someone "
        "writes can "
        "still tell who they are: free text is not covered."
    )
    report.table(
        ["people in the class", "rows before", "rows after"],
        [[size, n, after[size]] for size, n in before.items()],
        caption="Rows by the size of their class, before and after the ladder",
        align={"people in the class": "right"},
    )
    if found["rows_changed_by_rung"]:
        report.table(
            ["step", "rows changed"],
            list(found["rows_changed_by_rung"].items()),
            caption="What the ladder did, step by step",
        )
    report.table(
        ["column", "coarser", "lost"],
        [[n.replace("_", " "), share, found["share_lost"][n]] for n, share in found["share_coarser"].items()],
        caption="Share of rows whose value is coarser than collected, or gone",
        formats={"coarser": ".1%", "lost": ".1%"},
    )


def _figures(report: Report, facts: Facts) -> None:
    report.section("What is in the files").facts(
        {n: value for n, value in facts.figures().items() if value is not None}
    )
    for name, counts in {**facts.rankings(), "redacted spans": facts.redaction()["redacted_spans"]}.items():
        rows = list(counts.items())
        if rows:
            shown = rows[:_TOP]
            note = f"{len(rows) - _TOP} more are in statistics.json." if len(rows) > _TOP else ""
            report.table(["", "count"], shown, caption=name, note=note)
    report.table(
        ["file", "rows", "bytes", "sha256"],
        [[shard.name, shard.rows, shard.size, shard.sha256] for shard in facts.shards],
        caption="Files",
    )
