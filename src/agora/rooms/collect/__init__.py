"""The collection room: a consented chat in front of any model, its store, and what becomes of what people wrote.

Source of the method: WildChat, arXiv:2405.01470.
"""
