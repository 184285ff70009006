"""The peer of `near_duplicates.py` that lives in an environment of its own: datatrove's four steps of MinHash.

It needs datatrove, orjson, regex, tokenizers and xxhash<4 alone. Words are split at white space where its default would
load spaCy, which is slower; all else is its default: runs of 5 words, 14 buckets of 8 hashes, nothing verified.

    python datatrove_minhash.py FOLDER          # FOLDER/rows.jsonl with `id` and `text`; prints one JSON object
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path


class Words:
    """A tokenizer that splits at white space; texts come here without punctuation."""

    def word_tokenize(self, text: str) -> list[str]:
        """The words."""
        return text.split()


def deduplicate(source: Path, folder: Path) -> int:
    """All four steps, one process; returns the rows that stay."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import minhash

    minhash.load_word_tokenizer = lambda language: Words()
    with source.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    documents = [Document(text=row["text"], id=str(row["id"])) for row in rows]
    signatures, buckets, remove = (str(folder / name) for name in ("signatures", "buckets", "remove"))
    minhash.MinhashDedupSignature(signatures).run(iter(documents))
    step = minhash.MinhashDedupBuckets(signatures, buckets)
    for bucket in range(step.config.num_buckets):
        step.run(None, bucket, step.config.num_buckets)
    minhash.MinhashDedupCluster(buckets, remove).run(None, 0, 1)
    kept = 0
    with (folder / "kept.jsonl").open("w", encoding="utf-8") as out:
        for document in minhash.MinhashDedupFilter(remove).run(iter(documents)):
            kept += 1
            out.write(json.dumps({"id": document.id, "text": document.text}) + "\n")
    return kept


def main() -> None:
    """Measure one run."""
    from loguru import logger

    logger.remove()
    import datatrove.pipeline.dedup.minhash  # noqa: F401  # importing is not what is measured

    source = Path(sys.argv[1]) / "rows.jsonl"
    with tempfile.TemporaryDirectory() as name:
        wall, cpu = time.perf_counter(), time.process_time()
        kept = deduplicate(source, Path(name))
        took = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "kept": kept}
    print(json.dumps(took))


if __name__ == "__main__":
    main()
