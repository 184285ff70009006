"""The patterns the cleaner looks for. Each is anchored and bounded, so that no text makes it slow."""

from __future__ import annotations

import re

_LABELS = (
    r"task|prompt|question|problem|scenario|situation|context|challenge|query|request|instructions?|descriptions?|part"
)
_LABEL = (
    rf"(?:[#*_]{{1,6}}[ \t]*)?"
    rf"(?:(?:{_LABELS})(?:[ \t]*\#?\d{{1,3}})?[*_]{{0,2}}[ \t]*:[*_]{{0,2}}|q\d{{1,3}}[.:])[*_]{{0,2}}"
)
_ENUMERATOR = r"\(?\d{1,2}[.)](?=\s)|\(?[a-z]\)(?=\s)"

# one leading enumerator, label, or an enumerator and then a label
LEADING_LABEL = re.compile(rf"(?:(?:{_ENUMERATOR})\s+)?(?:{_LABEL})\s*|(?:{_ENUMERATOR})\s+", re.IGNORECASE)
# the same at the start of a later line: the text is a list or a form, and its first label belongs to it
SIBLING_LABEL = re.compile(rf"^[ \t]*(?:{_LABEL}|{_ENUMERATOR})", re.IGNORECASE | re.MULTILINE)

CONTROL_TOKEN = re.compile(r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜\s]{1,40}｜>|<(?:start|end)_of_turn>|\[/?INST\]")

# a line that opens a turn: "assistant" alone, "User: ...", "### Response:"
ROLE_HEADER = re.compile(
    r"^[ \t]*(?:"
    r"[*_#\[<]{0,4}[ \t]*(?:user|human|assistant|ai assistant|chatgpt)[ \t]*[*_\]>]{0,3}[ \t]*:"
    r"|[*_]{0,2}(?:user|assistant|model)[*_]{0,2}[ \t]*$"
    r"|\#{2,4}[ \t]*(?:response|instruction|assistant|user|human)\b[ \t]*:?[ \t]*$"
    r")",
    re.IGNORECASE | re.MULTILINE,
)

_OFFER = (
    r"(?:how (?:can|may) i (?:help|assist)|i(?:'|’| woul)d be (?:happy|glad|delighted) to"
    r"|i(?:'|’| a)m (?:here|happy|glad) to (?:help|assist))"
)
# how an assistant begins: "Sure, here is", "Hello! How can I help you"
REPLY_OPENER = re.compile(
    r"(?:(?:sure|certainly|of course|absolutely|great question)(?: thing)?[!,.:]+\s+"
    r"(?:here(?:'|’)?s?\b|here (?:is|are)\b|i(?:'|’)(?:ll|d|m)\b|i (?:can|will|would)\b|let(?:'|’)s\b|below\b)"
    rf"|(?:hello|hi|hey|greetings)\b[^.!?\n]{{0,40}}[.!?,]\s*(?:i(?:'|’)m [^.!?\n]{{0,60}}[.!?]\s*)?{_OFFER}"
    rf"|{_OFFER}\b)",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"(?:i(?:'|’)m|i am) (?:really |very )?sorry,? (?:but )?(?:i|as an ai)\b[^.\n]{0,30}"
    r"\b(?:can(?:'|’)t|cannot|can not|unable|not able|won(?:'|’)t)\b"
    r"|i (?:can(?:'|’)t|cannot|can not|am unable to|am not able to|won(?:'|’)t) "
    r"(?:assist|fulfill|comply|help you|help with|engage|provide (?:you|that|this|any|information|assistance))\b"
    r"|as an ai(?: language)? model\b|as an ai(?: assistant)?, (?:i|my)\b",
    re.IGNORECASE,
)

# "Answer: 4", "The answer is 4", "Solution:" at the start of a sentence, before something that is no blank to fill
ANSWER_MARKER = re.compile(
    r"(?:(?<=[.!?)\]\"'*`]\s)|(?<=\n)|(?<=\n\s)|(?<=\n\s\s))[*_#]{0,4}[ \t]*"
    r"(?:(?:the )?(?:correct |final |sample |model )?(?P<noun>answer|solution(?: approach)?|explanation)"
    r"[*_]{0,2}[ \t]*:[*_]{0,2}|the (?:correct |final )?answer is)[ \t]*\n?[ \t]*(?=[^\s<\[{_(….])",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"[.!?。！？](?=\s|$)|\n")
EXAMPLE = re.compile(r"\b(?:examples?|samples?|inputs?)\b", re.IGNORECASE)
STEP_HEADING = re.compile(
    r"^[ \t]*(?:\#{1,6}[ \t]*\**|\*\*)step[ \t]*\d{1,2}\b|^step 1[ \t]*:", re.IGNORECASE | re.MULTILINE
)
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
