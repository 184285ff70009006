"""The model card: what the shipped models can do, measured, with intervals."""

from __future__ import annotations

import json
import platform
import random
import statistics
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from agora.core.errors import MissingError
from agora.core.stats import wilson
from agora.engines import open_engine
from agora.engines.types import ChatRequest, CompleteRequest, Engine, Sampling
from agora.microcosm.world import CATEGORIES, FAMILIES, Exercise, World, check

MODELS = Path(str(files("agora"))) / "microcosm" / "models"
CARD = MODELS / "card.json"
MAX_ANSWER_TOKENS = 96
# Without it one draw in five is ill-posed (two equal prices, no odd one out); distinctness hardly suffers.
DRAW_TOP_P = 0.8


def read_card() -> dict[str, Any]:
    """The card of the shipped models.

    Raises:
        MissingError: the models have not been built.
    """
    if not CARD.is_file():
        raise MissingError("the microcosm has no model card", where=str(CARD), hint="run `agora microcosm build`")
    card: dict[str, Any] = json.loads(CARD.read_text(encoding="utf-8"))
    return card


def measure_card(
    *,
    n_tasks: int = 1000,
    n_drawn: int = 2000,
    seed: int = 1,
    models: Path = MODELS,
    build: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure everything the card says.

    Args:
        n_tasks: held-out exercises that both models answer greedily.
        n_drawn: instructions drawn from ``chat`` with its template's prefix alone, at temperature 1 and top-p 0.8.
        seed: of the exercises and draws.
        models: folder with ``base`` and ``chat``.
        build: how the models were made; kept on the card as given.
    """
    import torch  # noqa: F401 - loading a model is timed without the import of the libraries
    import transformers  # noqa: F401

    world = World()
    tasks = list(world.exercises(random.Random(f"card/{seed}"), n_tasks, split="heldout"))
    card: dict[str, Any] = {
        "world": {
            "families": len(FAMILIES),
            "categories": sorted({task.category for task in tasks} & set(CATEGORIES)),
            "groups": sorted({task.group for task in tasks}),
            "difficulties": sorted({task.difficulty for task in tasks}),
            "distinct_instructions_at_least": world.count_instructions(),
        },
        "machine": {"cpu": platform.processor() or platform.machine(), "python": platform.python_version()},
        "build": build or {},
        "models": {},
    }
    for name in ("base", "chat"):
        started = time.monotonic()
        engine = open_engine(f"hf:{models / name}")
        load_s = time.monotonic() - started
        card["models"][name] = {
            "load_seconds": round(load_s, 2),
            "tokens_per_second_batch_32": round(_speed(engine)),
            "held_out": _accuracy(engine, tasks),
        }
        if name == "chat":
            card["models"][name]["drawn_from_prefix"] = _draw(engine, models, world, n_drawn, seed)
        engine.close()
    return card


def _accuracy(engine: Engine, tasks: Sequence[Exercise]) -> dict[str, Any]:
    """Share answered correctly, by difficulty, group and family, with Wilson intervals."""
    sampling = Sampling(temperature=0.0, max_tokens=MAX_ANSWER_TOKENS)
    requests = [ChatRequest(t.id, ({"role": "user", "content": t.instruction},), sampling) for t in tasks]
    answers = {g.id: g.text for g in engine.chat(requests)}
    results = [(task, check(task, answers[task.id])) for task in tasks]
    table: dict[str, Any] = {"overall": _share([r.correct for _, r in results])}
    for field in ("difficulty", "group", "family"):
        values = sorted({str(getattr(task, field)) for task, _ in results})
        table[field] = {v: _share([r.correct for t, r in results if str(getattr(t, field)) == v]) for v in values}
    table["mean_score"] = round(statistics.fmean(r.score for _, r in results), 3)
    return table


def _draw(engine: Engine, models: Path, world: World, n: int, seed: int) -> dict[str, Any]:
    """What ``chat`` writes when given nothing but the opening of a user turn."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(models / "chat")
    prefix = tuple(tokenizer.encode("<|user|>", add_special_tokens=False))
    requests = (
        CompleteRequest(
            str(i),
            prompt_ids=prefix,
            sampling=Sampling(top_p=DRAW_TOP_P, temperature=1.0, max_tokens=128, seed=seed * 1_000_003 + i),
        )
        for i in range(n)
    )
    drawn = list(engine.complete(requests))
    texts = [g.text.strip() for g in sorted(drawn, key=lambda g: int(g.id))]
    recognized = [world.recognize(text) for text in texts]
    valid = [r for r in recognized if r is not None]
    return {
        "n": n,
        "temperature": 1.0,
        "top_p": DRAW_TOP_P,
        "ended": _share([g.finish_reason == "stop_token" for g in drawn]),
        "valid": _share([r is not None for r in recognized]),
        "distinct": round(len(set(texts)) / n, 4),
        "families": len({r.family for r in valid}),
        "examples": texts[:12],
        "invalid_examples": [t for t, r in zip(texts, recognized, strict=True) if r is None][:12],
    }


def _speed(engine: Engine, repeats: int = 3) -> float:
    """Median tokens per second of a batch of 32 that may not stop early."""
    rates = []
    for repeat in range(repeats):
        sampling = Sampling(temperature=1.0, max_tokens=64, seed=repeat)
        requests = [CompleteRequest(str(i), prompt="The town of", sampling=sampling) for i in range(32)]
        started = time.monotonic()
        tokens = sum(g.usage.completion_tokens for g in engine.complete(requests))
        rates.append(tokens / (time.monotonic() - started))
    return statistics.median(rates)


def _share(flags: Sequence[bool]) -> dict[str, Any]:
    interval = wilson(sum(flags), len(flags))
    return {
        "share": round(sum(flags) / len(flags), 4) if flags else None,
        "ci": [round(interval.low, 4), round(interval.high, 4)] if flags else None,
        "n": len(flags),
    }
