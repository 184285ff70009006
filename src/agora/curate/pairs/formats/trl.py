"""The dataset types of TRL, with the margin and score columns that reward files add."""

from __future__ import annotations

from agora.core.records import JsonMap
from agora.curate.importers.base import RowError
from agora.curate.pairs.base import (
    Context,
    Draft,
    Given,
    GroupDraft,
    PairFormat,
    PromptDraft,
    from_conversations,
    models,
    required,
    scores,
    text_at,
)
from agora.curate.pairs.records import Response
from agora.curate.pairs.turns import Turns, answer_of, messages_of, prompt_of, shared_prefix

_IDS = ("id", "prompt_id", "uid", "uuid")


def explicit(row: JsonMap, context: Context) -> Given:
    """Prompt, chosen and rejected; a side that repeats the prompt is a whole conversation."""
    prompt = prompt_of(required(row, "prompt"))
    chosen, rejected = answer_of(required(row, "chosen")), answer_of(required(row, "rejected"))
    more = extras(row)
    if shared_prefix(prompt, chosen) == shared_prefix(prompt, rejected) == len(prompt):
        return Draft(prompt, chosen[len(prompt) :], rejected[len(prompt) :], **more)
    if _opens(chosen) or _opens(rejected):  # the prompt column is a summary or one turn of what the sides hold
        return from_conversations(chosen, rejected, **more)
    return Draft(prompt, chosen, rejected, **more)


def implicit(row: JsonMap, context: Context) -> Given:
    """Two whole conversations."""
    chosen, rejected = messages_of(required(row, "chosen")), messages_of(required(row, "rejected"))
    return from_conversations(chosen, rejected, **extras(row))


def _opens(turns: Turns) -> bool:
    """Whether a side opens a conversation of its own."""
    return bool(turns) and turns[0].role in ("user", "system")


def extras(row: JsonMap) -> JsonMap:
    """The fields of a draft that many files hold under the same names."""
    return {
        **scores(row),
        "source_id": text_at(row, *_IDS),
        "origin": text_at(row, "source", "dataset"),
        "annotator": text_at(row, "annotator") or None,
        "meta": models(row),
    }


def _unpaired(row: JsonMap, context: Context) -> Given:
    """An answer that is good or bad: a group of the answers that share the prompt."""
    label = row.get("label")
    if not isinstance(label, bool) and label not in (0, 1):
        raise RowError("unknown label", f"'label' is {label!r:.40}, expected true or false")
    response = Response(answer_of(required(row, "completion")), score=float(label), model=text_at(row, "model"))
    return GroupDraft(prompt_of(required(row, "prompt")), (response,), key="prompt", source_id=text_at(row, *_IDS))


def _stepwise(row: JsonMap, context: Context) -> Given:
    """Labelled steps: a solution is right when all its steps are."""
    steps, labels = required(row, "completions"), required(row, "labels")
    if not isinstance(steps, list) or not isinstance(labels, list) or len(steps) != len(labels) or not steps:
        raise RowError("steps and labels differ", "expected two lists of one length")
    if not all(isinstance(step, str) for step in steps):
        raise RowError("content is not text", "a step")
    share = sum(map(bool, labels)) / len(labels)
    answer = Response(answer_of("\n".join(steps)), score=float(share == 1), aspects={"right_steps": share})
    return GroupDraft(prompt_of(required(row, "prompt")), (answer,), key="prompt")


def _prompt_completion(row: JsonMap, context: Context) -> Given:
    return PromptDraft(
        prompt_of(required(row, "prompt")), answer_of(required(row, "completion")), source_id=text_at(row, *_IDS)
    )


def _messages(row: JsonMap, context: Context) -> Given:
    """A conversation: what precedes its last answer is the prompt."""
    turns = messages_of(required(row, "messages"))
    end = len(turns)
    while end and turns[end - 1].role == "assistant":
        end -= 1
    return PromptDraft(turns[:end], turns[end:], source_id=text_at(row, *_IDS))


def _prompt_only(row: JsonMap, context: Context) -> Given:
    answer = next((row[k] for k in ("answer", "ground_truth", "solution") if row.get(k) is not None), None)
    return PromptDraft(
        prompt_of(required(row, "prompt")),
        answer=None if answer is None else str(answer),
        checker=text_at(row, "checker") or None,
        domain=text_at(row, "domain", "source", "dataset"),
        source_id=text_at(row, *_IDS),
    )


def _are_lists(row: JsonMap) -> bool:
    return isinstance(row["chosen"], list) and isinstance(row["rejected"], list)


TULU = PairFormat(
    name="tulu-2.5",
    title="the release of the Tulu 2.5 preference data",
    columns=("chosen", "rejected", "source"),
    convert=implicit,
    suits=lambda row: _are_lists(row) and set(row) == {"chosen", "rejected", "source"},
    licence="ODC-BY-1.0; some splits CC-BY-NC-4.0",
    note="The rows carry no scores, so inverted labels cannot be seen. The conversion that was published for HelpSteer "
    "takes the worst answer as the chosen one: read some rows of that split. The big mixture holds the 60k splits.",
)
CAPYBARA = PairFormat(
    name="capybara",
    title="Capybara pairs with ratings (Argilla)",
    columns=("chosen", "rejected", "rating_chosen", "rating_rejected"),
    convert=implicit,
    suits=_are_lists,
    label_kind="ai",
    licence="Apache-2.0",
)
EXPLICIT = PairFormat(
    name="trl",
    title="TRL preference with an explicit prompt",
    columns=("prompt", "chosen", "rejected"),
    convert=explicit,
)
IMPLICIT = PairFormat(
    name="trl-implicit",
    title="TRL preference, the prompt in both sides",
    columns=("chosen", "rejected"),
    convert=implicit,
    suits=_are_lists,
)
UNPAIRED = PairFormat(
    name="trl-unpaired",
    title="TRL unpaired preference",
    columns=("prompt", "completion", "label"),
    convert=_unpaired,
    gives="groups",
)
STEPWISE = PairFormat(
    name="trl-stepwise",
    title="TRL stepwise supervision",
    columns=("prompt", "completions", "labels"),
    convert=_stepwise,
    gives="groups",
)
PROMPT_COMPLETION = PairFormat(
    name="trl-prompt-completion",
    title="TRL prompt and completion",
    columns=("prompt", "completion"),
    convert=_prompt_completion,
    gives="prompts",
)
MESSAGES = PairFormat(
    name="messages",
    title="conversations as messages",
    columns=("messages",),
    convert=_messages,
    gives="prompts",
    suits=lambda row: isinstance(row["messages"], list),
)
PROMPT_ONLY = PairFormat(
    name="trl-prompt",
    title="TRL prompts alone",
    columns=("prompt",),
    convert=_prompt_only,
    gives="prompts",
    suits=lambda row: isinstance(row["prompt"], str | list),
)


def _by_flags(row: JsonMap, context: Context) -> Given:
    """Columns under names of the user's choice; without a prompt column the sides are whole conversations."""
    keys = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected", "margin": "margin"} | dict(context.keys)
    chosen = required(row, keys["chosen"])
    required(row, keys["rejected"])
    if keys["prompt"] not in row and isinstance(chosen, str):
        raise RowError("no prompt", f"the sides are texts and there is no column {keys['prompt']!r}")
    renamed = row | {name: row[column] for name, column in keys.items() if column in row}
    return (explicit if keys["prompt"] in row else implicit)(renamed, context)


OPENRLHF = PairFormat(
    name="openrlhf",
    title="columns named by flags, as OpenRLHF reads them",
    columns=(),
    convert=_by_flags,
    guessed=False,  # the user names the columns
)
