"""Learning mode: a proxy before a monolith that passes everything on and writes down which request ran when."""
