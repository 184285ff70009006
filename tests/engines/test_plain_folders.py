"""A plain Llama folder is read without the library's model classes, and answers exactly as the library's model does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from agora.core.errors import AgoraError
from agora.engines import ChatRequest, CompleteRequest, Sampling, ScoreRequest
from agora.engines._load import load_model
from agora.engines._plain import PlainLlama, read_plain
from agora.engines.hf import HfEngine
from agora.engines.registry import microcosm_folder


def library_engine(folder: Path) -> HfEngine:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return HfEngine.from_model(model.eval(), AutoTokenizer.from_pretrained(folder))


def edit(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None removes one."""
    values = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


@pytest.fixture
def folder(tiny_model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


@pytest.mark.parametrize("name", ["tiny", "microcosm"])
def test_a_plain_folder_answers_bit_for_bit_as_the_library(name: str, tiny_model_dir: Path) -> None:
    folder = tiny_model_dir if name == "tiny" else microcosm_folder("chat")
    plain, library = HfEngine.load(str(folder)), library_engine(folder)
    assert isinstance(plain._model, PlainLlama)
    chats = [
        ChatRequest(str(i), ({"role": "user", "content": f"Add {i} and {i * i}." * (1 + i % 7)},), sampling)
        for i in range(16)
        for sampling in [Sampling(temperature=float(i % 2), max_tokens=24, seed=i)]
    ]
    raws = [CompleteRequest(str(i), prompt="Once " * i, sampling=Sampling(max_tokens=8)) for i in range(5)]
    for verb, requests in (("chat", chats), ("complete", raws)):
        here, there = ({g.id: g for g in getattr(e, verb)(requests)} for e in (plain, library))
        assert here == there  # texts, tokens, log-probabilities, reasons, usage
    assert isinstance(plain._model, PlainLlama)
    scores = [ScoreRequest(str(i), "How many", f" apples {i}") for i in range(5)]
    assert list(plain.score(scores)) == list(library.score(scores))
    assert plain.embed(["fox", "the dog"]) == library.embed(["fox", "the dog"])
    assert not isinstance(plain._model, PlainLlama)
    assert {g.id: g for g in plain.chat(chats)} == {g.id: g for g in library.chat(chats)}


def test_the_tokenizer_is_the_librarys(tiny_model_dir: Path) -> None:
    from transformers import AutoTokenizer

    text = "Überraschung <|user|> 12 + 30 = 42\n\n  你好"
    for folder in (tiny_model_dir, microcosm_folder("chat")):
        ours, theirs = load_model(str(folder), "cpu")[1], AutoTokenizer.from_pretrained(folder)
        assert type(ours) is type(theirs) and ours.chat_template == theirs.chat_template
        assert ours(text) == theirs(text) and ours.decode(ours.encode(text)) == theirs.decode(theirs.encode(text))
        assert ours.special_tokens_map == theirs.special_tokens_map and ours.get_vocab() == theirs.get_vocab()


def test_generation_imports_no_model_class() -> None:
    code = (
        "import sys; from agora.engines import *; engine = open_engine('microcosm:chat');"
        "found = list(engine.chat([ChatRequest('1', ({'role': 'user', 'content': 'Add 2 and 3.'},))]));"
        "print(found[0].text, sorted({'transformers.modeling_utils', 'transformers.models.llama'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_half_precision_weights_are_widened_as_the_library_does(folder: Path) -> None:
    file = folder / "model.safetensors"
    save_file({k: v.to(torch.bfloat16) for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
    plain, library = HfEngine.load(str(folder)), library_engine(folder)
    assert isinstance(plain._model, PlainLlama)
    request = ChatRequest("1", ({"role": "user", "content": "How many?"},), Sampling(max_tokens=8))
    assert next(plain.chat([request])) == next(library.chat([request]))


def test_training_the_model_of_an_engine_changes_its_answers(folder: Path) -> None:
    engine = HfEngine.load(str(folder))
    request = ChatRequest("1", ({"role": "user", "content": "How many?"},), Sampling(max_tokens=8))
    before = next(engine.chat([request]))
    with torch.inference_mode():
        model = engine.model
    model.train()
    model(input_ids=torch.tensor([[1, 2, 3]])).logits.sum().backward()
    with torch.no_grad():
        model.lm_head.weight.mul_(-1)
    assert next(engine.chat([request])).token_ids != before.token_ids and model.training


def adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def another_head(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    save_file(weights | {"extra.weight": weights["lm_head.weight"].clone()}, file, metadata={"format": "pt"})


UNUSUAL: dict[str, Callable[[Path], None]] = {
    "scaled positions": lambda f: edit(
        f / "config.json", rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    ),
    "other activation": lambda f: edit(f / "config.json", hidden_act="gelu"),
    "biases": lambda f: edit(f / "config.json", attention_bias=True),
    "other family": lambda f: edit(f / "config.json", model_type="mistral", architectures=["MistralForCausalLM"]),
    "quantized": lambda f: edit(f / "config.json", quantization_config={"quant_method": "x"}),
    "tied and not": lambda f: edit(f / "config.json", tie_word_embeddings=True),
    "no size of heads": lambda f: edit(f / "config.json", head_dim=None),
    "other size": lambda f: edit(f / "config.json", vocab_size=399),
    "no generation config": lambda f: (f / "generation_config.json").unlink(),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "half the weights": lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:9999]),
    "broken config": lambda f: (f / "config.json").write_text("{"),
    "a list as config": lambda f: (f / "config.json").write_text("[]"),
    "adapter": adapter,
    "extra weights": another_head,
}


@pytest.mark.parametrize("unusual", UNUSUAL)
def test_what_is_not_plain_is_left_to_the_library(folder: Path, unusual: str) -> None:
    assert read_plain(folder, lambda: None) is not None
    UNUSUAL[unusual](folder)
    assert read_plain(folder, lambda: None) is None


@pytest.mark.parametrize("unusual", ["no weights", "half the weights", "broken config", "other size"])
def test_a_broken_folder_is_told_in_one_line_with_its_name(folder: Path, unusual: str) -> None:
    UNUSUAL[unusual](folder)
    with pytest.raises(AgoraError) as caught:
        HfEngine.load(str(folder))
    assert str(caught.value).startswith(f"{folder}: ") and "\n" not in str(caught.value)


def test_a_folder_without_generation_config_still_answers(folder: Path) -> None:
    UNUSUAL["no generation config"](folder)
    engine = HfEngine.load(str(folder))
    assert next(engine.chat([ChatRequest("1", ({"role": "user", "content": "How?"},), Sampling(max_tokens=4))])).text
