"""``agora preferences data``: files in, one file to train on, its card, its report and what was refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from agora.core.errors import AgoraError, DataError, UsageError
from agora.core.records import PreferencePair
from agora.core.tables import read_records
from agora.rooms.preferences.data_commands import data

app = typer.Typer()
app.command("data")(data)


@app.callback()
def _room() -> None:
    """A room with one command, so that the command keeps its name."""


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["data", *map(str, arguments)])
    if isinstance(result.exception, AgoraError):
        raise result.exception
    return result


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A file of pairs with one faulty row, and one of scored answers with a tie."""
    pairs = [{"prompt": f"Question {i}?", "chosen": f"A long answer {i}.", "rejected": "No."} for i in range(30)]
    scored = [{"prompt": f"Task {i}?", "response": f"{k}", "score": k * (i > 0)} for i in range(10) for k in range(3)]
    return (
        write(tmp_path / "pairs.jsonl", [*pairs, {"prompt": "x", "chosen": "same", "rejected": "same"}]),
        write(tmp_path / "scored.jsonl", scored),
    )


def test_files_become_one_with_card_report_and_rejects(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out" / "mixed.jsonl"
    said = run(*files, "--out", out).stdout
    written = list(read_records(out, PreferencePair))
    assert len(written) == 39
    card = json.loads((out.parent / "mixed.card.json").read_text())
    assert card["card"]["sources"] == {"pairs": 30, "scored": 9}
    assert card["mix"]["sources"][0]["read"]["dropped"] == {"identical sides": 1}
    assert "Preference data" in (out.parent / "mixed.report.html").read_text()
    rejects = [json.loads(line) for line in (out.parent / "mixed.rejects.jsonl").read_text().splitlines()]
    assert [(r["reason"], r["where"].rpartition("/")[2]) for r in rejects] == [
        ("identical sides", "pairs.jsonl:31"),
        ("tie", "scored.jsonl:1"),
    ]
    assert "faulty 1: identical sides" in said and "no pair 1: tie" in said and str(out) in said
    assert "the longer answer is chosen in 76.9%" in said


def test_json_is_one_object(files: tuple[Path, Path], tmp_path: Path) -> None:
    result = json.loads(run(files[0], "--out", tmp_path / "o.jsonl", "--json").stdout)
    assert result["written"] == {
        "path": str(tmp_path / "o.jsonl"),
        "format": "agora",
        "written": 30,
        "skipped": {},
        "hint": "",
    }
    assert result["card"]["longer_wins"]["n"] == 30


def test_the_same_command_writes_the_same_bytes(files: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(*files, "--out", tmp_path / f"{name}.jsonl", "--cap", 5, "--seed", 3)
    run(*files, "--out", tmp_path / "c.jsonl", "--cap", 5, "--seed", 4)
    a, b, c = ((tmp_path / f"{name}.jsonl").read_bytes() for name in "abc")
    assert a == b != c and a.count(b"\n") == 10


def test_options_reach_the_reading(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    rule = "all_pairs,min_margin=2"
    result = json.loads(run(files[1], "--out", out, "--rule", rule, "--limit", 6, "--json").stdout)
    assert result["mix"]["sources"][0]["read"]["rows"] == 6
    [pair] = read_records(out, PreferencePair)
    assert pair.meta["rule"] == {"name": "all_pairs", "score": "overall", "min_margin": 2.0}


def test_long_and_tested_prompts_are_left_out(files: tuple[Path, Path], tmp_path: Path) -> None:
    tests = write(tmp_path / "exam.jsonl", [{"question": "question 3?"}])
    said = run(files[0], "--out", tmp_path / "o.jsonl", "--decontaminate", tests, "--max-answer-chars", 16).stdout
    assert "out 1: equals exam" in said and "out 20: answer over 16 characters" in said


def test_a_share_of_prompts_is_held_out_in_a_file_of_its_own(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl.gz"
    said = run(*files, "--out", out, "--held-out", 0.3).stdout
    train = {p.prompt[0].content for p in read_records(out, PreferencePair)}
    held = {p.prompt[0].content for p in read_records(tmp_path / "o.held-out.jsonl.gz", PreferencePair)}
    assert held and not train & held and len(train | held) == 39 and "held out: " in said
    assert "are held out, by prompt" in (tmp_path / "o.report.html").read_text()


def test_an_export_tells_how_to_use_it(files: tuple[Path, Path], tmp_path: Path) -> None:
    said = run(files[0], "--out", tmp_path / "o.json", "--export", "openrlhf").stdout
    assert "--prompt_key prompt" in said
    assert len(json.loads((tmp_path / "o.json").read_text())) == 30


def test_a_recipe_is_a_file_of_sources_beside_it(files: tuple[Path, Path], tmp_path: Path) -> None:
    recipe = tmp_path / "mix.yaml"
    recipe.write_text("seed: 1\nsources:\n  - {path: pairs.jsonl, rows: 10}\n  - {path: scored.jsonl, fraction: 0.5}\n")
    run(recipe, "--out", tmp_path / "o.jsonl")
    sources = [p.provenance.source for p in read_records(tmp_path / "o.jsonl", PreferencePair) if p.provenance]
    assert (sources.count("pairs"), sources.count("scored")) == (10, 4)
    with pytest.raises(UsageError, match="cap cannot be given beside a recipe"):
        run(recipe, "--out", tmp_path / "o.jsonl", "--cap", 3)


def test_inverted_labels_stop_and_leave_nothing_unless_trusted(tmp_path: Path) -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b", "score_chosen": 1, "score_rejected": 2}
    path, out = write(tmp_path / "pairs.jsonl", [row]), tmp_path / "o.jsonl"
    with pytest.raises(DataError, match=r"labels look inverted in 1 of 1 rows.*--trust-labels"):
        run(path, "--out", out)
    assert not list(tmp_path.glob("o.*"))
    assert run(path, "--out", out, "--trust-labels").exit_code == 0


def test_a_stopped_reading_keeps_the_earlier_output_and_shows_the_refused_rows(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "o.jsonl"
    run(files[0], "--out", out)
    before = out.read_bytes()
    bad = write(tmp_path / "bad.jsonl", [{"prompt": "p", "chosen": "a", "rejected": "a"}] * 3)
    with pytest.raises(DataError, match=r"3 of 3 rows were dropped.*see .*o\.rejects\.jsonl"):
        run(bad, "--out", out)
    assert out.read_bytes() == before and (tmp_path / "o.rejects.jsonl").read_text().count("\n") == 3


def test_opposite_labels_can_be_dropped(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "chosen": a, "rejected": b} for a, b in (("x", "y"), ("y", "x"), ("x", "z"))]
    path = write(tmp_path / "pairs.jsonl", rows)
    assert "2 contradicted" in run(path, "--out", tmp_path / "o.jsonl").stdout
    assert "left out 2: opposite labels" in run(path, "--out", tmp_path / "o.jsonl", "--drop-opposite").stdout


def test_the_input_is_never_replaced(files: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="would replace the input"):
        run(files[0], "--out", files[0])


def test_two_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "p.jsonl", [{"prompt": name, "chosen": "x", "rejected": "y"}])
    result = json.loads(
        run(tmp_path / "a/p.jsonl", tmp_path / "b/p.jsonl", "--out", tmp_path / "o.jsonl", "--json").stdout
    )
    assert [s["name"] for s in result["mix"]["sources"]] == [str(tmp_path / n / "p.jsonl") for n in "ab"]


def test_the_options_are_these() -> None:
    """A new option changes this list, and says why."""
    command = typer.main.get_command(app)
    [found] = list(command.commands.values())  # type: ignore[attr-defined]
    assert sorted(o for p in found.params for o in p.opts if o.startswith("--")) == [
        *("--cap", "--decontaminate", "--drop-opposite", "--export", "--format", "--held-out", "--json", "--limit"),
        *("--max-answer-chars", "--max-prompt-chars", "--merge-turns", "--out", "--rule", "--seed", "--trust-labels"),
    ]


def test_the_command_is_imported_without_heavy_libraries() -> None:
    import subprocess

    script = (
        "import sys, agora.rooms.preferences.data_commands;"
        "print(sorted({'torch', 'transformers', 'pyarrow', 'altair', 'numpy', 'scipy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
