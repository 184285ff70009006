"""The data card and its report."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agora.core.json_text import dumps
from agora.core.records import Provenance
from agora.core.stats import wilson
from agora.curate.pairs.card import data_card, spread_of
from agora.curate.pairs.card_report import card_report

from .rows import A, B, Q, pair

PAIRS = [
    pair(id="1", chosen="long answer", rejected="short", margin=2.0, label_kind="ai"),
    pair(id="2", prompt="Two", chosen="abc", rejected="xyz", chosen_score=1.0, rejected_score=3.0),
    pair(
        id="3",
        prompt="Three",
        chosen="a",
        rejected="bb",
        label_kind="human",
        provenance=Provenance("hh", licence="MIT"),
    ),
    pair(id="4", prompt="Three", chosen="bb", rejected="a", provenance=Provenance("hh")),
    pair(id="5", prompt="Three", chosen="bb", rejected="a", provenance=Provenance("hh")),
    pair(id="6", prompt="Tie", tie=True, margin=0.0),
]


def test_the_card_counts_what_it_says() -> None:
    card = data_card(PAIRS)
    assert (card.n, card.prompts, card.ties, card.repeated, card.opposite, card.inverted) == (6, 4, 1, 1, 3, 1)
    assert card.sources == {"unknown": 3, "hh": 3} or card.sources == {"hh": 3, "unknown": 3}
    assert card.label_kinds == {"rule": 4, "ai": 1, "human": 1}
    assert card.licences == {"unknown": 5, "MIT": 1}
    assert card.prompt_messages == {1: 6}
    assert card.margins is not None and (card.margins.n, card.margins.mean, card.no_margin) == (2, 0.0, 3)
    assert card.lengths["chosen"].high == len("long answer")


def test_length_bias_is_a_share_with_an_interval_and_equal_lengths_do_not_count_as_longer() -> None:
    longer = data_card(PAIRS).longer_wins
    assert (longer.longer, longer.equal) == (3, 1)
    assert longer.interval == wilson(3, 5)
    assert data_card(PAIRS).longer_wins_by_source["hh"].interval == wilson(2, 3)


def test_lengths_may_be_counted_otherwise() -> None:
    card = data_card(PAIRS, count=lambda ms: sum(len(m.content.split()) for m in ms), unit="words")
    assert card.unit == "words" and card.lengths["chosen"].high == 2


def test_no_pairs_have_a_card() -> None:
    card = data_card([])
    assert card.n == 0 and card.margins is None and card.lengths == {}
    assert card_report(card, []).html()


def test_the_card_is_json() -> None:
    row = json.loads(dumps(data_card(PAIRS).to_json()))
    assert row["longer_wins"]["n"] == 5 and row["prompt_messages"] == {"1": 6}


def test_the_spread_is_by_nearest_rank() -> None:
    spread = spread_of(list(range(1, 101)))
    assert spread is not None and (spread.p5, spread.median, spread.p95, spread.mean) == (6, 51, 96, 50.5)


def test_the_report_warns_of_length_bias_shows_short_texts_and_runs_no_foreign_markup() -> None:
    loud = "<script>alert(1)</script>" + "z" * 900
    pairs = [pair(id=str(i), prompt=f"{Q} {i}", chosen=loud, rejected=B) for i in range(60)]
    page = card_report(data_card(pairs), pairs, command="agora preferences data x").html()
    assert "The longer answer is the chosen one in most pairs" in page
    assert "<script>alert(1)" not in page and "z" * 500 not in page
    assert "agora preferences data x" in page


def test_a_balanced_set_gets_no_warning() -> None:
    pairs = [pair(id=str(i), prompt=str(i), chosen=A if i % 2 else B, rejected=B if i % 2 else A) for i in range(40)]
    assert "in most pairs" not in card_report(data_card(pairs), pairs).html()


@pytest.mark.parametrize("missing", [True, False])
def test_missing_prompts_are_told(missing: bool) -> None:
    pairs = [replace(pair(), meta={"prompt_missing": missing})]
    assert ("come without their prompt" in card_report(data_card(pairs), pairs).html()) is missing
