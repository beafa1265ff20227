"""Kill -9 of everything at random moments under load; after each catch-up both sides must be equal row for row."""
