"""Arena-Hard's meta-evaluation and the early single grades, recomputed from the stored files."""

from __future__ import annotations

from pathlib import Path

import pytest

from agora.core.tables import read_json, read_rows
from agora.rooms.judge.formats.arena_files import single_rating
from agora.rooms.judge.trust.meta import Rated, confidence, correlate
from agora.rooms.judge.trust.meta_files import read_human, read_metrics

# separability, agreement with confidence, strict agreement, Spearman, pair-rank Brier
PUBLISHED = {
    "alpaca_LC": (87.89, 0.8729, 0.8526, 0.8782, 0.1347),
    "alpaca": (71.05, 0.7910, 0.8105, 0.7579, 0.1642),
    "arena_hard": (84.21, 0.9040, 0.9158, 0.9323, 0.0705),
    "arena_hard_bt": (88.95, 0.9294, None, 0.9323, 0.0714),
    "mt_bench": (36.32, 0.6949, 0.8684, 0.8932, 0.1008),
}


@pytest.fixture(scope="module")
def data(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "arena_hard"
    if not folder.is_dir():
        pytest.skip(f"Arena-Hard data not found: {folder}")
    return folder


@pytest.fixture(scope="module")
def human(data: Path) -> dict[str, Rated]:
    return read_human(data / "arena_elo_20240329.csv")


def benchmark(data: Path, name: str) -> dict[str, Rated]:
    """The 20 shared models under the Arena's names."""
    (ratings,) = read_metrics(data / f"bootstrap_stats_{name}.jsonl.zst").values()
    if name.startswith("alpaca"):
        names = read_json(data / "alpaca_to_arena.json")
        return {names[model]: rated for model, rated in ratings.items() if model in names}
    file = "arena_to_mt_bench.json" if name == "mt_bench" else "arena_to_arena_hard.json"
    names = {theirs: arena for arena, theirs in read_json(data / file).items()}
    if name == "arena_hard_bt":
        names |= {arena: arena for arena in names.values()}
    return {names[key]: rated for model, rated in ratings.items() for key in (model, model.lower()) if key in names}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_meta_metrics_of_the_20_shared_models(data: Path, human: dict[str, Rated], name: str) -> None:
    ratings = benchmark(data, name)
    shared = set(read_json(data / "arena_to_arena_hard.json"))
    ratings = {model: rated for model, rated in ratings.items() if model in shared}
    published = confidence(ratings, human, as_published=True)
    (row,) = correlate({name: ratings}, human).correlations
    separability, agreement, strict, rho, brier = PUBLISHED[name]
    assert row.n == 20
    assert published.separability is not None and 100 * published.separability == pytest.approx(separability, abs=5e-3)
    assert published.agreement == pytest.approx(agreement, abs=5e-5)
    assert strict is None or published.strict == pytest.approx(strict, abs=5e-5)
    assert row.spearman.estimate == pytest.approx(rho, abs=5e-5)
    assert published.brier == pytest.approx(brier, abs=5e-5)


def test_the_published_agreement_counts_the_anchor_as_separate_from_models_around_it(
    data: Path, human: dict[str, Rated]
) -> None:
    ratings = {m: r for m, r in benchmark(data, "alpaca_LC").items() if m in human}
    published, ours = confidence(ratings, human, as_published=True), confidence(ratings, human)
    anchor = human["mixtral-8x7b-instruct-v0.1"]
    assert anchor.low == anchor.high == 1114.0
    around = [m for m, r in human.items() if m in ratings and r.low < 1114 < r.high]
    assert sorted(around) == ["claude-2.1", "gemini-pro", "gpt-3.5-turbo-0613"]
    assert (published.num_human, ours.num_human) == (177, 174)
    assert ours.agreement == pytest.approx(0.8793, abs=5e-5)


def test_the_arena_itself_separates_its_models(human: dict[str, Rated], data: Path) -> None:
    shared = set(read_json(data / "arena_to_arena_hard.json"))
    twenty = confidence({m: r for m, r in human.items() if m in shared}, human)
    assert twenty.separability == pytest.approx(0.9158, abs=5e-5)
    # 76 models: the published 90.95 % counts pairs by sorted intervals, so does ours
    assert confidence(human, human).separability == pytest.approx(0.9095, abs=5e-5)


def test_the_grades_in_900_texts_are_read(data: Path) -> None:
    double = same = null = fallback = 0
    for row in read_rows(data / "single_grading_judgments.jsonl.zst"):
        text, score = row.data["judgment"] or "", row.data["score"]
        found = single_rating(text)
        if score is None:
            null += 1
        elif f"[[{score}]]" in text.replace(" ", "") or f"[[{score}.0]]" in text:
            double += 1
            same += found == score
        else:
            fallback += 1
    assert (double, same, null, fallback) == (889, 889, 9, 2)
