"""Detoxify's classifier, if its weights are on disk; they are never fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agora.core.errors import DataError, MissingError

PROVIDER = "detoxify"
FLAG_FROM = 0.5
# the column names of the published data -> what checkpoints call them
COLUMNS = {
    "identity_attack": ("identity_attack", "identity_hate"),
    "insult": ("insult",),
    "obscene": ("obscene",),
    "severe_toxicity": ("severe_toxicity", "severe_toxic"),
    "sexual_explicit": ("sexual_explicit",),
    "threat": ("threat",),
    "toxicity": ("toxicity", "toxic"),
}
_BATCH = 32
_MAX_TOKENS = 512


class Detoxify:
    """A provider of toxicity annotations.

    Args:
        folder: a sequence classifier in the layout of ``transformers``, its tokenizer beside it, whose labels are those
            of Detoxify (``toxicity``, ``insult``, ...).
        device: ``cpu``, ``cuda``, ...
    """

    name = "tox"

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._folder, self._device = Path(folder), device
        self._loaded: tuple[Any, Any, dict[str, int]] | None = None

    @property
    def version(self) -> str:
        """``detoxify:FOLDER``, at most 32 characters."""
        return f"{PROVIDER}:{self._folder.name}"[:32]

    def annotate(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """One result for each text, longest first in batches of like length; ``detoxify`` holds the seven columns.

        Raises:
            MissingError: there are no weights in the folder.
            DataError: the labels of the classifier are others.
        """
        import torch

        model, tokenizer, columns = self._load()
        found: list[dict[str, Any]] = [self._result({})] * len(texts)
        todo = sorted((i for i, text in enumerate(texts) if text.strip()), key=lambda i: -len(texts[i]))
        for at in range(0, len(todo), _BATCH):
            places = todo[at : at + _BATCH]
            batch = tokenizer(
                [texts[i] for i in places], padding=True, truncation=True, max_length=_MAX_TOKENS, return_tensors="pt"
            )
            with torch.inference_mode():
                scores = torch.sigmoid(model(**batch.to(self._device)).logits).float().cpu()
            for place, row in zip(places, scores.tolist(), strict=True):
                found[place] = self._result({name: round(row[column], 6) for name, column in columns.items()})
        return found

    @staticmethod
    def _result(scores: dict[str, float]) -> dict[str, Any]:
        categories = {name: score >= FLAG_FROM for name, score in scores.items()}
        flagged = any(categories.values())
        return {
            "flagged": flagged,
            "categories": categories,
            "scores": scores,
            "provider": PROVIDER,
            "detoxify": scores,
        }

    def _load(self) -> tuple[Any, Any, dict[str, int]]:
        if self._loaded is None:
            if not (self._folder / "config.json").is_file():
                hint = "put a Detoxify classifier in the layout of transformers there; nothing is downloaded"
                raise MissingError("Detoxify's weights are not on this machine", where=str(self._folder), hint=hint)
            from transformers import AutoModelForSequenceClassification, AutoTokenizer

            model = AutoModelForSequenceClassification.from_pretrained(self._folder, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
            columns = self._columns(model.config.label2id)
            self._loaded = (model.to(self._device).eval(), tokenizer, columns)
        return self._loaded

    def _columns(self, labels: dict[str, int]) -> dict[str, int]:
        known = {label.lower(): place for label, place in labels.items()}
        found = {name: known[word] for name, words in COLUMNS.items() for word in words if word in known}
        if "toxicity" not in found:
            raise DataError(f"the classifier's labels are {', '.join(labels)}", where=str(self._folder))
        return found
