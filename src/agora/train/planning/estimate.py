"""What a piece of work needs on paper: memory a GPU, operations, tokens, hours.

Trainings, and sampling or scoring at any model size (drawing instructions, answering, judging): a room that wants to
know what N calls cost makes a :class:`Work` by :func:`sampling_work` and hands it to :func:`estimate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agora.train.loop import num_steps
from agora.train.online import num_rollouts
from agora.train.planning.flops import Head, Rows, forward_flops, sampling_flops, training_flops
from agora.train.planning.gpus import GIB, Assumptions, Cluster
from agora.train.planning.memory import MemoryPart, activation_parts, kv_bytes, peak_bytes, state_parts
from agora.train.planning.shapes import ModelShape
from agora.train.settings import DpoSettings, ModelSettings, PpoSettings, RewardSettings, SftSettings

_SLOTS = 131_072  # cached tokens of a batch on a GPU, as the engines take by default
_FEWEST_SLOTS = 4096
_MOST_ROWS = 512  # of a batch
_SERVED_ROWS = 256  # requests that a server keeps in flight


@dataclass(frozen=True, slots=True)
class Phase:
    """One kind of computing within a piece of work. ``seconds`` are those of all GPUs working side by side."""

    name: str
    tokens: int
    flops: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """One piece of work on a cluster.

    Attributes:
        name: for people; kind: ``sft``, ``reward``, ``dpo``, ``ppo``, ...
        models: the shapes that take part, by role.
        updates: optimizer steps.
        phases: in the order in which they are taken.
        memory: parts on each GPU.
        notes: what the figures leave out or take for granted.
    """

    name: str
    kind: str
    models: dict[str, ModelShape]
    updates: int
    phases: tuple[Phase, ...]
    memory: tuple[MemoryPart, ...]
    cluster: Cluster
    assumptions: Assumptions
    notes: tuple[str, ...] = ()

    @property
    def flops(self) -> float:
        """Operations of all phases."""
        return sum(phase.flops for phase in self.phases)

    @property
    def tokens(self) -> int:
        """Tokens that learning or sampling is about: those of the first phase."""
        return self.phases[0].tokens if self.phases else 0

    @property
    def hours(self) -> float:
        """Wall-clock hours."""
        return sum(phase.seconds for phase in self.phases) / 3600

    @property
    def usd(self) -> float:
        """Price of the GPUs for these hours."""
        return self.hours * self.cluster.count * self.assumptions.price(self.cluster.gpu)

    @property
    def peak_gib(self) -> float:
        """The most memory that a GPU holds at once."""
        return peak_bytes(list(self.memory)) / GIB

    @property
    def fits(self) -> bool:
        """Whether it is within the usable share of a GPU's memory."""
        return self.peak_gib <= self.cluster.gpu.memory_gib * self.assumptions.usable_memory

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "models": {
                role: {"name": s.name, "parameters": s.parameters, "shape": s.source} for role, s in self.models.items()
            },
            "updates": self.updates,
            "tokens": self.tokens,
            "flops": self.flops,
            "hours": self.hours,
            "usd": self.usd,
            "peak_gib": self.peak_gib,
            "fits": self.fits,
            "phases": [
                {"name": p.name, "tokens": p.tokens, "flops": p.flops, "hours": p.seconds / 3600} for p in self.phases
            ],
            "memory_gib": {p.name: p.bytes / GIB for p in self.memory},
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work that can be estimated on any cluster.

    Attributes:
        settings: of a training, so that a plan can ask what another setting would need; None where nothing learns.
        compute: (settings, cluster, assumptions) -> phases, memory, updates.
    """

    name: str
    kind: str
    models: dict[str, ModelShape]
    settings: ModelSettings | None
    compute: Callable[[Any, Cluster, Assumptions], tuple[list[Phase], list[MemoryPart], int]]
    notes: tuple[str, ...] = field(default=())


def estimate(work: Work, cluster: Cluster, assumptions: Assumptions = Assumptions(), settings: Any = None) -> Estimate:  # noqa: B008
    """Estimate a piece of work.

    Args:
        work: what is done.
        cluster: on what.
        assumptions: of utilization and price.
        settings: instead of the work's own.
    """
    used = work.settings if settings is None else settings
    phases, memory, updates = work.compute(used, cluster, assumptions)
    return Estimate(
        work.name,
        work.kind,
        work.models,
        updates,
        tuple(phases),
        tuple(memory),
        cluster,
        assumptions,
        (*work.notes, *_precision_notes(used)),
    )


def row_work(name: str, shape: ModelShape, rows: Rows, settings: SftSettings | RewardSettings | DpoSettings) -> Work:
    """SFT, a reward model or DPO.

    Args:
        name: for people.
        shape: of the model.
        rows: all sequences of one pass over the data: two a pair.
        settings: of the training.
    """
    kind = {SftSettings: "sft", RewardSettings: "reward", DpoSettings: "dpo"}[type(settings)]
    head: Head = "scalar" if kind == "reward" else "vocabulary"
    group = 1 if kind == "sft" else 2

    def compute(s: Any, cluster: Cluster, assume: Assumptions) -> tuple[list[Phase], list[MemoryPart], int]:
        epochs = rows.times(s.train.epochs)
        flops = training_flops(
            shape, epochs, head, rank=s.lora.r if s.lora else None, recompute=s.train.gradient_checkpointing
        )
        phases = [_computed("training", epochs, flops, s, cluster, assume)]
        if kind == "dpo" and _needs_reference(s.loss):
            phases.append(_computed("reference", rows, forward_flops(shape, rows), s, cluster, assume))
        memory = [
            *state_parts(shape, head, s.train, s.lora, gpus=cluster.count, who="model"),
            *_activations(shape, head, s, rows, group, cluster.count),
        ]
        return phases, memory, num_steps(max(1, rows.count // group), s.train)

    return Work(name, kind, {"model": shape}, settings, compute)


def online_work(
    name: str,
    policy: ModelShape,
    settings: PpoSettings,
    *,
    prompts: int,
    prompt_tokens: float,
    answer_tokens: float,
    reward: ModelShape | None,
) -> Work:
    """PPO, RLOO or GRPO, sampling in process.

    Args:
        name: for people.
        policy: its shape.
        settings: of the training.
        prompts: of one pass.
        prompt_tokens: mean of a prompt.
        answer_tokens: mean that a response is expected to have.
        reward: the reward model, which is the value model's start too; None: a program gives the reward, and the value
            model has the policy's shape.
    """
    value = reward or policy
    models = {"policy": policy, "reference": policy}
    models |= {"value": value} if settings.algorithm == "ppo" else {}
    models |= {"reward": reward} if reward else {}
    notes = (f"{settings.algorithm} trains in one process today: on more GPUs than one this is what it would need",)

    def compute(s: Any, cluster: Cluster, assume: Assumptions) -> tuple[list[Phase], list[MemoryPart], int]:
        steps = num_rollouts(prompts, s)
        responses = steps * s.prompts_per_step * s.num_generations
        answer = min(answer_tokens, s.response_length)
        rows = Rows.expected(
            responses, prompt_tokens, answer, longest=min(4 * prompt_tokens, s.max_prompt_tokens) + s.response_length
        )
        learned = rows.times(s.num_ppo_epochs)
        rank, again = (s.lora.r if s.lora else None), s.train.gradient_checkpointing
        is_ppo = s.algorithm == "ppo"
        scoring = 2 * forward_flops(policy, rows)
        scoring += forward_flops(value, rows, "scalar") if is_ppo else 0.0
        scoring += forward_flops(reward, rows, "scalar") if reward else 0.0
        update = training_flops(policy, learned, rank=rank, recompute=again)
        update += training_flops(value, learned, "scalar", rank=rank, recompute=again) if is_ppo else 0.0
        batch = s.prompts_per_step * s.num_generations
        memory = _online_memory(policy, value if is_ppo else None, reward, s, rows, cluster.count)
        slots = _cache_slots(policy, memory, batch * (prompt_tokens + answer), cluster, assume)
        at_once = max(1, int(slots // (prompt_tokens + answer)))
        phases = [
            _computed("updating", learned, update, s, cluster, assume),
            _sampled(policy, responses, prompt_tokens, answer, cluster, assume, batch=at_once, in_process=True),
            _computed("scoring", rows, scoring, s, cluster, assume),
        ]
        memory.append(MemoryPart("KV cache", kv_bytes(policy, slots, bytes_each=4), "sampling"))
        per_rollout = math.ceil(batch / s.train.batch_size) * s.num_ppo_epochs
        return phases, memory, steps * per_rollout

    return Work(name, settings.algorithm, models, settings, compute, notes)


def sampling_work(name: str, shape: ModelShape, calls: int, prompt_tokens: float, answer_tokens: float) -> Work:
    """N calls of a model that is served in bf16 by an engine made for it (vLLM, SGLang): drawing, answering, judging.

    Args:
        name: for people.
        shape: of the model.
        calls: how many.
        prompt_tokens: mean a call.
        answer_tokens: mean a call.
    """

    def compute(_: Any, cluster: Cluster, assume: Assumptions) -> tuple[list[Phase], list[MemoryPart], int]:
        weights = 2 * shape.parameters / cluster.count
        per_call = kv_bytes(shape, prompt_tokens + answer_tokens) / cluster.count
        free = cluster.gpu.memory_gib * GIB * assume.usable_memory - weights
        batch = max(1, min(calls, _SERVED_ROWS, int(free // per_call) if free > 0 else 1))
        phase = _sampled(shape, calls, prompt_tokens, answer_tokens, cluster, assume, batch=batch, in_process=False)
        memory = [MemoryPart("weights, bf16", weights), MemoryPart(f"KV cache of {batch} calls", per_call * batch)]
        return [phase], memory, 0

    return Work(name, "sampling", {"model": shape}, None, compute)


def scoring_work(name: str, shape: ModelShape, rows: Rows, head: Head = "scalar", *, bf16: bool = False) -> Work:
    """Forward passes without learning: in fp32 as in process, or in bf16."""

    def compute(_: Any, cluster: Cluster, assume: Assumptions) -> tuple[list[Phase], list[MemoryPart], int]:
        flops = forward_flops(shape, rows, head)
        seconds = flops / (cluster.count * cluster.gpu.peak(bf16=bf16) * assume.utilization)
        parameters = shape.parameters if head == "vocabulary" else shape.reward_parameters
        weights = MemoryPart("weights, bf16" if bf16 else "weights", (2 if bf16 else 4) * parameters)
        return [Phase("scoring", rows.total, flops, seconds)], [weights], 0

    return Work(name, "scoring", {"model": shape}, None, compute)


def _computed(name: str, rows: Rows, flops: float, s: Any, cluster: Cluster, assume: Assumptions) -> Phase:
    """A phase that the arithmetic bounds."""
    peak = cluster.count * cluster.gpu.peak(bf16=s.train.bf16) * assume.utilization
    return Phase(name, rows.total, flops, flops / peak)


def _sampled(
    shape: ModelShape,
    count: float,
    prompt: float,
    answer: float,
    cluster: Cluster,
    assume: Assumptions,
    *,
    batch: int,
    in_process: bool,
) -> Phase:
    """A phase in which every token of a batch waits for the last one: bounded by reading weights and cache.

    In process weights are fp32 and each GPU samples alone from a whole model; an engine has bf16 weights that all GPUs
    share.

    Args:
        batch: rows that a GPU (in process) or all of them (an engine) have at once.
    """
    flops = sampling_flops(shape, count, prompt, answer)
    size = 4 if in_process else 2
    share = 1 if in_process else cluster.count  # GPUs that work on one batch
    room = max(1, min(batch, _MOST_ROWS, int(_SLOTS // max(1.0, prompt + answer))) if in_process else batch)
    rounds = math.ceil(count / room) / (cluster.count / share)
    cached = kv_bytes(shape, room * (prompt + answer / 2), bytes_each=size)
    reading = (size * shape.parameters + cached) / (share * cluster.gpu.bandwidth * 1e12 * assume.bandwidth_utilization)
    computing = flops / max(1.0, count * answer) * room / (share * cluster.gpu.peak(bf16=not in_process))
    token = max(reading, computing / assume.utilization, assume.step_floor_s if in_process else 0.0)
    return Phase("sampling", round(count * (prompt + answer)), flops, rounds * answer * token)


def _activations(shape: ModelShape, head: Head, s: Any, rows: Rows, group: int, gpus: int) -> list[MemoryPart]:
    """Of the largest micro-batch: as many tokens as the budget allows, as a step has, or as the longest group needs."""
    of_a_step = math.ceil(s.train.batch_size / gpus) * group * rows.tokens
    longest = group * min(rows.longest, getattr(s, "max_tokens", rows.longest))
    tokens = max(longest, min(s.train.token_budget, of_a_step))
    targets = tokens * rows.targets / rows.tokens
    half = bool(s.lora and s.lora.bf16_base and s.train.bf16)
    return activation_parts(shape, head, s.train, tokens=tokens, targets=targets, gpus=gpus, half=half)


def _online_memory(
    policy: ModelShape, value: ModelShape | None, reward: ModelShape | None, s: Any, rows: Rows, gpus: int
) -> list[MemoryPart]:
    parts = state_parts(policy, "vocabulary", s.train, s.lora, gpus=gpus, who="policy")
    own = _activations(policy, "vocabulary", s, rows, 1, gpus)
    if value is not None:
        parts += state_parts(value, "scalar", s.train, s.lora, gpus=gpus, who="value")
        other = _activations(value, "scalar", s, rows, 1, gpus)
        # policy and value are updated one after the other
        own = max(own, other, key=lambda given: sum(p.bytes for p in given))
    parts += own
    if s.lora is None:
        parts.append(MemoryPart("reference: weights", 4 * policy.parameters / gpus))
    if reward is not None:
        parts.append(MemoryPart("reward: weights", 4 * reward.reward_parameters / gpus))
    return parts


def _cache_slots(
    policy: ModelShape, memory: list[MemoryPart], wanted: float, cluster: Cluster, assume: Assumptions
) -> float:
    """Tokens that a GPU caches while it samples: the engine takes smaller batches where memory is short."""
    held = sum(part.bytes for part in memory if part.when == "always")
    free = cluster.gpu.memory_gib * GIB * assume.usable_memory - held
    slots = min(_SLOTS, wanted / cluster.count, free / kv_bytes(policy, 1, bytes_each=4))
    return max(slots, _FEWEST_SLOTS)


def _needs_reference(loss: str) -> bool:
    from agora.train.losses import get_pair_loss

    return bool(get_pair_loss(loss).needs_reference)


def _precision_notes(settings: Any) -> tuple[str, ...]:
    if settings is None or settings.train.bf16:
        return ()
    return ("train.bf16 is off, so products are computed in fp32: far slower on a GPU than with --set train.bf16=true",)
