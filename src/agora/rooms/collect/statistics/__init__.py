"""The tables of the WildChat paper (arXiv:2405.01470) for any store or file of conversations, in one pass."""
