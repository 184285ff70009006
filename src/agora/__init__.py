"""Agora: an open workbench for aligning language models with the people who use them."""

__version__ = "0.1.0"
