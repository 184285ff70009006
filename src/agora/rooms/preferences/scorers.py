"""Whatever gives an answer a number: a reward model, its length, a checker, a DPO-trained policy, a judge.

A scorer takes whole conversations that end in an answer and returns one number each, higher for better, None where it
has none. :func:`open_scorer` finds one by its URI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from agora.core.errors import ConfigError, DataError, UsageError
from agora.core.files import nearest
from agora.core.records import Message

if TYPE_CHECKING:
    from agora.microcosm.world import World
    from agora.train.batch import EncodedSequence

Conversation: TypeAlias = tuple[Message, ...]
Scorer: TypeAlias = Callable[[Sequence[Conversation]], "list[float | None]"]

FORMS = ("reward:PATH", "dpo:PATH|REFERENCE", "judge:ENGINE", "microcosm:checker", "length:")


@dataclass(frozen=True, slots=True)
class OpenedScorer:
    """A scorer with its name; call it like a :data:`Scorer`.

    Attributes:
        uri: what it was opened by.
        function: the scorer itself.
        log_odds: a difference of two scores is meant as the log odds that the first answer is better. Only then can it
            be calibrated.
        folders: model folders that decide its scores, by role.
    """

    uri: str
    function: Scorer
    log_odds: bool
    folders: Mapping[str, Path] = field(default_factory=dict)

    def __call__(self, conversations: Sequence[Conversation]) -> list[float | None]:
        """Score conversations, in their order."""
        return self.function(conversations)


def open_scorer(
    uri: str,
    *,
    beta: float = 0.1,
    max_tokens: int | None = None,
    token_budget: int = 16384,
    device: str | None = None,
) -> OpenedScorer:
    """Open a scorer by its URI.

    Args:
        uri: ``reward:PATH``, a folder that ``agora train reward`` wrote; ``dpo:PATH|REFERENCE``, the implicit reward of
            a policy (each side a model folder or ``microcosm:base|chat``); ``judge:ENGINE``, a chat model that grades
            from 1 to 10; ``microcosm:checker``, the truth about the microcosm's exercises; ``length:``, the answer's
            number of characters.
        beta: scale of the implicit reward, > 0; it orders nothing differently.
        max_tokens: conversations with more tokens get no score; None: no limit.
        token_budget: padded tokens of one batch.
        device: a torch device; None: a GPU if there is one.

    Raises:
        UsageError: the URI names no scorer.
        MissingError: a model folder is not there.
    """
    scheme, colon, rest = uri.partition(":")
    if uri == "microcosm:checker":
        return OpenedScorer(uri, checker_scorer(), log_odds=False)
    if not colon or scheme not in ("reward", "dpo", "judge", "length"):
        raise UsageError(f"{uri!r} names no scorer", hint=_advice(uri, scheme))
    if scheme == "length":
        return OpenedScorer(uri, length_scorer, log_odds=False)
    if not rest:
        raise UsageError("the URI names no model", where=uri, hint=next(f for f in FORMS if f.startswith(scheme)))
    if scheme == "reward":
        function = reward_model_scorer(Path(rest), max_tokens=max_tokens, token_budget=token_budget, device=device)
        return OpenedScorer(uri, function, log_odds=True, folders={"reward": Path(rest)})
    if scheme == "judge":
        from agora.rooms.preferences.judge_scorer import judge_scorer

        return OpenedScorer(uri, judge_scorer(rest), log_odds=False)
    policy, bar, reference = rest.partition("|")
    if not bar or not policy or not reference:
        raise UsageError("a policy's implicit reward needs its reference model", where=uri, hint="dpo:PATH|REFERENCE")
    options: dict[str, Any] = {"max_tokens": max_tokens, "token_budget": token_budget, "device": device}
    function = implicit_scorer(policy, reference, beta=beta, **options)
    folders = {name: Path(side) for name, side in (("policy", policy), ("reference", reference)) if ":" not in side}
    return OpenedScorer(uri, function, log_odds=True, folders=folders)


def answer_text(conversation: Sequence[Message]) -> str:
    """The answer that is scored: the assistant turns at the end, joined by blank lines; empty where there is none."""
    turns = list(takewhile(lambda m: m.role == "assistant", reversed(conversation)))
    return "\n\n".join(m.content for m in reversed(turns))


def num_chars(answer: Sequence[Message]) -> int:
    """Characters that the assistant wrote in an answer of one or more turns."""
    return sum(len(m.content) for m in answer if m.role == "assistant")


def length_scorer(conversations: Sequence[Conversation]) -> list[float | None]:
    """The baseline to beat: the number of characters of the answer."""
    return [
        float(num_chars(list(takewhile(lambda m: m.role == "assistant", reversed(conversation)))))
        for conversation in conversations
    ]


def checker_scorer(world: World | None = None) -> Scorer:
    """The microcosm's own checkers: 1 to 10; None where the last user turn is no exercise of the world.

    Args:
        world: whose exercises are recognized; that of the shipped models when None.
    """
    from agora.microcosm.world.world import shipped_world

    known = world or shipped_world()

    def score(conversations: Sequence[Conversation]) -> list[float | None]:
        found: list[float | None] = []
        for conversation in conversations:
            asked = next((m.content for m in reversed(conversation) if m.role == "user"), "")
            exercise = known.recognize(asked)
            text = answer_text(conversation)
            found.append(None if exercise is None else float(known.check(exercise, text).score))
        return found

    return score


def reward_model_scorer(
    folder: Path, *, max_tokens: int | None = None, token_budget: int = 16384, device: str | None = None
) -> Scorer:
    """A trained reward model: its score at the last token of each conversation; None for those over ``max_tokens``."""
    import torch

    from agora.train.reward_model import load_reward_model, score_conversations

    model, tokenizer = load_reward_model(str(folder))
    model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def score(conversations: Sequence[Conversation]) -> list[float | None]:
        return score_conversations(model, tokenizer, conversations, max_tokens=max_tokens, token_budget=token_budget)

    return score


def implicit_scorer(
    policy: str,
    reference: str,
    *,
    beta: float = 0.1,
    max_tokens: int | None = None,
    token_budget: int = 16384,
    device: str | None = None,
) -> Scorer:
    """The reward that a DPO-trained policy implies: beta (log pi(answer) - log ref(answer)), summed over its tokens.

    Each model reads the conversation with its own template and tokenizer, so they may differ.

    Args:
        policy, reference: model folders or engine URIs of in-process models.
        beta: scale in reward per nat, > 0.
        max_tokens: conversations with more tokens, by either tokenizer, get None, as do those that cannot be rendered.
    """
    from agora.engines.hf import HfEngine
    from agora.engines.registry import microcosm_folder
    from agora.train.logprobs import sequence_logprobs
    from agora.train.render import encode_chat

    if not beta > 0:
        raise ConfigError(f"beta must be > 0, got {beta}", hint="0.1 is the usual value")

    def load(name: str) -> HfEngine:
        scheme, colon, rest = name.partition(":")
        folder = str(microcosm_folder(rest)) if colon and scheme == "microcosm" else rest if scheme == "hf" else name
        return HfEngine.load(folder, device=device)

    def encode(side: HfEngine, talk: Conversation) -> EncodedSequence | None:
        try:
            return encode_chat(side.tokenizer, talk, targets="last", max_tokens=max_tokens)
        except DataError:  # its template cannot render the conversation
            return None

    sides = [load(policy), load(reference)]

    def score(conversations: Sequence[Conversation]) -> list[float | None]:
        rows = [[encode(side, talk) for side in sides] for talk in conversations]
        whole = [i for i, pair in enumerate(rows) if None not in pair]
        found: list[float | None] = [None] * len(rows)
        sums = [
            sequence_logprobs(
                side.model,
                [row for i in whole if (row := rows[i][k]) is not None],
                token_budget=token_budget,
                device=side.model.device,
            )
            for k, side in enumerate(sides)
        ]
        for i, ours, theirs in zip(whole, *sums, strict=True):
            found[i] = beta * (ours - theirs)
        return found

    return score


def _advice(uri: str, scheme: str) -> str:
    if Path(uri).expanduser().is_dir():
        return f"write reward:{uri} for a reward model"
    near = nearest(scheme, ["reward", "dpo", "judge", "length"])
    form = next((f for f in FORMS if near and f.startswith(near)), None)
    return f"did you mean {form}?" if form else f"write one of {', '.join(FORMS)}"
