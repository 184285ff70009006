"""Find the bare user header of a template: what opens a user's turn, without what closed the answer before it."""

from __future__ import annotations

import re

# what chat templates use as control tokens: <|im_end|>, <｜User｜>, <end_of_turn>, <turn|>, </s>, [INST], [gMASK]
CONTROL = re.compile(r"<[|｜][^<>\s]{1,60}?[|｜]>|</?\|?[A-Za-z_][\w|-]{0,40}>|\[/?[A-Za-z_]{3,30}\]")


def user_header(prefix: str, post_query: str, lead_in: str | None, after_assistant: str | None, bos: str) -> str | None:
    """BOS (where the template writes one) and the user header; None when it cannot be told.

    Args:
        prefix: text before the first user's words.
        post_query: text after a user's words, up to where the answer begins.
        lead_in: text between an answer and the next user's words.
        after_assistant: text after an answer that ends the conversation.
        bos: the BOS token's text, "" when there is none.
    """
    if lead_in is None:
        return None
    start = bos if bos and prefix.startswith(bos) else ""
    opening = prefix[len(start) :]
    if opening and lead_in.endswith(opening):
        return prefix  # no default system block: the template's prefix is the bare one
    for close in (after_assistant, _first_control(post_query)):
        if close is not None and lead_in.startswith(close) and lead_in != close:
            header = lead_in[len(close) :].lstrip("\n")
            before = prefix.removesuffix(header)
            # control tokens alone (GLM's [gMASK]<sop>) open every conversation, as BOS does
            return prefix if before != prefix and not CONTROL.sub("", before).strip() else start + header
    return None


def _first_control(text: str) -> str | None:
    match = CONTROL.match(text)
    return match.group() if match else None
