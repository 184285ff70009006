"""Scalar reward models: a causal backbone with one linear unit read at a sequence's last token.

Stored as plain `transformers` sequence-classification folders (one label, ``score`` without bias), so other tools can
load them. The same module serves as PPO's value model, read before each token instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agora.core.errors import DataError, MissingError
from agora.core.records import Message
from agora.train.batch import Batch, EncodedSequence, micro_batches
from agora.train.distributed import one_pass
from agora.train.logprobs import hidden_states
from agora.train.render import encode_chat

if TYPE_CHECKING:
    from torch import Tensor

HEAD_STD = 0.02  # Ivison et al. 2024: normal(0, 0.02)


def new_reward_model(path: str, *, seed: int, head_std: float = HEAD_STD) -> Any:
    """A reward model on the backbone of a stored causal model, fp32, with a fresh head.

    Args:
        path: folder or hub name of the causal model, normally the SFT model.
        seed: of the head.
        head_std: standard deviation of the head's weights.

    Raises:
        MissingError: no such model, or its architecture has no scalar head in `transformers`.
    """
    import torch
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    from agora.train.models import hide_loading_bars

    hide_loading_bars()
    log: Any = logging
    previous = log.get_verbosity()
    log.set_verbosity_error()  # it warns that the head is new, which is the point
    try:
        model: Any = AutoModelForSequenceClassification.from_pretrained(path, num_labels=1, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise MissingError(f"no reward model can be made from {path}: {str(error).splitlines()[0]}") from error
    finally:
        log.set_verbosity(previous)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.score.weight.copy_(torch.randn(model.score.weight.shape, generator=generator) * head_std)
    return model


def load_reward_model(path: str) -> tuple[Any, Any]:
    """(model in eval mode, tokenizer) of a stored reward model.

    Raises:
        MissingError: the folder holds no reward model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise MissingError(f"no reward model at {path}", hint="train one with `agora train reward`") from error
    if "SequenceClassification" not in " ".join(config.architectures or []):
        raise MissingError(
            f"{path} holds {', '.join(config.architectures or ['no architecture'])}, not a reward model",
            hint="train one with `agora train reward --model` on it",
        )
    model: Any = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(path)


@one_pass
def last_token_rewards(model: Any, batch: Batch) -> Tensor:
    """Reward of each sequence at its last real token: float [R]. What follows that token cannot matter."""
    hidden_BTH = hidden_states(model, batch)
    return _apply_head(model, hidden_BTH[batch.last_row_R, batch.last_position_R])


@one_pass
def token_values(model: Any, batch: Batch) -> Tensor:
    """Value before each target token: float [N], in the order of the batch's targets."""
    hidden_BTH = hidden_states(model, batch)
    return _apply_head(model, hidden_BTH[batch.row_N, batch.position_N])


def _apply_head(model: Any, hidden_NH: Tensor) -> Tensor:
    # a backbone may be in bf16 under a head that learns in fp32
    outputs: Tensor = model.score(hidden_NH.to(model.score.weight.dtype)).float().squeeze(-1)
    return outputs.clone()  # of a spread model no view may leave a pass


def score_rows(model: Any, rows: Sequence[EncodedSequence], *, token_budget: int = 16384) -> list[float]:
    """Rewards of encoded sequences, without gradients, batched by length; in the order given."""
    import torch

    out = [0.0] * len(rows)
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        for indices, batch in micro_batches([(row,) for row in rows], token_budget, device=device):
            for i, value in zip(indices, last_token_rewards(model, batch).tolist(), strict=True):
                out[i] = value
    model.train(was_training)
    return out


def score_conversations(
    model: Any,
    tokenizer: Any,
    conversations: Sequence[Sequence[Message]],
    *,
    max_tokens: int | None = None,
    token_budget: int = 16384,
) -> list[float | None]:
    """Rewards of whole conversations that end with the assistant, rendered with the reward model's own template.

    Returns:
        One reward a conversation; None where it is longer than ``max_tokens`` or cannot be rendered.
    """
    rows: list[EncodedSequence] = []
    places: list[int] = []
    for i, messages in enumerate(conversations):
        try:
            row = encode_chat(tokenizer, messages, id=str(i), targets="last", max_tokens=max_tokens)
        except DataError:
            row = None
        if row is not None:
            rows.append(row)
            places.append(i)
    out: list[float | None] = [None] * len(conversations)
    for i, value in zip(places, score_rows(model, rows, token_budget=token_budget), strict=True):
        out[i] = value
    return out
