"""Bringing data in and making it better: importers, duplicates, filters, the funnel."""
