"""The student's two trainings: supervised on the curated samples, then on its own judged answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from agora.core.errors import UsageError
from agora.core.progress import progress
from agora.core.records import PreferencePair, Sample
from agora.core.runs import RunDir
from agora.core.tables import read_json, write_json
from agora.engines.registry import microcosm_folder, parse_uri
from agora.loop.settings import LoopConfig
from agora.train.batch import Group
from agora.train.config import TrainConfig
from agora.train.loop import StepLog, num_steps, train
from agora.train.objectives import DPO, SFT, Objective, reference_logprobs
from agora.train.render import encode_chat, encode_pair


def uri_of(run: RunDir, config: LoopConfig, name: str) -> str:
    """Engine URI of one of the loop's models: base, sft, dpo or chat."""
    if name in ("sft", "dpo"):
        return f"hf:{run.path / 'models' / name}"
    return {"base": config.student, "chat": config.model}[name]


def train_sft(run: RunDir, config: LoopConfig, samples: Sequence[Sample]) -> None:
    """Train the student on the kept samples; a finished training is not repeated."""
    if run.done("sft"):
        return
    with run.stage("sft"):
        model, tokenizer = _load(config.student)
        limit = config.curate.max_conversation_tokens
        rows = [encode_chat(tokenizer, s.messages, id=s.id, max_tokens=limit) for s in samples]
        groups: list[Group] = [(row,) for row in rows if row is not None]
        _train_and_save(run, "sft", model, tokenizer, groups, SFT(), _seeded(config.sft, config), len(rows))


def train_dpo(run: RunDir, config: LoopConfig, pairs: Sequence[PreferencePair]) -> None:
    """Train the SFT model on pairs; its own log-probabilities before training are the reference."""
    if run.done("dpo"):
        return
    with run.stage("dpo"):
        model, tokenizer = _load(uri_of(run, config, "sft"))
        limit = config.curate.max_conversation_tokens
        encoded = [encode_pair(tokenizer, pair, max_tokens=limit) for pair in pairs]
        groups: list[Group] = [pair for pair in encoded if pair is not None]
        reference = reference_logprobs(model, groups)
        objective = DPO(reference, beta=config.beta, sft_weight=config.dpo_sft_weight)
        _train_and_save(run, "dpo", model, tokenizer, groups, objective, _seeded(config.dpo, config), len(encoded))


def read_log(run: RunDir, name: str) -> dict[str, Any]:
    """The training log that a finished stage left."""
    log: dict[str, Any] = read_json(run.file(f"models/{name}.json"))
    return log


def _train_and_save(
    run: RunDir,
    name: str,
    model: Any,
    tokenizer: Any,
    groups: Sequence[Group],
    objective: Objective,
    settings: TrainConfig,
    num_given: int,
) -> None:
    folder = run.path / "models" / name
    checkpoints = run.path / "models" / f"{name}.checkpoints"
    with progress(num_steps(len(groups), settings), f"training {name}", unit="step") as bar:

        def on_step(entry: StepLog) -> None:
            bar.advance()
            bar.note(f"loss {entry.loss:.3f}")

        result = train(model, groups, objective, settings, checkpoint_dir=checkpoints, on_step=on_step)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(
        run.file(f"models/{name}.json"),
        {
            "rows": len(groups),
            "rows_too_long": num_given - len(groups),
            "steps": result.steps,
            "tokens": result.tokens,
            "target_tokens": result.target_tokens,
            "final_loss": result.final_loss,
            "log": result.log,
        },
    )
    _remove(checkpoints)


def _seeded(settings: TrainConfig, config: LoopConfig) -> TrainConfig:
    return settings.model_copy(update={"seed": config.seed})


def _load(uri: str) -> tuple[Any, Any]:
    """Model in fp32 and tokenizer of an in-process URI, on a GPU where there is one."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    parsed = parse_uri(uri)
    if parsed.scheme not in ("microcosm", "hf"):
        raise UsageError(f"{uri} cannot be trained: it is not loaded in process", hint="use microcosm:base or hf:PATH")
    path = microcosm_folder(parsed.name) if parsed.scheme == "microcosm" else parsed.name
    quiet: Any = disable_progress_bar
    quiet()  # the loop shows its own
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device=device), AutoTokenizer.from_pretrained(path)


def _remove(folder: Path) -> None:
    files: Iterable[Path] = folder.glob("*") if folder.is_dir() else ()
    for file in files:
        file.unlink()
    if folder.is_dir():
        folder.rmdir()
