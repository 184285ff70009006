"""How fast rows are read: `read_rows` and `read_records` beside a plain `json.loads` loop over the same file.

All give one dictionary (or record) a row from the same rows; rows per second of processor time, so that a busy machine
does not matter; medians of five passes, warm page cache.

    python benchmarks/tables.py [--rows 200000]

Measured on one core of a 2-core x86-64 virtual machine, Python 3.11:

    answers (150 bytes)    json.loads loop 183,000   read_rows jsonl 486,000 (2.7x), parquet 248,000   records 117,000
    conversations (2 kB)   json.loads loop  83,000   read_rows jsonl 193,000 (2.3x), parquet  48,000   records  34,000
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from agora.core.records import Answer, Conversation, Provenance
from agora.core.tables import read_records, read_rows, write_jsonl, write_parquet

PASSES = 5


def plain_rows(path: Path) -> Iterable[dict[str, object]]:
    """What one writes without a library."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def rows_per_second(read: Callable[[], Iterable[object]], rows: int) -> float:
    """The median over the passes; every row is consumed and counted."""
    rates = []
    for _ in range(PASSES):
        start = time.process_time()
        count = sum(1 for _ in read())
        rates.append(count / (time.process_time() - start))
        if count != rows:
            raise SystemExit(f"read {count} rows, expected {rows}")
    return statistics.median(rates)


def answers(count: int) -> Iterable[Answer]:
    """Short rows, about 150 bytes each."""
    for i in range(count):
        yield Answer(f"task-{i}", "microcosm:chat", f"The answer to {i} is {i * i}.", "stop_token", 9)


def conversations(count: int) -> Iterable[Conversation]:
    """Rows of about 2 kB with four messages."""
    text = "Some words of a conversation that goes on for a while. " * 8
    for i in range(count):
        turns = [("user", f"{i} {text}"), ("assistant", text), ("user", text), ("assistant", text)]
        yield Conversation.linear(turns, Provenance("benchmark", str(i), language="English"))


def compare(folder: Path, name: str, record_type: type, records: Callable[[int], Iterable[object]], rows: int) -> None:
    """Print one line for each way of reading."""
    lines, parquet = folder / f"{name}.jsonl", folder / f"{name}.parquet"
    write_jsonl(lines, records(rows))
    write_parquet(parquet, records(rows), record_type)
    ways: dict[str, Callable[[], Iterable[object]]] = {
        "json.loads loop": lambda: plain_rows(lines),
        "read_rows, jsonl": lambda: read_rows(lines),
        "read_rows, parquet": lambda: read_rows(parquet),
        "read_records, jsonl": lambda: read_records(lines, record_type),
    }
    base = 0.0
    for way, read in ways.items():
        rate = rows_per_second(read, rows)
        base = base or rate
        print(f"{name:14} {rows:8,} rows  {way:20} {rate:12,.0f} rows/s  {rate / base:5.2f}x")


def main() -> None:
    """Run both sizes of row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), "answers", Answer, answers, rows)
        compare(Path(folder), "conversations", Conversation, conversations, max(rows // 10, 1))


if __name__ == "__main__":
    main()
