"""Commands of the judge room; each lives in the file of its part."""

from __future__ import annotations

import typer

from agora.rooms.judge.asking.commands import answer, pairwise, reparse, score
from agora.rooms.judge.look.commands import export, report
from agora.rooms.judge.mining.commands import checklist, freeze, leak, mine, review
from agora.rooms.judge.ranking.commands import leaderboard
from agora.rooms.judge.trust.calibrate_commands import calibrate
from agora.rooms.judge.trust.commands import agree, correct, correlate, power, published

app = typer.Typer(help="Judge models' answers: WB-Score, WB-Reward, leaderboards.", no_args_is_help=True)


@app.callback()
def judge() -> None:
    """Judge models' answers: WB-Score, WB-Reward, leaderboards."""


app.command("answer")(answer)
app.command("score")(score)
app.command("pairwise")(pairwise)
app.command("reparse")(reparse)
app.command("calibrate")(calibrate)
app.command("leaderboard")(leaderboard)
app.command("mine")(mine)
app.command("checklist")(checklist)
app.command("review")(review)
app.command("freeze")(freeze)
app.command("leak")(leak)
app.command("report")(report)
app.command("export")(export)
app.command("correlate")(correlate)
app.command("agree")(agree)
app.command("power")(power)
app.command("correct")(correct)
app.command("published")(published)
