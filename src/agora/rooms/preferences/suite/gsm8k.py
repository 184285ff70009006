"""Grade-school arithmetic word problems (GSM8K): eight worked examples, greedy, the last number of the answer counts.

Protocol: specification of the Tulu 2.5 evaluation suite (allenai/open-instruct at ca5dcd0). Two faults of that scorer
are absent here: a leading minus is kept, and an answer of zero is an answer.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from agora.core.errors import DataError
from agora.core.json_rows import Row
from agora.core.records import Message, stable_id
from agora.engines.types import Sampling
from agora.rooms.preferences.suite.files import check_some, field, read_table, read_text
from agora.rooms.preferences.suite.protocol import Answered, Ask, Request, Test
from agora.rooms.preferences.types import EvalItem, EvalResult

FILES = ("gsm8k/test.jsonl", "gsm8k/test.txt", "gsm8k_test.jsonl", "gsm8k.jsonl")
SUBSET, SUBSET_SEED = 200, 42
_PREFIX = "Answer:"
# a base model writes the next question itself; a chat model never does
_SAMPLING = Sampling(temperature=0.0, max_tokens=512, stop=("\nQuestion:",))
_HEAD = "Solve each problem step by step and end with the answer as a number."

_NUMBER = re.compile(r"(?<![\d.])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\d.])\.\d+")
# what stands right before a number; after a word, a digit or a bracket a minus subtracts and is no sign
_SIGN = re.compile(r"(?:^|[^\w.)\]])([-−+]?[$€£¥₹]?[-−+]?)\Z")
_SIGN_REACH = 4


class Shot(NamedTuple):
    """A worked example."""

    question: str
    answer: str


SHOTS = (
    Shot(
        "A shelf holds 4 rows of 6 jars. Nina takes down 9 jars. How many jars stay on the shelf?",
        "Four rows of 6 jars are 4 * 6 = 24 jars. After taking down 9, 24 - 9 = 15 jars stay. The answer is 15.",
    ),
    Shot(
        "Omar reads 12 pages on Monday and twice as many on Tuesday. How many pages does he read on both days?",
        "On Tuesday he reads 12 * 2 = 24 pages. On both days that is 12 + 24 = 36 pages. The answer is 36.",
    ),
    Shot(
        "A ticket costs $8 and a drink costs $3. What do 5 people pay if each takes one of both?",
        "One person pays 8 + 3 = 11 dollars. Five people pay 5 * 11 = 55 dollars. The answer is 55.",
    ),
    Shot(
        "A tank holds 240 liters and is three quarters full. How many liters fit in before it is full?",
        "Three quarters of 240 is 240 / 4 * 3 = 180 liters. So 240 - 180 = 60 liters fit in. The answer is 60.",
    ),
    Shot(
        "A train leaves with 95 passengers. At the first stop 28 get off and 17 get on. How many are on it then?",
        "After 28 get off there are 95 - 28 = 67. With the 17 who get on there are 67 + 17 = 84. The answer is 84.",
    ),
    Shot(
        "Lea saves $15 a week for 8 weeks and then buys a coat for $70. How much money is left?",
        "She saves 15 * 8 = 120 dollars. After the coat 120 - 70 = 50 dollars are left. The answer is 50.",
    ),
    Shot(
        "A recipe for 6 people needs 9 eggs. How many eggs are needed for 10 people?",
        "One person needs 9 / 6 = 1.5 eggs. Ten people need 1.5 * 10 = 15 eggs. The answer is 15.",
    ),
    Shot(
        "A class of 32 children splits into groups of 4. Each group gets 3 brushes. How many brushes are given out?",
        "There are 32 / 4 = 8 groups. With 3 brushes each that is 8 * 3 = 24 brushes. The answer is 24.",
    ),
)


def numbers_in(text: str) -> list[Decimal]:
    """Every number of a text in order: signs, thousands commas, decimals and currency signs are read, units are not.

    Example:
        >>> numbers_in("It fell from $1,200.50 to -3.")
        [Decimal('1200.50'), Decimal('-3')]
    """
    text = text.replace("{,}", ",").replace("\\$", "$")  # LaTeX
    found = []
    for match in _NUMBER.finditer(text):
        sign = _SIGN.search(text[max(0, match.start() - _SIGN_REACH) : match.start()])
        negative = sign is not None and bool({"-", "−"} & set(sign[1]))
        value = Decimal(match[0].replace(",", ""))
        found.append(-value if negative else value)
    return found


def last_number(text: str) -> Decimal | None:
    """The last number of a text; None where it has none. A trailing period ends the sentence, not the number."""
    found = numbers_in(text)
    return found[-1] if found else None


class Gsm8k(Test):
    """GSM8K, by the last number of a greedy answer.

    Args:
        path: ``question||steps #### answer`` lines, or rows with ``question`` and ``answer`` (ending ``#### N``).
        subset: how many items, drawn with seed 42 as in the published suite; None: all.
        shots: worked examples put before every question.
    """

    name = "gsm8k"
    category = "reasoning"

    def __init__(self, path: Path, *, subset: int | None = SUBSET, shots: Sequence[Shot] = SHOTS) -> None:
        self.path, self.subset, self.shots = Path(path), subset, tuple(shots)

    def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
        """The subset, in the order in which it is drawn."""
        rows = read_gsm8k(self.path)
        if self.subset is not None and len(rows) > self.subset:
            rows = random.Random(SUBSET_SEED).sample(rows, self.subset)
        head = "\n\n".join([_HEAD, *(f"Question: {s.question}\nAnswer: {s.answer}" for s in self.shots)])
        return [
            EvalItem(
                test=self.name,
                category=self.category,
                id=stable_id("gsm8k", question),
                messages=(Message("user", f"{head}\n\nQuestion: {question}"),),
                prefix=_PREFIX,
                target=answer,
            )
            for question, answer in rows[:limit]
        ]

    def request(self, item: EvalItem) -> Request:
        """One greedy answer of at most 512 tokens."""
        return Ask(_SAMPLING)

    def score(self, answered: Answered) -> EvalResult:
        """1 if the last number equals the right one, else 0."""
        text = answered.texts[0].partition("\nQuestion:")[0]
        found, gold = last_number(text), last_number(answered.item.target or "")
        right = found is not None and found == gold
        return answered.result(float(right), prediction=None if found is None else str(found))


def read_gsm8k(path: Path) -> list[tuple[str, str]]:
    """Questions and their right answers (digits as written), from either format.

    Raises:
        DataError: a row has no answer; names the line.
    """
    bare = path.with_suffix("") if path.suffix in (".gz", ".zst") else path
    if bare.suffix == ".txt":
        rows = [_split_line(path, n, line) for n, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
    else:
        rows = [_split_row(path, row) for row in read_table(path)]
    check_some(path, rows)
    return list(dict(rows).items())


def _split_line(path: Path, line: int, text: str) -> tuple[str, str]:
    question, bars, rest = text.partition("||")
    if not bars:
        raise DataError("not of the form QUESTION||STEPS #### ANSWER", where=f"{path}:{line}")
    return question.strip(), _gold(path, line, rest)


def _split_row(path: Path, row: Row) -> tuple[str, str]:
    return field(path, row, "question").strip(), _gold(path, row.line, field(path, row, "answer"))


def _gold(path: Path, line: int, solution: str) -> str:
    answer = solution.rpartition("####")[2].strip()
    if len(numbers_in(answer)) != 1:
        raise DataError(f"the answer {answer[:40]!r} is not one number", where=f"{path}:{line}")
    return answer
