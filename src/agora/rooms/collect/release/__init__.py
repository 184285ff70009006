"""Releases: what may be published of the collected conversations, behind nine gates."""
