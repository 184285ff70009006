"""Models and servers for the engines' tests, made on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agora.engines.hf import HfEngine
from tests.engines.servers import FaultServer, ModelServer
from tests.tiny import make_tiny_model


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama folder with tokenizer and chat template."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny", seed=0)


@pytest.fixture(scope="session")
def engine(tiny_model_dir: Path) -> HfEngine:
    """The tiny Llama in this process."""
    return HfEngine.load(str(tiny_model_dir))


@pytest.fixture
def faults() -> Iterator[FaultServer]:
    """A server that fails as it is told."""
    with FaultServer() as server:
        yield server


@pytest.fixture
def model_server(engine: HfEngine) -> Iterator[ModelServer]:
    """The tiny Llama behind HTTP, with raw prefixes, echo and embeddings."""
    with ModelServer(engine) as server:
        yield server
