"""The cleaner: what it strips, what it flags, what it leaves alone (acceptance check C)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agora.rooms.synthesize import clean_instruction
from tests.examples import examples

PIECES = st.sampled_from(
    [
        "Question: ", "**Task:** ", "1. ", "2) ", "a) ", "Q4. ", "### Problem 3:\n", "<|im_end|>", "</s>", "[INST]",
        "Answer: 4", "The answer is 5. ", "Solution:\n", "assistant\n", "User: hi", "### Response:\n",
        "Sure! Here is ", "Hello! How can I help you?", "I'm sorry, but I can't do that.", "## Step 1\n", "```",
        "\n", "\n\n", " ", ".", "?", "Why is the sky blue", "你好，世界", "\u200d", "\x00", "\ufffd", "\ud800",
        "aaaaaaaaaa", ":", ",", "İ", "ß",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.text(st.characters()), st.lists(PIECES, max_size=12).map("".join))


@settings(max_examples=examples(400), deadline=None)
@given(TEXTS, st.booleans())
@example("1. 2. Answer: 3", True)
@example("Question: Why? Answer: Task: x. Answer: y", True)
@example("<|im_end|>Q1. <|im_end|> x", False)
def test_cleaning_never_raises_and_twice_is_once(text: str, cut: bool) -> None:
    once = clean_instruction(text, cut_at_answer=cut, debris=("</s>", "<s>"))
    twice = clean_instruction(once.text, cut_at_answer=cut, debris=("</s>", "<s>"))
    assert (twice.text, twice.ops, twice.flags) == (once.text, (), once.flags)


@settings(max_examples=examples(300), deadline=None)
@given(TEXTS)
def test_an_unflagged_unchanged_text_is_the_same_text(text: str) -> None:
    cleaned = clean_instruction(text)
    if not cleaned.ops:
        assert cleaned.text == text
    assert cleaned.text in text  # stripping only: nothing is rewritten
    lengths = [len(text), *(op.after_len for op in cleaned.ops)]
    assert lengths == [op.before_len for op in cleaned.ops] + [len(cleaned.text)]
    assert all(op.after_len < op.before_len for op in cleaned.ops)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("  Why is the sky blue?\n", "Why is the sky blue?"),
        ("Question: Why is the sky blue?", "Why is the sky blue?"),
        ("**Question 3:** Why is the sky blue?", "Why is the sky blue?"),
        ("### Task:\nWrite a poem about rain.", "Write a poem about rain."),
        ("Q4. Why is the sky blue?", "Why is the sky blue?"),
        ("Part 2: Why is the sky blue?", "Why is the sky blue?"),
        ("1. Why is the sky blue?", "Why is the sky blue?"),
        ("a) Why is the sky blue?", "Why is the sky blue?"),
        ("1. **Question:** Why is the sky blue?", "Why is the sky blue?"),
        ("<|im_start|>Why is the sky blue?<|im_end|>", "Why is the sky blue?"),
        ("Why is the sky blue? </s>", "Why is the sky blue?"),
    ],
)
def test_whitespace_debris_and_one_label_are_stripped(raw: str, text: str) -> None:
    cleaned = clean_instruction(raw, debris=("</s>",))
    assert (cleaned.text, cleaned.flags) == (text, ())
    assert cleaned.ops


@pytest.mark.parametrize(
    "text",
    [
        "1. Sort these words.\n2. Count them.",
        "Context: I teach.\nTask: write me a quiz about rivers.",
        "3.14 is what, exactly?",
        "A. A. Milne wrote which books?",
        "Request headers in HTTP: how do they work?",
        "How do I strike text, like <s>this</s>",
    ],
)
def test_lists_and_forms_keep_their_first_label(text: str) -> None:
    cleaned = clean_instruction(text)
    assert (cleaned.text, cleaned.ops, cleaned.flags) == (text, (), ())


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("Compute 2+2. Answer: 4", "self_answering"),
        ("What is 2+2?\nThe answer is 4.", "self_answering"),
        ("What is 2+2?\n\n**Solution:** It is 4.", "self_answering"),
        ("Tell me about rain.\nassistant\n\nRain is water.", "role_leakage"),
        ("Tell me about rain.\nAssistant: Rain is water.", "role_leakage"),
        ("Tell me about rain.\n\n### Response:\nRain is water.", "role_leakage"),
        ("Tell me about rain.<|eot_id|>Rain is water.", "role_leakage"),
        ("Tell me about rain.\n\nSure! Here is what I know.", "role_leakage"),
        ("Hello! How can I help you today?", "assistant_voice"),
        ("I'm sorry, but I can't help with that request.", "assistant_voice"),
        ("As an AI language model, I have no feelings.", "assistant_voice"),
        ("How do I bake bread?\n## Step 1: Mix flour and water.", "step_heading"),
        ("Summarize the following text:", "unfinished"),
        ("Write a list of apples, pears,", "unfinished"),
        ("Fix this code please:\n```python\nprint(1)", "odd_code_fences"),
        ("Hi there", "too_short"),
        ("go " * 6000, "too_long"),
        ("Print these \x00\x01\x02 bytes now", "non_printing"),
        ("Say it: " + "ha" * 3 + "a" * 60, "repetition"),
        ("one two three four five six seven eight nine ten " * 8, "repetition"),
        (" \n\t", "empty"),
    ],
)
def test_what_should_not_be_there_is_flagged_and_not_cut(text: str, flag: str) -> None:
    cleaned = clean_instruction(text)
    assert flag in cleaned.flags
    assert cleaned.text == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "Explain the role of the assistant in Kafka's novels.",
        "I can't get my code to run. What should I check first?",
        "Sure, but why is the sky blue?",
        "Hi, I need a regular expression for dates.",
        "Give the result in this form.\nAnswer: <number>",
        "Reverse an array.\nExample:\nInput: [1]\nExplanation: it is alone.",
        "为什么天空是蓝色的？",
        "Let x = (a[0] - 3. Which bracket is missing? Call 555 123 4567.",
    ],
)
def test_real_looking_requests_pass(text: str) -> None:
    assert clean_instruction(text).flags == ()


def test_cut_at_answer_cuts_and_records() -> None:
    cleaned = clean_instruction("Compute 2+2. Answer: 4", cut_at_answer=True)
    assert cleaned.text == "Compute 2+2."
    assert [op._asdict() for op in cleaned.ops] == [{"op": "cut_at_answer", "before_len": 22, "after_len": 12}]
    assert "self_answering" not in cleaned.flags


def test_personal_data_is_a_label_and_no_flag() -> None:
    cleaned = clean_instruction("Write to anna@example.org or call (415) 555-2671 about the rent.")
    assert cleaned.personal_data == ("EMAIL_ADDRESS", "PHONE_NUMBER")
    assert cleaned.flags == ()


def test_real_hard_prompts_pass_unchanged(shared_dir: Path) -> None:
    with gzip.open(shared_dir / "data/magpie/arena_hard_v01_prompts.jsonl.gz", "rt", encoding="utf-8") as lines:
        prompts = [json.loads(line)["prompt"] for line in lines]
    assert len(prompts) == 500
    cleaned = [clean_instruction(prompt) for prompt in prompts]
    # 72 prompts have outer whitespace; stripping it is no change of the request
    passed = sum(c.text == prompt.strip() and not c.flags for c, prompt in zip(cleaned, prompts, strict=True))
    print(f"Arena-Hard prompts unchanged and unflagged: {passed} of 500")
    assert passed >= 490
