"""Later turns: the user is simulated by rendering the whole conversation, for any template."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agora.core.errors import ConfigError
from agora.core.records import Conversation, Message, Provenance
from agora.core.tables import read_rows, write_jsonl
from agora.engines.types import ChatRequest, CompleteRequest, Generation, Usage
from agora.rooms.synthesize import derive_prefix
from agora.rooms.synthesize.clean import clean_instruction
from agora.rooms.synthesize.commands import app
from agora.rooms.synthesize.turn_ends import is_thanks, jaccard, why_end
from agora.rooms.synthesize.turn_prefix import TurnPrefixes
from agora.rooms.synthesize.turns import TurnSettings, extend_conversations
from tests.rooms.synthesize.killed_child import TEMPLATE
from tests.rooms.synthesize.scripted import ScriptedEngine, write_either

NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE
# drops the reasoning of earlier answers, as Qwen3's does: earlier turns change when one is added
THINKING = (
    "{% for m in messages %}<|{{ m.role }}|>{{ '<think></think>' if loop.last and m.role == 'assistant' }}"
    "{{ m.content.split('</think>')[-1] if not loop.last else m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def talk(id: str, *turns: str) -> Conversation:
    roles = ("user", "assistant")
    pairs = [(roles[i % 2], text) for i, text in enumerate(turns)]
    return Conversation.linear(pairs, Provenance("test"), id=id)


def steady(request: Any) -> Generation:
    """One new request after another, each answered."""
    text = "It is so." if isinstance(request, ChatRequest) else f"And what about number {request.id[-1]} of the list?"
    return Generation(request.id, text, "stop_token", usage=Usage(3, 9))


def extend(records: Any, engine: ScriptedEngine, template: str = TEMPLATE, **more: Any) -> list[Any]:
    settings = TurnSettings(**{"turns": 3, **more})
    return list(extend_conversations(records, TurnPrefixes(template), engine, engine, settings))


def test_conversations_grow_to_the_turns_asked_for_and_keep_what_they_had() -> None:
    records = [talk(str(i), f"Question {i}?", f"Answer {i}.") for i in range(30)]
    found = extend(records, ScriptedEngine(write_either, order=5))
    assert [r.id for r in found] == [r.id for r in records]
    for before, after in zip(records, found, strict=True):
        assert after.messages[:2] == before.messages
        assert [m.role for m in after.messages] == ["user", "assistant"] * (len(after.messages) // 2)
        assert [m.parent for m in after.messages[1:]] == [m.id for m in after.messages[:-1]]
        ended = after.tags.get("turns", {}).get("ended")
        assert (len(after.messages) == 6) == (ended is None)
    assert sum(len(r.messages) == 6 for r in found) > 15
    assert found == extend(records, ScriptedEngine(write_either, order=1, in_flight=3))


def test_user_turns_are_drawn_under_the_simulation_prompt_and_answered_without_it() -> None:
    engine = ScriptedEngine(steady)
    extend([talk("a", "Why?", "Because.")], engine, turns=2)
    drawn, answered = engine.requests
    assert isinstance(drawn, CompleteRequest) and isinstance(answered, ChatRequest)
    assert drawn.prompt is not None and drawn.prompt.startswith("<|system|>This is a conversation of several rounds")
    assert drawn.prompt.endswith("<|user|>Why?<|end|><|assistant|>Because.<|end|><|user|>")
    assert [m["role"] for m in answered.messages] == ["user", "assistant", "user"]


def test_a_template_without_system_prompts_still_gives_user_turns() -> None:
    engine = ScriptedEngine(steady)
    (found,) = extend([talk("a", "Why?", "Because.")], engine, NO_SYSTEM, turns=2)
    assert engine.requests[0].prompt == "<|user|>Why?<|end|><|assistant|>Because.<|end|><|user|>"
    assert len(found.messages) == 4


def test_a_template_that_rewrites_earlier_turns_is_rendered_whole() -> None:
    prefixes = TurnPrefixes(THINKING)
    assert not prefixes.plain.prefix_preserving
    text = prefixes.of([("user", "Why?"), ("assistant", "<think>hm</think>Because.")]).text
    assert text == "<|user|>Why?<|end|><|assistant|>Because.<|end|><|user|>"


def test_a_conversation_that_ends_with_a_question_is_answered_first() -> None:
    engine = ScriptedEngine(steady)
    (found,) = extend([talk("a", "Why?")], engine, turns=2)
    assert isinstance(engine.requests[0], ChatRequest)
    assert [m.role for m in found.messages] == ["user", "assistant", "user", "assistant"]


def test_ids_of_later_prefixes_are_those_of_a_full_derivation() -> None:
    prefixes = TurnPrefixes("microcosm:chat")
    talks = [[("user", f"What is {i}?"), ("assistant", f"It is {i}, \n in  short.")] for i in range(5)]
    tokenizer = prefixes._source.tokenizer
    assert tokenizer is not None
    for one in talks:
        found = prefixes.of(one)
        assert found.ids is not None
        assert found.ids == tuple(tokenizer.encode(found.text, add_special_tokens=False))
        assert tokenizer.decode(found.ids).endswith("<|end|><|user|>")


def test_a_trailing_space_is_left_out_of_later_prefixes_too() -> None:
    from tests.rooms.synthesize.test_prefix import small

    template = (
        "{% for m in messages %}{{ 'USER: ' if m.role == 'user' else ' ASSISTANT: ' }}{{ m.content }}{% endfor %}"
    )
    tokenizer = small(template + "{% if add_generation_prompt %} ASSISTANT:{% endif %}")
    prefixes = TurnPrefixes(tokenizer)
    for words in ("red apples", "two cats", "so it goes"):
        found = prefixes.of([("user", "How many?"), ("assistant", words)])
        assert found.text.endswith("USER:") and found.ids is not None
        assert tokenizer.decode(found.ids).endswith("USER:")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("Thanks, that helps a lot!", "thanks"),
        ("Thank you so much for your help!", "thanks"),
        ("Great, thanks. Goodbye.", "thanks"),
        ("Thanks. Now translate it into German.", None),
        ("Why?", None),
        ("Sure, here is the list you asked for.", "flag:assistant_voice"),
        ("what is the capital of france", "repeated"),
        ("And what is the capital of Spain, by the way, and since when?", None),
    ],
)
def test_a_conversation_ends_for_a_reason(text: str, reason: str | None) -> None:
    assert why_end(clean_instruction(text), "stop_token", ["What is the capital of France"]) == reason


def test_a_cut_off_user_turn_ends_the_conversation_before_it() -> None:
    def cut(request: Any) -> Generation:
        found = write_either(request)
        return replace(found, finish_reason="length", text="It goes on and") if request.id.endswith("/u1") else found

    (found,) = extend([talk("a", "Why?", "Because.")], ScriptedEngine(cut))
    assert len(found.messages) == 2 and found.tags["turns"]["ended"] == "length"


def test_a_question_that_nobody_answers_is_taken_back() -> None:
    def mute(request: Any) -> Generation:
        if isinstance(request, ChatRequest):
            return Generation(request.id, "", "empty", usage=Usage(1, 1))
        return Generation(request.id, "And how does that come about in winter?", "stop_token", usage=Usage(1, 9))

    (found,) = extend([talk("a", "Why?", "Because.")], ScriptedEngine(mute))
    assert [m.content for m in found.messages] == ["Why?", "Because."]
    assert found.tags["turns"]["ended"] == "answer_empty"


def test_similarity_is_that_of_character_5_grams() -> None:
    assert jaccard("What is it?", "what  is it?") == 1.0
    assert jaccard("abcdefgh", "zzzzzzzz") == 0.0
    assert not is_thanks("thanks " * 100)


def test_a_template_of_one_turn_is_refused() -> None:
    with pytest.raises(ConfigError, match="no second user turn"):
        TurnPrefixes("USER: {{ messages[-1].content }} ASSISTANT:")


def test_the_command_extends_a_log_in_a_known_format(tmp_path: Path) -> None:
    rows = [
        {"conversations": [{"from": "human", "value": "Name a color."}, {"from": "gpt", "value": "Red."}]}
        for _ in range(3)
    ]
    write_jsonl(tmp_path / "chats.jsonl", rows)
    arguments = ["turns", str(tmp_path / "chats.jsonl"), "--model", "microcosm:chat", "--out", str(tmp_path / "run")]
    more = ["--max-tokens", "48", "--max-answer-tokens", "48", "--json"]
    report = json.loads(CliRunner().invoke(app, [*arguments, *more], catch_exceptions=False).stdout)
    assert report["n"] == 3 and report["extended"] >= 1
    written = [row.data for row in read_rows(tmp_path / "run/conversations.jsonl")]
    assert {row["schema"] for row in written} == {"conversation/1"}
    again = json.loads(CliRunner().invoke(app, [*arguments, *more], catch_exceptions=False).stdout)
    assert again == report


def test_the_first_prefix_of_a_conversation_equals_the_derived_one() -> None:
    assert TurnPrefixes(TEMPLATE).plain == derive_prefix(TEMPLATE)
    assert Message("user", "x").as_chat() == {"role": "user", "content": "x"}
