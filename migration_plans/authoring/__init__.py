"""A plan, written for a person to review: from what the legacy database and its traffic say about some tables."""
