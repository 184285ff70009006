"""Multiple choice: MMLU and files like it, by the log-probability of each letter after "The answer is:".

The letter with the highest next-token probability is the model's answer (zero-shot, chat format). An engine without
log-probabilities cannot take this test; ``mmlu-text``, which reads the letter out of a generated answer, is another
test with another name, so that the two are never mixed.
"""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Any

from agora.core.errors import DataError
from agora.core.json_rows import Row
from agora.core.json_text import loads
from agora.core.records import Message, stable_id
from agora.engines.types import Sampling, Score
from agora.rooms.preferences.suite.files import check_some, field, read_table
from agora.rooms.preferences.suite.protocol import Answered, Ask, Choose, Request, Test
from agora.rooms.preferences.types import EvalItem, EvalResult

MMLU_FILES = ("mmlu/test.jsonl", "mmlu/test.parquet", "mmlu/test.csv", "mmlu.jsonl", "mmlu.parquet", "mmlu.csv")
_CSV_HEADER = ("question", "A", "B", "C", "D", "answer")
_PREFIX = "The answer is:"
_LETTERS = string.ascii_uppercase
_STATED = re.compile(r"answer(?: is)?:?\s*\**\(?([A-Z])\b\)?", re.IGNORECASE)
# "A dog" names no option, "A." and "(a)" do
_ALONE = re.compile(r"\(([A-Za-z])\)|(?<![A-Za-z'])([A-Z])(?=[.:,)*]|\s*(?:\n|\Z))")


class MultipleChoice(Test):
    """Questions with lettered options, one of them right.

    Args:
        path: rows with ``question``, ``choices`` (a list, or columns ``A``, ``B``, ...), ``answer`` (a letter, an index
            from 0, or the option's text) and perhaps ``subject`` and ``id``; JSON Lines, JSON, Parquet or CSV, the
            last also without a head line (question, A, B, C, D, answer).
        name: the test's name.
        category: the category it enters.
        by_text: generate an answer and read its letter, for engines without log-probabilities.
    """

    def __init__(self, path: Path, *, name: str = "mmlu", category: str = "factuality", by_text: bool = False) -> None:
        self.path, self.name, self.category, self.by_text = Path(path), name, category, by_text

    def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
        """The questions in file order."""
        rows = read_table(self.path, _CSV_HEADER)
        items = [self._item(row) for row in rows][:limit]
        check_some(self.path, items)
        return items

    def _item(self, row: Row) -> EvalItem:
        question, choices = field(self.path, row, "question").strip(), _choices(self.path, row)
        subject = str(row.data.get("subject") or "").replace("_", " ").strip()
        about = f" about {subject}" if subject else ""
        options = "\n".join(f"{letter}. {choice}" for letter, choice in zip(_LETTERS, choices, strict=False))
        text = f"This is a multiple-choice question{about}. Choose the right option.\n\n{question}\n{options}\nAnswer:"
        return EvalItem(
            test=self.name,
            category=self.category,
            id=str(row.data.get("id") or stable_id(subject, question, choices)),
            messages=(Message("user", text),),
            prefix=_PREFIX,
            target=_LETTERS[_right(self.path, row, choices)],
            meta={"letters": _LETTERS[: len(choices)], "subject": subject},
        )

    def request(self, item: EvalItem) -> Request:
        """The probability of each letter; with `by_text` a short greedy answer."""
        if self.by_text:
            return Ask(Sampling(temperature=0.0, max_tokens=16))
        return Choose(tuple(f" {letter}" for letter in item.meta["letters"]))

    def score(self, answered: Answered) -> EvalResult:
        """1 if the most probable (or the written) letter is the right one."""
        item, letters = answered.item, answered.item.meta["letters"]
        if self.by_text:
            found = read_letter(answered.texts[0], letters)
            return answered.result(float(found == item.target), prediction=found)
        totals = [reply.total for reply in answered.replies if isinstance(reply, Score)]
        best = letters[max(range(len(totals)), key=totals.__getitem__)]
        logprobs = {letter: round(total, 6) for letter, total in zip(letters, totals, strict=True)}
        return answered.result(float(best == item.target), prediction=best, meta={"logprobs": logprobs})


def read_letter(text: str, letters: str) -> str | None:
    """The option a written answer names: after "answer is", else the first letter that stands alone; None if none."""
    for pattern in (_STATED, _ALONE):
        for match in pattern.finditer(text.strip()):
            letter = str(match[match.lastindex or 0]).upper()
            if letter in letters:
                return letter
    return None


def _choices(path: Path, row: Row) -> list[str]:
    given: Any = row.data.get("choices")
    if isinstance(given, str):  # a list inside a CSV cell
        try:
            given = loads(given.encode())
        except ValueError:
            given = None
    if given is None:
        given = [row.data[letter] for letter in _LETTERS[:10] if row.data.get(letter) not in (None, "")]
    if isinstance(given, dict):
        given = given.get("text")  # the form of ARC and others
    if not isinstance(given, list) or not 2 <= len(given) <= len(_LETTERS) or not all(str(c).strip() for c in given):
        raise DataError("a question needs two or more choices", where=f"{path}:{row.line}", hint="a list, or A, B, ...")
    return [str(choice).strip() for choice in given]


def _right(path: Path, row: Row, choices: list[str]) -> int:
    """Index of the right choice."""
    answer = row.data.get("answer", row.data.get("answerKey"))
    letter = str(answer).strip()
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        return answer
    if len(letter) == 1 and letter.upper() in _LETTERS[: len(choices)]:
        return _LETTERS.index(letter.upper())
    if letter in choices:
        return choices.index(letter)
    if letter.isdecimal() and int(letter) < len(choices):
        return int(letter)
    raise DataError(f"the answer {letter[:40]!r} is none of the {len(choices)} choices", where=f"{path}:{row.line}")
