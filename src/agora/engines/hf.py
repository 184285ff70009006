"""A `transformers` model in this process: batched generation, exact scores, embeddings.

Heavy libraries load when the first engine is made, not when this module is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.errors import CapabilityError, DataError, EngineError
from agora.engines.budget import Budget
from agora.engines.types import (
    Capability,
    ChatRequest,
    CompleteRequest,
    Generation,
    Sampling,
    Score,
    ScoreRequest,
    Usage,
)

if TYPE_CHECKING:
    from agora.engines._generate import Row
    from agora.engines._score import Scored

_WINDOW = 4096  # requests read ahead, so that they can be sorted by length
_CPU_BATCH_TOKENS = 16_384
_ACCELERATOR_BATCH_TOKENS = 131_072


class HfEngine:
    """Answers with a causal language model held in memory.

    A request's tokens depend on the request, its seed and the model alone, not on the batch: bit for bit on CPU in
    float32, up to rounding elsewhere (then a token can differ where two are almost equally likely).
    ``Generation.token_ids`` includes the token that stopped it; ``text`` does not, and holds no special token.

    Args:
        model: a `transformers` causal language model.
        tokenizer: its tokenizer.
        uri: what the engine calls itself.
        batch_tokens: rows times slots of a batch; None: 16,384 on CPU, 131,072 on an accelerator.
        budget: checked before each result is drawn.
        folder: where the model was loaded from, which is what tells the cache its revision.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        uri: str,
        *,
        batch_tokens: int | None = None,
        budget: Budget | None = None,
        folder: Path | None = None,
    ) -> None:
        from agora.engines._net import Net
        from agora.engines._text import TextSide

        self._uri, self._budget, self._folder = uri, budget, folder
        self._revision: str | None = None
        self._model: Any = model
        with _evaluating(model):
            self._net = Net(model)
        ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
        self._text = TextSide(tokenizer, ends if isinstance(ends, list) else [] if ends is None else [ends])
        default = _CPU_BATCH_TOKENS if self._net.device.type == "cpu" else _ACCELERATOR_BATCH_TOKENS
        self._batch_tokens = batch_tokens or default
        verbs: set[Capability] = {"complete", "token_prompt", "score", "embed"}
        if getattr(tokenizer, "chat_template", None):
            verbs.add("chat")
        self._capabilities: frozenset[Capability] = frozenset(verbs)

    @classmethod
    def from_model(
        cls, model: Any, tokenizer: Any, uri: str = "hf:live", *, batch_tokens: int | None = None
    ) -> HfEngine:
        """An engine over live objects, e.g. a model in training: weights are read at each call, its mode is kept."""
        return cls(model, tokenizer, uri, batch_tokens=batch_tokens)

    @classmethod
    def load(
        cls,
        name: str,
        *,
        uri: str | None = None,
        batch_tokens: int | None = None,
        device: str | None = None,
        budget: Budget | None = None,
    ) -> HfEngine:
        """Load a folder or a hub name. fp32 on CPU, the stored dtype elsewhere, all GPUs if `accelerate` is installed.

        Raises:
            MissingError: no such folder, or the model is not on this machine and cannot be fetched.
        """
        from agora.engines._load import load_model, model_folder

        model, tokenizer = load_model(name, device)
        uri, folder = uri or f"hf:{name}", model_folder(name)
        return cls(model, tokenizer, uri, batch_tokens=batch_tokens, budget=budget, folder=folder)

    @property
    def uri(self) -> str:
        """The URI this engine was opened with."""
        return self._uri

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything, but ``chat`` only when the tokenizer has a template."""
        return self._capabilities

    @property
    def context(self) -> int | None:
        """Most tokens of prompt and answer together."""
        return self._net.context

    @property
    def revision(self) -> str | None:
        """What the weights and the tokenizer are, by content; None for live objects, which may change at any time."""
        from agora.engines._load import revision_of

        if self._revision is None and self._model is not None:
            commit = getattr(self._model.config, "_commit_hash", None)
            found = revision_of(self._folder) if self._folder is not None else commit
            self._revision = f"{found}/{self._net.dtype}" if found else None
        return self._revision

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, for callers that build token prefixes."""
        return self._text.tokenizer

    @property
    def user_prefix(self) -> list[int] | None:
        """Token ids of an empty user turn, by the model's own template; None without a template."""
        return self._text.user_prefix() or None if "chat" in self._capabilities else None

    @property
    def model(self) -> Any:
        """The model itself, as the library's object."""
        from agora.engines._plain import PlainLlama

        if isinstance(self._model, PlainLlama):  # generation alone needed no more than its weights
            import torch

            from agora.engines._net import Net

            with torch.inference_mode(False):  # whoever asks may train it
                self._model = self._model.load()
                self._net = Net(self._model)
        return self._model

    def chat(self, requests: Iterable[ChatRequest]) -> Iterator[Generation]:
        """Answer conversations; see :class:`agora.engines.types.Engine`."""
        if "chat" not in self._capabilities:
            raise CapabilityError(
                "this model's tokenizer has no chat template", where=self._uri, hint="use an instruction-tuned model"
            )
        return self._run(requests, lambda request: self._text.render(request.messages))

    def complete(self, requests: Iterable[CompleteRequest]) -> Iterator[Generation]:
        """Continue raw prefixes; an empty one continues the beginning of a text."""
        return self._run(requests, self._prefix_ids)

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[Score]:
        """Exact log-probabilities; prompt and continuation are tokenized apart.

        Raises:
            DataError: at the end, when some items cannot be scored (too long); the others have been yielded.
        """
        from agora.engines._score import batches, score_batch

        stream, failed = iter(requests), []
        while window := list(islice(stream, _WINDOW)):
            items = []
            for request in window:
                try:
                    items.append(self._scored(request))
                except DataError as error:
                    failed.append(str(error))
            for batch in batches([item.tokens for item in items], self._batch_tokens):
                self._check_budget()
                with _evaluating(self.model):
                    found = score_batch(self._net, [items[i] for i in batch])
                self._count(Usage(sum(items[i].tokens for i in batch)))
                for i, logprobs in zip(batch, found, strict=True):
                    yield Score(items[i].id, tuple(items[i].continuation), tuple(logprobs))
        if failed:
            raise DataError(f"{len(failed)} items could not be scored, the first: {failed[0]}", where=self._uri)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Mean-pooled last hidden states of length one; a text beyond the context is cut to it."""
        from agora.engines._score import batches, embed_batch

        ids = [self._text.prefix(text)[: self._net.context] for text in texts]
        found: list[list[float]] = [[] for _ in texts]
        for batch in batches([len(i) for i in ids], self._batch_tokens):
            self._check_budget()
            with _evaluating(self.model):
                vectors = embed_batch(self._net, [ids[i] for i in batch])
            self._count(Usage(sum(len(ids[i]) for i in batch)))
            for i, vector in zip(batch, vectors, strict=True):
                found[i] = vector
        return found

    def close(self) -> None:
        """Drop the references to the model; safe to call twice."""
        self._model = self._net = None  # type: ignore[assignment]

    def _check_budget(self) -> None:
        if self._budget is not None:
            self._budget.check()

    def _count(self, usage: Usage) -> None:
        if self._budget is not None:
            self._budget.add(usage)

    def _prefix_ids(self, request: CompleteRequest) -> list[int]:
        if (request.prompt is None) == (request.prompt_ids is None):
            raise DataError("give exactly one of prompt and prompt_ids")
        if request.prompt_ids is None:
            return self._text.prefix(request.prompt or "")
        ids = list(request.prompt_ids)
        bad = [i for i in ids if not 0 <= i < self._net.vocabulary]
        if bad:
            raise DataError(f"token id {bad[0]} is outside the vocabulary of {self._net.vocabulary}")
        return ids or self._text.start()

    def _scored(self, request: ScoreRequest) -> Scored:
        from agora.engines._score import Scored

        prompt = self._text.prefix(request.prompt) if request.prompt else self._text.start()
        item = Scored(request.id, prompt, self._text.continuation(request.continuation))
        if not item.prompt:
            raise DataError("an empty prompt needs a tokenizer with a beginning or end of sequence", where=request.id)
        if self._net.context and item.tokens > self._net.context:
            raise DataError(f"{item.tokens} tokens do not fit the context of {self._net.context}", where=request.id)
        return item

    def _run(self, requests: Iterable[Any], encode: Callable[[Any], list[int]]) -> Iterator[Generation]:
        from agora.engines._generate import generate

        if self._model is None:
            raise EngineError("this engine is closed", where=self._uri)
        stream = iter(requests)
        while window := list(islice(stream, _WINDOW)):
            rows = []
            for request in window:
                try:
                    rows.append(self._row(request.id, encode(request), request.sampling))
                except DataError as error:
                    yield Generation(request.id, "", "error", error=str(error))
            finished = generate(self._net, rows, batch_tokens=self._batch_tokens, stops=self._text.stop_check)
            for _ in rows:
                self._check_budget()  # nothing more is drawn once it is used up
                with _evaluating(self._model):  # between two results the caller may train the model
                    row = next(finished)
                self._count(Usage(len(row.prompt), len(row.tokens)))
                yield self._generation(row)

    def _row(self, item_id: str, prompt: list[int], sampling: Sampling) -> Row:
        from agora.engines._generate import Row

        if not prompt:
            raise DataError("the prompt has no tokens")
        room = (self._net.context or 1 << 62) - len(prompt)
        if room < 1:
            raise DataError(f"the prompt has {len(prompt)} tokens, the context is {self._net.context}")
        if sampling.max_tokens < 1:
            raise DataError(f"max_tokens must be at least 1, got {sampling.max_tokens}")
        if any(not s for s in sampling.stop):
            raise DataError("a stop string is empty")
        if any(not 0 <= i < self._net.vocabulary for i in sampling.banned_first_ids):
            raise DataError(f"a banned token id is outside the vocabulary of {self._net.vocabulary}")
        stop_ids = self._text.end_ids | frozenset(sampling.stop_ids)
        return Row(item_id, prompt, sampling, min(room, sampling.max_tokens), stop_ids)

    def _generation(self, row: Row) -> Generation:
        usage = Usage(len(row.prompt), len(row.tokens))
        if row.reason is None or row.reason == "error":
            return Generation(row.id, "", "error", error=row.error or "the engine stopped", usage=usage)
        stopped = row.tokens[-1] in row.stop_ids and row.text is None
        text = row.text if row.text is not None else self._text.decode(row.tokens[:-1] if stopped else row.tokens)
        cut = row.reason == "length" and row.limit < row.sampling.max_tokens
        return Generation(
            id=row.id,
            text=text,
            finish_reason="empty" if stopped and not text else row.reason,
            stopped_by=self._text.token_name(row.tokens[-1]) if stopped else row.stopped_by,
            token_ids=tuple(row.tokens),
            logprobs=tuple(row.logprobs),
            usage=usage,
            meta={"cut_by_context": self._net.context} if cut else {},
        )


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Dropout off for the duration; a model that was training goes on training."""
    if model is None:
        raise EngineError("this engine is closed")
    was_training = bool(model.training)
    if was_training:
        model.eval()
    try:
        yield
    finally:
        if was_training:
            model.train()
