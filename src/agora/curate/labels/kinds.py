"""The labels that a model gives: what is asked about which text, the values allowed, and the keys of the reply.

Label sets and the order of keys are those of Magpie (arXiv:2406.08464, section 3.2 and appendix F); the prompts are our
own. Reasons come before the label, inside the JSON object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from agora.core.records import JsonMap, stable_id
from agora.curate.rows import answer_of, instruction_of
from agora.curate.scales import CATEGORY, DIFFICULTY, QUALITY, SAFETY, Scale

HAZARDS = (
    "violent crime",
    "non-violent crime",
    "sex-related crime",
    "child exploitation",
    "specialized advice",
    "privacy",
    "intellectual property",
    "indiscriminate weapons",
    "hate",
    "suicide and self-harm",
    "sexual content",
    "others",
)


@dataclass(frozen=True, slots=True)
class LabelKind:
    """One label.

    Args:
        name: of the tag, and the reply's key of the value.
        scale: the values allowed.
        text: what of a row is labeled; None where the row has no such text.
        texts: further keys of the reply that hold text.
        lists: further keys that hold lists, with the values that count (None: any text).
    """

    name: str
    scale: Scale
    text: Callable[[JsonMap], str | None]
    texts: tuple[str, ...] = ()
    lists: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def prompt(self) -> str:
        """The prompt's template, with ``{{code}}`` and ``{{text}}``."""
        return _prompt(self.name)

    @property
    def prompt_hash(self) -> str:
        """Labels by different prompts never mix."""
        return stable_id(self.prompt)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that a labeled text might hold to pass for a reply."""
        return (self.name, *self.texts, *(name for name, _ in self.lists), "verdict_id")

    def schema(self) -> JsonMap:
        """The JSON schema of a reply, for engines that decode by one."""
        properties: dict[str, Any] = {name: {"type": "string"} for name in self.texts}
        for name, values in self.lists:
            properties[name] = {"type": "array", "items": {"type": "string", "enum": list(values)}}
        properties[self.name] = {"type": "string", "enum": list(self.scale.values)}
        properties["verdict_id"] = {"type": "string"}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def extras(self, fields: JsonMap) -> JsonMap:
        """What else a reply says, as far as it is of the kind that was asked for."""
        found: JsonMap = {name: fields[name] for name in self.texts if isinstance(fields.get(name), str)}
        for name, values in self.lists:
            listed = fields.get(name)
            if isinstance(listed, list):
                scale = Scale(name, values, ordered=False)
                found[name] = list(dict.fromkeys(v for item in listed if (v := scale.match(item))))
        return found


def _conversation(row: JsonMap) -> str | None:
    answer = answer_of(row)
    text = f"USER: {instruction_of(row)}"
    return text if answer is None else f"{text}\n\nASSISTANT: {answer}"


def _instruction(row: JsonMap) -> str | None:
    return instruction_of(row) or None


KINDS: dict[str, LabelKind] = {
    kind.name: kind
    for kind in (
        LabelKind("quality", QUALITY, _instruction, ("explanation",)),
        LabelKind("difficulty", DIFFICULTY, _instruction, ("intent", "knowledge")),
        LabelKind("category", CATEGORY, _instruction, lists=(("other_tags", CATEGORY.values),)),
        LabelKind("safety", SAFETY, _conversation, lists=(("hazards", HAZARDS),)),
    )
}


@cache
def _prompt(name: str) -> str:
    return files("agora.curate.labels").joinpath("prompts", f"{name}.md").read_text("utf-8")
