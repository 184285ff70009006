"""Stages that make rows: demonstrations, pairs, prompts; and the cut of a reward model's backbone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.errors import ConfigError
from agora.core.records import PreferencePair, PromptItem, stable_id
from agora.core.tables import Rejects, read_records, write_jsonl
from agora.rooms.preferences.study.blocks import (
    EvaluateBlock,
    FileDemonstrations,
    FilePairs,
    FilePrompts,
    MicrocosmDemonstrations,
    MicrocosmPairs,
    MicrocosmPrompts,
)
from agora.rooms.preferences.study.microcosm_data import SampledAnswer, make_pairs, pair_facts
from agora.rooms.preferences.study.microcosm_data import demonstrations as microcosm_demonstrations
from agora.rooms.preferences.study.microcosm_data import prompts as microcosm_prompts
from agora.rooms.preferences.study.work import MODEL, ROWS, Job, Outcome, model_of

if TYPE_CHECKING:
    from agora.curate.contamination import NgramIndex
    from agora.rooms.preferences.suite.protocol import Test

OpenTests = Callable[[EvaluateBlock], "Sequence[Test]"]
AGAINST = "against"  # the key of a stage's settings that names the tests whose prompts may not be in it


def demonstrations(job: Job) -> Outcome:
    """Conversations for the start model."""
    from agora.rooms.preferences.inputs import read_conversations

    if job.config["kind"] == "microcosm":
        rows = microcosm_demonstrations(MicrocosmDemonstrations(**job.config))
    else:
        source = FileDemonstrations(**job.config).source
        with Rejects(job.folder / "rejects.jsonl") as rejects:
            every = read_conversations(Path(source.path), rejects=rejects)
        rows = [{"id": i, "messages": [m.as_chat() for m in turns]} for i, turns in _thin(every, source.cap, 0)]
    write_jsonl(job.folder / ROWS, rows)
    return Outcome({"rows": len(rows)})


def pairs(job: Job, open_tests: OpenTests) -> Outcome:
    """The pairs of a data block."""
    made: Sequence[PreferencePair]
    if job.config["kind"] == "microcosm":
        answers = read_records(job.parents["answers"] / ROWS, SampledAnswer) if "answers" in job.parents else None
        made, facts = make_pairs(MicrocosmPairs(**job.config), answers)
    else:
        made, facts = _file_pairs(job, open_tests)
    write_jsonl(job.folder / ROWS, made)
    return Outcome({"rows": len(made), **facts})


def selected(job: Job) -> Outcome:
    """A fixed number of the pairs. A prompt's place depends on the prompt alone, so data sets keep the same prompts."""
    every = list(read_records(job.parents["data"] / ROWS, PreferencePair))
    order = sorted(every, key=lambda pair: stable_id("selected", [m.as_chat() for m in pair.prompt], pair.id))
    chosen = {pair.id for pair in order[: job.config["rows"]]}
    kept = [pair for pair in every if pair.id in chosen][: job.config["rows"]]
    write_jsonl(job.folder / ROWS, kept)
    return Outcome({"rows": len(kept), **pair_facts(kept)})


def prompts(job: Job, open_tests: OpenTests) -> Outcome:
    """Prompts to sample answers for, each once."""
    found: list[PromptItem] = []
    asked = 0
    if "pairs" in job.parents:
        found += (
            PromptItem(stable_id("prompt", [m.as_chat() for m in pair.prompt]), pair.prompt, "pairs")
            for pair in read_records(job.parents["pairs"] / ROWS, PreferencePair)
        )
    if job.config["kind"] == "microcosm":
        found += microcosm_prompts(MicrocosmPrompts(**job.config))
    elif job.config["kind"] == "files":
        more, asked = _file_prompts(job, open_tests)
        found += more
    once = {stable_id([m.as_chat() for m in item.prompt]): item for item in reversed(found)}
    items = list(reversed(once.values()))
    write_jsonl(job.folder / ROWS, items)
    return Outcome({"rows": len(items), "repeated": len(found) - len(items), "asked_by_tests": asked})


def backbone(job: Job) -> Outcome:
    """The first layers of a model, as a model of its own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = model_of(job, "model")
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    layers, wanted = model.get_decoder().layers, job.config["layers"]
    if wanted > len(layers):
        raise ConfigError(f"reward_model.layers is {wanted}, but the backbone has {len(layers)}", hint="ask for fewer")
    model.get_decoder().layers = layers[:wanted]
    model.config.num_hidden_layers = wanted
    model.save_pretrained(job.folder / MODEL)
    AutoTokenizer.from_pretrained(path).save_pretrained(job.folder / MODEL)
    return Outcome({"parameters": sum(p.numel() for p in model.parameters())})


def _file_pairs(job: Job, open_tests: OpenTests) -> tuple[Sequence[PreferencePair], dict[str, Any]]:
    from agora.curate.pairs.mix import mix

    block = FilePairs(**{key: value for key, value in job.config.items() if key != AGAINST})
    tests = _test_texts(job, open_tests)
    with Rejects(job.folder / "rejects.jsonl") as rejects:
        mixed = mix(block.sources, block.seed, cap=block.cap, tests=tests, rejects=rejects)
    told = mixed.to_json()
    dropped: Counter[str] = Counter(told["dropped"])
    for part in mixed.parts:
        dropped.update(part.read.dropped)
        dropped.update(part.read.set_aside)
        dropped.update(part.left_out)
    return mixed.pairs, {"dropped": dict(dropped), "sources": told["sources"], **pair_facts(mixed.pairs)}


def _file_prompts(job: Job, open_tests: OpenTests) -> tuple[list[PromptItem], int]:
    """The prompts, and how many the tests ask too."""
    from agora.curate.pairs import read_prompts

    block = FilePrompts(**{key: value for key, value in job.config.items() if key != AGAINST})
    tests = _test_texts(job, open_tests)
    kept: list[PromptItem] = []
    asked = 0
    with Rejects(job.folder / "rejects.jsonl") as rejects:
        for source in block.sources:
            every = list(read_prompts(Path(source.path), rejects=rejects))
            clean = [item for item in every if not any(tests.meet(m.content) for m in item.prompt if m.role == "user")]
            asked += len(every) - len(clean)
            kept += _thin(clean, source.cap, block.seed)
    return kept, asked


def _test_texts(job: Job, open_tests: OpenTests) -> NgramIndex:
    from agora.curate.contamination import NgramIndex
    from agora.curate.pairs.decontaminate import NGRAM_WORDS

    texts = NgramIndex(NGRAM_WORDS)
    evaluate = EvaluateBlock(**job.config[AGAINST])
    for test in open_tests(evaluate):
        for item in test.items(limit=evaluate.limit, seed=evaluate.seed):
            texts.add(item.messages[-1].content, f"{item.test}:{item.id}")
    return texts


def _thin(rows: Sequence[Any], limit: int | None, seed: int) -> list[Any]:
    """At most so many rows, drawn without replacement, in their own order."""
    if limit is None or len(rows) <= limit:
        return list(rows)
    kept = sorted(random.Random(f"rows/{seed}").sample(range(len(rows)), limit))
    return [rows[i] for i in kept]
