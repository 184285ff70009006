"""Families of small Python tasks. Code is compared by its syntax tree, never run."""

from __future__ import annotations

import random
import re

from agora.microcosm.world.facts import Facts
from agora.microcosm.world.families.base import FULL_SENTENCE, ON_TOPIC, Family, Task, essential, other_than
from agora.microcosm.world.grammar import joined, split_list
from agora.microcosm.world.lexicon import GOODS, PLAIN_WORDS
from agora.microcosm.world.templates import Slots, Template
from agora.microcosm.world.types import CheckItem

_PLAIN = frozenset(PLAIN_WORDS)
_GOODS = frozenset(GOODS)
_ONLY_CODE = CheckItem("Is the answer only Python, without talk around it?", "only_code")
_ONE_LINE = CheckItem("Is the answer on one line?", "one_line")


def _code_task(difficulty: str, right: str, wrong: list[str], what: str) -> Task:
    return Task(
        difficulty,
        lambda rng: right,
        lambda rng: rng.choice(wrong),
        (essential(f"Does the Python {what}?", "code_is", right), _ONLY_CODE, _ONE_LINE),
        right,
    )


def _draw_print(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"word": rng.choice(PLAIN_WORDS)}


def _solve_print(facts: Facts, slots: Slots) -> Task | None:
    word = slots["word"]
    if word not in _PLAIN:
        return None
    wrong = [f"print({word})", f'"{word}"', f'print("{PLAIN_WORDS[len(word)]}s")']
    return _code_task("easy", f'print("{word}")', wrong, f"print the word {word}")


def _draw_assign(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"number": str(rng.randint(0, rng.choice((9, 99)))), "name": rng.choice(GOODS)}


def _solve_assign(facts: Facts, slots: Slots) -> Task | None:
    name, number = slots["name"], slots["number"]
    if name not in _GOODS:
        return None
    wrong = [f"{name} == {number}", f"{name} = {int(number) + 1}", f"{number} = {name}"]
    return _code_task("easy", f"{name} = {number}", wrong, f"store {number} in {name}")


def _draw_literal(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"words": joined(rng.sample(PLAIN_WORDS, rng.choice((2, 3, 3, 4))))}


def _solve_literal(facts: Facts, slots: Slots) -> Task | None:
    words = split_list(slots["words"])
    if not set(words) <= _PLAIN or not 2 <= len(words) <= 5:
        return None
    quoted = [f'"{word}"' for word in words]
    right = f"[{', '.join(quoted)}]"
    wrong = [f"[{', '.join(words)}]", f"[{', '.join(quoted[:-1])}]", f"({', '.join(quoted)})"]
    what = f"hold a list of {joined(words)}"
    return _code_task({2: "easy", 3: "medium"}.get(len(words), "hard"), right, wrong, what)


def _draw_loop(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"word": rng.choice(PLAIN_WORDS), "times": str(rng.randint(2, 9))}


def _solve_loop(facts: Facts, slots: Slots) -> Task | None:
    word, times = slots["word"], slots["times"]
    if word not in _PLAIN or not 2 <= int(times) <= 99:
        return None
    right = f'for i in range({times}): print("{word}")'
    wrong = [
        f'for i in range({int(times) + 1}): print("{word}")',
        f'print("{word}")',
        f'for i in {times}: print("{word}")',
    ]
    return _code_task("medium", right, wrong, f"print {word} {times} times with a loop")


#: What a one-line function does with its argument: words, operator and a name for it.
_OPERATIONS = {"adds": ("to", "+"), "subtracts": ("from", "-")}
_FUNCTION_NAMES = ("grow", "step", "change", "move", "score", "shift", "update", "price", "level", "count")


def _draw_function(facts: Facts, rng: random.Random) -> dict[str, str]:
    operation = rng.choice(tuple(_OPERATIONS))
    return {"function": rng.choice(_FUNCTION_NAMES), "operation": operation, "number": str(rng.randint(1, 20))}


def _solve_function(facts: Facts, slots: Slots) -> Task | None:
    function, number, operation = slots["function"], slots["number"], slots["operation"]
    if function not in _FUNCTION_NAMES:
        return None
    sign = _OPERATIONS[operation][1]
    right = f"def {function}(x): return x {sign} {number}"
    opposite = "-" if sign == "+" else "+"
    wrong = [f"def {function}(x): return x {opposite} {number}", f"def {function}(): return {number}", f"{function}(x)"]
    return _code_task("hard", right, wrong, f"define {function}(x) that {operation} {number}")


def _output_task(difficulty: str, output: str, wrong: list[str]) -> Task:
    return Task(
        difficulty,
        lambda rng: f"It prints {output}.",
        lambda rng: f"It prints {other_than(rng, wrong, output)}.",
        (
            essential(f"Does the answer say that {output} is printed, and nothing else?", "output_is", output),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        output,
    )


def _draw_output(facts: Facts, rng: random.Random) -> dict[str, str]:
    shape = rng.choice(("sum", "sum", "len", "max", "join", "repeat", "upper", "first"))
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    words = rng.sample(_SHORT_WORDS, 3)
    numbers = rng.sample(range(1, 30), rng.choice((2, 3, 4)))
    quoted = ", ".join(f'"{word}"' for word in words)
    code = {
        "sum": f"{a} + {b}",
        "len": f"len({numbers})",
        "max": f"max({', '.join(map(str, numbers))})",
        "join": f'"{words[0]}" + "{words[1]}"',
        "repeat": f'"{words[0]}" * {rng.randint(2, 3)}',
        "upper": f'"{words[0]}".title()',
        "first": f"[{quoted}][{rng.randint(0, 2)}]",
    }[shape]
    return {"code": code}


_SHORT_WORDS = tuple(word for word in PLAIN_WORDS if len(word) <= 5)
_LITERAL = r'"([a-z]+)"'


def _evaluate(code: str) -> tuple[str, str, list[str]] | None:
    """The difficulty, output and wrong outputs of an expression of a known shape."""
    if m := re.fullmatch(r"(\d{1,2}) \+ (\d{1,2})", code):
        a, b = int(m[1]), int(m[2])
        return ("easy" if max(a, b) < 10 else "medium"), str(a + b), [str(a + b + 1), f"{a}{b}", str(a + b + 2)]
    if m := re.fullmatch(r"len\(\[(\d+(?:, \d+)*)\]\)", code):
        size = m[1].count(",") + 1
        return "medium", str(size), [str(size + 1), str(size - 1), str(size + 2)]
    if m := re.fullmatch(r"max\((\d+(?:, \d+)+)\)", code):
        values = [int(value) for value in m[1].split(", ")]
        smaller = [str(value) for value in values if value != max(values)]
        return ("easy" if len(values) == 2 else "medium"), str(max(values)), smaller or ["0"]
    if m := re.fullmatch(rf"{_LITERAL} \+ {_LITERAL}", code):
        return "medium", m[1] + m[2], [m[2] + m[1], f"{m[1]} {m[2]}", m[1]]
    if m := re.fullmatch(rf"{_LITERAL} \* ([2-4])", code):
        return "medium", m[1] * int(m[2]), [m[1], f"{m[1]}{m[2]}", m[1] * (int(m[2]) + 1)]
    if m := re.fullmatch(rf"{_LITERAL}\.title\(\)", code):
        return "easy", m[1].title(), [m[1], m[1].upper()]
    if m := re.fullmatch(r'\[("[a-z]+"(?:, "[a-z]+")+)\]\[(\d)\]', code):
        words = m[1].replace('"', "").split(", ")
        if int(m[2]) >= len(words) or len(set(words)) != len(words):
            return None
        right = words[int(m[2])]
        return "medium", right, [word for word in words if word != right]
    return None


def _solve_output(facts: Facts, slots: Slots) -> Task | None:
    known = _evaluate(slots["code"])
    if known is None or not set(re.findall(r'"([a-z]+)"', slots["code"])) <= _PLAIN:
        return None
    difficulty, output, wrong = known
    return _output_task(difficulty, output, wrong)


_BREAKS = ("spelling", "bracket", "quote", "capital", "start")


def _broken(word: str, how: str) -> str:
    return {
        "spelling": f'pritn("{word}")',
        "bracket": f'print("{word}"',
        "quote": f'print("{word})',
        "capital": f'Print("{word}")',
        "start": f'print "{word}")',
    }[how]


def _draw_fix(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"code": _broken(rng.choice(PLAIN_WORDS), rng.choice(_BREAKS))}


def _solve_fix(facts: Facts, slots: Slots) -> Task | None:
    code = slots["code"]
    word = "".join(re.findall(r'"([a-z]+)', code))
    if word not in _PLAIN or code not in {_broken(word, how) for how in _BREAKS}:
        return None
    others = [_broken(word, how) for how in _BREAKS] + [f"print({word})"]
    return _code_task("easy", f'print("{word}")', others, f"print {word} without the error")


FAMILIES = (
    Family(
        "python_print",
        "Coding & Debugging",
        ("easy",),
        (
            Template("Write a line of Python that prints the word {word:word}."),
            Template("How do I print the word {word:word} in Python?"),
            Template("Show me Python code that prints {word:word}."),
            Template("Use Python to print the text {word:word}."),
        ),
        _draw_print,
        _solve_print,
        count=4 * len(PLAIN_WORDS),
        drills=("{answer}", "Python to print {word}:\n{answer}"),
    ),
    Family(
        "python_variable",
        "Coding & Debugging",
        ("easy",),
        (
            Template("Write Python that stores the number {number:number} in the variable {name:word}."),
            Template("In Python, set the variable {name:word} to {number:number}."),
            Template("How do I give the Python variable {name:word} the value {number:number}?"),
        ),
        _draw_assign,
        _solve_assign,
        count=3 * 100 * len(GOODS),
        drills=("{answer}", "The variable {name} is {number}:\n{answer}"),
    ),
    Family(
        "python_list",
        "Coding & Debugging",
        ("easy", "medium", "hard"),
        (
            Template("Write a Python list of the words {words:list}."),
            Template("Make a list in Python with {words:list}."),
            Template("How do I write {words:list} as a Python list?"),
        ),
        _draw_literal,
        _solve_literal,
        count=3 * len(PLAIN_WORDS) * (len(PLAIN_WORDS) - 1),
        drills=("{answer}", "{words} as a list:\n{answer}"),
    ),
    Family(
        "python_loop",
        "Coding & Debugging",
        ("medium",),
        (
            Template("Write a Python loop that prints {word:word} {times:number} times."),
            Template("How do I print {word:word} {times:number} times with a loop in Python?"),
            Template("Use a for loop in Python to print the word {word:word} {times:number} times."),
        ),
        _draw_loop,
        _solve_loop,
        count=3 * 8 * len(PLAIN_WORDS),
        drills=("{answer}", "Print {word}, {times} times:\n{answer}"),
    ),
    Family(
        "python_function",
        "Coding & Debugging",
        ("hard",),
        tuple(
            Template(text.replace("OP", operation).replace("TO", to), operation=operation)
            for operation, (to, _) in _OPERATIONS.items()
            for text in (
                "Write a Python function {function:word} that OP {number:number} TO its argument x.",
                "Define a function named {function:word} in Python that OP {number:number} TO x.",
            )
        ),
        _draw_function,
        _solve_function,
        count=4 * 20 * len(_FUNCTION_NAMES),
        weight=0.7,
        drills=("{answer}", "A function that {operation} {number}:\n{answer}"),
    ),
    Family(
        "python_output",
        "Coding & Debugging",
        ("easy", "medium"),
        (
            Template("What does print({code:code}) print?"),
            Template("What is the output of print({code:code}) in Python?"),
            Template("Tell me what this Python line prints: print({code:code})"),
        ),
        _draw_output,
        _solve_output,
        count=3 * len(_SHORT_WORDS) * (len(_SHORT_WORDS) - 1),
        weight=1.4,
        drills=(">>> print({code})\n{short}", "print({code}) gives {short}", "print({code})\n# {short}"),
    ),
    Family(
        "python_fix",
        "Coding & Debugging",
        ("easy",),
        (
            Template("Fix this line of Python: {code:code}"),
            Template("Find and correct the error in this Python line: {code:code}"),
            Template("This Python line has an error: {code:code} Please correct it."),
        ),
        _draw_fix,
        _solve_fix,
        count=3 * len(_BREAKS) * len(PLAIN_WORDS),
        drills=("Wrong: {code}\nRight: {answer}", "Before: {code}\nAfter: {answer}"),
    ),
)
