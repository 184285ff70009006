"""What drawing costs over the raw engine, and what waiting for rounds costs.

Three measurements, each beside its peer in one run:

- framework: an engine that answers at once, so that all time is ours. Samples a second of CPU from request to the file
  of samples, with the journal; with and without online de-duplication. The peer is a loop that reads the same engine
  and appends its texts to a JSON Lines file.
- model: `microcosm:chat` writes the same samples through `draw_instructions` and through a bare loop over
  `engine.complete`: same prefix, same seeds, same tokens. The ratio is the overhead.
- rounds: an engine whose latency is log-normal (median 20 ms, sigma 1), 64 requests in flight. Ours submits without a
  pause; the peer waits for each round of 200, as the reference implementation does with its batches of 200.

Medians over interleaved repeats. Framework and model are measured in CPU seconds, which a busy machine disturbs less.

    python benchmarks/drawing.py [--repeats 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from agora.core.tables import write_jsonl
from agora.curate.duplicates import OnlineDuplicates
from agora.engines import open_engine
from agora.engines.types import CompleteRequest, Generation, Sampling, Usage
from agora.rooms.synthesize import DrawSettings, PrefixTemplate, Slice, derive_prefix, draw_instructions
from agora.rooms.synthesize.draw import sample_seed

TEMPLATE = PrefixTemplate("instant:1", "template", "U:", "A:", "U:", prefix_ids=(1,))
WORDS = [a + b for a in ("ka", "lo", "mi", "ru", "te", "so", "na", "vi") for b in ("", "n", "rto", "ska", "lim", "del")]


class Instant:
    """Answers at once, or after a log-normal time, with a text of about 20 words that the seed decides."""

    uri = "instant:1"
    capabilities = frozenset({"complete", "token_prompt"})

    def __init__(self, latency: bool = False, in_flight: int = 64) -> None:
        self._latency, self._in_flight = latency, in_flight

    def complete(self, requests: Iterable[CompleteRequest]) -> Iterator[Generation]:
        """Results as they finish."""
        if not self._latency:
            yield from map(self._write, requests)
            return
        with ThreadPoolExecutor(self._in_flight) as pool:
            source = iter(requests)
            running: set[Any] = set()
            while True:
                while len(running) < self._in_flight and (request := next(source, None)) is not None:
                    running.add(pool.submit(self._write, request))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)

    def _write(self, request: CompleteRequest) -> Generation:
        rng = random.Random(request.sampling.seed)
        if self._latency:
            threading.Event().wait(0.02 * rng.lognormvariate(0.0, 1.0))
        text = " ".join(rng.choices(WORDS, k=rng.randint(8, 32))).capitalize() + "?"
        return Generation(request.id, text, "stop_token", usage=Usage(1, 20))

    def close(self) -> None:
        """Nothing to release."""


def ours(engine: Any, n: int, folder: Path, template: PrefixTemplate, *, unique: bool, tokens: int = 2048) -> int:
    """Draw into a file with a journal; the number of samples."""
    samples = draw_instructions(
        engine,
        template,
        [Slice("all", n)],
        run_id="bench",
        settings=DrawSettings(max_tokens=tokens, fresh_floor=0.0, check_first=0),
        journal=folder / "journal.jsonl",
        on_duplicate=OnlineDuplicates() if unique else None,
    )
    return write_jsonl(folder / "out.jsonl", samples)


def bare(engine: Any, n: int, folder: Path, template: PrefixTemplate, tokens: int = 2048) -> int:
    """The least one can do: ask and append."""
    with (folder / "out.jsonl").open("w", encoding="utf-8") as out:
        for generation in engine.complete(requests(range(n), template, tokens)):
            out.write(json.dumps({"id": generation.id, "text": generation.text}) + "\n")
    return n


def requests(indices: Iterable[int], template: PrefixTemplate, tokens: int) -> Iterator[CompleteRequest]:
    """The requests that drawing sends."""
    for i in indices:
        sampling = Sampling(1.0, 1.0, tokens, template.stop_strings, template.stop_ids, seed=sample_seed(0, "all", i))
        yield CompleteRequest(str(i), prompt_ids=template.prefix_ids, sampling=sampling)


def by_rounds(engine: Instant, n: int, folder: Path, size: int = 200) -> int:
    """Wait for each round before the next."""
    with (folder / "out.jsonl").open("w", encoding="utf-8") as out:
        for start in range(0, n, size):
            for generation in engine.complete(requests(range(start, min(n, start + size)), TEMPLATE, 2048)):
                out.write(json.dumps({"id": generation.id, "text": generation.text}) + "\n")
    return n


def rates(
    contenders: dict[str, Callable[[Path], int]], repeats: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Samples a second of each contender, in interleaved repeats after one warm-up."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat in range(repeats + 1):
        for name, run in contenders.items():
            with tempfile.TemporaryDirectory() as folder:
                start = clock()
                n = run(Path(folder))
                if repeat:
                    found[name].append(n / (clock() - start))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--samples", type=int, default=5000, help="of the engine that answers at once")
    parser.add_argument("--model-samples", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    n, m = args.samples, args.model_samples
    instant, slow = Instant(), Instant(latency=True)
    model, prefix = open_engine("microcosm:chat"), derive_prefix("microcosm:chat")
    cpu, wall = time.process_time, time.perf_counter
    measured = {
        "framework (CPU)": rates(
            {
                "bare loop": lambda f: bare(instant, n, f, TEMPLATE),
                "ours": lambda f: ours(instant, n, f, TEMPLATE, unique=False),
                "ours, de-duplicated": lambda f: ours(instant, n, f, TEMPLATE, unique=True),
            },
            args.repeats,
            cpu,
        ),
        "microcosm:chat (CPU)": rates(
            {
                "bare loop": lambda f: bare(model, m, f, prefix, 64),
                "ours": lambda f: ours(model, m, f, prefix, unique=True, tokens=64),
            },
            args.repeats,
            cpu,
        ),
        "rounds of 200 (wall)": rates(
            {
                "rounds": lambda f: by_rounds(slow, 1000, f),
                "ours": lambda f: ours(slow, 1000, f, TEMPLATE, unique=True),
            },
            args.repeats,
            wall,
        ),
    }
    model.close()
    rows = [
        {
            "what": what,
            "who": who,
            "samples_per_s": statistics.median(values),
            "spread": [min(values), max(values)],
            "to_first": statistics.median(values) / statistics.median(next(iter(found.values()))),
        }
        for what, found in measured.items()
        for who, values in found.items()
    ]
    if args.json:
        print(json.dumps(rows))
        return
    for row in rows:
        low, high = row["spread"]
        print(
            f"{row['what']:22} {row['who']:20} {row['samples_per_s']:9,.0f} samples/s [{low:,.0f}, {high:,.0f}]   "
            f"{row['to_first']:.2f}x"
        )


if __name__ == "__main__":
    main()
