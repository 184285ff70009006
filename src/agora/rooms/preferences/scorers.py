"""Whatever gives an answer a number: a reward model, its length, a checker, a DPO-trained policy, a judge.

A scorer takes whole conversations that end in an answer and returns one number each, higher for better, None where it
has none. :func:`open_scorer` finds one by its URI.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from agora.core.errors import UsageError
from agora.core.files import nearest
from agora.core.records import Message

if TYPE_CHECKING:
    from agora.microcosm.world import World

Conversation: TypeAlias = tuple[Message, ...]
Scorer: TypeAlias = Callable[[Sequence[Conversation]], "list[float | None]"]

CHECKER = "microcosm:checker"
FORMS = ("reward:PATH", "dpo:PATH|REFERENCE", "judge:ENGINE", CHECKER, "length:")

_SCHEMES = ("reward", "dpo", "judge", "length")


@dataclass(frozen=True, slots=True)
class ScorerUri:
    """A scorer's URI taken apart, before anything is loaded.

    Attributes:
        uri: as it was given.
        scheme: reward, dpo, judge, microcosm or length.
        name: the model or engine; empty where the scheme needs none.
        reference: the reference model of ``dpo:``.
    """

    uri: str
    scheme: str
    name: str = ""
    reference: str = ""

    @property
    def log_odds(self) -> bool:
        """A difference of two scores is meant as the log odds that the first answer is better."""
        return self.scheme in ("reward", "dpo")

    @property
    def folders(self) -> dict[str, Path]:
        """Model folders on this machine that decide the scores, by role."""
        roles = {"reward": ("model",), "dpo": ("policy", "reference")}.get(self.scheme, ())
        named = zip(roles, (self.name, self.reference), strict=False)
        return {role: folder for role, name in named if (folder := model_path(name)).is_dir()}


@dataclass(frozen=True, slots=True)
class OpenedScorer:
    """A scorer with its URI; call it like a :data:`Scorer`."""

    uri: ScorerUri
    function: Scorer

    def __call__(self, conversations: Sequence[Conversation]) -> list[float | None]:
        """Score conversations, in their order."""
        return self.function(conversations)


def parse_scorer(uri: str) -> ScorerUri:
    """Take a scorer's URI apart; see :func:`open_scorer`.

    Raises:
        UsageError: it names no scorer, or a part is missing; the hint says what to write.
    """
    scheme, colon, rest = uri.partition(":")
    if uri == CHECKER:
        return ScorerUri(uri, scheme)
    if not colon or scheme not in _SCHEMES:
        raise UsageError(f"{uri!r} names no scorer", hint=_advice(uri, scheme))
    if scheme == "length":
        return ScorerUri(uri, scheme)
    if not rest:
        raise UsageError("the URI names no model", where=uri, hint=f"write {_form(scheme)}")
    if scheme != "dpo":
        return ScorerUri(uri, scheme, rest)
    policy, bar, reference = rest.partition("|")
    if not bar or not policy or not reference:
        raise UsageError(
            "a policy's implicit reward needs its reference model", where=uri, hint=f"write {_form(scheme)}"
        )
    return ScorerUri(uri, scheme, policy, reference)


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
    parsed = parse_scorer(uri)
    options: dict[str, Any] = {"max_tokens": max_tokens, "token_budget": token_budget, "device": device}
    if parsed.scheme == "reward":
        return OpenedScorer(parsed, reward_model_scorer(model_path(parsed.name), **options))
    if parsed.scheme == "dpo":
        from agora.rooms.preferences.implicit_scorer import implicit_scorer

        return OpenedScorer(parsed, implicit_scorer(parsed.name, parsed.reference, beta=beta, **options))
    if parsed.scheme == "judge":
        from agora.rooms.preferences.judge_scorer import judge_scorer

        return OpenedScorer(parsed, judge_scorer(parsed.name))
    return OpenedScorer(parsed, length_scorer if parsed.scheme == "length" else checker_scorer())


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


def model_path(name: str) -> Path:
    """The folder (or hub name) of a model, with or without ``hf:`` before it."""
    return Path(name.removeprefix("hf:")).expanduser()


def _form(scheme: str) -> str:
    return next(form for form in FORMS if form.startswith(scheme))


def _advice(uri: str, scheme: str) -> str:
    if Path(uri).expanduser().is_dir():
        return f"write reward:{uri} for a reward model"
    near = nearest(scheme, [*_SCHEMES])
    return f"did you mean {_form(near)}?" if near else f"write one of {', '.join(FORMS)}"
