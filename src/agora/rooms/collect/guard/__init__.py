"""What stands between a message and the model: the day's budget, its context, proof of work, blocked addresses."""
