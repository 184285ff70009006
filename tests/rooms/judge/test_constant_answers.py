"""A model that gives one text to every task is flagged, and no other is."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from pathlib import Path

import zstandard

from agora.rooms.judge.scoring.metrics import constant_answers


def test_of_the_published_models_the_null_model_alone_is_flagged(shared_dir: Path) -> None:
    path = shared_dir / "data" / "alpaca_eval" / "annotations_compact.csv.zst"
    hashes: dict[str, list[str]] = defaultdict(list)
    with path.open("rb") as raw:
        text = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(raw), "utf-8")
        for row in csv.DictReader(text):
            hashes[row["model"]].append(row["output_sha1_8"])
    assert len(hashes) == 52
    flagged = {model: constant_answers(given, len(given)) for model, given in hashes.items()}
    assert {model for model, count in flagged.items() if count} == {"NullModel"}
    assert (len(set(hashes["gpt4_gamed"])), len(set(hashes["gemma-2b-it"]))) == (653, 784)  # repeats, not a constant


def test_more_than_half_is_a_constant_and_one_answer_is_none() -> None:
    assert constant_answers(["a", "a", "b"], 3) == 2
    assert constant_answers(["a", "a", "b", "c"], 4) == 0
    assert constant_answers(["a"], 1) == constant_answers([], 0) == 0
