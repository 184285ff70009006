"""One training, or N calls of a model, as a piece of work to be estimated: ``agora train`` and sampling on paper."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agora.core.config import load_config
from agora.core.errors import UsageError
from agora.core.tables import Rejects
from agora.rooms.preferences.plan_recipe import Lengths
from agora.train.planning import ModelShape, Rows, Work, find_shape, online_work, row_work, sampling_work
from agora.train.settings import DpoSettings, ModelSettings, PpoSettings, RewardSettings, SftSettings

SETTINGS: dict[str, type[ModelSettings]] = {
    "sft": SftSettings,
    "reward": RewardSettings,
    "dpo": DpoSettings,
    "ppo": PpoSettings,
}
KINDS = (*SETTINGS, "sampling")


def training_work(
    kind: str,
    model: str,
    *,
    rows: int | None = None,
    data: Path | None = None,
    lengths: Lengths | None = None,
    reward: str | None = None,
    config: Path | None = None,
    overrides: Sequence[str] = (),
) -> tuple[Work, list[str]]:
    """One training or ``sampling``, and notes on what the figures rest on.

    Args:
        kind: one of :data:`KINDS`.
        model: see :func:`agora.train.planning.find_shape`.
        rows: conversations, pairs, prompts or calls; left out where ``data`` is given.
        data: the training's file, whose rows are rendered with the model's tokenizer and counted.
        lengths: mean tokens where there is no file.
        reward: the reward model of PPO; without one a program gives the reward.
        config: YAML file of the training's settings.
        overrides: ``a.b=c`` each.

    Raises:
        UsageError: neither rows nor data, or a file for sampling.
    """
    shape = find_shape(model)
    notes = [] if shape.source == "its config.json" else [f"{model}: {shape.source}, {shape.parameters:,} parameters"]
    if kind == "sampling":
        if rows is None:
            raise UsageError("sampling needs the number of calls", hint="such as --rows 10000")
        known = lengths or _assumed(notes)
        return sampling_work(f"{rows:,} calls of {model}", shape, rows, known.prompt, known.answer), notes
    settings = load_config(SETTINGS[kind], config, list(overrides))
    if (data is None) == (rows is None):
        raise UsageError("give either --data or --rows", hint="such as --data pairs.jsonl or --rows 60000")
    if isinstance(settings, PpoSettings):
        return _online(shape, settings, model, rows, data, lengths, reward, notes), notes
    assert isinstance(settings, SftSettings | RewardSettings | DpoSettings)
    if data is not None:
        seen = _counted(kind, model, data, settings, notes)
    else:
        known = lengths or _assumed(notes)
        longest = min(settings.max_tokens, 4 * (known.prompt + known.answer))
        seen = Rows.expected((rows or 0) * (1 if kind == "sft" else 2), known.prompt, known.answer, longest=longest)
    return row_work(f"{kind} of {model}", shape, seen, settings), notes


def _online(
    shape: ModelShape,
    settings: PpoSettings,
    model: str,
    rows: int | None,
    data: Path | None,
    lengths: Lengths | None,
    reward: str | None,
    notes: list[str],
) -> Work:
    known = lengths or _assumed(notes)
    if data is not None:
        from agora.rooms.preferences.inputs import read_prompts
        from agora.train.rollout import encode_prompts

        with _no_rejects() as rejects:
            given = read_prompts(data, rejects=rejects)
        kept, _ = encode_prompts(_tokenizer(model), given, max_tokens=settings.max_prompt_tokens)
        rows = len(kept)
        known = Lengths(sum(len(p.ids) for p in kept) / rows, known.answer)
        notes.append(f"{data.name}: {rows:,} prompts of {known.prompt:.0f} tokens in the mean")
    return online_work(
        f"{settings.algorithm} of {model}",
        shape,
        settings,
        prompts=rows or 1,
        prompt_tokens=known.prompt,
        answer_tokens=known.answer,
        reward=find_shape(reward) if reward else None,
    )


def _counted(kind: str, model: str, data: Path, settings: Any, notes: list[str]) -> Rows:
    """The rows that the training would learn from, rendered as it would render them."""
    from agora.curate.pairs.split import split_by_prompt
    from agora.rooms.preferences.inputs import read_conversations, read_training_pairs
    from agora.train.encode import encode_conversations, encode_pairs

    tokenizer = _tokenizer(model)
    with _no_rejects() as rejects:
        if kind == "sft":
            turns = read_conversations(data, rejects=rejects)
            encoded = encode_conversations(tokenizer, turns, max_tokens=settings.max_tokens)
        else:
            pairs = read_training_pairs(data, rejects=rejects)
            if kind == "reward" and settings.valid_share:
                pairs, _ = split_by_prompt(pairs, settings.valid_share, settings.train.seed)
            encoded = encode_pairs(tokenizer, pairs, max_tokens=settings.max_tokens)
    rows = [row for group in encoded.groups for row in group]
    found = Rows.of([len(row) for row in rows], [row.n_targets for row in rows])
    left_out = f", {sum(encoded.dropped.values()):,} left out" if encoded.dropped else ""
    notes.append(f"{data.name}: {len(encoded.groups):,} rows, {found.total:,} tokens an epoch{left_out}")
    return found


def _tokenizer(model: str) -> Any:
    from agora.train.models import load_tokenizer, model_path

    try:
        return load_tokenizer(model_path(model))
    except UsageError as error:
        raise UsageError("counting --data needs the model's tokenizer", where=model, hint="or give --rows") from error


def _assumed(notes: list[str]) -> Lengths:
    known = Lengths()
    notes.append(
        f"{known.prompt:g} tokens a prompt and {known.answer:g} an answer are assumed; say otherwise with "
        "--prompt-tokens and --answer-tokens"
    )
    return known


@contextlib.contextmanager
def _no_rejects() -> Any:
    """A plan writes nothing: what cannot be read goes into a folder that is thrown away."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder, Rejects(Path(folder) / "rejects.jsonl") as rejects:
        yield rejects
