"""What is found out about messages after they were written: language, private data, toxicity, place, repeats, topic."""
