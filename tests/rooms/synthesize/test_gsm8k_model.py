"""A model of 2 million parameters that has read GSM8K alone: what its own prefix draws, and what a wrong one does.

Questions and answers are real. The answers are the published equations with the number they end in (the sets of
Internalize CoT: all 1,319 test questions and 500 of the training questions), not the solutions in words.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from agora.core.records import Sample
from agora.core.stats import wilson
from agora.engines import open_engine
from agora.microcosm.build import BuildConfig, new_model
from agora.rooms.synthesize import DrawSettings, Slice, derive_prefix, draw_instructions
from agora.train.config import TrainConfig
from agora.train.loop import train
from agora.train.models import save_model
from agora.train.objectives import SFT
from agora.train.render import encode_chat
from tests.rooms.synthesize.byte_pairs import bpe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # trains for minutes

N = 200
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|pad|>")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def question_answer_pairs(shared: Path) -> Iterator[tuple[str, str]]:
    for name in ("valid", "test"):
        with gzip.open(shared / f"data/icot/data/gsm8k/{name}.txt.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                question, _, answer = line.rstrip("\n").partition("||")
                yield " ".join(question.split()), answer


@pytest.fixture(scope="module")
def model(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the trained model."""
    pairs = list(question_answer_pairs(shared_dir))
    assert len(pairs) == 1819
    tokenizer = bpe((text for pair in pairs for text in pair), CHATML, special=SPECIAL)
    policy = new_model(tokenizer, BuildConfig())  # the shape of the microcosm's models
    assert 2e6 <= sum(p.numel() for p in policy.parameters()) <= 4e6
    rows = (
        encode_chat(
            tokenizer,
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            id=str(i),
            targets="all",
        )
        for i, (question, answer) in enumerate(pairs)
    )
    settings = TrainConfig(
        learning_rate=3e-3, schedule="cosine", optimizer="muon", epochs=5, batch_size=32, adam_betas=(0.9, 0.95)
    )
    train(policy, [(row,) for row in rows if row is not None], SFT(), settings)
    folder = tmp_path_factory.mktemp("gsm8k") / "model"
    save_model(policy, tokenizer, folder)
    return f"hf:{folder}"


def draw(model: str, mode: str = "template") -> list[Sample]:
    template = derive_prefix(model, mode=mode)
    settings = DrawSettings(seed=4, max_tokens=256, check_first=0)
    with closing(open_engine(model)) as engine:
        return list(draw_instructions(engine, template, [Slice("all", N)], run_id="r", settings=settings))


class Shares(NamedTuple):
    ended: float  # by the end-of-turn token
    asked: float  # the text ends in "?"


def shares(samples: list[Sample], name: str) -> Shares:
    counts = (
        sum(s.stopped_by == "<|im_end|>" for s in samples),
        sum(s.raw_text.rstrip().endswith("?") for s in samples),
    )
    assert len(samples) == N
    for what, count in zip(("ended by <|im_end|>", 'ending in "?"'), counts, strict=True):
        share = wilson(count, N)
        print(f"\n{name}: {what} {share.estimate:.1%} [{share.low:.1%}, {share.high:.1%}], n {N}")
    return Shares(*(count / N for count in counts))


def test_the_derived_prefix_draws_questions_that_end_and_the_assistant_s_header_does_not(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    right = draw(model)
    with capsys.disabled():
        derived = shares(right, "derived prefix")
        wrong = shares(draw(model, "custom:<|im_start|>assistant\n"), "assistant's header")
    assert derived.ended >= 0.8 and derived.asked >= 0.7
    assert wrong.ended < derived.ended - 0.3 and wrong.asked < derived.asked - 0.3
    assert [s.raw_text for s in draw(model)] == [s.raw_text for s in right]
