"""Every format is told by its columns and read into the same record."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import DataError, UsageError
from agora.core.jsonl import write_jsonl
from agora.curate.pairs import PAIR_FORMATS, PairRule, read_groups, read_pairs, read_prompts, read_unpaired
from agora.curate.pairs.detect import detect_pairs

from .rows import CHOSEN_CHAT, SAMPLES, A, B, Q, Sample, chat, plain, read_all, read_rows_as, texts, write_lines

NAMES = [f"{i}-{s.format}" for i, s in enumerate(SAMPLES)]


@pytest.mark.parametrize("sample", SAMPLES, ids=NAMES)
def test_a_row_gives_its_pair(sample: Sample, tmp_path: Path) -> None:
    named = sample.format if sample.format.startswith("openrlhf") else "auto"
    [pair] = read_rows_as(tmp_path, sample.rows, format=named)
    assert texts(pair) == (sample.prompt, sample.chosen, sample.rejected)
    assert pair.meta["format"] == sample.format.partition(":")[0]
    assert pair.provenance is not None
    assert pair.provenance.source == "rows" and pair.provenance.line == 1


@pytest.mark.parametrize("sample", SAMPLES, ids=NAMES)
def test_json_array_gzip_and_parquet_give_the_same_pairs(sample: Sample, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    expected = [(p.id, p.margin) for p in read_rows_as(tmp_path, sample.rows, format=sample.format)]
    array = tmp_path / "rows.json.gz"
    array.write_bytes(gzip.compress(json.dumps(sample.rows).encode()))
    lines = tmp_path / "rows.jsonl.zst"
    write_jsonl(lines, sample.rows)
    table = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(sample.rows), table)
    for path in (array, lines, table):
        assert [(p.id, p.margin) for p in read_all(path, format=sample.format)[0]] == expected, path.name


def test_every_pair_format_has_a_sample() -> None:
    sampled = {s.format.partition(":")[0] for s in SAMPLES} | {"agora", "agora-groups"}
    assert sampled == {name for name, f in PAIR_FORMATS.items() if f.gives != "prompts"}


def test_unknown_columns_are_listed_with_the_nearest_format(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [{"history": Q, "ref_A": A, "ref_B": B, "labels": 1}])
    with pytest.raises(DataError) as error:
        read_pairs(path)
    line = str(error.value)
    assert "'history', 'ref_A', 'ref_B', 'labels'" in line
    assert "nearest is shp (it also needs 'human_ref_A', 'human_ref_B')" in line


def test_a_file_of_nothing_known_says_that_none_is_near(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none is near"):
        detect_pairs(write_lines(tmp_path / "x.jsonl", [{"a": 1}]))


def test_a_wrong_format_name_is_told_the_nearest(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", SAMPLES[0].rows)
    with pytest.raises(UsageError, match="did you mean nectar"):
        read_pairs(path, format="necter")
    with pytest.raises(UsageError, match="takes no question"):
        read_pairs(path, format="openrlhf:question=prompt")


def test_the_majority_of_the_first_rows_decides(tmp_path: Path) -> None:
    rows = [SAMPLES[0].rows[0], *[{"chosen": f"{Q} {i}", "rejected": B, "prompt": Q, "subset": "s"} for i in range(5)]]
    assert detect_pairs(write_lines(tmp_path / "x.jsonl", rows)).name == "rewardbench"


def test_hh_splits_only_at_openers_after_a_blank_line(tmp_path: Path) -> None:
    quoted = "She wrote\nHuman: hello\nand Assistant: bye"
    head = "\n\nHuman: Quote a dialogue.\n\nAssistant:"
    [pair] = read_rows_as(tmp_path, [{"chosen": f"{head} {quoted}", "rejected": f"{head} No."}])
    assert texts(pair)[1] == [("assistant", quoted)]


def test_hh_keeps_two_answers_in_a_row_and_can_join_them(tmp_path: Path) -> None:
    head = "\n\nHuman: Hi\n\nAssistant:"
    row = {"chosen": f"{head} One.\n\nAssistant: Two.", "rejected": f"{head} Three."}
    [pair] = read_rows_as(tmp_path, [row])
    assert texts(pair)[1] == [("assistant", "One."), ("assistant", "Two.")]
    [pair] = read_rows_as(tmp_path, [row], merge_turns=True)
    assert texts(pair)[1] == [("assistant", "One.\n\nTwo.")]


def test_the_shared_prefix_is_counted_in_messages_not_characters(tmp_path: Path) -> None:
    sides = [chat(("user", Q), ("assistant", text)) for text in ("The red one.", "The blue one.")]
    [pair] = read_rows_as(tmp_path, [{"chosen": sides[0], "rejected": sides[1]}])
    assert texts(pair)[1:] == ([("assistant", "The red one.")], [("assistant", "The blue one.")])


def test_conversations_that_part_early_keep_their_later_turns(tmp_path: Path) -> None:
    later = [("user", "More."), ("assistant", "Blue.")]
    row = {"chosen": chat(("user", Q), ("assistant", A), *later), "rejected": chat(("user", Q), ("assistant", B))}
    [pair] = read_rows_as(tmp_path, [row])
    assert texts(pair)[1] == [("assistant", A), *later]


def test_scores_and_margins_are_kept_under_all_their_names(tmp_path: Path) -> None:
    base = {"prompt": Q, "chosen": A, "rejected": B}
    rows = [
        base | {"prompt": "1", "margin": 0.5, "score_chosen": 8.0, "score_rejected": 7.5},
        base | {"prompt": "2", "chosen-rating": 4, "rejected-rating": 3, "chosen-model": "m", "rejected-model": "n"},
    ]
    first, second = read_rows_as(tmp_path, rows)
    assert (first.margin, first.chosen_score, first.rejected_score) == (0.5, 8.0, 7.5)
    assert (second.margin, second.chosen_score, second.rejected_score) == (None, 4.0, 3.0)
    assert second.meta["chosen_model"] == "m"


def test_ultrafeedback_overall_and_fine_grained_choose_differently(tmp_path: Path) -> None:
    sample = next(s for s in SAMPLES if s.format == "ultrafeedback")
    [fine] = read_rows_as(tmp_path, sample.rows)
    [overall] = read_rows_as(tmp_path, sample.rows, rule=PairRule(score="overall"))
    assert plain(fine.chosen) == [("assistant", A)] and plain(overall.chosen) == [("assistant", B)]
    assert (fine.chosen_score, fine.rejected_score, fine.margin) == (4.5, 2.0, 2.5)
    assert (overall.chosen_score, overall.margin) == (9.0, 5.0)
    assert fine.meta["rule"] == {"name": "best_vs_random", "score": "mean"}
    assert overall.meta["rule"] == {"name": "best_vs_random", "score": "overall"}
    assert fine.meta["aspect_scores"] == {"honesty": [4.0, 2.0]}
    assert fine.meta["origin"] == "evol_instruct"


def test_helpsteer_ranks_by_four_aspects_and_not_by_verbosity(tmp_path: Path) -> None:
    sample = next(s for s in SAMPLES if s.format == "helpsteer")
    [pair] = read_rows_as(tmp_path, sample.rows)
    assert (pair.chosen_score, pair.rejected_score) == (3.5, 1.75)
    assert pair.meta["aspect_scores"]["verbosity"] == [0.0, 4.0]


def test_nectar_ranks_are_kept_as_ranks(tmp_path: Path) -> None:
    sample = next(s for s in SAMPLES if s.format == "nectar")
    [pair] = read_rows_as(tmp_path, sample.rows)
    assert pair.meta["ranks"] == [1, 3] and pair.margin is None and pair.chosen_score is None


def test_answers_without_their_prompt_say_so(tmp_path: Path) -> None:
    rows = [{"session_id": "s", "sft_data": m, "score": n, "response": t} for m, n, t in (("m", 3, B), ("n", 8, A))]
    [pair] = read_rows_as(tmp_path, rows)
    assert pair.meta["prompt_missing"] is True and "task s" in pair.prompt[0].content
    assert (pair.meta["chosen_model"], pair.margin) == ("n", 5.0)


def test_prm_phase_1_replaces_one_step_by_one_that_was_rated_lower(tmp_path: Path) -> None:
    def step(*rated: tuple[str, int]) -> dict[str, Any]:
        return {"completions": [{"text": t, "rating": r} for t, r in rated], "chosen_completion": 0}

    written = {"completions": [{"text": "bad", "rating": -1}], "chosen_completion": None}
    steps = [step(("one", 1), ("also right", 1)), {**written, "human_completion": {"text": "two", "rating": None}}]
    row = {"question": {"problem": Q}, "label": {"steps": steps, "finish_reason": "solution"}}
    [pair] = read_rows_as(tmp_path, [row])
    assert texts(pair)[1:] == ([("assistant", "one\ntwo")], [("assistant", "one\nbad")])
    assert pair.meta["replaced_step"] == 2


@pytest.mark.parametrize(
    ("rows", "who"),
    [
        ([{"instruction": Q, "output_1": A, "output_2": B, "preference": 1}], "human"),
        (
            [
                {
                    "instruction": Q,
                    "output_1": A,
                    "output_2": B,
                    "preference": 1.1,
                    "generator_1": "m",
                    "generator_2": "n",
                    "annotator": "gpt4",
                }
            ],
            "ai",
        ),
    ],
)
def test_alpaca_verdicts_say_who_judged(rows: list[dict[str, Any]], who: str, tmp_path: Path) -> None:
    [pair] = read_rows_as(tmp_path, rows)
    assert pair.label_kind == who
    assert pair.margin is None if who == "human" else pair.margin == pytest.approx(0.8)


def test_prompts_come_from_any_format_each_once(tmp_path: Path) -> None:
    for sample in SAMPLES:
        path = write_lines(tmp_path / "rows.jsonl", [*sample.rows, *sample.rows])
        [item] = read_prompts(path, format=sample.format)
        assert plain(item.prompt) == sample.prompt, sample.format


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"prompt": Q, "answer": "Red", "checker": "exact", "source": "colors"}, "trl-prompt"),
        ({"question": Q, "answer": "Red"}, "question-answer"),
        ({"prompt": Q, "completion": A}, "trl-prompt-completion"),
        ({"messages": CHOSEN_CHAT}, "messages"),
        ({"instruction": Q, "output": A, "generator": "m"}, "alpaca-outputs"),
    ],
)
def test_files_without_a_preference_give_prompts_and_no_pairs(row: dict[str, Any], name: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [row])
    assert detect_pairs(path).name == name
    [item] = read_prompts(path)
    assert plain(item.prompt) == [("user", Q)]
    assert item.answer == ("Red" if "answer" in row else None)
    with pytest.raises(DataError, match="prefer nothing"):
        read_pairs(path)


def test_groups_can_be_read_before_any_rule_and_stored(tmp_path: Path) -> None:
    sample = next(s for s in SAMPLES if s.format == "helpsteer")
    [group] = read_groups(write_lines(tmp_path / "rows.jsonl", sample.rows))
    assert [plain(r.messages) for r in group.responses] == [[("assistant", B)], [("assistant", A)]]
    write_jsonl(tmp_path / "groups.jsonl", [group])
    [pair] = read_all(tmp_path / "groups.jsonl", rule=PairRule(score="mean"))[0]
    assert texts(pair) == texts(read_rows_as(tmp_path, sample.rows)[0])


def test_unpaired_examples_come_from_labels_and_from_pairs(tmp_path: Path) -> None:
    rows = [{"prompt": Q, "completion": A, "label": True}, {"prompt": "Other?", "completion": B, "label": False}]
    assert [(e.completion[0].content, e.label) for e in read_unpaired(write_lines(tmp_path / "u.jsonl", rows))] == [
        (A, True),
        (B, False),
    ]
    from_pair = list(read_unpaired(write_lines(tmp_path / "p.jsonl", SAMPLES[0].rows)))
    assert [(e.completion[0].content, e.label) for e in from_pair] == [(A, True), (B, False)]
