"""Several processes train one model: each holds a share of its weights and computes a share of every step.

Started by ``torchrun``; a process started otherwise is a world of one, in which everything here does nothing. Weights,
gradients and optimizer states are spread by FSDP2 (`torch.distributed.fsdp.fully_shard`). All processes read the same
rows, so each knows the totals of a whole step and losses are those of one process up to rounding.
"""

from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from agora.train.batch import Batch, Group, micro_batches

T = TypeVar("T")
P = ParamSpec("P")
_ENTRY = "_agora_pass"  # name of the method through which our routines use a spread model


@dataclass(frozen=True, slots=True)
class World:
    """The processes of this run, and which one this is."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process prints and owns the run folder."""
        return self.rank == 0


def world() -> World:
    """The processes that :func:`join` has connected; a world of one otherwise."""
    dist: Any = sys.modules.get("torch.distributed")  # never imported only to find out that it is not in use
    if dist is None or not dist.is_available() or not dist.is_initialized():
        return World()
    return World(dist.get_rank(), dist.get_world_size())


@contextmanager
def join() -> Iterator[World]:
    """Connect the processes that ``torchrun`` started, over NCCL on GPUs and gloo on CPUs, for the time of a block."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield World()
        return
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():
        torch.cuda.set_device(_local_rank())
        dist.init_process_group("cpu:gloo,cuda:nccl")
    else:
        dist.init_process_group("gloo")
    try:
        yield world()
    finally:
        dist.destroy_process_group()


def wait() -> None:
    """Let every process come to this point."""
    _any_of_all(False)


@contextmanager
def in_turn() -> Iterator[None]:
    """A block that the processes of a machine run one after the other, so that a whole model is in its memory once."""
    turns = 1
    if world().size > 1:
        turns = int(os.environ["LOCAL_WORLD_SIZE"])
        _mesh()  # made by all at once
    for _ in range(_local_rank() % turns):
        wait()
    yield
    for _ in range(turns - _local_rank() % turns):
        wait()


def from_first(value: T) -> T:
    """The first process's value in every process; any value that can be pickled."""
    if world().size == 1:
        return value
    import torch
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def from_all(values: dict[str, T]) -> dict[str, T]:
    """The entries of all processes together."""
    size = world().size
    if size == 1:
        return values
    import torch.distributed as dist

    boxes: list[dict[str, T]] = [{} for _ in range(size)]
    dist.all_gather_object(boxes, values)
    return {key: value for box in boxes for key, value in box.items()}


def sums(values: dict[str, float]) -> dict[str, float]:
    """Each value summed over all processes, which must have the same keys."""
    if world().size == 1:
        return values
    import torch
    import torch.distributed as dist

    names = sorted(values)
    total = torch.tensor([values[name] for name in names], dtype=torch.float64)
    dist.all_reduce(total)
    return dict(zip(names, total.tolist(), strict=True))


class Share(NamedTuple):
    """What one process computes in a round that all take together."""

    groups: list[Group]
    batch: Batch
    weight: float  # 0 where it is computed only because the others are not done


def shared_micro_batches(groups: Sequence[Group], token_budget: int | None, **more: Any) -> Iterator[Share]:
    """This process's share of the micro-batches of some groups, in as many rounds as the busiest process needs.

    Groups are dealt out by length, so that all have about the same work. A process that is done repeats what it did
    last without weight, because the others need its share of the weights for their own passes.

    Args:
        groups: the same in every process.
        token_budget: see :func:`agora.train.batch.micro_batches`, as are the further arguments.
    """
    me = world()
    if me.size == 1:
        for indices, batch in micro_batches(groups, token_budget, **more):
            yield Share([groups[i] for i in indices], batch, 1.0)
        return
    by_length = sorted(groups, key=lambda group: -max(map(len, group)) * len(group))
    own = by_length[me.rank :: me.size]
    last: Share | None = None
    for indices, batch in micro_batches(own, token_budget, **more) if own else ():
        _any_of_all(True)
        last = Share([own[i] for i in indices], batch, 1.0)
        yield last
    if last is None:
        last = Share([by_length[-1]], next(micro_batches(by_length[-1:], token_budget, **more)).batch, 0.0)
    while _any_of_all(False):
        yield last._replace(weight=0.0)


def one_pass(compute: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Mark a routine of (model, ...) that uses parts of a model one by one, as a forward pass does.

    A spread model gathers its weights at the beginning of a forward pass; through this so does the routine.
    """

    @functools.wraps(compute)
    def run(model: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if not is_spread(model):
            return compute(model, *args, **kwargs)
        import torch

        enter = getattr(model, _ENTRY)
        if torch.is_grad_enabled():
            learned: T = enter(lambda: compute(model, *args, **kwargs))
            return learned
        # weights that are gathered in inference mode could not be gathered again to learn
        with torch.inference_mode(False), torch.no_grad():
            found: T = enter(lambda: compute(model, *args, **kwargs))
        model.reshard()  # no backward pass will, and an optimizer made now must not see the gathered weights
        return found

    return run


def spread(model: Any, *, bf16: bool = False) -> Any:
    """Give each process its share of a model that all hold whole, on its device; the model is changed in place.

    The blocks of the decoder are gathered one at a time, what is around them (embeddings, last norm, head) for a whole
    pass.

    Args:
        model: whole, in every process.
        bf16: gather in bf16, which is half of what is sent and held; shares, gradients and optimizer stay fp32. (Under
            autocast alone a copy of all weights in bf16 would stay on every device until the backward pass.)
    """
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    low = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    given: dict[str, Any] = {"mesh": _mesh(), "mp_policy": low if bf16 else MixedPrecisionPolicy()}
    for block in _blocks(model):
        fully_shard(block, **given)
    fully_shard(model, **given)
    setattr(model, _ENTRY, types.MethodType(lambda _, compute: compute(), model))
    register_fsdp_forward_method(model, _ENTRY)
    return model


def is_spread(model: Any) -> bool:
    """Whether the model's weights are spread over processes."""
    return hasattr(model, _ENTRY)


def whole_weights(model: Any) -> dict[str, Any] | None:
    """The state of a spread model, gathered in the memory of the first process; the others get None.

    Weights that two modules share come once, under their first name.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(model, options=options)
    if not world().is_first:
        return None
    names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    again = names - {name for name, _ in model.named_parameters()}
    return {name: value for name, value in state.items() if name not in again}


def _blocks(model: Any) -> list[Any]:
    """The repeated blocks of a decoder: the largest list of modules in it."""
    import torch

    lists: list[Any] = [child for child in model.get_decoder().children() if isinstance(child, torch.nn.ModuleList)]
    return list(max(lists, key=lambda blocks: sum(p.numel() for p in blocks.parameters()), default=()))


@functools.cache
def _mesh() -> Any:
    import torch
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (world().size,))


def _any_of_all(mine: bool) -> bool:
    if world().size == 1:
        return mine
    import torch
    import torch.distributed as dist

    flag = torch.tensor(int(mine))
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))
