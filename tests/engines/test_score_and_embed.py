"""Log-probabilities equal a naive forward pass; vectors are means of length one."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.engines import ScoreRequest
from agora.engines.hf import HfEngine
from tests.examples import examples

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "apples,", "basket?", "42", "über", "你好", "story", "river"]


def _naive(engine: HfEngine, prompt: str, continuation: str) -> list[float]:
    before = engine.tokenizer.encode(prompt) if prompt else [engine.tokenizer.eos_token_id]
    after = engine.tokenizer.encode(continuation, add_special_tokens=False)
    with torch.no_grad():
        logits = engine.model(torch.tensor([before + after])).logits[0].double()
    table = torch.log_softmax(logits, -1)
    return [float(table[len(before) - 1 + i, token]) for i, token in enumerate(after)]


@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.integers(1, 30), st.sampled_from((64, 1000, 16384)))
def test_scores_equal_one_naive_row_at_a_time(
    engine: HfEngine, rng: random.Random, size: int, batch_tokens: int
) -> None:
    def text(most: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(0, most)))

    requests = [ScoreRequest(str(i), text(30), " " + text(20)) for i in range(size)]
    engine._batch_tokens = batch_tokens
    try:
        found = {s.id: s for s in engine.score(requests)}
    finally:
        engine._batch_tokens = 16384
    for request in requests:
        score = found[request.id]
        assert score.logprobs == pytest.approx(_naive(engine, request.prompt, request.continuation), abs=1e-5)
        assert score.token_ids == tuple(engine.tokenizer.encode(request.continuation))
        assert score.total == pytest.approx(sum(score.logprobs))


def test_an_empty_continuation_costs_nothing(engine: HfEngine) -> None:
    assert next(engine.score([ScoreRequest("a", "How many", "")])).logprobs == ()


def test_an_item_beyond_the_context_is_named_after_the_others_are_scored(engine: HfEngine) -> None:
    requests = [
        ScoreRequest("fits", "a", " b"),
        ScoreRequest("too long", "a", " fox" * 600),
        ScoreRequest("b", "b", "c"),
    ]
    found = []
    with pytest.raises(DataError, match=r"too long: .* do not fit the context of 512"):
        found.extend(engine.score(requests))  # what came before the error stays
        raise AssertionError
    stream = engine.score(requests)
    assert {next(stream).id, next(stream).id} == {"fits", "b"}


def test_vectors_are_means_of_length_one_and_do_not_depend_on_the_batch(engine: HfEngine) -> None:
    texts = ["fox", "the quick brown fox jumps", "", " ".join(WORDS * 9)]
    together = engine.embed(texts)
    for text, vector in zip(texts, together, strict=True):
        assert sum(x * x for x in vector) == pytest.approx(1.0, abs=1e-5)
        assert vector == pytest.approx(engine.embed([text])[0], abs=1e-5)
    ids = torch.tensor([engine.tokenizer.encode(texts[1])])
    with torch.no_grad():
        mean = engine.model.model(ids).last_hidden_state[0].mean(0)
    assert together[1] == pytest.approx((mean / mean.norm()).tolist(), abs=1e-5)
    assert engine.embed([]) == []
