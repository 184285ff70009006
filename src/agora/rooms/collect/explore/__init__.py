"""Looking into what was collected: full-text search, filters, counts, charts, one conversation as a tree."""
