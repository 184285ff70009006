"""The blocks of a recipe: the four aspects that may be varied, and what stays fixed.

Aspects as in Ivison et al. 2024 (arXiv:2406.09279): preference data, algorithm, reward model, policy prompts.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agora.core.config import Config
from agora.curate.pairs.mix import MixSource
from agora.train.settings import DpoSettings, PpoSettings, RewardSettings, SftSettings

Aspect = Literal["data", "algorithm", "reward_model", "prompts"]
ASPECTS: tuple[Aspect, ...] = ("data", "algorithm", "reward_model", "prompts")


class PairSource(MixSource):
    """One source of a mix of pairs; ``expected_rows`` is what it is known to hold, to plan without reading it."""

    expected_rows: int | None = Field(None, ge=1)

    @property
    def planned_rows(self) -> int | None:
        """Pairs that it should give; None where nobody said."""
        if self.rows is not None:
            return self.rows
        known = self.expected_rows
        if known is not None and self.fraction is not None:
            known = round(self.fraction * known)
        return known if self.cap is None else min(self.cap, known or self.cap)


class RowSource(Config):
    """A file, folder or ``hub:OWNER/NAME#SPLIT`` of conversations or prompts."""

    path: str
    cap: int | None = Field(None, ge=1, description="at most so many rows, drawn without replacement")
    expected_rows: int | None = Field(None, ge=1, description="what it is known to hold, to plan without reading it")

    @property
    def planned_rows(self) -> int | None:
        """Rows that it should give; None where nobody said."""
        return self.expected_rows if self.cap is None else min(self.cap, self.expected_rows or self.cap)


class Annotator(Config):
    """Who says which of two answers is better in the microcosm."""

    kind: Literal["people", "checker"] = "people"
    people: int = Field(50, ge=1)
    noise: float = Field(0.1, ge=0, le=1, description="share of choices left to a coin")
    length_bias: float = Field(0.0, description="log-odds for every 10 words that an answer is longer")
    fatigue: float = Field(0.0, ge=0)


class MicrocosmPairs(Config):
    """Pairs from the microcosm: two answers to an instruction, and somebody's choice.

    ``widest`` takes the answers that truth sets furthest apart, so that annotators differ in their labels alone;
    ``random`` takes any two.
    """

    kind: Literal["microcosm"] = "microcosm"
    instructions: int = Field(800, ge=1)
    families: tuple[str, ...] | None = Field(None, description="of exercises; all when none are named")
    candidates: Literal["policy", "world"] = Field(
        "policy", description="samples of the start model, or a right answer and one with a known flaw"
    )
    samples: int = Field(4, ge=2, description="answers an instruction, of the start model")
    temperature: float = Field(1.0, gt=0)
    pairing: Literal["widest", "random"] = "widest"
    annotator: Annotator = Annotator()
    seed: int = 0


class FilePairs(Config):
    """Pairs from files or the hub, mixed and shuffled once; prompts that the study's tests ask are left out."""

    kind: Literal["files"] = "files"
    sources: tuple[PairSource, ...] = Field(min_length=1)
    cap: int | None = Field(None, ge=1, description="pairs in all, the first of the shuffled order")
    seed: int = 42


PairData = Annotated[MicrocosmPairs | FilePairs, Field(discriminator="kind")]


class MicrocosmDemonstrations(Config):
    """Answers to the microcosm's instructions: right ones, and a share with a known flaw."""

    kind: Literal["microcosm"] = "microcosm"
    rows: int = Field(1600, ge=1)
    flawed: float = Field(0.0, ge=0, le=1, description="share of the answers that carry a flaw")
    families: tuple[str, ...] | None = None
    seed: int = 0


class FileDemonstrations(Config):
    """Conversations from a file, in any format that training takes."""

    kind: Literal["files"] = "files"
    source: RowSource


class StartBlock(Config):
    """How the start model is made; without it ``fixed.model`` is the start model itself."""

    data: Annotated[MicrocosmDemonstrations | FileDemonstrations, Field(discriminator="kind")]
    settings: SftSettings = SftSettings()


class NoTraining(Config):
    """The start model as it is."""

    name: Literal["sft"] = "sft"


class DpoAlgorithm(Config):
    """Direct preference optimization and its family."""

    name: Literal["dpo"] = "dpo"
    settings: DpoSettings = DpoSettings()


class OnlineAlgorithm(Config):
    """Training on the policy's own samples, scored by the reward model."""

    name: Literal["ppo", "rloo", "grpo"] = "ppo"
    settings: PpoSettings = PpoSettings()
    length_reward: float = Field(0.0, description="weight of the answer's length as a second reward")
    checker_reward: float = Field(0.0, ge=0, description="weight of the microcosm's checkers as a second reward")
    model_reward: float = Field(1.0, ge=0, description="weight of the reward model")


AlgorithmBlock = Annotated[NoTraining | DpoAlgorithm | OnlineAlgorithm, Field(discriminator="name")]


class RewardModelBlock(Config):
    """What the reward model grows from and learns from. Only algorithms that sample use one."""

    init: str = Field("start", description="backbone: the start model, or an engine URI of a causal model")
    layers: int | None = Field(None, ge=1, description="keep only so many of the backbone's first layers")
    data: Literal["same"] | PairData = Field("same", description="`same`: the pairs of the data block")
    settings: RewardSettings = RewardSettings()


class PairPrompts(Config):
    """The prompts of the preference pairs."""

    kind: Literal["pairs"] = "pairs"


class MicrocosmPrompts(Config):
    """Instructions of the microcosm."""

    kind: Literal["microcosm"] = "microcosm"
    instructions: int = Field(400, ge=1)
    families: tuple[str, ...] | None = None
    split: Literal["train", "heldout"] = "train"
    with_pairs: bool = Field(False, description="the prompts of the preference pairs too")
    seed: int = 1


class FilePrompts(Config):
    """Prompts from files or the hub; those that the study's tests ask are left out."""

    kind: Literal["files"] = "files"
    sources: tuple[RowSource, ...] = Field(min_length=1)
    with_pairs: bool = False
    seed: int = 42


PromptsBlock = Annotated[PairPrompts | MicrocosmPrompts | FilePrompts, Field(discriminator="kind")]


class EvaluateBlock(Config):
    """The tests that every model takes, as of ``agora preferences eval``."""

    tests: tuple[str, ...] = Field(("microcosm",), min_length=1, description="suites and tests")
    data: str | None = Field(None, description="folder of the tests' files")
    judge: str | None = Field(None, description="engine URI, or microcosm:checker")
    allow_code: bool = Field(False, description="run programs that the models have written")
    limit: int | None = Field(None, ge=1, description="examples a test")
    seed: int = 0


class MeasureBlock(Config):
    """What is measured on sampled answers: length, EOS rate, KL to the start model, rewards, best-of-N.

    KL is defined at temperature 1, so answers are sampled there.
    """

    # a factory: as a plain default its keys would be kept under another kind
    prompts: PromptsBlock = Field(default_factory=lambda: MicrocosmPrompts(instructions=200, split="heldout", seed=2))
    rows: int = Field(200, ge=2, description="prompts, at most")
    max_tokens: int = Field(96, ge=1)
    best_of: int = Field(8, ge=0, description="samples a prompt from the start model; 0: no best-of-N")
    truth: str | None = Field("microcosm:checker", description="scorer URI that knows how good an answer is")


class FixedBlock(Config):
    """What no study may vary."""

    model: str = "microcosm:base"
    start: StartBlock | None = None
    match: Literal["epochs", "updates", "tokens"] = "epochs"
    match_rows: Literal["min"] | int | None = None
    evaluate: EvaluateBlock = EvaluateBlock()
    measure: MeasureBlock = Field(default_factory=MeasureBlock)

    @model_validator(mode="after")
    def _rows_positive(self) -> FixedBlock:
        if isinstance(self.match_rows, int) and self.match_rows < 1:
            raise ValueError("match_rows must be min or a number of rows, at least 1")
        return self


class Cell(Config):
    """One fully resolved setting: the four aspects and what is fixed, without the seed."""

    data: PairData
    algorithm: AlgorithmBlock
    reward_model: RewardModelBlock = RewardModelBlock()
    prompts: PromptsBlock = PairPrompts()
    fixed: FixedBlock
