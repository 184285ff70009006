"""Low-rank adapters (Hu et al. 2021) through `peft`: a few added matrices learn, the model's own weights stay.

Adapters live inside the model that is given, so that everything that takes a `transformers` model takes one with
adapters too; after training they are merged and what is stored is a plain model.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from agora.core.config import Config
from agora.core.errors import ConfigError, MissingError
from agora.train.distributed import is_spread, whole_weights, world


class LoraSettings(Config):
    """What is added to a model, and what is kept of it."""

    r: int = Field(16, ge=1, description="rank of the added matrices")
    alpha: float = Field(32.0, gt=0, description="what is added is scaled by alpha / r")
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: Literal["all-linear"] | tuple[str, ...] = Field(
        "all-linear", description="ends of module names; all-linear leaves the head alone"
    )
    bf16_base: bool = Field(False, description="frozen weights in bf16: half their memory, rounded outputs")
    keep_adapter: bool = Field(False, description="store the adapter too, beside the merged model")


class Adapters:
    """The adapters inside one model; made by :func:`add_adapters`."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    @property
    def model(self) -> Any:
        """The model that holds them."""
        return self._wrapped.base_model.model

    def without(self) -> WithoutAdapters:
        """The model as it was before, for as long as the adapters are not merged."""
        return WithoutAdapters(self._wrapped)

    def save(self, folder: Path) -> None:
        """Write the adapter alone, in `peft`'s own format. Of several processes the first writes."""
        more = {"state_dict": whole_weights(self._wrapped)} if is_spread(self.model) else {}
        if world().is_first:
            self._wrapped.save_pretrained(str(folder), **more)

    def merge(self) -> None:
        """Add the adapters to the model's own weights, in fp32, and take them out of the model."""
        import torch

        for parameter in self.model.parameters():
            if parameter.dtype != torch.float32:
                parameter.data = parameter.data.float()
        self._wrapped.merge_and_unload()


class WithoutAdapters:
    """A view of a model with its adapters off: what a policy is compared with, at no memory of its own.

    It offers what log-probabilities need and nothing that would change the model.
    """

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped
        self._model = wrapped.base_model.model

    @property
    def config(self) -> Any:
        """The model's configuration."""
        return self._model.config

    @property
    def training(self) -> bool:
        """Whether the shared model is in training mode."""
        return bool(self._model.training)

    def parameters(self) -> Any:
        """The shared model's parameters."""
        return self._model.parameters()

    def train(self, mode: bool = True) -> WithoutAdapters:
        """Put the shared model into training or evaluation mode."""
        self._model.train(mode)
        return self

    def eval(self) -> WithoutAdapters:
        """Put the shared model into evaluation mode."""
        return self.train(False)

    def requires_grad_(self, _: bool = True) -> WithoutAdapters:
        """Nothing: gradients belong to the shared model."""
        return self

    def get_decoder(self) -> _Bare:
        """The decoder with adapters off."""
        return _Bare(self._wrapped, self._model.get_decoder())

    def get_output_embeddings(self) -> _Bare:
        """The head with adapters off."""
        return _Bare(self._wrapped, self._model.get_output_embeddings())


class _Bare:
    """A module that is called with the adapters off."""

    def __init__(self, wrapped: Any, module: Any) -> None:
        self._wrapped, self._module = wrapped, module

    @property
    def weight(self) -> Any:
        return self._module.weight

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._wrapped.disable_adapter():
            return self._module(*args, **kwargs)


def add_adapters(model: Any, settings: LoraSettings, *, seed: int) -> Adapters:
    """Freeze a model and put fresh adapters into it; a scalar head, where it has one, goes on learning as a whole.

    Args:
        model: a `transformers` causal or reward model; it is changed in place and is the one to train.
        settings: rank, scale, where.
        seed: of the adapters' first values; the model's outputs do not change until the first step.

    Raises:
        MissingError: `peft` is not installed.
        ConfigError: no module of the model has a name that was asked for.
    """
    import torch

    try:
        import peft
    except ImportError as error:
        raise MissingError("LoRA needs the package peft", hint="pip install 'agora[peft]'") from error
    if settings.bf16_base:
        for parameter in model.parameters():  # buffers hold rotary frequencies, which stay exact
            parameter.data = parameter.data.to(torch.bfloat16)
    asked = settings.target_modules
    config = peft.LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft divides it by r, whatever its type
        lora_dropout=settings.dropout,
        target_modules=asked if isinstance(asked, str) else list(asked),
        exclude_modules=[head] if (head := scalar_head(model)) else None,
        modules_to_save=[head] if head else None,
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # peft asks by the old name
        torch.manual_seed(seed)
        try:
            wrapped = peft.get_peft_model(model, config)
        except ValueError as error:
            raise ConfigError(
                f"lora.target_modules {asked!r}: {str(error).splitlines()[0]}", hint="all-linear fits every model"
            ) from error
    return Adapters(wrapped)


def scalar_head(model: Any) -> str | None:
    """Name of a reward model's head; None for causal models."""
    return "score" if model.get_output_embeddings() is None and hasattr(model, "score") else None


def describe_adapters(model: Any) -> dict[str, Any] | None:
    """What decides the result of training a model's adapters, as plain JSON values; None without adapters."""
    found = getattr(model, "peft_config", None)
    if not found:
        return None
    config = next(iter(found.values()))
    return {
        "r": config.r,
        "alpha": config.lora_alpha,
        "dropout": config.lora_dropout,
        "targets": sorted({name.rsplit(".", 1)[-1] for name in config.target_modules}),
    }
