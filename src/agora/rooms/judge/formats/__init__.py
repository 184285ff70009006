"""Files of verdicts, ours and other people's."""
