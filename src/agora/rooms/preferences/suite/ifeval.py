"""IFEval: prompts with instructions whose following can be checked by a program.

The figure is prompt-level accuracy in loose scoring (each instruction must hold in one of eight cleaned variants of
the response); the other three published figures stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agora.core.errors import DataError
from agora.core.json_rows import Row
from agora.core.records import Message
from agora.engines.types import Sampling
from agora.rooms.preferences.suite.files import check_some, field, read_table
from agora.rooms.preferences.suite.instructions import (
    KINDS,
    BadArgumentError,
    Detector,
    check_instruction,
    cleaned_variants,
)
from agora.rooms.preferences.suite.protocol import Answered, Ask, Request, Test, mean_of
from agora.rooms.preferences.types import EvalItem, EvalResult

FILES = ("ifeval/input_data.jsonl", "ifeval_input_data.jsonl", "ifeval.jsonl", "input_data.jsonl", "ifeval.parquet")
Outcomes = list[bool | None]


class IfEval(Test):
    """Instruction following by checks, prompt-level loose.

    A prompt all of whose checkable instructions hold but one of which cannot be checked is missing, never passed; one
    failed instruction fails the prompt whatever the others are.

    Args:
        path: rows with ``key``, ``prompt``, ``instruction_id_list`` and ``kwargs``.
        detect: language detector for the kind that needs one; without it that kind cannot be checked.
    """

    name = "ifeval"
    category = "instruction following"
    unit = "% of prompts followed (loose)"

    def __init__(self, path: Path, *, detect: Detector | None = None) -> None:
        self.path, self.detect = Path(path), detect

    @property
    def scoring(self) -> str:
        """Whether languages are told."""
        return "with languages" if self.detect else ""

    def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
        """The prompts in file order."""
        items = [self._item(row) for row in read_table(self.path)][:limit]
        check_some(self.path, items)
        return items

    def _item(self, row: Row) -> EvalItem:
        where = f"{self.path}:{row.line}"
        prompt = field(self.path, row, "prompt")
        kinds, given = (field(self.path, row, name, kind=list) for name in ("instruction_id_list", "kwargs"))
        if len(kinds) != len(given) or not kinds or not all(isinstance(a, dict) for a in given):
            raise DataError(f"{len(kinds)} instructions with {len(given)} sets of arguments", where=where)
        unknown = sorted(set(kinds) - KINDS)
        if unknown:
            raise DataError(
                f"unknown kind of instruction {unknown[0]!r}", where=where, hint="see the 25 published kinds"
            )
        # Parquet fills absent arguments with nulls
        arguments = [{name: value for name, value in a.items() if value is not None} for a in given]
        for kind, a in zip(kinds, arguments, strict=True):
            try:
                check_instruction(kind, "a probe", a)
            except BadArgumentError as error:
                raise DataError(f"{kind}: {error.what}", where=where) from None
        return EvalItem(
            test=self.name,
            category=self.category,
            id=str(row.data.get("key", row.line)),
            messages=(Message("user", prompt),),
            meta={"kinds": list(kinds), "arguments": arguments},
        )

    def request(self, item: EvalItem) -> Request:
        """One greedy answer of at most 2,048 tokens."""
        return Ask(Sampling(temperature=0.0, max_tokens=2048))

    def score(self, answered: Answered) -> EvalResult:
        """1 if every instruction holds in some cleaned variant."""
        item, text = answered.item, answered.texts[0]
        strict, loose = self._outcomes(item, [text]), self._outcomes(item, cleaned_variants(text))
        followed = _all(loose)
        meta: dict[str, Any] = {
            "kinds": item.meta["kinds"],
            "strict": strict,
            "loose": loose,
            "prompt_strict": _all(strict),
        }
        unknown = [kind for kind, held in zip(item.meta["kinds"], loose, strict=True) if held is None]
        if followed is None:
            meta["error"] = f"cannot be checked here: {', '.join(unknown)}"
            return answered.result(None, status="missing", meta=meta)
        held = sum(1 for outcome in loose if outcome)
        return answered.result(float(followed), prediction=f"{held} of {len(loose)} followed", meta=meta)

    def _outcomes(self, item: EvalItem, variants: Sequence[str]) -> Outcomes:
        pairs: list[tuple[str, Mapping[str, Any]]] = list(zip(item.meta["kinds"], item.meta["arguments"], strict=True))
        return [_any([check_instruction(kind, text, a, detect=self.detect) for text in variants]) for kind, a in pairs]

    def secondary(self, results: Sequence[EvalResult]) -> dict[str, float | None]:
        """Prompt-level strict and both instruction-level figures, in percent."""
        return {
            "prompt strict": mean_of(results, "prompt_strict"),
            "instruction strict": _level(results, "strict"),
            "instruction loose": _level(results, "loose"),
        }


def _all(outcomes: Outcomes) -> bool | None:
    if False in outcomes:
        return False
    return None if None in outcomes else True


def _any(outcomes: Outcomes) -> bool | None:
    if True in outcomes:
        return True
    return None if None in outcomes else False


def _level(results: Sequence[EvalResult], name: str) -> float | None:
    known = [held for result in results for held in result.meta.get(name, ()) if held is not None]
    return 100.0 * sum(known) / len(known) if known else None
