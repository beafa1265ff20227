"""The catalog's Alembic history."""
