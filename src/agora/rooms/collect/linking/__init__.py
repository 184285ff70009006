"""Files of other sources into the store, and log rows without state joined into conversations (arXiv:2405.01470)."""
