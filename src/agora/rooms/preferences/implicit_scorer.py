"""The reward that a preference-trained policy implies: how much likelier it finds an answer than its reference did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agora.core.errors import ConfigError, DataError, UsageError
from agora.rooms.preferences.scorers import Conversation, Scorer, model_path

if TYPE_CHECKING:
    from agora.engines.hf import HfEngine
    from agora.train.batch import EncodedSequence


def implicit_scorer(
    policy: str,
    reference: str,
    *,
    beta: float = 0.1,
    max_tokens: int | None = None,
    token_budget: int = 16384,
    device: str | None = None,
) -> Scorer:
    """beta (log pi(answer) - log ref(answer)), summed over the tokens of the last assistant turn.

    Source: Rafailov et al. 2023, "Direct Preference Optimization", eq. 5 without its term in the prompt alone.

    Each model reads the conversation with its own template and tokenizer, so they may differ.

    Args:
        policy, reference: model folders, or ``microcosm:base|chat``.
        beta: scale in reward per nat, > 0.
        max_tokens: conversations with more tokens, by either tokenizer, get None, as do those that cannot be rendered.
        token_budget: padded tokens of one batch.
        device: a torch device; None: a GPU if there is one.

    Raises:
        ConfigError: beta is not above 0.
        UsageError: one of the models is a reward model.
        MissingError: one is not there.
    """
    from agora.train.logprobs import sequence_logprobs

    if not beta > 0:
        raise ConfigError(f"beta must be > 0, got {beta}", hint="0.1 is the usual value")
    sides = [_load(name, device) for name in (policy, reference)]

    def score(conversations: Sequence[Conversation]) -> list[float | None]:
        encoded = [[_encoded(side, talk, max_tokens) for talk in conversations] for side in sides]
        rows = [(i, ours, theirs) for i, (ours, theirs) in enumerate(zip(*encoded, strict=True)) if ours and theirs]
        sums = [
            sequence_logprobs(side.model, column, token_budget=token_budget, device=side.model.device)
            for side, column in zip(sides, ([row[1] for row in rows], [row[2] for row in rows]), strict=True)
        ]
        found: list[float | None] = [None] * len(conversations)
        for (i, _, _), ours, theirs in zip(rows, *sums, strict=True):
            found[i] = beta * (ours - theirs)
        return found

    return score


def _load(name: str, device: str | None) -> HfEngine:
    from agora.engines.hf import HfEngine
    from agora.engines.registry import microcosm_folder

    scheme, _, rest = name.partition(":")
    source = microcosm_folder(rest) if scheme == "microcosm" else model_path(name)
    engine = HfEngine.load(str(source), device=device)
    # transformers would read its backbone as a language model and answer with an untrained or tied head
    if "SequenceClassification" in " ".join(engine.model.config.architectures or []):
        what = "this is a reward model, which gives no log-probabilities"
        raise UsageError(what, where=name, hint=f"write reward:{name}")
    return engine


def _encoded(side: HfEngine, talk: Conversation, max_tokens: int | None) -> EncodedSequence | None:
    from agora.train.render import encode_chat

    try:
        return encode_chat(side.tokenizer, talk, targets="last", max_tokens=max_tokens)
    except DataError:  # its template cannot render the conversation
        return None
