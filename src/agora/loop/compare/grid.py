"""The decoding grid of Magpie's Fig. 11: quality, difficulty and nearest distance of what each setting draws."""

from __future__ import annotations

from typing import Any

from agora.core.progress import progress
from agora.core.records import Sample
from agora.core.runs import RunDir
from agora.core.tables import write_json, write_jsonl
from agora.engines import open_engine
from agora.loop.compare.settings import CompareConfig
from agora.loop.data import CLOCK
from agora.loop.stored import read_stored
from agora.rooms.synthesize.distances import Distances
from agora.rooms.synthesize.draw import draw_instructions
from agora.rooms.synthesize.prefix import derive_prefix
from agora.rooms.synthesize.slices import slice_means
from agora.rooms.synthesize.types import DrawSettings, Slice


def decoding_grid(
    run: RunDir, config: CompareConfig, *, world: bool, distances: Distances | None
) -> list[dict[str, Any]]:
    """One row a cell: temperature, top-p and the means of its slice. Nothing is de-duplicated, so repeats show."""
    grid = config.grid
    cells = [(t, p) for t in grid.temperatures for p in grid.top_ps] if grid.count else []
    if not cells:
        return []
    schedule = [Slice(f"t{t:g}-p{p:g}", grid.count, t, p) for t, p in cells]
    path = run.file("grid.jsonl")
    if not run.done("grid"):
        engine = open_engine(config.model)
        total = grid.count * len(schedule)
        with run.stage("grid"), progress(total, f"decoding grid of {config.model}", unit="sample") as bar:
            samples = []
            for sample in draw_instructions(
                engine,
                derive_prefix(config.tokenizer or config.model, clock=CLOCK),
                schedule,
                run_id="grid",
                settings=DrawSettings(seed=0, max_tokens=config.max_instruction_tokens),
                journal=run.file("journals/grid.jsonl"),
            ):
                samples.append(sample)
                bar.advance()
            write_jsonl(path, samples)
        engine.close()
    means = slice_means(read_stored(path, Sample), world=world, distances=distances)
    found = [{"temperature": t, "top_p": p, **one.as_json()} for (t, p), one in zip(cells, means, strict=True)]
    write_json(run.file("grid.json"), found)
    return found
