"""What a comparison of training data does."""

from __future__ import annotations

from pydantic import Field, model_validator

from agora.core.config import Config
from agora.core.errors import ConfigError
from agora.loop.settings import CHECKER
from agora.train.config import TrainConfig
from agora.train.settings import SftSettings

ARMS = (
    "magpie",
    "people",
    "log",
    "self-instruct",
    "web",
    "magpie, no filter",
    "magpie, no de-duplication",
    "magpie, filtered by the truth",
)
NEEDS_WORLD = frozenset({"people", "log", "web", "magpie, filtered by the truth"})


def slug_of(name: str) -> str:
    """A file name for a data set."""
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


class SelfInstructSettings(Config):
    """The seeded generator; see :class:`agora.rooms.synthesize.self_instruct.SelfInstruct`."""

    model: str = Field("microcosm:base", description="who goes on with the list of tasks (engine URI)")
    seeds: str | None = Field(None, description="file of a person's tasks; the microcosm gives its own when None")
    seed_tasks: int = Field(175, ge=1, description="tasks taken from the microcosm; 175 in the paper")
    novelty: float = Field(0.85, gt=0, le=1, description="ROUGE-L at which a task is no longer new; 0.7 in the paper")
    temperature: float = Field(0.7, gt=0)
    max_requests: int = Field(4000, ge=1)


class WebSettings(Config):
    """How noisy the web-like data is."""

    flawed: float = Field(0.5, ge=0, le=1, description="share of answers with a known flaw")
    mismatched: float = Field(0.1, ge=0, le=1, description="share of answers that belong to another question")
    nonsense: float = Field(0.05, ge=0, le=1, description="share of visitors whose message means nothing")
    repeated: float = Field(0.1, ge=0, le=1, description="share of visitors who repeat another's question")


class GridSettings(Config):
    """The decoding grid of the paper's Fig. 11: what temperature and top-p do to what is drawn. Nothing is trained."""

    temperatures: tuple[float, ...] = (1.0, 1.1, 1.2)
    top_ps: tuple[float, ...] = (1.0, 0.995, 0.99)
    count: int = Field(300, ge=0, description="samples of each cell; 0 leaves the grid out")


class CompareConfig(Config):
    """One comparison; the default sizes suit the microcosm."""

    model: str = Field("microcosm:chat", description="aligned model that is drawn from and answers (engine URI)")
    tokenizer: str | None = Field(None, description="tokenizer of a model that is served elsewhere")
    student: str = Field("microcosm:base", description="model that is trained on each data set")
    judge: str = Field(CHECKER, description="microcosm:checker or an engine URI")
    arms: tuple[str, ...] = ARMS
    files: dict[str, str] = Field(default_factory=dict, description="more data sets: name to conversation file")
    tasks_file: str | None = Field(
        None, description="task/1 records to judge on; the microcosm's held-out tasks if None"
    )
    seeds: tuple[int, ...] = (0, 1, 2)
    rows: int = Field(400, ge=1, description="of every data set; fewer where one holds fewer")
    tasks: int = Field(300, ge=10, description="held-out tasks of the microcosm")
    temperature: float = Field(1.0, gt=0, description="of the drawn instructions")
    top_p: float = Field(1.0, gt=0, le=1)
    overdraw: float = Field(1.7, ge=1, description="samples drawn for every row wanted")
    near_duplicate_jaccard: float = Field(0.6, ge=0.5, le=1)
    max_instruction_tokens: int = Field(128, ge=1)
    max_answer_tokens: int = Field(96, ge=1)
    self_instruct: SelfInstructSettings = SelfInstructSettings()
    web: WebSettings = WebSettings()
    grid: GridSettings = GridSettings()
    sft: SftSettings = SftSettings(
        train=TrainConfig(
            learning_rate=2e-3, schedule="cosine", warmup=0.1, epochs=3, batch_size=32, checkpoint_every_s=5
        ),
        max_tokens=512,
    )

    @model_validator(mode="after")
    def _arms_can_be_made(self) -> CompareConfig:
        unknown = [arm for arm in self.arms if arm not in ARMS]
        if unknown:
            raise ConfigError(f"unknown arm {unknown[0]!r}; known: {'; '.join(ARMS)}", hint="own files go into files:")
        twice = sorted(set(self.files) & set(self.arms))
        if twice:
            raise ConfigError(f"the name {twice[0]!r} is an arm's; choose another for the file")
        slugs = [slug_of(name) for name in self.names]
        same = next(
            (name for name, slug in zip(self.names, slugs, strict=True) if slugs.count(slug) > 1 or not slug), None
        )
        if same is not None:
            raise ConfigError(f"the name {same!r} cannot be told from another by its letters and digits")
        if self.tasks_file is not None and self.judge == CHECKER:
            raise ConfigError("the microcosm's checker knows its own tasks only", hint="name another judge")
        if not self.names:
            raise ConfigError("a comparison needs a data set", hint="give arms or files")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Every data set, arms first; the first one is what the others are compared with."""
        return (*self.arms, *self.files)
