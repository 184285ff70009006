"""Moderation servers and Detoxify's weights as providers, and the rule over what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import EngineError, MissingError, UsageError
from agora.curate.toxicity import counts_at, is_toxic, open_provider, tox
from agora.curate.toxicity import moderations as m
from agora.curate.toxicity.detoxify import Detoxify
from agora.curate.toxicity.moderations import ModerationClient
from tests.engines.servers import Handler, Server

asked: list[list[str]] = []


def judge(text: str) -> dict[str, Any]:
    score = 0.9 if "fool" in text else 0.1
    return {"flagged": score > 0.5, "categories": {"insult": score > 0.5}, "category_scores": {"insult": score}}


class ModerationServer(Server):
    """Judges up to ``longest`` characters at once and fails on the rest; ``status`` is what it fails with."""

    longest, status = 1000, 400

    def on_post(self, handler: Handler, body: dict[str, Any]) -> None:
        asked.append(body["input"])
        if handler.path != "/v1/moderations" or sum(map(len, body["input"])) > self.longest:
            handler.reply(self.status, {"error": {"message": "too long"}})
            return
        handler.reply(200, {"results": [judge(text) for text in body["input"]]})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModerationServer]:
    asked.clear()
    monkeypatch.setattr(m, "_WAIT_S", 0.01)
    with ModerationServer() as found:
        yield found


def client(server: ModerationServer) -> ModerationClient:
    return ModerationClient(f"http://127.0.0.1:{server.port}/v1", "omni")


def test_texts_go_in_batches_and_empty_ones_stay_here(server: ModerationServer) -> None:
    found = client(server).annotate(["you fool", "", "a garden"])
    assert [r["flagged"] for r in found] == [True, False, False]
    assert found[0] == {
        "flagged": True,
        "categories": {"insult": True},
        "scores": {"insult": 0.9},
        "provider": "openai",
    }
    assert asked == [["you fool", "a garden"]]


def test_a_text_that_fails_is_halved_and_its_parts_are_joined(server: ModerationServer) -> None:
    server.longest = 300
    [found] = client(server).annotate(["a garden " * 100 + "you fool"])
    assert (found["flagged"], found["scores"]) == (True, {"insult": 0.9})
    assert sum(len(text) for [text] in asked if len(text) <= 300) == 908  # every character was judged once


def test_one_bad_text_does_not_spoil_its_batch(server: ModerationServer) -> None:
    server.longest = 300
    found = client(server).annotate(["x " * 200 + "fool", "a garden", "fool"])
    assert [r["flagged"] for r in found] == [True, False, True]


def test_a_server_that_always_fails_or_is_not_there_is_said_in_one_line(server: ModerationServer) -> None:
    server.longest, server.status = 0, 500
    with pytest.raises(EngineError, match="500"):
        client(server).annotate(["you fool"])
    with pytest.raises(EngineError, match="no answer"):
        ModerationClient("http://127.0.0.1:9/v1").annotate(["a" * 4096])


def test_detoxify_without_weights_is_unavailable() -> None:
    with pytest.raises(MissingError, match="not on this machine"):
        Detoxify(Path("/nonexistent")).annotate(["a"])


def test_a_classifier_on_disk_gives_detoxifys_columns(tmp_path: Path) -> None:
    tiny_classifier(tmp_path)
    texts = ["a fool", "", "a longer text of a garden", "fool"]
    found = Detoxify(tmp_path).annotate(texts)
    assert set(found[0]["detoxify"]) == {"toxicity", "insult", "threat"} and found[1]["detoxify"] == {}
    # a batch of other lengths changes no score
    for text, result in zip(texts, found, strict=True):
        [alone] = Detoxify(tmp_path).annotate([text])
        assert alone["scores"] == pytest.approx(result["scores"], abs=1e-4)


def tiny_classifier(folder: Path) -> None:
    """A classifier of random weights in the layout of transformers."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "a", "fool", "longer", "text", "of", "garden"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    labels = {0: "toxicity", 1: "insult", 2: "threat"}
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        num_labels=3, id2label=labels, label2id={v: k for k, v in labels.items()},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)


def test_the_published_rule_and_its_threshold() -> None:
    flagged = {"flagged": True, "scores": {}}
    harmless = {"flagged": False, "scores": {}}
    detoxify = {"flagged": True, "scores": {}, "detoxify": {"toxicity": 0.3}}
    assert is_toxic("a", [harmless, flagged]) is True
    assert is_toxic("a", [harmless, detoxify]) is True
    assert is_toxic("a", [harmless, detoxify], threshold=0.5) is False
    assert (
        is_toxic("a", [{"flagged": True, "scores": {"toxicity": 0.3}, "provider": "detoxify"}], threshold=0.5) is False
    )
    assert is_toxic(" ", [flagged]) is False
    assert is_toxic("a", []) is None  # unknown is not harmless
    assert counts_at([0.05, 0.1, 0.2, 0.6, 0.95]) == {"0.1": 3, "0.5": 2, "0.9": 1}


def test_providers_are_named_in_one_word_each(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_provider("http://localhost:1/v1#omni").version == "openai:omni"
    assert open_provider("detoxify:/models/multilingual").version == "detoxify:multilingual"
    with pytest.raises(UsageError, match="names no provider"):
        open_provider("perspective")
    monkeypatch.delenv("AGORA_TOXICITY", raising=False)
    with pytest.raises(MissingError, match="AGORA_TOXICITY"):
        tox()
    monkeypatch.setenv("AGORA_TOXICITY", "http://localhost:1/v1 detoxify:/models/x")
    assert [kind.version for kind in tox()] == ["openai:default", "detoxify:x"]
