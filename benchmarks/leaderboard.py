"""Time ranking against its peers: ``python benchmarks/leaderboard.py [--runs 3] [--part board,elo] [--json]``.

Files of 12 models on 1,024 tasks (12,288 scores, 36,864 comparisons with three baselines, answers of 2,000 characters)
are written in the reference's own form. The peers are the reference's ways, written anew from what they do:

- WildBench's tables: one pass over the score files, and for each length margin K a pass over all pair files, read anew;
- WildBench's Elo: votes as dictionaries, 128 rounds of shuffled updates;
- a paired bootstrap as scripts have it: one resample of one pair at a time;
- AlpacaEval's length control: scikit-learn's ``LogisticRegressionCV`` with the rows doubled;
- FastChat's ratings: distinct outcomes, multinomial counts, L-BFGS a resample.

Each row is the median of CPU seconds over runs of both, one after the other, and their results are compared.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import orjson

from agora.core.length_control import length_controlled
from agora.core.ranking import bradley_terry
from agora.rooms.judge import k_sweep, leaderboard, read_judged
from agora.rooms.judge.formats.judged_files import judged_paths
from agora.rooms.judge.ranking.elo import wb_elo
from agora.rooms.judge.ranking.votes import ScoreMatrix, Votes, score_votes

MODELS, TASKS = 12, 1024
BASELINES = ("gpt-4-turbo-2024-04-09", "claude-3-haiku-20240307", "Llama-2-70b-chat-hf")
MARGINS = (-1, 100, 300, 500, 1000, 1500, 2000, 3000)


class Timing(NamedTuple):
    """Median CPU seconds of ours and of the peer, and whether their results agree."""

    task: str
    ours_s: float
    peer: str = ""
    peer_s: float = float("nan")
    agree: str = ""


def timed(runs: int, ours: Callable[[], Any], peer: Callable[[], Any]) -> tuple[float, float, Any, Any]:
    """Medians of both in CPU seconds (other work on the machine disturbs them less), and their last results."""
    seconds: tuple[list[float], list[float]] = ([], [])
    results: list[Any] = [None, None]
    for _ in range(runs):
        for i, call in enumerate((ours, peer)):
            start = time.process_time()
            results[i] = call()
            seconds[i].append(time.process_time() - start)
    return median(seconds[0]), median(seconds[1]), *results


def write_files(folder: Path) -> tuple[list[Path], dict[str, list[Path]]]:
    """Score files, and pair files by baseline, in the reference's form."""
    rng = random.Random(0)
    hard = [rng.gauss(0, 1.5) for _ in range(TASKS)]
    texts = ["x" * rng.randint(200, 4000) for _ in range(64)]
    scores, pairs = [], defaultdict(list)
    for m in range(MODELS):
        name = f"model-{m:02d}"
        merit = [5 + 0.3 * m + hard[t] + rng.gauss(0, 1.2) for t in range(TASKS)]
        answers = [rng.choice(texts) for _ in range(TASKS)]
        rows = [
            {
                "session_id": f"{t:016x}",
                "model_test": name,
                "parsed_result": {"strengths": "s" * 200, "weaknesses": "w" * 200, "score": str(_grade(merit[t]))},
                "score": str(_grade(merit[t])),
                "model_output": answers[t],
            }
            for t in range(TASKS)
        ]
        path = folder / "scores" / "judge.v2.0522" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows))
        scores.append(path)
        for b, baseline in enumerate(BASELINES):
            rows = [_pair(rng, name, baseline, t, answers[t], texts, 0.3 * m - 1.5 * b - 0.5) for t in range(TASKS)]
            path = folder / f"pairs-{b}" / "judge.v2.0522" / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(rows))
            pairs[baseline].append(path)
    return scores, dict(pairs)


def _grade(merit: float) -> int:
    return max(1, min(10, round(merit)))


def _pair(
    rng: random.Random, name: str, baseline: str, task: int, answer: str, texts: list[str], gap: float
) -> dict[str, Any]:
    shown = [name, baseline] if rng.random() < 0.5 else [baseline, name]
    x = gap + rng.gauss(0, 2)
    extent = 0 if abs(x) < 0.2 else 1 if abs(x) < 2 else 2
    winner = "tie" if extent == 0 else name if x > 0 else baseline
    return {
        "session_id": f"{task:016x}",
        "model_A": shown[0],
        "model_B": shown[1],
        "winner": winner,
        "extent": extent,
        "parsed_result": {"analysis of A": "a" * 200, "analysis of B": "b" * 200, "choice": ""},
        "model_outputs": {name: answer, baseline: rng.choice(texts)},
    }


# ---- the reference's ways --------------------------------------------------------------------------------------------


def reference_scores(files: list[Path]) -> dict[str, float]:
    """The score table: a pass over each file."""
    table = {}
    for path in files:
        rows = json.loads(path.read_text())
        values = [float(row["score"]) for row in rows]
        table[path.stem] = (sum(values) / len(values) - 5) * 20
    return table


def reference_rewards(files: dict[str, list[Path]]) -> dict[tuple[int, str, str], float]:
    """The pair tables: all files are read again for each margin."""
    table = {}
    for margin in MARGINS:
        for baseline, paths in files.items():
            for path in paths:
                rows = json.loads(path.read_text())
                total = 0.0
                for row in rows:
                    model = next(name for name in row["model_outputs"] if name != baseline)
                    mine, theirs = len(row["model_outputs"][model]), len(row["model_outputs"][baseline])
                    if row["winner"] == model:
                        long = margin >= 0 and mine > theirs + margin
                        total += 1 if row["extent"] == 2 else 0 if long else 0.5
                    elif row["winner"] == baseline:
                        long = margin >= 0 and theirs > mine + margin
                        total -= 1 if row["extent"] == 2 else 0 if long else 0.5
                table[margin, baseline, path.stem] = 100 * total / len(rows)
    return table


def reference_elo(files: list[Path], rounds: int = 128) -> dict[str, float]:
    """Votes as dictionaries, each round an update a vote."""
    by_task: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for path in files:
        for row in json.loads(path.read_text()):
            by_task[row["session_id"]][path.stem] = (int(row["score"]), len(row["model_output"].strip()))
    votes = []
    for found in by_task.values():
        for a, b in combinations(found, 2):
            gap = found[a][0] - found[b][0]
            winner = "tie" if abs(gap) < 2 else a if gap > 0 else b
            votes.append({"a": a, "b": b, "winner": winner, "gap": abs(found[a][1] - found[b][1])})
    rng, sums = random.Random(42), defaultdict(float)
    for _ in range(rounds):
        elo: dict[str, float] = defaultdict(lambda: 1000.0)
        for vote in rng.sample(votes, len(votes)):
            a, b = elo[vote["a"]], elo[vote["b"]]
            expected = 1 / (1 + 10 ** ((b - a) / 400))
            tie = vote["winner"] == "tie" or vote["gap"] > 1500
            gain = 4 * ((0.5 if tie else float(vote["winner"] == vote["a"])) - expected)
            elo[vote["a"]], elo[vote["b"]] = a + gain, b - gain
        for name, value in elo.items():
            sums[name] += value
    return {name: value / rounds for name, value in sums.items()}


def one_pair_at_a_time(files: list[Path], n_boot: int = 1000) -> dict[tuple[str, str], tuple[float, float]]:
    """A paired bootstrap of every two models, a resample at a time."""
    values = {}
    for path in files:
        rows = json.loads(path.read_text())
        values[path.stem] = np.array([float(row["score"]) for row in rows])
    rng, out = np.random.default_rng(0), {}
    for a, b in combinations(values, 2):
        gap = values[a] - values[b]
        draws = [gap[rng.integers(0, len(gap), len(gap))].mean() for _ in range(n_boot)]
        low, high = np.quantile(draws, [0.025, 0.975])
        out[a, b] = (20 * low, 20 * high)
    return out


def fastchat_ratings(votes: Votes, n_boot: int = 1000) -> dict[str, tuple[float, float]]:
    """Distinct outcomes, multinomial counts, L-BFGS a resample; bounds of every strength."""
    from scipy.optimize import minimize
    from scipy.special import expit

    b = votes.battles
    rows, counts = np.unique(np.column_stack([b.first_N, b.second_N, b.outcome_N]), axis=0, return_counts=True)
    first, second, outcome = rows[:, 0].astype(int), rows[:, 1].astype(int), rows[:, 2]
    size, total = len(b.names), counts.sum()

    def loss(theta: Any, weight: Any) -> tuple[float, Any]:
        x = theta[first] - theta[second]
        slope = (expit(x) - outcome) * weight
        gradient = np.bincount(first, slope, size) - np.bincount(second, slope, size)
        return float(weight @ (np.logaddexp(0, x) - outcome * x)), gradient

    draws = np.random.default_rng(0).multinomial(total, counts / total, size=n_boot) / total
    fits = [minimize(loss, np.zeros(size), (w,), jac=True, method="L-BFGS-B", options={"gtol": 1e-6}).x for w in draws]
    centered = np.array(fits) - np.mean(fits, axis=1, keepdims=True)
    low, high = np.quantile(centered, [0.025, 0.975], axis=0)
    return {str(name): (float(low[m]), float(high[m])) for m, name in enumerate(b.names)}


def alpaca_length_control(y: Any, gap: Any, difficulty: Any) -> float:
    """The rows doubled with both labels, L1 and a grid of penalties by cross-validation."""
    import warnings

    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import GroupKFold

    x = np.column_stack([np.tanh(gap / gap.std(ddof=1)), difficulty, np.ones(len(y))])
    groups = np.tile(np.arange(len(y)), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegressionCV(
            penalty="l1",
            solver="liblinear",
            scoring="neg_log_loss",
            fit_intercept=False,
            random_state=123,
            cv=list(GroupKFold(5).split(np.tile(x, (2, 1)), groups=groups)),
        ).fit(
            np.tile(x, (2, 1)),
            np.concatenate([np.ones(len(y)), np.zeros(len(y))]),
            sample_weight=np.concatenate([y, 1 - y]),
        )
    x[:, 0] = 0
    return float(100 * model.predict_proba(x)[:, 1].mean())


# ---- the comparisons -------------------------------------------------------------------------------------------------


def whole_board(runs: int, scores: list[Path], pairs: dict[str, list[Path]]) -> list[Timing]:
    """Scores, rewards at 8 margins, 1,000 paired bootstraps, and a rating: all from files."""

    def ours() -> Any:
        board = leaderboard(scores)
        verdicts = [v for paths in pairs.values() for path in judged_paths(paths) for v in read_judged(path).verdicts]
        groups: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for v in verdicts:
            groups[v.baseline or "", v.model].append(v)
        margins = [None if k < 0 else k for k in MARGINS]
        sweeps = {key: k_sweep(rows, margins) for key, rows in groups.items()}
        return board, sweeps

    def theirs() -> Any:
        return reference_scores(scores), reference_rewards(pairs), one_pair_at_a_time(scores), reference_elo(scores)

    every = [*scores, *(path for paths in pairs.values() for path in paths)]
    passes = [*scores, *scores, *(path for _ in MARGINS for paths in pairs.values() for path in paths), *scores]
    leaderboard(scores[:2])  # imports scipy, once a process
    ours_s, peer_s, (board, sweeps), (table, rewards, gaps, _) = timed(runs, ours, theirs)
    our_json_s, peer_json_s, *_ = timed(
        runs,
        lambda: [None for path in every if not orjson.loads(path.read_bytes())],
        lambda: [None for path in passes if not json.loads(path.read_text())],
    )
    (judged,) = board.tables
    same = max(abs(row.score.wb_score - table[row.name]) for row in judged.rows)
    for (baseline, model), rows in sweeps.items():
        for k, row in zip(MARGINS, rows, strict=True):
            same = max(same, abs(row.reward - rewards[k, baseline, model]))
    bounds = []
    for pair in judged.separability.pairs:
        low, high = gaps.get((pair.difference.first, pair.difference.second)) or [
            -x for x in reversed(gaps[pair.difference.second, pair.difference.first])
        ]
        bounds += [abs(pair.difference.interval.low - low), abs(pair.difference.interval.high - high)]
    agree = f"scores and rewards within {same:.0e}, bounds within {max(bounds):.2f} points"
    name = "leaderboard of 12 x 1,024 with 1,000 paired bootstraps and 8 margins, from files"
    return [
        Timing(name, ours_s, "the reference's scripts", peer_s, agree),
        Timing("JSON alone of those files, as often as each side reads it", our_json_s, "json.loads", peer_json_s),
        Timing("the same board without the JSON", ours_s - our_json_s, "the reference's", peer_s - peer_json_s),
    ]


def elo(runs: int, scores: list[Path]) -> Timing:
    """WB-Elo itself, the same 128 rounds."""

    def ours() -> Any:
        verdicts = {path.stem: list(read_judged(path).verdicts) for path in scores}
        return wb_elo(score_votes(ScoreMatrix.of(verdicts), tie_margin=2))

    ours_s, peer_s, mine, other = timed(runs, ours, lambda: reference_elo(scores))
    apart = max(abs(mine[name].mean - other[name]) for name in other)
    return Timing(
        "WB-Elo, 128 rounds of 67,584 votes", ours_s, "a vote at a time", peer_s, f"within {apart:.2f} points"
    )


def ratings(runs: int, scores: list[Path]) -> list[Timing]:
    """1,000 Bradley-Terry fits: over tasks, and over votes as the peer."""
    votes = score_votes(ScoreMatrix.of({path.stem: list(read_judged(path).verdicts) for path in scores}))
    loose = votes.battles._replace(task_N=None)
    ours_s, peer_s, mine, other = timed(
        runs, lambda: bradley_terry(loose, n_boot=1000), lambda: fastchat_ratings(votes)
    )
    apart = max(abs(mine.difference(name).low - low) for name, (low, _) in other.items())
    start = time.process_time()
    bradley_terry(votes.battles, n_boot=1000)
    by_task_s = time.process_time() - start
    return [
        Timing("Bradley-Terry, 1,000 resamples of tasks", by_task_s),
        Timing("the same, resamples of votes", ours_s, "FastChat's way", peer_s, f"bounds within {apart:.4f}"),
    ]


def length_control_rows(runs: int) -> Timing:
    """52 models on 805 tasks; the peer is timed on 3 of them."""
    rng = np.random.default_rng(0)
    data = []
    for m in range(52):
        gap, difficulty = rng.normal(0, 800, 805), rng.normal(0, 1, 805)
        x = -1.5 * np.tanh(gap / 800) + difficulty + 0.05 * m - 1.5
        data.append((1 / (1 + np.exp(-x - rng.normal(0, 1, 805))), gap, difficulty))
    zeros = np.zeros(805)
    ours_s, peer_s, mine, other = timed(
        runs,
        lambda: [length_controlled(y, zeros, gap, difficulty).rate for y, gap, difficulty in data],
        lambda: [alpaca_length_control(*one) for one in data[:3]],
    )
    apart = max(abs(a - b) for a, b in zip(mine, other, strict=False))
    name = "length control of 52 models (the peer's 3, times 52 / 3)"
    return Timing(name, ours_s, "LogisticRegressionCV", peer_s * 52 / 3, f"within {apart:.2f} points")


def sweep(runs: int, pairs: dict[str, list[Path]]) -> Timing:
    """20 margins over 50,000 verdicts; the peer relabels verdict by verdict for each margin."""
    verdicts = [v for paths in pairs.values() for path in paths for v in read_judged(path).verdicts]
    verdicts = (verdicts * 2)[:50_000]
    margins = [100 * k for k in range(20)]

    def peer() -> Any:
        out = []
        for margin in margins:
            total = 0.0
            for v in verdicts:
                gap = v.n_chars - v.baseline_n_chars
                slight = abs(v.value) == 0.5
                total += 0 if slight and gap * (1 if v.value > 0 else -1) > margin else v.value
            out.append(100 * total / len(verdicts))
        return out

    ours_s, peer_s, mine, other = timed(runs, lambda: [row.reward for row in k_sweep(verdicts, margins)], peer)
    apart = max(abs(a - b) for a, b in zip(mine, other, strict=True))
    return Timing("K sweep of 20 values on 50,000 verdicts", ours_s, "a pass a margin", peer_s, f"within {apart:.0e}")


def main() -> None:
    """Run all parts, or those named by ``--part``, and print a table."""
    runs = int(sys.argv[sys.argv.index("--runs") + 1]) if "--runs" in sys.argv else 3
    with tempfile.TemporaryDirectory() as folder:
        scores, pairs = write_files(Path(folder))
        parts: dict[str, Callable[[], list[Timing]]] = {
            "ratings": lambda: ratings(runs, scores),
            "length": lambda: [length_control_rows(runs)],
            "sweep": lambda: [sweep(runs, pairs)],
            "elo": lambda: [elo(1, scores)],
            "board": lambda: whole_board(runs, scores, pairs),
        }
        chosen = sys.argv[sys.argv.index("--part") + 1].split(",") if "--part" in sys.argv else list(parts)
        rows = [row for part in chosen for row in parts[part]()]
    if "--json" in sys.argv:
        print(json.dumps([row._asdict() for row in rows]))
        return
    for row in rows:
        print(f"{row.task}: {row.ours_s:.3f} s", end="")
        if row.peer:
            print(f"; {row.peer} {row.peer_s:.3f} s, {row.peer_s / row.ours_s:.1f} times; {row.agree}", end="")
        print()


if __name__ == "__main__":
    main()
