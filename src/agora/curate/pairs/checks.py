"""What makes a pair unfit to learn from, and the last form that its turns take (the data's specification, 7)."""

from __future__ import annotations

from dataclasses import replace

from agora.core.records import Message
from agora.curate.importers.base import RowError
from agora.curate.pairs.base import Draft
from agora.curate.pairs.turns import Turns, merge_repeats, plain, repeats_a_role, shared_prefix


def checked(draft: Draft, *, merge_turns: bool, keeps_repeats: bool) -> Draft:
    """The draft as it may become a pair.

    Args:
        merge_turns: neighbors of one role become one message, joined by a blank line.
        keeps_repeats: the format may have two answers in a row; they stay as they are.

    Raises:
        RowError: no prompt or one that ends with an answer, an empty answer, a side that does not start and end with an
            answer, identical sides, one side the beginning of the other, neighbors of one role.
    """
    if merge_turns:
        draft = _merged(draft)
    _check_prompt(draft.prompt, keeps_repeats)
    _check_sides(draft.chosen, draft.rejected)
    for name, side in (("chosen", draft.chosen), ("rejected", draft.rejected)):
        _check_side(name, side, keeps_repeats)
    return draft


def _merged(draft: Draft) -> Draft:
    """Merge within each whole conversation, then part them again, since a merged answer may reach into the prompt."""
    left = merge_repeats((*draft.prompt, *draft.chosen))
    right = merge_repeats((*draft.prompt, *draft.rejected))
    cut = min(len(merge_repeats(draft.prompt)), shared_prefix(left, right))
    while cut and left[cut - 1].role == "assistant":
        cut -= 1
    if (left[:cut], left[cut:], right[cut:]) == (draft.prompt, draft.chosen, draft.rejected):
        return draft
    return replace(draft, prompt=left[:cut], chosen=left[cut:], rejected=right[cut:])


def _check_prompt(prompt: Turns, keeps_repeats: bool) -> None:
    if not prompt or not any(_has_text(m) for m in prompt if m.role != "system"):
        raise RowError("empty prompt")
    if prompt[-1].role not in ("user", "tool"):
        detail = "its last turn is the assistant's; --merge-turns may mend it"
        raise RowError(f"prompt ends with {prompt[-1].role}", detail)
    if not keeps_repeats and repeats_a_role(prompt):
        raise RowError("a role twice in a row", "in the prompt; --merge-turns joins them")


def _check_sides(chosen: Turns, rejected: Turns) -> None:
    if not chosen or not rejected:
        if not chosen and not rejected:
            raise RowError("identical sides")
        raise RowError("one side is the beginning of the other")
    left, right = plain(chosen), plain(rejected)
    if left == right:
        raise RowError("identical sides")
    shorter = min(len(left), len(right))
    if len(left) != len(right) and left[:shorter] == right[:shorter]:
        raise RowError("one side is the beginning of the other")


def _check_side(name: str, side: Turns, keeps_repeats: bool) -> None:
    if not all(_has_text(m) for m in side if m.role == "assistant"):
        raise RowError("empty answer", name)
    if side[0].role != "assistant" or side[-1].role != "assistant":
        raise RowError("answer is not the assistant's", f"{name} starts with {side[0].role}, ends with {side[-1].role}")
    if not keeps_repeats and repeats_a_role(side):
        raise RowError("a role twice in a row", f"in {name}; --merge-turns joins them")


def _has_text(message: Message) -> bool:
    return bool(message.content.strip())
