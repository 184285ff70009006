"""Nearest neighbors of unit vectors: Agora's blocked symmetric product against a flat faiss index, in one run.

The work: each row's nearest other row and all pairs within a squared distance of 0.05. The peer does what the scripts
of the Magpie paper do: an exact flat index over all vectors (L2), asked for the 500 nearest of every row in batches of
1,024; and once more for the 2 nearest, which is enough for the nearest but not for the pairs. Vectors are random with
a tenth of near copies. Both in one process with the same number of threads; seconds of CPU are what a busy machine
disturbs least. torch is loaded, as an embedder has it loaded: the products are of eight bits where the processor has
VNNI. `--float32` leaves them in float32; the neighbors are the same to the last bit.

The faiss package brings an OpenBLAS of its own, which knows fewer processors and may fall back to a slow kernel; the
kernels of this run are printed. For the peer at its best name the kernel: OPENBLAS_CORETYPE=SkylakeX (or Haswell).

    python benchmarks/neighbors.py [--rows 5000] [--dim 768] [--threads 1] [--repeats 3] [--json]
    python benchmarks/neighbors.py --hnsw --rows 100000 --dim 256      # the graph: seconds, memory and recall
    python benchmarks/neighbors.py --hnsw --texts FILE --embedder minilm   # the same on vectors of real texts
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from agora.core.tables import read_rows
from agora.curate.embeddings.embedder import unit_rows
from agora.curate.neighbors import exact
from agora.curate.neighbors.exact import Found, search_strips
from agora.curate.neighbors.search import similarity_of

ABOVE = similarity_of(0.05)
BLOCK = 4096
EXACT_UP_TO = 50_000  # rows of which a graph's recall is measured against all pairs


def vectors_of(rows: int, dim: int) -> np.ndarray:
    """Random unit vectors; the last tenth are near copies of the first."""
    rng = np.random.default_rng(0)
    found = rng.normal(size=(rows, dim)).astype(np.float32)
    tenth = rows // 10
    found[rows - tenth :] = found[:tenth] + 0.1 * rng.normal(size=(tenth, dim)).astype(np.float32)
    return unit_rows(found)


def with_agora(vectors: np.ndarray) -> Found:
    """All strips of the upper triangle, as a job's tasks do them."""
    starts = range(0, len(vectors), BLOCK)
    sizes = [min(BLOCK, len(vectors) - start) for start in starts]
    return search_strips(
        lambda n: vectors[n * BLOCK : n * BLOCK + sizes[n]], sizes, range(len(sizes)), pairs_from=ABOVE
    )


def with_faiss(vectors: np.ndarray, k: int) -> tuple[np.ndarray, int]:
    """Nearest other row of each, and how many ordered pairs are within the distance among the ``k``."""
    import faiss

    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors)
    nearest, pairs = np.empty(len(vectors), dtype=np.int64), 0
    for start in range(0, len(vectors), 1024):
        squared, others = index.search(vectors[start : start + 1024], k)
        own = np.arange(start, start + len(squared))[:, None]
        squared[others == own] = 9
        nearest[start : start + 1024] = others[np.arange(len(own)), squared.argmin(axis=1)]
        pairs += int((squared < 0.05).sum())
    return nearest, pairs


def compare(rows: int, dim: int, threads: int, repeats: int) -> dict[str, object]:
    """Both in turn after one warm-up of each on a tenth of the rows."""
    import faiss
    import torch

    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    vectors = vectors_of(rows, dim)
    steps: dict[str, Callable[[np.ndarray], object]] = {
        "agora": with_agora,
        "faiss k=500": lambda v: with_faiss(v, min(500, len(v))),
        "faiss k=2": lambda v: with_faiss(v, 2),
    }
    wall: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    last: dict[str, object] = {}
    with threadpool_limits(threads):
        for turn in range(repeats + 1):
            for name, step in steps.items():
                began, began_cpu = time.perf_counter(), time.process_time()
                last[name] = step(vectors if turn else vectors[: max(rows // 10, 600)])
                if turn:
                    wall[name].append(time.perf_counter() - began)
                    cpu[name].append(time.process_time() - began_cpu)
    found, (nearest, pairs) = last["agora"], last["faiss k=500"]  # type: ignore[misc]
    assert isinstance(found, Found)
    product = (vectors * vectors[found.nearest]).sum(axis=1) - (vectors * vectors[nearest]).sum(axis=1)
    medians = {name: statistics.median(values) for name, values in cpu.items()}
    return {
        "rows": rows,
        "dim": dim,
        "threads": threads,
        "repeats": repeats,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "kernels": [f"{i['internal_api']} {i['version']} {i['architecture']}" for i in _blas()],
        "product": "8 bits" if exact.in_eight_bits(rows, dim) else "float32",
        "same_nearest": f"{int((found.nearest == nearest).sum())} of {rows}, similarity differs by at most "
        f"{float(np.abs(product).max()):.1e}",
        "pairs": {"agora": len(found.a), "faiss k=500": pairs // 2},
        "cpu_s": {name: round(m, 2) for name, m in medians.items()},
        "wall_s": {name: round(statistics.median(v), 2) for name, v in wall.items()},
        "cpu_ratio": {name: round(m / medians["agora"], 2) for name, m in medians.items() if name != "agora"},
    }


def _blas() -> list[dict[str, str]]:
    return [found for found in threadpool_info() if found["user_api"] == "blas"]


def vectors_of_texts(path: Path, embedder: str) -> np.ndarray:
    """Unit vectors of the column `text` of a file."""
    from agora.curate.embeddings import embed_texts, find_embedder, write_texts

    with tempfile.TemporaryDirectory() as name:
        table = Path(name) / "texts.jsonl"
        write_texts(table, ((str(row.line), str(row.data["text"])) for row in read_rows(path)))
        return embed_texts(table, find_embedder(embedder), Path(name), workers=1).all()


def graph(vectors: np.ndarray, threads: int) -> dict[str, object]:
    """The HNSW graph alone, with its recall measured as the command does."""
    from agora.curate.neighbors.approximate import approximate_neighbors
    from agora.curate.neighbors.search import PAIRS_FROM, measure_recall

    began, began_cpu = time.perf_counter(), time.process_time()
    found = approximate_neighbors(vectors, PAIRS_FROM, threads=threads)
    wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    recall = measure_recall(vectors, found, PAIRS_FROM)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    exact = with_agora(vectors) if len(vectors) <= EXACT_UP_TO else None
    return {
        "rows": len(vectors),
        "dim": vectors.shape[1],
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "peak_gib": round(peak, 2),
        "recall": recall._asdict(),
        "recall_of_all_rows": None if exact is None else recall_of(found, exact),
    }


def recall_of(found: Found, exact: Found) -> dict[str, object]:
    """Of all rows, not of drawn ones: the share whose nearest neighbor the graph found, and of the exact pairs."""
    rows = len(exact.nearest)
    keys = [one.a.astype(np.int64) * rows + one.b for one in (found, exact)]
    near = exact.pair_similarity >= ABOVE
    return {
        "nearest": round(float((found.similarity >= exact.similarity - 1e-6).mean()), 5),
        "pairs": int(near.sum()),
        "pairs_found": int(np.isin(keys[1][near], keys[0]).sum()),
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--float32", action="store_true", help="no products of eight bits")
    parser.add_argument("--hnsw", action="store_true")
    parser.add_argument("--texts", type=Path, help="with --hnsw: rows with a column text")
    parser.add_argument("--embedder", default="minilm", help="of these texts")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.float32:
        exact.in_eight_bits = lambda rows, dim: False
    if options.hnsw:
        made = vectors_of_texts(options.texts, options.embedder) if options.texts else None
        told = graph(vectors_of(options.rows, options.dim) if made is None else made, options.threads)
    else:
        told = compare(options.rows, options.dim, options.threads, options.repeats)
    if options.json:
        print(json.dumps(told))
        return
    for name, value in told.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
