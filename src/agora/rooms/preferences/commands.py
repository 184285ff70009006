"""``agora preferences ...``: data, evaluation and the study."""

from __future__ import annotations

import typer

from agora.rooms.preferences.data_commands import data
from agora.rooms.preferences.eval_commands import evaluate
from agora.rooms.preferences.reward_commands import best_of_n, published, reward_eval
from agora.rooms.preferences.study_commands import study

app = typer.Typer(help="Preference data, reward models, evaluation, and the study of what matters.")
app.command("data")(data)
app.command("reward-eval")(reward_eval)
app.command("eval")(evaluate)
app.command("best-of-n")(best_of_n)
app.command("published")(published)
app.command("study")(study)
