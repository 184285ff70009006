"""`agora curate dedup`: three layers, keepers by quality, removed rows on record, new thresholds without new work."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agora.cli import app
from agora.core.errors import UsageError
from agora.core.tables import read_rows, write_jsonl
from agora.curate import signing
from agora.curate.dedup import DedupSettings, dedup_file
from agora.curate.neighbor_marks import NeighborSettings, mark_neighbors_file

BASE = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
NEAR = BASE.replace("48", "52")
TURNED = "In April, Natalia sold clips to 48 of her friends, and then in May she sold half as many clips."
OTHER = "Name three rivers of Europe."


def chat(name: str, *turns: str, **tags: Any) -> dict[str, Any]:
    messages = [
        {
            "role": "user" if i % 2 == 0 else "assistant",
            "content": text,
            "id": str(i),
            "parent": str(i - 1) if i else None,
        }
        for i, text in enumerate(turns)
    ]
    return {
        "schema": "conversation/1",
        "id": name,
        "messages": messages,
        "provenance": {"source": "test"},
        "tags": {k: {"value": v, "status": "ok"} for k, v in tags.items()},
    }


def run(folder: Path, rows: list[dict[str, Any]], settings: DedupSettings | None = None, **more: Any) -> Any:
    write_jsonl(folder / "in.jsonl", rows)
    return dedup_file(folder / "in.jsonl", folder / "out.jsonl", settings, workers=1, **more)


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    return {row.data["id"]: row.data["tags"]["dedup"] for row in read_rows(folder / "out.jsonl")}


def removed(folder: Path) -> dict[str, dict[str, Any]]:
    rows = [row.data for row in read_rows(folder / "out.rejects.jsonl")]
    return {row["raw"]["id"]: row["raw"]["tags"]["dedup"] | {"reason": row["reason"]} for row in rows}


def test_layers_follow_each_other_and_each_removed_row_names_what_it_repeats(tmp_path: Path) -> None:
    rows = [chat("a", BASE), chat("b", BASE.upper()), chat("c", NEAR), chat("d", TURNED), chat("e", OTHER)]
    report = run(tmp_path, rows, DedupSettings(("semantic", "exact", "surface"), surface=0.8, semantic=0.6))
    assert (report.n_in, report.n_out) == (5, 2)
    assert [s.label for s in report.funnel.steps[1:]] == [
        "no exact duplicate",
        "no surface duplicate",
        "no semantic duplicate",
    ]
    assert set(kept(tmp_path)) == {"a", "e"}
    gone = removed(tmp_path)
    assert {k: (v["reason"], v["nn_id"], v["keeper_id"]) for k, v in gone.items()} == {
        "b": ("exact duplicate", "a", "a"),
        "c": ("surface duplicate", "a", "a"),
        "d": ("semantic duplicate", "a", "a"),
    }
    assert gone["b"]["nn_distance"] == 0
    assert 0 < gone["c"]["nn_distance"] < 0.2
    assert 0 < gone["d"]["nn_distance"] < 0.6
    assert kept(tmp_path)["a"]["count"] == 3
    alone = kept(tmp_path)["e"]
    assert (alone.pop("nn_id"), alone.pop("nn_distance") > 0.6) == ("d", True), (
        "the nearest of those that the layer saw"
    )
    assert alone == {
        "keeper_id": "e",
        "cluster_id": "e",
        "count": 0,
        "method": "exact,surface,semantic",
        "threshold": {"surface": 0.8, "semantic": 0.6},
    }


def test_better_rows_stay_and_a_keeper_is_always_a_row_that_stays(tmp_path: Path) -> None:
    rows = [
        chat("a", BASE, quality="poor"),
        chat("b", BASE, quality="good", reward=0.1),
        chat("c", NEAR, quality="good", reward=0.7),
        chat("d", BASE),
        chat("e", BASE, reward=float("nan")),
    ]
    run(tmp_path, rows)
    assert set(kept(tmp_path)) == {"c"}
    gone = removed(tmp_path)
    assert {v["keeper_id"] for v in gone.values()} == {"c"}
    assert {k: v["nn_id"] for k, v in gone.items()} == {"a": "b", "b": "c", "d": "b", "e": "b"}
    assert {v["cluster_id"] for v in gone.values()} == {"c"}


def test_the_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    rng = random.Random(0)
    words = BASE.split()
    rows = []
    for i in range(60):
        some = list(words)
        for _ in range(rng.randrange(4)):
            some[rng.randrange(len(some))] = f"w{rng.randrange(30)}"
        rows.append(chat(f"{i:03}", " ".join(some)))
    settings = DedupSettings(("exact", "surface", "semantic"), surface=0.9, semantic=0.5)
    run(tmp_path, rows, settings)
    before = kept(tmp_path), removed(tmp_path)
    assert len({v["reason"] for v in before[1].values()}) == 3
    rng.shuffle(rows)
    run(tmp_path, rows, settings)
    assert (kept(tmp_path), removed(tmp_path)) == before


def test_later_turns_count_where_the_key_says_so(tmp_path: Path) -> None:
    rows = [chat("a", OTHER, "Rhine.", BASE), chat("b", OTHER, "Volga.", BASE), chat("c", OTHER, "Rhine.", "Thanks!")]
    counts = {}
    for key in ("first", "user", "all"):
        run(tmp_path, rows, DedupSettings(("exact",), key=key))
        counts[key] = len(kept(tmp_path))
    assert counts == {"first": 1, "user": 2, "all": 3}


def test_a_threshold_is_changed_without_computing_vectors_and_neighbors_again(tmp_path: Path) -> None:
    rows = [chat("a", BASE), chat("b", TURNED), chat("c", NEAR), chat("d", OTHER)]
    first = run(tmp_path, rows, DedupSettings(("semantic",), semantic=0.01, pairs_from=0.5))
    files = sorted((tmp_path / "out.work").rglob("*.*"))
    made = {f: f.stat().st_mtime_ns for f in files if f.suffix in (".parquet", ".npz")}
    second = run(tmp_path, rows, DedupSettings(("semantic",), semantic=0.8, pairs_from=0.5))
    assert len(made) == 3
    assert made == {f: f.stat().st_mtime_ns for f in made}
    assert first.n_out > second.n_out
    assert first.facts["neighbors"]["folder"] == second.facts["neighbors"]["folder"]
    assert second.facts["neighbors"]["pairs"] >= 3


@pytest.mark.parametrize("rows", [[chat("a", BASE)], [chat(f"{i}", BASE) for i in range(9)]])
def test_one_row_and_only_copies(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    report = run(tmp_path, rows, DedupSettings(("exact", "surface", "semantic")))
    assert report.n_out == 1
    assert report.n_in == len(rows)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"by": ("exact", "fuzzy")}, "'fuzzy' is no layer; --by takes exact, surface, semantic"),
        ({"by": ("exact", "exact")}, "name each layer once"),
        ({"key": "last"}, "--key takes first, user, all"),
        ({"semantic": 0.0}, "a squared distance above 0"),
        ({"surface": 0.3}, "a similarity of 0.5 to 1, got 0.3"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        DedupSettings(**settings)
    assert told in str(caught.value)


def test_a_wrong_place_or_embedder_is_told_before_anything_is_read(tmp_path: Path) -> None:
    missing, out = tmp_path / "missing.jsonl", tmp_path / "out.jsonl"
    with pytest.raises(UsageError, match='"mars" is no place to run on'):
        dedup_file(missing, out, DedupSettings(("exact",)), on="mars")
    with pytest.raises(UsageError, match="did you mean minilm"):
        dedup_file(missing, out, DedupSettings(("semantic",), embedder="minlm"))
    with pytest.raises(UsageError, match="did you mean minilm"):
        mark_neighbors_file(missing, out, NeighborSettings(embedder="minlm"))


def test_the_command_tells_the_funnel_and_takes_thresholds(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [chat("a", BASE), chat("b", BASE), chat("c", NEAR)])
    command = ["curate", "dedup", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "o.jsonl")]
    said = CliRunner().invoke(app, [*command, "--threshold", "surface=0.95"])
    assert said.exit_code == 0, said.output
    assert "2 of 3 rows stay" in said.stdout
    assert "1: exact duplicate" in said.stdout
    told = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert told["reasons"] == {"exact duplicate": 1, "surface duplicate": 1}
    for wrong in ("surface", "surface=x", "exact=1"):
        assert CliRunner().invoke(app, [*command, "--threshold", wrong]).exception is not None


def test_planted_copies_leave_by_the_layer_that_sees_them(tmp_path: Path, shared_dir: Path) -> None:
    """10,903 rows, 10,609 distinct after lower-casing and collapsing white space (data/magpie/README.md)."""
    source = shared_dir / "data/magpie/neardup_planted.jsonl.gz"
    report = dedup_file(source, tmp_path / "out.jsonl", workers=1)
    assert report.reasons["exact duplicate"] == 10_903 - 10_609
    assert report.n_out + sum(report.reasons.values()) == 10_903
    assert report.facts["clusters"] == 8774
    layer = Counter()
    for row in read_rows(tmp_path / "out.rejects.jsonl"):
        layer[row.data["raw"]["meta"]["edit"], row.data["reason"]] += 1
    assert layer["word-sub", "exact duplicate"] == 0


def test_neighbors_are_told_of_every_row_and_none_is_removed(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [chat("a", BASE), chat("b", OTHER), chat("c", BASE), chat("d", NEAR)])
    settings = NeighborSettings(threshold=0.2)
    report = mark_neighbors_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", settings, workers=1)
    assert (report.n_in, report.n_out) == (4, 4)
    told = kept(tmp_path)
    assert {k: (v["nn_id"], v["repeat_count"], v["min_similar_id"]) for k, v in told.items()} == {
        "a": ("c", 2, "a"),
        "b": (told["b"]["nn_id"], 0, None),
        "c": ("a", 2, "a"),
        "d": ("a", 2, "a"),
    }
    assert told["a"]["nn_distance"] == pytest.approx(0, abs=1e-5)
    assert told["b"]["nn_distance"] > 1
    write_jsonl(tmp_path / "one.jsonl", [chat("a", BASE)])
    mark_neighbors_file(tmp_path / "one.jsonl", tmp_path / "out.jsonl", settings, workers=1)
    assert kept(tmp_path)["a"]["nn_id"] is None
    with pytest.raises(UsageError, match="a squared distance"):
        NeighborSettings(threshold=0)


@pytest.mark.slow
def test_a_killed_search_for_neighbors_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, shared_dir: Path) -> None:
    source = shared_dir / "data/magpie/neardup_planted.jsonl.gz"
    command = [sys.executable, "-m", "agora.cli", "curate", "dedup", str(source), "--by", "exact,semantic"]
    env = os.environ | {"AGORA_PROGRESS": "0"}
    for name, kills in (("whole", 0), ("killed", 3)):
        for turn in range(kills + 1):
            out = tmp_path / f"{name}.jsonl"
            process = subprocess.Popen([*command, "--out", str(out), "--workers", "1"], env=env)
            made = sum(1 for _ in tmp_path.glob(f"{name}.work/*/0*.parquet"))
            deadline = time.monotonic() + 240
            while turn < kills and process.poll() is None and time.monotonic() < deadline:
                if sum(1 for _ in tmp_path.glob(f"{name}.work/*/0*.parquet")) > made:  # in the middle of the next part
                    process.kill()
                time.sleep(0.01)
            code = process.wait(240)
            assert code == (-9 if turn < kills else 0)
            assert out.exists() == (turn == kills)
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    assert whole.read_bytes() == killed.read_bytes()
    assert (tmp_path / "whole.rejects.jsonl").read_bytes() == (tmp_path / "killed.rejects.jsonl").read_bytes()
    vectors = [sorted((tmp_path / f"{name}.work").rglob("*.parquet")) for name in ("whole", "killed")]
    assert [p.read_bytes() for p in vectors[0]] == [p.read_bytes() for p in vectors[1]]
    assert len(vectors[0]) == 3


@pytest.mark.parametrize(
    ("on", "module"),
    [("local", "numpy"), pytest.param("ray", "ray", marks=[pytest.mark.slow, pytest.mark.timeout(240)])],
)
def test_two_processes_that_sign_give_the_bytes_of_one(
    tmp_path: Path, on: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(module, reason=f"the extra {module} is not installed")
    monkeypatch.setattr(signing, "_TEXTS_A_PART", 40)
    rng = random.Random(1)
    words = BASE.split()
    rows = []
    for i in range(120):
        some = [f"w{rng.randrange(40)}" if rng.random() < 0.15 else word for word in words]
        rows.append(chat(f"{i:03}", " ".join(some)))
    run(tmp_path, rows)
    alone = [(tmp_path / name).read_bytes() for name in ("out.jsonl", "out.rejects.jsonl")]
    dedup_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", on=on, workers=2)
    assert [(tmp_path / name).read_bytes() for name in ("out.jsonl", "out.rejects.jsonl")] == alone
    assert len(removed(tmp_path)) > 10
    assert not list(tmp_path.rglob("signatures*"))
