"""Texts as unit vectors: an offline default, a small model from a package, any other model or engine."""

from agora.curate.embeddings.embedder import Embedder, EmbedderSpec, find_embedder
from agora.curate.embeddings.store import VectorStore, embed_texts, write_texts

__all__ = ["Embedder", "EmbedderSpec", "VectorStore", "embed_texts", "find_embedder", "write_texts"]
