"""Records made without their frozen ``__init__`` are the same records."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, fields, replace
from typing import Any

import pytest

from agora.core import records
from agora.core.quick_records import quick
from agora.core.records import Message, Verdict

GIVEN = ("id", "score", "task", "model", "judge", "ok", 7.0, "raw", "prompt", "hash")


def test_a_quick_record_equals_one_made_the_plain_way() -> None:
    made, plain = quick(Verdict)(*GIVEN, n_chars=3), Verdict(*GIVEN, n_chars=3)
    assert made == plain and repr(made) == repr(plain)
    assert type(made) is Verdict
    assert replace(made, value=3.0) == replace(plain, value=3.0)


def test_a_quick_record_is_frozen() -> None:
    made = quick(Message)("user", "hello")
    with pytest.raises(FrozenInstanceError):
        made.content = "other"  # type: ignore[misc]


def test_two_quick_records_share_no_default() -> None:
    first, second = (quick(Message)("user", "hello") for _ in range(2))
    first.meta["seen"] = True
    assert second.meta == {}


@pytest.mark.parametrize("arguments", [(), ("user",), ("user", "a", "b", None, {}, "more")])
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        quick(Message)(*arguments)


def test_every_record_of_the_core_has_a_quick_form() -> None:
    found = [each for each in vars(records).values() if isinstance(each, type) and hasattr(each, "SCHEMA")]
    assert len(found) >= 8
    for each in found:
        assert quick(each) is not each
        assert quick(each).__slots__ == tuple(f.name for f in fields(each))  # type: ignore[attr-defined]


def test_what_checks_itself_or_has_no_slots_is_made_its_own_way() -> None:
    @dataclass(frozen=True, slots=True)
    class Checked:
        n: int

        def __post_init__(self) -> None:
            if self.n < 0:
                raise ValueError("below 0")

    @dataclass(frozen=True)
    class Loose:
        n: int

    assert quick(Checked) is Checked
    assert quick(Loose) is Loose
