"""Which data makes the better model? One student, trained alike on each data set, judged on the same held-out tasks."""
