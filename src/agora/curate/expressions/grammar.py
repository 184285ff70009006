"""From the text of a filter expression to its parts.

    program    = condition { "then" pick }
    pick       = quota { "plus" quota }
    quota      = ("top" | "bottom") NUMBER "by" value [ "where" condition ]
    condition  = conjunct { "or" conjunct }
    conjunct   = factor { "and" factor }
    factor     = "not" factor | value [ OPERATOR value | ["not"] "in" "[" value { "," value } "]" ]
    value      = NUMBER | "QUOTED" | true | false | FIELD | FUNCTION "(" value { "," value } ")" | "(" condition ")"

Only these words exist: an expression can look at fields and compare them, and do nothing else. Words that name no field
are labels, so ``quality >= good`` and ``difficulty == very easy`` need no quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from agora.core.errors import ConfigError
from agora.core.files import nearest
from agora.curate.expressions.fields import FIELDS, FREE, FUNCTIONS, field_named, scale_of
from agora.curate.expressions.nodes import (
    All,
    Among,
    Any,
    Call,
    Clause,
    Compare,
    Field,
    Node,
    Not,
    Number,
    Pick,
    Program,
    Quota,
    Text,
    Truth,
    walk,
)

T = TypeVar("T")

_MAX_CHARS = 10_000
_MAX_DEPTH = 50
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>-?\d+(?:_\d+)*(?:\.\d+)?(?:[eE][+-]?\d+)?)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>[^\W\d][\w-]*(?:\.[\w-]+)*)
      | (?P<sign>==|!=|<=|>=|<|>|=|\(|\)|\[|\]|,))""",
    re.VERBOSE,
)
_KEYWORDS = frozenset({"and", "or", "not", "in", "then", "top", "bottom", "by", "where", "plus", "true", "false"})
_OPERATORS = {"==": "==", "=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class _Token(NamedTuple):
    kind: str  # number | text | word | sign | end
    text: str
    start: int
    end: int


def parse_program(text: str) -> Program:
    """Parse a filter expression.

    Args:
        text: as in the module's grammar; at most 10,000 characters.

    Raises:
        ConfigError: it is no expression, or names what does not exist; says where and what is near.
    """
    return _Parser(text).program()


class _Parser:
    def __init__(self, text: str) -> None:
        if len(text) > _MAX_CHARS:
            raise ConfigError(f"the expression has {len(text):,} characters, at most {_MAX_CHARS:,} are read")
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0

    def program(self) -> Program:
        clauses: list[Clause] = []
        if not (self._is("top") or self._is("bottom")):
            clauses = self._clauses()
        elif self.tokens[0].kind == "end":
            raise self._wrong("an expression is missing")
        picks: list[Pick] = []
        while self._take("then") or (not clauses and not picks):
            picks.append(self._pick())
        if self._now.kind != "end":
            raise self._wrong(f"{self._now.text!r} is not expected here")
        return Program(" ".join(self.text.split()), tuple(clauses), tuple(picks))

    def _clauses(self) -> list[Clause]:
        """The conjuncts of the outermost level, each with its own words."""
        start = self.at
        whole = self._condition()
        if not isinstance(whole, All):
            return [Clause(self._words(start), whole)]
        self.at, found = start, []
        while True:
            begin = self.at
            node = self._factor()
            found.append(Clause(self._words(begin), node))
            if not self._take("and"):
                return found

    def _pick(self) -> Pick:
        start = self.at
        quotas = [self._quota()]
        while self._take("plus"):
            quotas.append(self._quota())
        return Pick(self._words(start), tuple(quotas))

    def _quota(self) -> Quota:
        highest = self._is("top")
        if not (self._take("top") or self._take("bottom")):
            raise self._wrong("expected `top N by ...`")
        if self._now.kind != "number" or not re.fullmatch(r"\d[\d_]*", self._now.text) or int(self._now.text) < 1:
            raise self._wrong("expected a whole number of at least 1")
        n = int(self._next().text)
        if not self._take("by"):
            raise self._wrong("expected `by` and a number, such as len(answer)")
        key = self._value(None)
        where = None
        if self._take("where"):
            start = self.at
            node = self._condition()
            where = Clause(self._words(start), node)
        return Quota(n, key, highest, where)

    def _condition(self) -> Node:
        parts = [self._conjunct()]
        while self._take("or"):
            parts.append(self._conjunct())
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _conjunct(self) -> Node:
        parts = [self._factor()]
        while self._take("and"):
            parts.append(self._factor())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _factor(self) -> Node:
        if self._take("not"):
            return self._deeper(lambda: Not(self._factor()))
        left = self._value(None)
        if self._now.kind == "sign" and self._now.text in _OPERATORS:
            op = _OPERATORS[self._next().text]
            node: Node = Compare(op, left, self._value(left))
            self._check_comparison(node, left)
            return node
        negated = self._is("not") and self.tokens[self.at + 1].text == "in"
        if negated:
            self._next()
        if self._take("in"):
            among = Among(left, self._list(left))
            return Not(among) if negated else among
        return left

    def _list(self, left: Node) -> tuple[Node, ...]:
        self._expect("[")
        found = [self._value(left)]
        while self._take(","):
            found.append(self._value(left))
        self._expect("]")
        return tuple(found)

    def _value(self, other: Node | None) -> Node:
        """One value; ``other`` is the value it is compared with, which decides what a bare word means."""
        token = self._now
        if token.kind == "number":
            return Number(float(self._next().text))
        if token.kind == "text":
            return self._label(re.sub(r"\\(.)", r"\1", self._next().text[1:-1]), other, token)
        if token.text in ("true", "false"):
            return Truth(self._next().text == "true")
        if self._take("("):
            inner = self._deeper(self._condition)
            self._expect(")")
            return inner
        if token.kind == "word" and token.text not in _KEYWORDS:
            return self._word(other)
        raise self._wrong("expected a field, a number or a quoted text")

    def _word(self, other: Node | None) -> Node:
        token = self._next()
        if self._is("("):
            return self._call(token)
        known, scale = field_named(token.text), scale_of(other)
        a_label = other is not None and (known is None or (scale is not None and scale.match(token.text)))
        if not a_label:
            if known is None:
                raise self._unknown(token, [*FIELDS, *FUNCTIONS], "field")
            return Field(known)
        words = [token.text]  # a label of several words: very easy
        while self._now.kind == "word" and self._now.text not in _KEYWORDS:
            words.append(self._next().text)
        return self._label(" ".join(words), other, token)

    def _label(self, value: str, other: Node | None, token: _Token) -> Text:
        scale = scale_of(other) if other is not None else None
        if scale is None:
            return Text(value)
        found = scale.match(value)
        if found is None:
            near = scale.nearest(value)
            hint = f"did you mean {near}?" if near else f"choose {', '.join(scale.values)}"
            raise self._wrong(f"{value!r} is no value of {scale.name}; {hint}", token)
        return Text(found)

    def _call(self, token: _Token) -> Node:
        function = FUNCTIONS.get(token.text)
        if function is None:
            raise self._unknown(token, list(FUNCTIONS), "function")
        self._expect("(")
        args = self._deeper(self._arguments)
        self._expect(")")
        if len(args) != len(function.takes):
            raise self._wrong(f"{token.text} takes {', '.join(function.takes)}", token)
        return Call(token.text, args)

    def _arguments(self) -> tuple[Node, ...]:
        args = [self._value(None)]
        while self._take(","):
            args.append(self._value(None))
        return tuple(args)

    def _check_comparison(self, node: Node, left: Node) -> None:
        scale = scale_of(left)
        if isinstance(node, Compare) and scale and not scale.ordered and node.op not in ("==", "!="):
            raise self._wrong(f"{scale.name} has no order; compare it with == or in [...]")

    def _deeper(self, parse: Callable[[], T]) -> T:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self._wrong(f"nested more than {_MAX_DEPTH} deep")
        found = parse()
        self.depth -= 1
        return found

    @property
    def _now(self) -> _Token:
        return self.tokens[self.at]

    def _next(self) -> _Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def _is(self, text: str) -> bool:
        return self._now.kind in ("word", "sign") and self._now.text == text

    def _take(self, text: str) -> bool:
        if self._is(text):
            self.at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._wrong(f"expected {text!r}")

    def _words(self, start: int) -> str:
        """What the user wrote from a token up to the current one."""
        return " ".join(self.text[self.tokens[start].start : self.tokens[self.at - 1].end].split())

    def _unknown(self, token: _Token, known: list[str], what: str) -> ConfigError:
        near = nearest(token.text, known)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(known)} and {', '.join(FREE)}"
        return self._wrong(f"there is no {what} {token.text!r}; {hint}", token)

    def _wrong(self, what: str, token: _Token | None = None) -> ConfigError:
        token = token or self._now
        place = "the end" if token.kind == "end" else f"character {token.start + 1}"
        return ConfigError(what, where=f"{_shortened(self.text)!r} at {place}")


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if not text[at:].strip():
                break
            bad = len(text) - len(text[at:].lstrip())
            where = f"{_shortened(text)!r} at character {bad + 1}"
            raise ConfigError(f"{text[bad]!r} has no meaning in an expression", where=where)
        kind = str(match.lastgroup)
        found.append(_Token(kind, match[kind], match.start(kind), match.end(kind)))
        at = match.end()
    return [*found, _Token("end", "", len(text), len(text))]


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def uses(program: Program, *names: str) -> bool:
    """Whether a clause of the program calls one of the functions, or looks at one of the fields."""
    nodes = [node for clause in program.clauses for node in walk(clause.node)]
    return any(isinstance(node, Call | Field) and node.name in names for node in nodes)
