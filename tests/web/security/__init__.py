"""Whole-app security: every route is found in the app, so that a new one cannot be forgotten."""
