"""Decontamination: speed of the n-gram layer against peers, and what each layer finds of published rephrased tests.

Speed: every answer of `wildbench_sft6_scored` (13 MB) against the GSM8K test questions, runs of 13 words, one process.
Peers: a plain Python set of joined words, the way most scripts do it; and datatrove's `NGramsDecontFilter` where the
package is importable (`--datatrove DIR` names the site-packages of an environment that has it; its dependencies are not
ours), given the same texts and its default of 12 words.

    python benchmarks/decontamination.py [--repeats 5] [--datatrove DIR] [--json]
    python benchmarks/decontamination.py --recall [--retrieve minilm] [--write]     # what each layer finds

Data: `data/magpie` under AGORA_SHARED. `--write` stores the shares where `agora curate decontaminate` reads them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from agora.core.tables import read_rows, write_json
from agora.curate.contamination import NgramIndex
from agora.curate.contamination.retrieve import retrieve
from agora.curate.embeddings import write_texts

SHARED = Path(os.environ.get("AGORA_SHARED", Path(__file__).resolve().parents[2] / "shared"))
DATA = SHARED / "data/magpie"
RESOURCE = Path(__file__).resolve().parents[1] / "src/agora/curate/contamination/recall.json"


def rows_of(name: str) -> list[dict[str, Any]]:
    """The rows of a file of the data folder."""
    return [row.data for row in read_rows(DATA / f"{name}.jsonl.gz")]


class Rephrased(NamedTuple):
    """A test and its rephrased twins, in the same order; a twin may be empty."""

    name: str
    originals: list[str]
    twins: list[str]


def rephrased_sets() -> Iterator[Rephrased]:
    """All published pairs."""
    rows = rows_of("decon_gsm8k_rephrase")
    yield Rephrased("GSM8K", [r["original"] for r in rows], [r["rephrased"] for r in rows])
    rows = rows_of("decon_humaneval_rephrase")
    for column, name in (("python", "Python"), ("c", "C"), ("js", "JavaScript")):
        yield Rephrased(f"HumanEval {name}", [r["original"] for r in rows], [r[column] for r in rows])
    every = rows_of("decon_mmlu_rephrase")
    for subject in ("abstract_algebra", "sociology", "high_school_us_history"):
        rows = [r for r in every if r["subject"] == subject]
        questions = ["\n".join([r["question"], *r["choices"]]) for r in rows]
        for column, name in (("rephrased_en", "English"), ("chinese", "Chinese")):
            yield Rephrased(f"MMLU {subject} {name}", questions, [r[column] or "" for r in rows])


def recall(method: str) -> dict[str, dict[str, float]]:
    """For each set: the share of twins that runs of 13, 10 and 8 words flag, and that retrieval finds."""
    found: dict[str, dict[str, float]] = {}
    for name, originals, twins in rephrased_sets():
        there = [i for i, twin in enumerate(twins) if twin.strip()]
        shares: dict[str, float] = {"n": len(there)}
        for n in (13, 10, 8):
            index = NgramIndex(n)
            for i, text in enumerate(originals):
                index.add(text, f"{i}")
            shares[f"{n}-gram"] = round(sum(map(bool, index.meet_each(twins[i] for i in there))) / len(there), 4)
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "texts.jsonl"
            write_texts(table, ((str(i), twins[i]) for i in there))
            for one in ("chars", "words", *([method] if method not in ("chars", "words") else [])):
                top = retrieve([originals[i] for i in there], table, 5, method=one, folder=Path(folder), workers=1).rows
                for k in (1, 5):
                    hits = sum(place in row[:k] for place, row in enumerate(top.tolist()))
                    shares[f"{one} top {k}"] = round(hits / len(there), 4)
        found[name] = shares
    return found


def speed(repeats: int, datatrove: str) -> dict[str, object]:
    """MB of text per CPU second, after one warm-up each, in turn."""
    texts = [row["response"] for row in rows_of("wildbench_sft6_scored")]
    tests = [row["original"] for row in rows_of("decon_gsm8k_rephrase")]
    for i in range(0, len(texts), 100):  # something to find
        texts[i] += f" {tests[i % len(tests)]}"
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    steps: dict[str, Callable[[], int]] = {"agora": _agora(tests, texts), "python set": _plain(tests, texts)}
    if datatrove:
        steps["datatrove"] = _datatrove(datatrove, tests, texts)
    rates: dict[str, list[float]] = {name: [] for name in steps}
    flagged: dict[str, int] = {}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            began = time.process_time()
            flagged[name] = step()
            if turn:
                rates[name].append(megabytes / (time.process_time() - began))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "megabytes": round(megabytes, 2),
        "repeats": repeats,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "flagged": flagged,
        "mb_per_cpu_s": {
            name: {"median": round(medians[name], 1), "spread": [round(min(v), 1), round(max(v), 1)]}
            for name, v in rates.items()
        },
        "ratio": {name: round(medians["agora"] / m, 2) for name, m in medians.items() if name != "agora"},
    }


def _agora(tests: list[str], texts: list[str]) -> Callable[[], int]:
    def step() -> int:
        index = NgramIndex(13)
        for i, text in enumerate(tests):
            index.add(text, f"gsm8k:{i}")
        return sum(map(bool, index.meet_each(texts)))

    return step


def _plain(tests: list[str], texts: list[str]) -> Callable[[], int]:
    def runs(text: str) -> Iterator[str]:
        words = re.findall(r"\w+", text.lower())
        return (" ".join(words[i : i + 13]) for i in range(len(words) - 12))

    def step() -> int:
        known = {run for text in tests for run in runs(text)}
        return sum(any(run in known for run in runs(text)) for text in texts)

    return step


def _datatrove(folder: str, tests: list[str], texts: list[str]) -> Callable[[], int]:
    """Its filter on the same texts. Its indexer wants lighteval, so the index is made by the filter's own parts."""
    sys.path += folder.split(os.pathsep)
    from datatrove.data import Document
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
    from datatrove.utils.text import ngrams, simplify_text

    def step() -> int:
        config = NGramsDecontConfig()
        found = NGramsDecontFilter(index_folder=tempfile.mkdtemp(), config=config)
        found._index_hashes = {
            found.hash_func(" ".join(run)): "gsm8k"
            for text in tests
            for run in ngrams(found.tokenizer.word_tokenize(simplify_text(text, config.norm_config)), config.n_grams)
        }
        return sum(found.filter(Document(text=text, id=f"{i}")) is not True for i, text in enumerate(texts))

    return step


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--datatrove", default="", help="site-packages of an environment that has datatrove")
    parser.add_argument("--recall", action="store_true")
    parser.add_argument("--retrieve", default="chars", help="measure this retrieval too")
    parser.add_argument("--write", action="store_true", help="store the shares in the package")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    told: dict[str, Any] = recall(options.retrieve) if options.recall else speed(options.repeats, options.datatrove)
    if options.recall and options.write:
        command = f"python benchmarks/decontamination.py --recall --retrieve {options.retrieve} --write"
        write_json(RESOURCE, {"made_by": command, "sets": told})
    if options.json:
        print(json.dumps(told))
        return
    for name, value in told.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
