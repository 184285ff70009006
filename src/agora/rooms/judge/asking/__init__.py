"""Putting answers before a judge: prompts, calls, verdict files, and what a judging came to."""
