"""From verdicts on several models to a leaderboard."""
