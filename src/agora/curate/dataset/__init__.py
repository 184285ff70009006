"""A data set as a page: what is in it, how it came about, what was left out, and how it compares with another."""

from agora.curate.dataset.facts import Dataset, collect
from agora.curate.dataset.page import dataset_report

__all__ = ["Dataset", "collect", "dataset_report"]
