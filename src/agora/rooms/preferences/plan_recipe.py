"""The stages of a study's recipe as pieces of work to be estimated, each stage once however many cells share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agora.core.config import build_config
from agora.rooms.preferences.study.blocks import MicrocosmDemonstrations, MicrocosmPairs
from agora.rooms.preferences.study.dry_run import EstimatedSizes
from agora.rooms.preferences.study.plan import Plan, all_arms, keep_arms, make_plan, selected_arms
from agora.rooms.preferences.study.recipe import Recipe
from agora.rooms.preferences.study.stage import Stage, in_order
from agora.train.planning import ModelShape, Rows, Work, find_shape, online_work, row_work, sampling_work, scoring_work
from agora.train.settings import DpoSettings, PpoSettings, RewardSettings, SftSettings

_SAMPLE = 200  # rows of the microcosm that lengths are measured on


@dataclass(frozen=True, slots=True)
class Lengths:
    """Mean tokens of rows that nobody has counted yet."""

    prompt: float = 250.0
    answer: float = 300.0


def works_of(
    recipe: Recipe, *, only: Sequence[str] = (), lengths: Lengths | None = None
) -> tuple[list[Work], list[str]]:
    """Every stage that computes, and notes on what the figures rest on.

    Args:
        recipe: of a study.
        only: values or studies, with the baselines they are compared with.
        lengths: of rows from files and the hub; rows of the microcosm are measured on a sample of them.

    Raises:
        UsageError: a name in `only` fits no value, or nothing is known of a model's size.
    """
    arms = all_arms(recipe)
    plan = keep_arms(make_plan(recipe, arms, EstimatedSizes()), selected_arms(arms, only))
    return _Planner(lengths).works(plan)


class _Planner:
    """Shapes and lengths by stage, each found out once."""

    def __init__(self, lengths: Lengths | None) -> None:
        self.given = lengths
        self.assumed = lengths or Lengths()
        self.sizes = EstimatedSizes()
        self.notes: dict[str, None] = {}
        self._shapes: dict[str, ModelShape] = {}
        self._measured: Lengths | None = None
        self._kinds: dict[str, Callable[[Stage], Work]] = {
            "sft": self.sft,
            "reward": self.reward,
            "dpo": self.dpo,
            "online": self.online,
            "answers": self.answers,
            "samples": self.samples,
            "scores": self.scores,
        }

    def works(self, plan: Plan) -> tuple[list[Work], list[str]]:
        stages = in_order(plan.goals())
        found = [self._kinds[stage.kind](stage) for stage in stages if stage.kind in self._kinds]
        if any(stage.kind == "evaluate" for stage in stages):
            self.notes["what the tests (`evaluate`) ask of the models is not counted"] = None
        return found, list(self.notes)

    def sft(self, stage: Stage) -> Work:
        settings = build_config(SftSettings, stage.config["settings"])
        data = stage.parents["data"]
        rows = data.config.get("rows") or data.config["source"].get("expected_rows") or data.config["source"].get("cap")
        if not rows:
            self.notes["the recipe does not say how many demonstrations there are; 100,000 are assumed"] = None
        seen = self._rows(rows or 100_000, 1, settings.max_tokens, data)
        return row_work(stage.label, self.shape(stage.parents["model"]), seen, settings)

    def reward(self, stage: Stage) -> Work:
        settings = build_config(RewardSettings, stage.config["settings"])
        data = stage.parents["data"]
        pairs = round(self._pairs(data) * (1 - settings.valid_share))
        return row_work(
            stage.label,
            self.shape(stage.parents["model"]),
            self._rows(pairs, 2, settings.max_tokens, data),
            settings,
        )

    def dpo(self, stage: Stage) -> Work:
        settings = build_config(DpoSettings, stage.config["settings"])
        data = stage.parents["data"]
        seen = self._rows(self._pairs(data), 2, settings.max_tokens, data)
        return row_work(stage.label, self.shape(stage.parents["model"]), seen, settings)

    def online(self, stage: Stage) -> Work:
        settings = build_config(PpoSettings, stage.config["settings"])
        prompts = stage.parents["prompts"]
        lengths = self.lengths(prompts)
        uses_model = bool(stage.config["rewards"]["model"])
        return online_work(
            stage.label,
            self.shape(stage.parents["model"]),
            settings,
            prompts=self.sizes.prompts(prompts, stage, None).rows,
            prompt_tokens=min(lengths.prompt, settings.max_prompt_tokens),
            answer_tokens=lengths.answer,
            reward=self.shape(stage.parents["reward"]) if uses_model else None,
        )

    def answers(self, stage: Stage) -> Work:
        calls = stage.config["instructions"] * stage.config["samples"]
        lengths = self.lengths(stage)
        return sampling_work(stage.label, self.shape(stage.parents["model"]), calls, lengths.prompt, lengths.answer)

    def samples(self, stage: Stage) -> Work:
        lengths = self.lengths(stage.parents["prompts"])
        calls = stage.config["rows"] * stage.config["each"]
        answer = min(lengths.answer, stage.config["max_tokens"])
        return sampling_work(stage.label, self.shape(stage.parents["model"]), calls, lengths.prompt, answer)

    def scores(self, stage: Stage) -> Work:
        samples = stage.parents["samples"]
        lengths = self.lengths(samples.parents["prompts"])
        rows = Rows.expected(samples.config["rows"] * samples.config["each"], lengths.prompt, lengths.answer)
        return scoring_work(stage.label, self.shape(stage.parents["reward"]), rows)

    def shape(self, stage: Stage) -> ModelShape:
        """Of the model that a stage gives or is trained from."""
        if stage.kind == "given":
            return self._named(stage.config["model"])
        below = self.shape(stage.parents["model"])
        return below.cut(stage.config["layers"]) if stage.kind == "backbone" else below

    def _named(self, model: str) -> ModelShape:
        if model not in self._shapes:
            found = self._shapes[model] = find_shape(model)
            if found.source != "its config.json":
                self.notes[f"{model}: {found.source}, {found.parameters / 1e9:.1f} billion parameters"] = None
        return self._shapes[model]

    def lengths(self, stage: Stage) -> Lengths:
        """Mean tokens of prompt and answer of what a stage holds."""
        if self.given is None and self._of_microcosm(stage):
            if self._measured is None:
                self._measured = microcosm_lengths()
                self.notes[f"lengths of the microcosm are means of {_SAMPLE} rendered rows"] = None
            return self._measured
        told = f"{self.assumed.prompt:g} tokens a prompt and {self.assumed.answer:g} an answer"
        self.notes[f"{told} are assumed; say otherwise with --prompt-tokens and --answer-tokens"] = None
        return self.assumed

    def _of_microcosm(self, stage: Stage) -> bool:
        kind = stage.config.get("kind")
        if kind == "pairs":  # prompts of the pairs
            return self._of_microcosm(stage.parents["pairs"])
        if kind is None and stage.kind == "selected":
            return self._of_microcosm(stage.parents["data"])
        return kind == "microcosm" or stage.kind == "answers"

    def _pairs(self, stage: Stage) -> int:
        return self.sizes.pairs(stage, stage, None).rows

    def _rows(self, count: int, sides: int, limit: int, data: Stage) -> Rows:
        lengths = self.lengths(data)
        longest = min(limit, 4 * (lengths.prompt + lengths.answer))
        return Rows.expected(count * sides, lengths.prompt, lengths.answer, longest=longest)


def microcosm_lengths() -> Lengths:
    """Mean tokens of the microcosm's rendered prompts and answers, end token included."""
    from agora.core.records import Message
    from agora.engines.registry import microcosm_folder
    from agora.rooms.preferences.study.microcosm_data import demonstrations, pair_prompts
    from agora.train.encode import encode_conversations
    from agora.train.models import load_tokenizer
    from agora.train.render import encode_prompt

    tokenizer = load_tokenizer(str(microcosm_folder("base")))
    told = demonstrations(MicrocosmDemonstrations(rows=_SAMPLE))
    turns = [(row["id"], [Message(m["role"], m["content"]) for m in row["messages"]]) for row in told]
    encoded = encode_conversations(tokenizer, turns, max_tokens=100_000)
    answers = [row.n_targets for (row,) in encoded.groups]
    asked = pair_prompts(MicrocosmPairs(instructions=_SAMPLE))
    prompts = [len(encode_prompt(tokenizer, item.prompt)) for item in asked]
    return Lengths(sum(prompts) / len(prompts), sum(answers) / len(answers))
