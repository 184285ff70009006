"""What a leaderboard's page carries: compact verdicts that compute, texts that are packed, nothing that runs."""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agora.core.records import Verdict
from agora.core.stats import standard_error
from agora.core.tables import write_jsonl
from agora.rooms.judge.asking.answer_files import read_answer_files
from agora.rooms.judge.commands import app
from agora.rooms.judge.look.data import Comparisons, mix_standard_error, page_data
from agora.rooms.judge.look.page import figure, render_page
from agora.rooms.judge.scoring.reward import reward_report
from agora.rooms.judge.types import TaskSet
from tests.examples import examples
from tests.rooms.judge.look.sample import BASELINES, HOSTILE, SCRIPTS, Sample, make_sample
from tests.rooms.judge.support import make_pair, make_score

run = CliRunner().invoke


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("sample"), n=24)


@pytest.fixture(scope="module")
def page(sample: Sample) -> str:
    return render(sample)


def render(sample: Sample, **options: Any) -> str:
    data = page_data(
        [sample.folder], tasks=TaskSet.read(sample.tasks), answers=read_answer_files([sample.answers]), **options
    )
    return render_page(data)


def blocks(page: str) -> list[dict[str, Any]]:
    """The texts of all tasks of a page."""
    found = re.findall(r'<script type="text/plain" id="block-\d+">([^<]*)</script>', page)
    return [task for block in found for task in json.loads(zlib.decompress(base64.b64decode(block)))]


OUTCOMES = st.sampled_from([1.0, 0.5, 0.0, -0.5, -1.0])
ROWS = st.lists(
    st.tuples(st.integers(0, 7), OUTCOMES, st.integers(0, 3000), st.integers(0, 3000)), min_size=1, max_size=30
)


@given(rows=ROWS, margin=st.none() | st.integers(0, 3000))
@settings(max_examples=examples(150), deadline=None)
def test_compact_comparisons_give_the_reward_of_the_verdicts(
    rows: list[tuple[int, float, int, int]], margin: int | None
) -> None:
    verdicts, seen, pairs = [], set(), Comparisons("b")
    for task, value, chars, baseline_chars in rows:
        order = "candidate_second" if task in seen else "candidate_first"
        if (task, order) in seen:
            continue
        seen |= {task, (task, order)}
        verdicts.append(make_pair(f"t{task}", value, order=order, n_chars=chars, baseline_n_chars=baseline_chars))
        pairs.task.append(task)
        pairs.value.append(value)
        pairs.gap.append(chars - baseline_chars)
        pairs.second.append(order == "candidate_second")
    outcomes = pairs.outcomes(margin)
    expected = reward_report(verdicts, margin=margin, n_boot=100).baselines["b"]
    assert 100 * math.fsum(outcomes.values()) / len(outcomes) == pytest.approx(expected.reward, abs=1e-9)
    se = mix_standard_error([outcomes], 1)
    assert (se is None) == (len(outcomes) < 2)
    if se is not None:
        assert se == pytest.approx(standard_error(list(outcomes.values())), abs=1e-12)


def test_the_error_of_a_mix_is_that_of_its_bootstrap(tmp_path: Path) -> None:
    sample = make_sample(tmp_path, n=200, seed=3, two_judges=False)
    data = page_data([sample.folder], texts=False)
    (row,) = [r for r in data.tables[0].rows if r.name == "beta"]
    se = mix_standard_error([row.pairs[b].outcomes(None) for b in BASELINES], len(BASELINES))
    assert row.board.reward is not None and row.board.reward.mix_interval is not None and se is not None
    interval = row.board.reward.mix_interval
    assert 2 * 1.96 * 100 * se == pytest.approx(interval.high - interval.low, rel=0.1)


@given(value=st.floats(-1e6, 1e6), digits=st.integers(0, 2))
def test_a_figure_never_shows_a_negative_zero_and_has_its_decimals(value: float, digits: int) -> None:
    text = figure(value, digits)
    assert float(text.replace("−", "-").replace(",", "")) == pytest.approx(value, abs=0.5 * 10**-digits + 1e-9)
    assert not re.fullmatch(r"−[0.,]*", text)


def test_nothing_a_model_wrote_is_markup(page: str) -> None:
    assert "<script>document.title" not in page and "<img src=x" not in page
    scripts = re.findall(r"<script[^>]*>", page)
    assert scripts[:2] == ['<script type="application/json" id="data">', "<script>"]
    assert all(tag.startswith('<script type="text/plain" id="block-') for tag in scripts[2:])
    assert "script-src &#39;sha256-" in page and "unsafe-eval" not in page
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)


def test_the_texts_are_whole_whatever_their_script_or_size(page: str, sample: Sample) -> None:
    tasks = blocks(page)
    assert len(tasks) == 24
    assert tasks[1]["messages"][-1][1] == HOSTILE
    assert tasks[2]["messages"][-1][1] == SCRIPTS
    beta = str(json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])["models"].index("beta"))  # type: ignore[index]
    assert len(tasks[3]["answers"][beta]) == 1_000_000
    assert len(page.encode()) < 400_000


def test_private_tasks_keep_their_texts_to_themselves(sample: Sample, page: str) -> None:
    hidden = blocks(page)[5]
    assert hidden["answers"] == {} and "messages" not in hidden and "checklist" not in hidden
    assert not any("said" in v or "raw" in v for v in hidden["verdicts"])
    assert "Plan number 5:" not in page and "1 private tasks are shown without their texts" in page
    assert "messages" in blocks(render(sample, include_private=True))[5]


def test_a_page_without_texts_has_none(sample: Sample) -> None:
    page = render(sample, texts=False)
    assert blocks(page) == [] and "It could be shorter." not in page


def test_equal_inputs_give_equal_pages(sample: Sample, page: str) -> None:
    assert render(sample) == page


def test_an_answer_that_is_not_the_text_the_judge_saw_is_marked(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "v.jsonl", [make_score(f"t{i}", 6.0, n_chars=5) for i in range(4)])
    write_jsonl(
        tmp_path / "a.jsonl",
        [{"schema": "answer/1", "task_id": f"t{i}", "model": "m", "output": "x" * (5 + (i == 2))} for i in range(4)],
    )
    data = page_data([tmp_path / "v.jsonl"], answers=read_answer_files([tmp_path / "a.jsonl"]))
    assert [v.get("other") for task in blocks(render_page(data)) for v in task["verdicts"]] == [None, None, 5, None]
    assert any("1 answers are not as long" in note for note in data.notes)


def test_missing_scores_are_dashes_and_partial_models_have_no_rank(page: str) -> None:
    row = re.search(r'<tr data-m="\d+">(?:(?!</tr>).)*>delta</a>.*?</tr>', page, re.DOTALL)
    assert row is not None
    assert "not ranked" in row[0] and '<span class="missing">–</span>' in row[0] and "between " in row[0]


def test_a_table_of_comparisons_only_and_one_of_scores_only_are_shown(tmp_path: Path) -> None:
    pairs = [make_pair(f"t{i}", 0.5, "m", "b", n_chars=900) for i in range(4)]
    write_jsonl(tmp_path / "p.jsonl", pairs)
    write_jsonl(tmp_path / "s.jsonl", [make_score(f"t{i}", 6.0, "m") for i in range(4)])
    only_pairs = render_page(page_data([tmp_path / "p.jsonl"]))
    assert "Models by WB-Reward" in only_pairs and 'id="margin"' in only_pairs
    only_scores = render_page(page_data([tmp_path / "s.jsonl"]))
    assert "there is no WB-Reward" in only_scores and 'id="margin"' not in only_scores
    one = render_page(page_data([tmp_path / "s.jsonl", tmp_path / "p.jsonl"]))
    assert "Models by WB-Score" in one


def test_ranks_without_a_judges_own_family_stand_beside_the_ranks(tmp_path: Path) -> None:
    models = {"acme-1": 9.0, "acme-2": 5.0, "other": 7.0, "third": 3.0}
    for judge in ("acme-judge", "neutral"):
        lift = 1.0 if judge == "acme-judge" else 0.0
        rows = [
            make_score(f"t{i}", value + lift * name.startswith("acme") - i % 2, name, judge)
            for name, value in models.items()
            for i in range(6)
        ]
        write_jsonl(tmp_path / f"{judge}.jsonl", rows)
    data = page_data([tmp_path], families={"acme-judge": ["acme-1", "acme-2"]}, texts=False)
    html = render_page(data)
    cells = re.findall(r'data-c="own"><span>(.*?)</span></td>', html)
    own = '<span title="of the judge&#39;s own family">own'
    assert sorted(re.sub("<[^>]+>", "", cell) for cell in cells) == sorted(["own", "own", "1", "2"]), cells
    assert html.count(own.replace("&#39;", "'")) == 2
    (joint,) = data.together
    assert [row.name for row in joint.rows] == ["acme-1", "other", "acme-2", "third"]
    assert "2 judges, with and without what they say of their own family" in html
    assert html.count("12 verdicts of a judge on its own family") == 1


@pytest.mark.parametrize("value", [10.0, 1.0, 5.0])
def test_one_task_or_no_variance_is_no_error(tmp_path: Path, value: float) -> None:
    verdicts: list[Verdict] = [make_score("t", value, m) for m in "ab"]
    write_jsonl(tmp_path / "v.jsonl", [*verdicts, replace(make_pair("t", 0.0, "a", "b"), judge="j")])
    assert figure((value - 5) * 20) in render_page(page_data([tmp_path / "v.jsonl"]))


def test_the_command_writes_the_page_and_says_where(sample: Sample, tmp_path: Path) -> None:
    out = tmp_path / "new" / "board.html"
    result = run(app, ["report", str(sample.folder), "--tasks", str(sample.tasks), "--out", str(out)])
    assert result.exit_code == 0 and out.read_text().startswith("<!doctype html>")
    assert "board.html: 6 models, 24 tasks" in result.stdout
    result = run(app, ["report", str(sample.folder), "--out", str(out), "--no-texts", "--json"])
    assert json.loads(result.stdout)["models"] == 6


def test_wrong_inputs_are_one_line_with_their_exit_code(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n')
    for argument, code in ((tmp_path / "x.jsonl", 1), (tmp_path / "none.jsonl", 3)):
        result = run(app, ["report", str(argument), "--out", str(tmp_path / "o.html")])
        assert getattr(result.exception, "exit_code", None) == code and "\n" not in str(result.exception)
    assert run(app, ["report", str(tmp_path / "x.jsonl")]).exit_code == 2
    assert not (tmp_path / "o.html").exists()


def test_the_options_are_frozen() -> None:
    import typer

    command = typer.main.get_command(app).commands["report"]  # type: ignore[attr-defined]
    assert sorted(o for p in command.params for o in p.opts if o.startswith("--")) == [
        "--allow-partial", "--answers", "--baseline", "--family", "--include-private", "--json", "--judge", "--margin",
        "--no-texts", "--out", "--tasks", "--title",
    ]  # fmt: skip


def test_an_interval_ends_where_its_scale_ends_and_a_judge_without_any_score_has_a_table(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "a.jsonl", [make_score(f"t{i}", s, "m", "one") for i, s in enumerate([10.0, 10.0, 10.0, 6.0])]
    )
    write_jsonl(tmp_path / "b.jsonl", [make_score(f"t{i}", None, "m", "two") for i in range(4)])
    page = render_page(page_data([tmp_path / "a.jsonl", tmp_path / "b.jsonl"]))
    assert "40.8 to 100.0" in page
    second = page[page.index('id="judge-1"') :]
    assert "Models by WB-Score" in second and "between −80.0 and 100.0" in second and ">0</a>" in second
