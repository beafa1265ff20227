"""What to move, and in which order: boundaries, sagas and an order of extraction from facts about a monolith."""
