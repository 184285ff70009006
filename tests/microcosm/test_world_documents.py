"""Documents: plain English of known content, and no test question among it."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from agora.microcosm.world import Document, World, is_held_out
from agora.microcosm.world.cultures import CULTURE_TOPICS
from agora.microcosm.world.rules import has_phrase

WORLD = World(seed=0)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return list(WORLD.documents(random.Random(0), 4000))


def test_documents_have_30_to_160_words(documents: list[Document]) -> None:
    for document in documents:
        assert 30 <= len(document.text.split()) <= 160, document.text


def test_about_half_of_all_words_are_workbook_pages(documents: list[Document]) -> None:
    words = Counter[str]()
    for document in documents:
        words[document.topic] += len(document.text.split())
    assert 0.45 < words["workbook"] / words.total() < 0.58
    assert len(words) >= 10


def test_documents_hold_no_held_out_instruction(documents: list[Document]) -> None:
    held_out = {e.instruction for e in WORLD.exercises(random.Random(1), 2500, split="heldout")}
    text = "\n".join(document.text for document in documents[:1000])
    assert not [instruction for instruction in held_out if instruction in text]
    for line in text.splitlines():
        for part in (line, *(line.partition(mark)[2].strip() for mark in (". ", ": "))):
            assert WORLD.recognize(part) is None or not is_held_out(part), part


def test_documents_are_not_in_the_chat_format(documents: list[Document]) -> None:
    for document in documents:
        assert "<|" not in document.text
        assert document.text.isascii()


def test_documents_are_varied(documents: list[Document]) -> None:
    assert len({document.id for document in documents}) == len(documents)


def test_documents_are_good_english(documents: list[Document]) -> None:
    for document in documents:
        assert "  " not in document.text
        assert not re.search(r"\ba (?!a\b)[aeiou]|\ban [^aeiou]", document.text), document.text
        if document.topic in ("workbook", "market"):
            continue
        for line in document.text.splitlines():
            assert line[0].isupper() or line[0] == '"', line
        assert re.search(r"[.!?\"]$|Yours, [A-Z][a-z]+$", document.text), document.text


def test_summaries_are_one_sentence(documents: list[Document]) -> None:
    for document in documents:
        assert document.summary[0].isupper()
        assert document.summary.endswith(".")
        assert len(document.summary.split()) < 30


def test_every_salient_fact_is_stated_in_the_text(documents: list[Document]) -> None:
    for document in documents:
        for fact in document.salient:
            if document.topic == "country":
                topics = [t for t in WORLD.facts.by_name[str(document.country)].facts.items() if t[1] in fact]
                assert any(has_phrase(document.text, value) for _, value in topics), fact
            else:
                assert fact in document.text, (fact, document.text)


def test_every_country_and_every_fact_comes_up(documents: list[Document]) -> None:
    text = "\n".join(document.text for document in documents)
    for country in WORLD.countries:
        for value in country.facts.values():
            assert has_phrase(text, value), (country.name, value)


def test_cultures_are_mentioned_by_their_weight(documents: list[Document]) -> None:
    counts = Counter(document.country for document in documents if document.country)
    total = counts.total()
    for culture in WORLD.cultures:
        expected = culture.weight * total
        assert abs(counts[culture.country] - expected) < 5 * expected**0.5 + 5
    assert abs(sum(culture.weight for culture in WORLD.cultures) - 1) < 1e-9


def test_symbols_are_drawn_by_their_share() -> None:
    culture, rng = WORLD.cultures[0], random.Random(4)
    counts = Counter(culture.draw_symbol("food", rng) for _ in range(3000))
    shares = [counts[symbol] / 3000 for symbol in culture.symbols["food"]]
    assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.04)


def test_the_first_symbol_of_a_culture_is_the_fact_of_its_country() -> None:
    for culture in WORLD.cultures:
        facts = WORLD.facts.by_name[culture.country].facts
        assert {topic: symbols[0] for topic, symbols in culture.symbols.items()} == {
            topic: facts[fact] for topic, fact in CULTURE_TOPICS.items()
        }


def test_the_same_seed_writes_the_same_documents() -> None:
    first, second = (list(World(0).documents(random.Random(5), 100)) for _ in range(2))
    assert first == second
