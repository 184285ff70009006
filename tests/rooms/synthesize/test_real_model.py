"""A small real model (acceptance check L): the derived prefix opens a user's turn, a wrong one does not."""

from __future__ import annotations

from agora.core.records import Sample
from agora.engines import open_engine
from agora.microcosm.world import recognize
from agora.rooms.synthesize import DrawSettings, PrefixTemplate, Slice, derive_prefix, draw_instructions

N = 40


def draw(template: PrefixTemplate) -> list[Sample]:
    engine = open_engine("microcosm:chat")
    settings = DrawSettings(seed=4, max_tokens=96, check_first=0)
    return list(draw_instructions(engine, template, [Slice("all", N, top_p=0.9)], run_id="r", settings=settings))


def shares(samples: list[Sample]) -> tuple[float, float]:
    """Shares that the end-of-turn token ended, and that are well-posed."""
    ended = sum(s.finish_reason == "stop_token" and s.stopped_by == "<|end|>" for s in samples)
    return ended / N, sum(recognize(s.instruction) is not None for s in samples) / N


def test_the_derived_prefix_draws_instructions_that_end_and_a_wrong_one_is_clearly_worse() -> None:
    right = draw(derive_prefix("microcosm:chat"))
    ended, well_posed = shares(right)
    assert ended >= 0.8 and well_posed >= 0.7
    wrong = draw(derive_prefix("microcosm:chat", mode="custom:<|assistant|>"))
    assert shares(wrong)[1] < well_posed - 0.5
    again = draw(derive_prefix("microcosm:chat"))
    assert [s.raw_text for s in again] == [s.raw_text for s in right]
