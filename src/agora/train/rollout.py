"""Sampling responses from a model in training, and what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from agora.core.errors import DataError
from agora.core.records import Message, stable_id
from agora.engines.hf import HfEngine
from agora.engines.types import CompleteRequest, Generation, Sampling
from agora.train.batch import EncodedSequence
from agora.train.render import encode_prompt
from agora.train.rewards import Response


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that responses are sampled for; ``ids`` end with the opened assistant turn."""

    id: str
    messages: tuple[Message, ...]
    ids: np.ndarray


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sampled response: its text for rewards, its tokens for losses."""

    response: Response
    row: EncodedSequence  # prompt and response; the response's tokens are the targets
    sample_no: int
    seed: int


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """What is stored of a response, so that a run can be inspected afterwards. Arrays are per response token."""

    SCHEMA: ClassVar[str] = "rollout/1"
    prompt_id: str
    sample_no: int
    step: int
    seed: int
    temperature: float
    text: str
    finish: str  # eos | length
    response_ids: tuple[int, ...]
    old_logp: tuple[float, ...]
    ref_logp: tuple[float, ...]
    value: tuple[float, ...]
    score: float | None  # what training maximized, the penalty for unfinished responses applied
    reward_parts: dict[str, Any] = field(default_factory=dict)


def encode_prompts(
    tokenizer: Any, prompts: Sequence[tuple[str, tuple[Message, ...]]], *, max_tokens: int
) -> tuple[list[Prompt], list[str]]:
    """Encode prompts; those longer than ``max_tokens`` are dropped.

    Returns:
        The kept prompts and the ids of the dropped ones.

    Raises:
        DataError: nothing is left.
    """
    kept: list[Prompt] = []
    dropped: list[str] = []
    lengths: list[int] = []
    for id_, messages in prompts:
        ids = np.asarray(encode_prompt(tokenizer, messages), dtype=np.int32)
        lengths.append(len(ids))
        if len(ids) <= max_tokens:
            kept.append(Prompt(id_, messages, ids))
        else:
            dropped.append(id_)
    if not kept:
        enough = f"; {int(np.quantile(lengths, 0.95))} would keep 95 % of them" if lengths else ""
        raise DataError(f"no prompt of {len(prompts)} has at most {max_tokens} tokens{enough}", hint="raise the limit")
    return kept, dropped


def sample_responses(
    engine: HfEngine,
    prompts: Sequence[Prompt],
    *,
    num_generations: int,
    temperature: float,
    max_tokens: int,
    seed: int,
    step: int,
) -> list[Sampled]:
    """``num_generations`` responses a prompt, those of one prompt side by side.

    Each response has its own seed, made of (seed, step, prompt, number), so a resumed run samples the same ones.

    Raises:
        DataError: a prompt leaves no room for a response, or the engine failed on one.
    """
    requests: list[CompleteRequest] = []
    seeds: list[int] = []
    for prompt in prompts:
        for k in range(num_generations):
            seeds.append(int(stable_id(seed, step, prompt.id, k), 16) % 2**31)
            sampling = Sampling(temperature=temperature, max_tokens=max_tokens, seed=seeds[-1])
            requests.append(CompleteRequest(str(len(requests)), tuple(prompt.ids.tolist()), sampling=sampling))
    found: dict[int, Generation] = {int(reply.id): reply for reply in engine.complete(requests)}
    return [
        _sampled(prompts[i // num_generations], i % num_generations, found[i], seeds[i]) for i in range(len(requests))
    ]


def _sampled(prompt: Prompt, number: int, reply: Generation, seed: int) -> Sampled:
    if reply.finish_reason == "error" or not reply.token_ids:
        raise DataError(f"no response to prompt {prompt.id}: {reply.error or 'nothing was sampled'}")
    response = np.asarray(reply.token_ids, dtype=np.int32)
    ids = np.concatenate([prompt.ids, response])
    mask = np.concatenate([np.zeros(len(prompt.ids), np.uint8), np.ones(len(response), np.uint8)])
    finished = reply.finish_reason != "length"
    return Sampled(
        Response(prompt.id, prompt.messages, reply.text, finished, len(response)),
        EncodedSequence(f"{prompt.id}/{number}", ids, mask),
        number,
        seed,
    )
