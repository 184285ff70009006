"""Preference learning: data, trainers, reward models, evaluation and the four-aspect study."""
