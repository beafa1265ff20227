"""Targets besides PostgreSQL, by SQLAlchemy: MySQL and MariaDB, SQLite, and any other dialect in a plainer way."""
