"""Toxicity of texts: a small built-in model, any moderation server, Detoxify's weights; one rule over all of them."""

from agora.curate.toxicity.labeled import LabeledText, read_labeled
from agora.curate.toxicity.linear import LinearModel
from agora.curate.toxicity.providers import open_provider, tox
from agora.curate.toxicity.rule import COMPAT_THRESHOLD, counts_at, detoxify_of, is_any_toxic, is_toxic
from agora.curate.toxicity.train import CategoryScore, cross_validate, train

__all__ = [
    "COMPAT_THRESHOLD",
    "CategoryScore",
    "LabeledText",
    "LinearModel",
    "counts_at",
    "cross_validate",
    "detoxify_of",
    "is_any_toxic",
    "is_toxic",
    "open_provider",
    "read_labeled",
    "tox",
    "train",
]
