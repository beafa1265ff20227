"""The least application that can be moved: one table, one statement a write. The load generator fits beside it."""
