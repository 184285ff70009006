"""Answer drawn instructions with the model's own chat template: kept samples only, greedy unless told otherwise."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from agora import __version__
from agora.core.errors import CapabilityError, ConfigError, EngineError
from agora.core.records import Message, Sample, stable_id
from agora.engines.types import ChatRequest, Engine, Sampling
from agora.rooms.synthesize.journal import Journal
from agora.rooms.synthesize.types import AnswerDraw

# the most likely words are closest to what the model was trained on (arXiv:2406.08464, section 3.5 of the spec)
GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=4096)
THINK_END = "</think>"


def answer_samples(
    samples: Iterable[Sample],
    engine: Engine,
    sampling: Sampling = GREEDY,
    *,
    journal: Path | None = None,
    keep_truncated: bool = False,
) -> Iterator[Sample]:
    """Answer kept samples; all samples come back in their order, those not kept as they were.

    The answering model may be another than the one that wrote the instructions. An answer cut off by length is flagged
    ``answer_truncated`` and not kept; an empty one and a failed one are not kept either.

    Args:
        samples: from :func:`agora.rooms.synthesize.draw_instructions`, in any order; each ends with a user turn.
        engine: must answer chats.
        sampling: at a temperature above 0 each sample gets its own seed, made from this one and the sample's id.
        journal: file of finished answers; those in it are not asked for again. None keeps them in memory.
        keep_truncated: keep answers that were cut off (still flagged).

    Raises:
        CapabilityError: the engine cannot chat.
        ConfigError: the journal holds answers to other questions or other settings.
        EngineError: the engine leaves samples without a result.
    """
    if "chat" not in engine.capabilities:
        raise CapabilityError("answering needs chats, and this engine has none", where=engine.uri)
    return _answers(samples, engine, sampling, journal, keep_truncated)


def _answers(
    samples: Iterable[Sample], engine: Engine, sampling: Sampling, path: Path | None, keep_truncated: bool
) -> Iterator[Sample]:
    queue: deque[Sample] = deque()  # in the order of `samples`, until the first of them is answered
    failed: set[str] = set()
    asked: dict[str, str] = {}
    with Journal(path, AnswerDraw) as journal:

        def requests() -> Iterator[ChatRequest]:
            for sample in samples:
                request = _request(sample, sampling)
                asked[sample.id] = stable_id(engine.uri, request.messages, asdict(request.sampling))
                wanted = sample.kept and sample.id not in journal
                queue.append(sample)
                if wanted:
                    yield request

        def ready() -> Iterator[Sample]:
            while queue and (not queue[0].kept or queue[0].id in journal or queue[0].id in failed):
                sample = queue.popleft()
                question = asked.pop(sample.id)
                if not sample.kept:
                    yield sample
                elif sample.id in failed:
                    yield replace(sample, kept=False, reason="answer_error")
                else:
                    draw = _checked(journal.take(sample.id), question, journal.path)
                    yield _answered(sample, draw, engine, sampling, keep_truncated)

        for generation in engine.chat(requests()):
            if generation.id not in asked:
                continue  # given twice
            if generation.finish_reason == "error":
                failed.add(generation.id)  # not in the journal: the next run asks again
            else:
                journal.add(AnswerDraw.of(generation, asked[generation.id]))
            yield from ready()
        yield from ready()
        if queue:
            raise EngineError(f"the engine gave no answer to sample {queue[0].id}", where=engine.uri)


def _request(sample: Sample, sampling: Sampling) -> ChatRequest:
    messages = tuple(message.as_chat() for message in sample.messages)
    own = sampling if sampling.temperature <= 0 else replace(sampling, seed=_seed(sampling.seed, sample.id))
    return ChatRequest(sample.id, messages, own)


def _seed(seed: int, id: str) -> int:
    return int(stable_id("answer", seed, id), 16) >> 11


def _checked(draw: AnswerDraw, asked: str, path: Path | None) -> AnswerDraw:
    if draw.asked != asked:
        raise ConfigError(
            f"the journal's answer to sample {draw.id} was given to other messages or settings",
            where=str(path),
            hint="use a new --out folder",
        )
    return draw


def _answered(sample: Sample, draw: AnswerDraw, engine: Engine, sampling: Sampling, keep_truncated: bool) -> Sample:
    text, reasoning = split_reasoning(draw.text)
    cut = draw.finish_reason == "length"
    reason = None
    if not text.strip():
        reason = "answer_length" if cut else "answer_empty"
    elif cut and not keep_truncated:
        reason = "answer_length"
    last = sample.messages[-1]
    meta = {"reasoning": reasoning} if reasoning is not None else {}
    message = Message("assistant", text, id=str(len(sample.messages)), parent=last.id, meta=meta)
    return replace(
        sample,
        messages=(*sample.messages, message),
        answer_gen=_answer_gen(draw, engine, sampling),
        flags=(*sample.flags, "answer_truncated") if cut else sample.flags,
        kept=reason is None,
        reason=reason,
    )


def _answer_gen(draw: AnswerDraw, engine: Engine, sampling: Sampling) -> dict[str, object]:
    return {
        "model": engine.uri,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "repetition_penalty": 1.0,
        "engine": engine.uri.partition(":")[0],
        "engine_version": __version__,
        "prompt_tokens": draw.prompt_tokens,
        "completion_tokens": draw.completion_tokens,
        "finish_reason": draw.finish_reason,
        "stopped_by": draw.stopped_by,
    }


def split_reasoning(text: str) -> tuple[str, str | None]:
    """(answer, reasoning or None): a reasoning model's thoughts are stored apart from its answer.

    The opening ``<think>`` may be missing, because many templates write it before the model begins.
    """
    thoughts, end, answer = text.partition(THINK_END)
    if end:
        return answer.lstrip(), thoughts.strip().removeprefix("<think>").strip()
    if text.lstrip().startswith("<think>"):
        return "", text.lstrip().removeprefix("<think>").strip()
    return text, None
