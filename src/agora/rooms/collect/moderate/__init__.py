"""What waits for a person's eyes before it is published: reports, flags, decisions, spans redacted by hand."""
