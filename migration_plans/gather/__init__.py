"""Facts about a monolith that nobody described: from its schema, its statements, its requests and its code."""
