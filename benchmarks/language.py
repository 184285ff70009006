"""Telling languages apart: ours against lingua in its high accuracy, which WildChat used.

    AGORA_SHARED=... python benchmarks/language.py --each 20 --repeats 3

Each detector works in a process of its own on the same texts (real Russian prompts, and sentences of 75 languages); the
processes take turns. CPU seconds without loading; memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

DATA = Path(os.environ.get("AGORA_SHARED", "../shared")) / "data" / "wildchat" / "langid"


def samples(each: int) -> dict[str, list[tuple[str, str]]]:
    """Texts with their language, by set."""
    by_language: dict[str, list[str]] = defaultdict(list)
    with gzip.open(DATA / "langid_testdata.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["kind"] == "sentences":
                by_language[row["lang"]].append(row["text"])
    with gzip.open(DATA / "wildchat_ru_first_prompts.jsonl.gz", "rt", encoding="utf-8") as lines:
        prompts = [("ru", json.loads(line)["text"]) for line in lines]
    sentences = [
        (code, text) for code, texts in sorted(by_language.items()) for text in random.Random(0).sample(texts, each)
    ]
    return {"real Russian prompts": prompts, "sentences, 75 languages": sentences}


def ours() -> Callable[[list[str]], list[str]]:
    """The cascade."""
    from agora.curate.language import detect

    return lambda texts: [found.code for found in detect(texts)]


def lingua_high() -> Callable[[list[str]], list[str]]:
    """Lingua, all languages, confidence values, as the reference asks for them."""
    from lingua import LanguageDetectorBuilder

    detector = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()

    def detect(texts: list[str]) -> list[str]:
        found = detector.compute_language_confidence_values_in_parallel(texts)
        return [values[0].language.iso_code_639_1.name.lower() for values in found]

    return detect


DETECTORS = {"ours": ours, "lingua high": lingua_high}


def child(name: str, each: int) -> None:
    """One detector's figures, as JSON."""
    detect = DETECTORS[name]()
    detect([text for code, text in samples(2)["sentences, 75 languages"]])  # loads what is loaded lazily
    out = {}
    for title, rows in samples(each).items():
        texts = [text for _, text in rows]
        cpu, wall = time.process_time(), time.perf_counter()
        found = detect(texts)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        right = sum(got == code for got, (code, _) in zip(found, rows, strict=True)) / len(rows)
        out[title] = {"per_cpu_s": len(rows) / cpu, "wall_s": wall, "accuracy": right}
    print(json.dumps({"sets": out, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> None:
    """Run the detectors in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=20, help="sentences of each language")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", choices=DETECTORS)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child, chosen.each)
        return
    runs: dict[str, list[dict]] = defaultdict(list)
    for _ in range(chosen.repeats):
        for name in DETECTORS:
            command = [sys.executable, __file__, "--child", name, "--each", str(chosen.each)]
            runs[name].append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    for title in runs["ours"][0]["sets"]:
        print(title)
        for name, each in runs.items():
            speed = statistics.median(run["sets"][title]["per_cpu_s"] for run in each)
            memory = statistics.median(run["peak_mb"] for run in each)
            right = each[0]["sets"][title]["accuracy"]
            print(f"  {name:12} {speed:8.0f} texts a CPU second, {100 * right:.2f} % right, {memory:.0f} MB at most")
        ratios = [
            a["sets"][title]["per_cpu_s"] / b["sets"][title]["per_cpu_s"]
            for a, b in zip(runs["ours"], runs["lingua high"], strict=True)
        ]
        print(f"  ratio        {statistics.median(ratios):8.1f} (runs: {', '.join(f'{r:.1f}' for r in ratios)})")


if __name__ == "__main__":
    main()
