"""The in-process engine's generation: exact, the same in any batch, and honest about why it stopped."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agora.core.errors import CapabilityError, EngineError
from agora.engines import ChatRequest, CompleteRequest, Generation, Sampling
from agora.engines._slots import SlotCache
from agora.engines.hf import HfEngine
from tests.examples import examples
from tests.tiny import make_model, make_tiny_model, make_tokenizer

VOCABULARY = 390


def _prompt(length: int, seed: int) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(rng.randrange(6, VOCABULARY) for _ in range(length))


def _mixed(n: int = 40) -> list[CompleteRequest]:
    """Prompts of 1 to 300 tokens with greedy, sampled and nucleus settings."""
    rng = random.Random(7)
    settings_of = (
        Sampling(max_tokens=24),
        Sampling(temperature=1.0, max_tokens=40),
        Sampling(temperature=0.7, top_p=0.9, max_tokens=12),
        Sampling(temperature=1.3, max_tokens=30, first_token_temperature=1.2, banned_first_ids=(17, 20, 21)),
    )
    return [
        CompleteRequest(
            str(i),
            _prompt(rng.choice((1, 5, 15, 16, 17, 63, 64, 100, 127, 128, 129, 200, 260, 300)), i),
            sampling=replace(settings_of[i % 4], seed=i),
        )
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def alone(engine: HfEngine) -> dict[str, Generation]:
    """Each mixed request answered by itself."""
    return {r.id: next(engine.complete([r])) for r in _mixed()}


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.integers(1, 40), st.sampled_from((256, 2048, 16384)))
def test_an_answer_is_the_same_to_the_last_bit_in_any_batch(
    engine: HfEngine, alone: dict[str, Generation], rng: random.Random, size: int, batch_tokens: int
) -> None:
    engine._batch_tokens = batch_tokens
    requests = rng.sample(_mixed(), size)
    try:
        found = list(engine.complete(requests))
    finally:
        engine._batch_tokens = 16384
    assert {g.id for g in found} == {r.id for r in requests}
    assert all(g == alone[g.id] for g in found)


def test_greedy_equals_a_naive_loop_without_cache(engine: HfEngine) -> None:
    requests = [CompleteRequest(str(n), _prompt(n, n), sampling=Sampling(max_tokens=20)) for n in (1, 9, 70, 140, 270)]
    for found in engine.complete(requests):
        ids = list(next(r for r in requests if r.id == found.id).prompt_ids or ())
        for token, logprob in zip(found.token_ids or (), found.logprobs or (), strict=True):
            with torch.no_grad():
                naive = torch.log_softmax(engine.model(torch.tensor([ids])).logits[0, -1].double(), -1)
            assert token == int(naive.argmax())
            assert logprob == pytest.approx(float(naive[token]), abs=1e-5)
            ids.append(token)


def test_sampling_follows_the_model_distribution(engine: HfEngine) -> None:
    prompt = _prompt(12, 3)
    with torch.no_grad():
        logits = engine.model(torch.tensor([prompt])).logits[0, -1].double()
    draws = 1500
    for temperature, top_p in ((1.0, 1.0), (0.6, 1.0), (1.0, 0.5)):
        expected = torch.softmax(logits / temperature, -1).numpy()
        if top_p < 1:
            order = np.argsort(-expected)
            kept = order[: int(np.searchsorted(np.cumsum(expected[order]), top_p)) + 1]
            expected = np.where(np.isin(np.arange(len(expected)), kept), expected, 0) / expected[kept].sum()
        requests = [
            CompleteRequest(str(s), prompt, sampling=Sampling(temperature, top_p, max_tokens=1, seed=s))
            for s in range(draws)
        ]
        tokens = [g.token_ids[0] for g in engine.complete(requests) if g.token_ids]
        counts = np.bincount(tokens, minlength=len(expected))
        assert not counts[expected == 0].any()
        likely = expected * draws >= 5
        chi2 = (((counts - expected * draws) ** 2) / np.maximum(expected * draws, 1e-9))[likely].sum()
        freedom = likely.sum()
        assert chi2 < freedom + 5 * np.sqrt(2 * freedom)  # five standard deviations


def test_first_token_controls_touch_the_first_token_only(engine: HfEngine) -> None:
    prompt = _prompt(8, 5)
    greedy = next(engine.complete([CompleteRequest("a", prompt, sampling=Sampling(max_tokens=6))]))
    assert greedy.token_ids is not None and greedy.logprobs is not None
    first = greedy.token_ids[0]
    banned = Sampling(max_tokens=6, banned_first_ids=(first,))
    other = next(engine.complete([CompleteRequest("a", prompt, sampling=banned)]))
    assert other.token_ids is not None and other.logprobs is not None
    assert other.token_ids[0] != first
    assert other.logprobs[0] < greedy.logprobs[0]  # of the model itself, nothing banned
    flat = [
        CompleteRequest(str(s), prompt, sampling=Sampling(1.0, max_tokens=2, seed=s, first_token_temperature=50.0))
        for s in range(300)
    ]
    starts = {g.token_ids[0] for g in engine.complete(flat) if g.token_ids}
    assert len(starts) > 150  # nearly uniform over 390 tokens


def test_another_seed_gives_another_text(engine: HfEngine) -> None:
    requests = [
        CompleteRequest(str(s), _prompt(5, 1), sampling=Sampling(1.0, seed=s, max_tokens=12)) for s in range(20)
    ]
    requests.append(
        CompleteRequest("big", _prompt(5, 1), sampling=Sampling(1.0, seed=12345 - (1 << 70), max_tokens=12))
    )
    assert len({g.token_ids for g in engine.complete(requests)}) == 21


def test_a_stop_id_ends_the_text_and_is_the_last_token(engine: HfEngine) -> None:
    prompt = _prompt(10, 4)
    free = next(engine.complete([CompleteRequest("a", prompt, sampling=Sampling(1.0, seed=2, max_tokens=12))]))
    assert free.token_ids is not None
    stop = free.token_ids[4]
    at = free.token_ids.index(stop)
    sampling = Sampling(1.0, seed=2, max_tokens=12, stop_ids=(stop,))
    found = next(engine.complete([CompleteRequest("a", prompt, sampling=sampling)]))
    assert found.token_ids == free.token_ids[: at + 1]
    assert found.finish_reason == ("stop_token" if at else "empty")
    assert found.stopped_by == engine.tokenizer.convert_ids_to_tokens(stop)
    assert found.text == engine.tokenizer.decode(free.token_ids[:at], skip_special_tokens=True)


def test_a_stop_at_once_is_an_empty_answer(engine: HfEngine) -> None:
    first = next(engine.complete([CompleteRequest("a", _prompt(6, 6), sampling=Sampling(max_tokens=1))])).token_ids
    assert first is not None
    found = next(engine.complete([CompleteRequest("a", _prompt(6, 6), sampling=Sampling(stop_ids=first))]))
    assert (found.finish_reason, found.text, found.token_ids) == ("empty", "", first)


@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10_000), st.integers(0, 25), st.integers(1, 5))
def test_a_stop_string_cuts_the_text_before_its_first_occurrence(
    engine: HfEngine, seed: int, start: int, length: int
) -> None:
    request = CompleteRequest("a", _prompt(7, seed), sampling=Sampling(1.0, seed=seed, max_tokens=24))
    free = next(engine.complete([request]))
    stop = free.text[start : start + length]
    if not stop or "\ufffd" in free.text:  # half a character has no text to stop at
        return
    sampling = replace(request.sampling, stop=(stop, "never there at all"))
    found = next(engine.complete([replace(request, sampling=sampling)]))
    cut = free.text.find(stop)
    assert found.text == free.text[:cut]
    assert found.finish_reason == ("stop_string" if cut else "empty")
    assert found.stopped_by == stop
    assert free.token_ids is not None and found.token_ids == free.token_ids[: len(found.token_ids or ())]


def test_special_tokens_are_not_in_the_text(engine: HfEngine) -> None:
    requests = [
        CompleteRequest(str(s), _prompt(4, s), sampling=Sampling(3.0, seed=s, max_tokens=200)) for s in range(12)
    ]
    found = list(engine.complete(requests))
    assert any(set(g.token_ids or ()) & {2, 3, 4, 5} for g in found)
    assert not any("<|" in g.text for g in found)


def test_a_conversation_is_rendered_by_the_template(engine: HfEngine) -> None:
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many?"})
    ids = engine.tokenizer.encode("<|system|>Be brief.<|end|><|user|>How many?<|end|><|assistant|>")
    sampling = Sampling(1.0, max_tokens=8, seed=3)
    chatted = next(engine.chat([ChatRequest("a", messages, sampling)]))
    assert chatted == next(engine.complete([CompleteRequest("a", tuple(ids), sampling=sampling)]))
    assert chatted.usage.prompt_tokens == len(ids)


def test_one_bad_item_is_an_error_and_the_others_are_answered(engine: HfEngine) -> None:
    requests = [
        CompleteRequest("good", _prompt(3, 1), sampling=Sampling(max_tokens=3)),
        CompleteRequest("long", _prompt(600, 1), sampling=Sampling(max_tokens=3)),
        CompleteRequest("outside", (5, 99_999), sampling=Sampling(max_tokens=3)),
        CompleteRequest("neither"),
        CompleteRequest("none", (1,), sampling=Sampling(max_tokens=0)),
        CompleteRequest("surrogate", prompt="a\ud800b", sampling=Sampling(max_tokens=3)),
    ]
    found = {g.id: g for g in engine.complete(requests)}
    assert found["good"].finish_reason == "length"
    assert "600 tokens, the context is 512" in (found["long"].error or "")
    assert "outside the vocabulary" in (found["outside"].error or "")
    assert "exactly one" in (found["neither"].error or "")
    assert "max_tokens" in (found["none"].error or "")
    assert found["surrogate"].finish_reason == "error"
    roles = next(engine.chat([ChatRequest("x", ({"role": "wizard", "content": "hi"},))]))
    assert roles.finish_reason == "error" and "unknown role wizard" in (roles.error or "")


def test_an_answer_that_meets_the_end_of_the_context_says_so(engine: HfEngine) -> None:
    request = CompleteRequest("a", _prompt(500, 1), sampling=Sampling(1.0, max_tokens=100, seed=1))
    found = next(engine.complete([request]))
    assert len(found.token_ids or ()) == 12
    assert (found.finish_reason, found.meta) == ("length", {"cut_by_context": 512})


def test_logits_that_are_not_finite_are_an_error_and_harm_no_neighbor(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer), 0)
    with torch.no_grad():
        model.model.embed_tokens.weight[50] = float("nan")
    engine = HfEngine.from_model(model, tokenizer)
    sane = [CompleteRequest(str(i), (100 + i, 120), sampling=Sampling(max_tokens=4)) for i in range(6)]
    before = {g.id: g.logprobs for g in engine.complete(sane)}
    sick = [CompleteRequest(f"sick {i}", (50, 60 + i), sampling=Sampling(max_tokens=4)) for i in range(6)]
    engine._batch_tokens = 256
    found = {g.id: g for g in engine.complete([*sick, *sane])}
    assert all("not finite" in (found[r.id].error or "") for r in sick)
    assert {r.id: found[r.id].logprobs for r in sane} == before


def test_running_out_of_memory_halves_the_batch_and_changes_nothing(
    engine: HfEngine, alone: dict[str, Generation], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engine._net.forward
    sizes = []

    def small_device(cache: SlotCache, ids: torch.Tensor, *more: object, **named: object) -> torch.Tensor:
        sizes.append(len(ids))
        if len(ids) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(cache, ids, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(engine._net, "forward", small_device)
    found = list(engine.complete(_mixed()))
    assert max(sizes) > 8
    assert {g.id: g for g in found} == alone


def test_a_model_in_training_stays_in_training_and_is_read_afresh() -> None:
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer), 0)
    model.config.attention_dropout = 0.5
    model.train()
    engine = HfEngine.from_model(model, tokenizer)
    request = CompleteRequest("a", _prompt(6, 1), sampling=Sampling(max_tokens=5))
    first = next(engine.complete([request]))
    assert first == next(engine.complete([request]))  # dropout is off meanwhile
    assert model.training
    model(torch.tensor([[7, 8, 9]]), labels=torch.tensor([[7, 8, 9]])).loss.backward()
    assert model.lm_head.weight.grad is not None
    with torch.no_grad():
        model.lm_head.weight.neg_()
    assert next(engine.complete([request])).token_ids != first.token_ids


def test_a_model_without_template_does_not_chat(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "base", chat_template=False)
    engine = HfEngine.load(str(folder))
    assert "chat" not in engine.capabilities
    with pytest.raises(CapabilityError, match="chat template"):
        engine.chat([])


def test_a_closed_engine_says_so(tiny_model_dir: Path) -> None:
    engine = HfEngine.load(str(tiny_model_dir))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        list(engine.complete([CompleteRequest("a", (5,))]))
