"""Which texts mean nearly the same: nearest neighbors of their vectors, and one keeper for each group."""

from agora.curate.neighbors.leader import Keepers, keep_leaders
from agora.curate.neighbors.search import EXACT_UP_TO, Neighbors, Recall, find_neighbors

__all__ = ["EXACT_UP_TO", "Keepers", "Neighbors", "Recall", "find_neighbors", "keep_leaders"]
