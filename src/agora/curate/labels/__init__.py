"""Labels of instruction data: quality, difficulty, category, safety, language and reward, each with its origin."""

from agora.curate.labels.label_file import LABELS, LabelSettings, label_file

__all__ = ["LABELS", "LabelSettings", "label_file"]
