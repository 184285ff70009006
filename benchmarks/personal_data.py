"""Personal data in short texts: our patterns beside Presidio's AnalyzerEngine over a blank pipeline, and its recall.

The same labeled sentences for both, one core each, processor time; medians of the repeats, taken in turns. Presidio
brings spaCy (394 MB in all), so it may live in an environment of its own:

    python -m venv /tmp/presidio && /tmp/presidio/bin/pip install presidio-analyzer
    python benchmarks/personal_data.py --peer-python /tmp/presidio/bin/python [--repeats 5]

Secrets are compared with the regular-expression plugins of detect-secrets, where that environment has it. Long texts
(`--long`) show that the cost a character does not grow with the length.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("AGORA_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SENTENCES = SHARED / "data/wildchat/pii/presidio_synth_v2.jsonl.gz"
_COMPARED = ("EMAIL_ADDRESS", "IBAN_CODE", "US_SSN", "IP_ADDRESS", "URL", "CREDIT_CARD", "PHONE_NUMBER")


def texts_a_second(work: Callable[[str], Any], texts: list[str]) -> float:
    """Texts per second of processor time."""
    began = time.process_time()
    for text in texts:
        work(text)
    return len(texts) / (time.process_time() - began)


def peer() -> None:
    """In the peer's environment: read texts from standard input, write speed and spans to standard output."""
    from agora.curate.personal.engines import blank_presidio

    texts: list[str] = json.load(sys.stdin)
    analyzer = blank_presidio()

    def analyze(text: str) -> Any:
        return analyzer.analyze(text, language="en")

    analyze(texts[0])
    speed = texts_a_second(analyze, texts)
    spans = [[(s.entity_type, s.start, s.end, s.score) for s in analyze(text)] for text in texts]
    json.dump({"speed": speed, "spans": spans, "secrets": _detect_secrets(texts)}, sys.stdout)


def _detect_secrets(texts: list[str]) -> float | None:
    try:
        from detect_secrets.plugins import aws, github_token, gitlab_token, jwt, openai, private_key, slack, stripe
    except ImportError:
        return None
    plugins = [
        aws.AWSKeyDetector(),
        github_token.GitHubTokenDetector(),
        gitlab_token.GitLabTokenDetector(),
        jwt.JwtTokenDetector(),
        openai.OpenAIDetector(),
        private_key.PrivateKeyDetector(),
        slack.SlackDetector(),
        stripe.StripeDetector(),
    ]
    return texts_a_second(lambda text: [list(plugin.analyze_string(text)) for plugin in plugins], texts)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--peer-python", help="interpreter of an environment with presidio-analyzer")
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--long", type=int, default=1_000_000, help="characters of the long text")
    options.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.peer:
        peer()
        return
    from agora.curate.personal import Span, find, find_names, find_secrets, find_shapes
    from agora.curate.personal.recall import read_labeled, recall_of

    labeled = read_labeled(SENTENCES)
    texts = [row.text for row in labeled]
    layers = {"A shapes": find_shapes, "C names": find_names, "D secrets": find_secrets, "all": find}
    speeds: dict[str, list[float]] = {name: [] for name in layers}
    theirs: dict[str, Any] = {}
    peers: dict[str, list[float]] = {"presidio": [], "detect-secrets": []}
    from agora.curate.personal.phones import is_number

    find(texts[0])
    for _ in range(chosen.repeats):
        for name, layer in layers.items():
            is_number.cache_clear()  # numbers that were looked up before
            speeds[name].append(texts_a_second(layer, texts))
        if chosen.peer_python:
            theirs = _ask_peer(chosen.peer_python, texts)
            peers["presidio"].append(theirs["speed"])
            if theirs["secrets"]:
                peers["detect-secrets"].append(theirs["secrets"])
    mean = sum(map(len, texts)) / len(texts)
    print(f"{len(texts)} texts of {mean:.0f} characters, one core, medians of {chosen.repeats}")
    for name, found in {**speeds, **peers}.items():
        if found:
            print(f"  {name:16} {statistics.median(found):>10,.0f} texts/s")
    if theirs:
        print(f"  ours / Presidio  {statistics.median(speeds['all']) / statistics.median(peers['presidio']):.1f}x")
    by_text = {
        text: [Span(*s, "presidio") for s in spans] for text, spans in zip(texts, theirs.get("spans", []), strict=False)
    }
    _print_recall(recall_of(labeled), recall_of(labeled, lambda t: by_text[t]) if theirs else [])
    for size in (chosen.long // 100, chosen.long // 10, chosen.long):
        long = ("\n".join(texts) * (size // 100_000 + 1))[:size]
        began = time.process_time()
        n = len(find(long))
        spent = time.process_time() - began
        print(f"one text of {size:,} characters: {spent:.2f} s, {spent / size * 1e6:.1f} us/character, {n} spans")


def _ask_peer(python: str, texts: list[str]) -> dict[str, Any]:
    source = str(Path(__file__).resolve().parents[1] / "src")
    done = subprocess.run(
        [python, __file__, "--peer"],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": source},
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _print_recall(ours: list[Any], theirs: list[Any]) -> None:
    other = {row.type: row for row in theirs}
    print("found of marked (false spans): ours" + (" | Presidio" if theirs else ""))
    for row in ours:
        if row.type in _COMPARED:
            peer_row = other.get(row.type)
            beside = f" | {peer_row.found}/{peer_row.n} ({peer_row.false})" if peer_row else ""
            print(f"  {row.type:16} {row.found}/{row.n} ({row.false}){beside}")


if __name__ == "__main__":
    main()
