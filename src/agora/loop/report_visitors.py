"""The report's section on the people who talked with the model."""

from __future__ import annotations

from collections import Counter

from agora.core.records import Conversation
from agora.core.report import Example, Report
from agora.core.runs import RunDir
from agora.core.tables import read_json, read_records
from agora.loop.visitors import CONVERSATIONS, RELEASE, VISITS

_ENDS = {
    "kept": "kept for publication",
    "declined": "declined publication, so no conversation was held",
    "erased": "erased with the receipt before leaving",
    "withdrawn": "consent withdrawn afterwards",
}


def write_visitors(report: Report, run: RunDir) -> None:
    """Write who came, what they agreed to and what became of it; nothing when nobody came."""
    if not run.done("visitors"):
        return
    found = read_json(run.file(VISITS))
    visits = found["visits"]
    report.section("Who talked with the model?")
    report.text(
        "Visitors of the microcosm talked with the model through the real chat service, over HTTP: both steps of "
        "consent, messages, ratings, receipts. What they agreed to publish went through enrichment, nine gates, "
        "redaction and k-anonymity into a release; what it holds is mined for tasks and joins the training data, but "
        "for first answers that they rated down."
    )
    held = [visit for visit in visits if visit["rounds"]]
    rounds = Counter(visit["rounds"] for visit in held)
    report.facts(
        {
            "visitors": found["visitors"],
            "conversations held": len(held),
            "rounds": found["rounds"],
            "mean rounds": round(found["rounds"] / len(held), 2) if held else None,
            "of more than one round": sum(n for length, n in rounds.items() if length > 1) / len(held)
            if held
            else None,
            "questions": found["goals"],
            "answered right, as the world knows": found["answered"],
            "replies rated up": found["liked"],
            "replies rated down": found["disliked"],
            "refused by the service": found["refused"],
        }
    )
    report.table(
        ["what became of it", "visitors"],
        [[words, found["ends"].get(end, 0)] for end, words in _ENDS.items()],
        caption="Consent and erasure",
    )
    _release(report, run)
    if found["planted"]:
        report.table(
            ["planted on purpose", "visitors"],
            [[plant.replace("_", " "), n] for plant, n in found["planted"].items()],
            caption="What some visitors left behind for curation to find",
        )
    shown = [c for c, _ in zip(_longer(run), range(4), strict=False)]
    report.examples(
        [
            Example(f"conversation of {c.id}", {f"{m.role} ({i})": m.content for i, m in enumerate(c.messages)})
            for c in shown
        ],
        caption="Conversations as they were released",
    )


def _release(report: Report, run: RunDir) -> None:
    folder = run.file(RELEASE)
    manifest, told = read_json(folder / "manifest.json"), read_json(folder / "statistics.json")
    redacted, k = told["release"]["redacted_messages"], manifest["anonymity"]["k_reached"]
    report.text(
        f"The release is in {RELEASE} of the run's folder, with a card, a page and checksums of its own: "
        f"{manifest['conversations']:,} conversations, {redacted:,} messages of them redacted; what a row tells of its "
        f"person is shared by {k:,} people or more."
    )
    report.table(
        ["gate", "rule", "left out", "why"],
        [
            [
                f"{gate['number']}. {gate['name']}",
                gate["rule"],
                gate["dropped"],
                ", ".join(f"{why.replace('_', ' ')} {part['count']:,}" for why, part in gate["reasons"].items()),
            ]
            for gate in manifest["gates"]
        ],
        caption="From the visitors' conversations to the release",
    )


def _longer(run: RunDir) -> list[Conversation]:
    stored = run.file(CONVERSATIONS)
    everyone = list(read_records(stored, Conversation)) if stored.stat().st_size else []
    return [conversation for conversation in everyone if len(conversation.messages) > 2]
