"""The leaderboard's page in a real Chromium: the same figures as Python, for everyone, whatever a model wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agora.core.records import Verdict
from agora.rooms.judge.asking.answer_files import read_answer_files
from agora.rooms.judge.look.data import page_data
from agora.rooms.judge.look.page import render_page
from agora.rooms.judge.scoring.metrics import paired_difference, score_report
from agora.rooms.judge.scoring.reward import reward_report
from agora.rooms.judge.types import GROUPS, TaskSet
from tests.chromium import Tab, browser, needs_browser
from tests.rooms.judge.look.sample import BASELINES, HOSTILE, MODELS, Sample, make_sample

pytestmark = needs_browser()

MARGINS = [None, 0, 1, 137, 200, 500, 999, 1000, 2500, 5000]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def page_file(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = page_data(
        [sample.folder], tasks=TaskSet.read(sample.tasks), answers=read_answer_files([sample.answers]), command="agora"
    )
    path = tmp_path_factory.mktemp("page") / "board.html"
    path.write_text(render_page(data), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture
def tab(chromium: Any, page_file: Path) -> Iterator[Tab]:
    opened = Tab(chromium, page_file)
    yield opened
    opened.close()
    assert opened.problems == []


READ = """() => [...document.querySelectorAll('table.board')].map((table) =>
    Object.fromEntries([...table.tBodies[0].rows].map((tr) => [tr.querySelector('th').textContent.trim(),
        Object.fromEntries([...tr.children].map((c) => [c.dataset.c, c.dataset.value ?? null]))])))"""


def of(sample: Sample, judge: str, model: str, kind: str, tasks: set[str] | None = None) -> list[Verdict]:
    rows = (v for v in sample.verdicts if (v.judge, v.model, v.kind) == (judge, model, kind))
    return [v for v in rows if tasks is None or v.task_id in tasks]


def shown(cell: str | None) -> float | None:
    return None if cell is None else float(cell)


def test_rewards_in_the_page_equal_python_for_every_margin(tab: Tab, sample: Sample) -> None:
    for margin in MARGINS:
        tab.page.fill("#margin-number", "" if margin is None else str(margin))
        table = tab.page.evaluate(READ)[0]
        for model in MODELS:
            report = reward_report(
                of(sample, "judge-1", model, "pair"), model=model, baselines=BASELINES, margin=margin, n_boot=100
            )
            assert shown(table[model]["mix"]) == pytest.approx(report.mix, abs=1e-9), (model, margin)
            for baseline, one in report.baselines.items():
                if not one.is_self:
                    assert shown(table[model][f"b:{baseline}"]) == pytest.approx(one.reward, abs=1e-9)


def test_the_slider_moves_the_margin_with_the_keyboard_alone(tab: Tab, sample: Sample) -> None:
    tab.page.focus("#margin")
    assert tab.page.get_attribute("#margin", "aria-valuetext") == "no margin"
    for _ in range(26):
        tab.page.keyboard.press("ArrowLeft")
    assert tab.page.get_attribute("#margin", "aria-valuetext") == "500 characters"
    assert tab.page.input_value("#margin-number") == "500"
    report = reward_report(of(sample, "judge-1", "alpha", "pair"), baselines=BASELINES, margin=500, n_boot=100)
    assert shown(tab.page.evaluate(READ)[0]["alpha"]["mix"]) == pytest.approx(report.mix, abs=1e-9)
    assert "K = 500" in tab.page.inner_text("table.board >> nth=0 >> css=caption")


def test_scores_of_a_group_equal_python_and_missing_stays_missing(tab: Tab, sample: Sample) -> None:
    tasks = TaskSet(tuple(sample.task_list))
    for number, group in enumerate(GROUPS):
        tab.page.select_option("#group", f"g{number}")
        ids = {id_ for id_, groups in tasks.groups.items() if group in groups}
        for judge, table in zip(("judge-1", "judge-2"), tab.page.evaluate(READ), strict=True):
            for model in table:
                report = score_report(of(sample, judge, model, "score", ids), n_boot=100)
                if "withheld" in table[model]:
                    assert "score" not in table[model]
                    continue
                assert shown(table[model]["score"]) == pytest.approx(report.wb_score, abs=1e-9)
                assert shown(table[model]["n"]) == report.n
                assert shown(table[model]["chars"]) == pytest.approx(report.mean_chars, abs=1e-9)
    tab.page.select_option("#group", "")
    for model, cells in tab.page.evaluate(READ)[0].items():
        report = score_report(of(sample, "judge-1", model, "score"), tasks=tasks, n_boot=100)
        assert shown(cells["macro"]) == (None if "withheld" in cells else pytest.approx(report.macro, abs=1e-9))


def test_intervals_and_separable_pairs_equal_python(tab: Tab, sample: Sample) -> None:
    pairs = tab.page.evaluate(
        """() => [...document.querySelectorAll('table.pairs')[0].querySelectorAll('td[data-a]')].map((c) =>
            [c.dataset.a, c.dataset.b, c.textContent, c.classList.contains('sure')])"""
    )
    names = tab.page.evaluate("JSON.parse(document.getElementById('data').textContent).models")
    assert len(pairs) == 10  # five ranked models
    for a, b, text, sure in pairs:
        expected = paired_difference(
            of(sample, "judge-1", names[int(a)], "score"), of(sample, "judge-1", names[int(b)], "score"), n_boot=None
        )
        assert float(text.replace("−", "-").split()[0]) == pytest.approx(expected.value, abs=0.051)
        assert sure == expected.separable
    report = score_report(of(sample, "judge-1", "alpha", "score"), n_boot=2000)
    assert report.wb_score is not None and report.se is not None
    low, high = report.wb_score - 1.96 * report.se, report.wb_score + 1.96 * report.se
    text = tab.page.inner_text("table.board >> nth=0 >> css=tr:has-text('alpha') >> css=[data-c=score] .bounds")
    assert [float(x.replace("−", "-")) for x in text.split(" to ")] == pytest.approx([low, high], abs=0.051)
    assert [report.interval.low, report.interval.high] == pytest.approx([low, high], abs=1.5)


def test_every_number_links_to_the_tasks_behind_it(tab: Tab, sample: Sample) -> None:
    tab.page.click("table.board >> nth=0 >> css=tr:has-text('delta') >> css=[data-c=n] a")
    missing = 60 - len([v for v in of(sample, "judge-1", "delta", "score") if v.status == "ok"])
    assert tab.page.inner_text("table.tasks caption") == f"{missing} of 60 tasks"
    tab.open("#board")
    tab.page.click("table.board >> nth=0 >> css=tr:has-text('gamma') >> css=[data-c='b:strong baseline'] a")
    compared = len({v.task_id for v in of(sample, "judge-1", "gamma", "pair") if v.baseline == "strong baseline"})
    assert tab.page.inner_text("table.tasks caption") == f"{compared} of 60 tasks"
    assert tab.page.locator("table.tasks th:has-text('gamma against strong baseline')").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize(
    "view", ["", "#tasks", "#tasks?q=nothing-like-this", "#task?id=task-003&m=0&a=1", "#task?id=none"]
)
def test_no_view_is_too_wide_or_has_a_fault_that_axe_finds(
    chromium: Any, page_file: Path, scheme: str, width: int, view: str
) -> None:
    tab = Tab(chromium, page_file, view, color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    tab.page.wait_for_selector("h2:visible")
    assert tab.too_wide() == 0
    assert tab.faults() == []
    assert tab.problems == []
    tab.close()


@pytest.mark.parametrize("task", ["task-001", "task-002", "task-003", "task-005", "task-007"])
def test_hostile_huge_private_empty_and_foreign_answers_are_shown_as_text(tab: Tab, task: str) -> None:
    tab.open(f"#task?id={task}&m=1&a=2")  # alpha and beta
    tab.page.wait_for_selector("#view-task article")
    title = tab.page.title()
    assert title == "Demo leaderboard"
    assert tab.page.locator("#view-task img, #view-task script").count() == 0
    text = tab.page.inner_text("#view-task")
    if task == "task-001":
        assert HOSTILE in text
    if task == "task-003":
        tab.page.click("article[aria-label=beta] .unfold")
        assert tab.page.inner_text("article[aria-label=beta] .words >> nth=0").count("A very long answer.") == 50_000
    if task == "task-005":
        assert "private" in text and "Plan number 5" not in text
    if task == "task-007":
        assert "The answer is empty." in text


def test_search_reads_the_texts_and_filters_narrow_it(tab: Tab) -> None:
    tab.open("#tasks")
    tab.page.fill("#q", "chapter 12 ")
    tab.page.wait_for_selector("table.tasks caption:text-is('1 of 60 tasks')")
    assert tab.page.evaluate("document.activeElement.id") == "q"
    tab.page.fill("#q", "A very long answer")
    tab.page.wait_for_selector("text=No task passes these filters.")
    tab.page.check("#texts")
    tab.page.wait_for_selector("table.tasks caption:text-is('1 of 60 tasks')")
    assert "texts=1" in tab.page.url
    tab.page.click("table.tasks tbody a")
    tab.page.wait_for_selector("#view-task article")
    assert tab.page.evaluate("document.activeElement.tagName") == "H2"


def test_sorting_is_told_to_screen_readers_and_missing_stays_last(tab: Tab) -> None:
    names = "[...document.querySelector('table.board').tBodies[0].rows].map((r) => r.querySelector('th').textContent)"
    head = "table.board >> nth=0 >> css=th[data-sort=score]"
    for expected in ("descending", "ascending"):
        tab.page.click(f"{head} >> css=button")
        assert tab.page.get_attribute(head, "aria-sort") == expected
        assert tab.page.evaluate(names)[-1] == "delta"  # withheld
    assert tab.page.evaluate(names)[0] == "weak baseline"


def test_the_page_is_a_static_table_without_javascript(chromium: Any, page_file: Path) -> None:
    tab = Tab(chromium, page_file, java_script_enabled=False)
    assert tab.page.locator("table.board").count() == 2
    row = tab.page.inner_text("table.board >> nth=0 >> css=tr:has-text('alpha')")
    assert re.search(r"\d+\.\d", row)
    assert not tab.page.is_visible(".controls") and not tab.page.is_visible(".views")
    assert tab.page.is_visible("noscript p")
    tab.close()


@pytest.mark.parametrize("margin", [None, 500])
def test_the_static_table_holds_what_the_script_computes(
    chromium: Any, sample: Sample, tmp_path: Path, margin: int | None
) -> None:
    path = tmp_path / "board.html"
    path.write_text(render_page(page_data([sample.folder], tasks=TaskSet.read(sample.tasks), margin=margin)))
    texts = []
    for script in (False, True):
        tab = Tab(chromium, path, java_script_enabled=script)
        bodies = [tab.page.inner_text(f"table.board >> nth={i} >> css=tbody") for i in range(2)]
        texts.append([*bodies, *tab.page.locator("table.pairs").all_inner_texts()])
        tab.close()
    assert texts[0] == texts[1]


def test_a_page_of_the_published_files_opens_and_tells_61_of_66_pairs_apart(
    chromium: Any, shared_dir: Path, tmp_path: Path
) -> None:
    judged = shared_dir / "data" / "wildbench" / "judged" / "gpt-4-turbo-2024-04-09.v2.0522"
    path = tmp_path / "board.html"
    path.write_text(render_page(page_data([judged])), encoding="utf-8")
    assert path.stat().st_size < 12_500_000
    tab = Tab(chromium, path)
    assert tab.page.inner_text(".separable") == "61 of 66"
    table = tab.page.evaluate(READ)[0]
    published = {"gemma-2b-it": 6.2109, "gemma-7b-it": 23.8672, "gpt-3.5-turbo-0125": 42.1094}
    assert {name: round(float(table[name]["score"]), 4) for name in published} == published
    tab.open("#task?id=ae006110bb364606&m=11")
    tab.page.wait_for_selector("article[aria-label='gemma-2b-it'] >> text=The answer is empty.")
    assert "did not generate any response" in tab.page.inner_text("article[aria-label='gemma-2b-it']")
    assert tab.problems == []
    tab.close()
