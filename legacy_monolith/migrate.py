"""Bring the store's schema to its newest revision: `python -m legacy_monolith.migrate` (reads `DATABASE_URL`)."""

import os
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine

from legacy_monolith.database import sqlalchemy_url

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(database_url: str, revision: str = "head") -> None:
    """Upgrade the store's schema to `revision` in one transaction; `base` takes everything back down."""
    engine = create_engine(sqlalchemy_url(database_url))
    try:
        with engine.begin() as connection:
            _move_to(connection, revision)
    finally:
        engine.dispose()


def _move_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if revision == "base":
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


if __name__ == "__main__":
    if "DATABASE_URL" not in os.environ:
        sys.exit("DATABASE_URL is not set: give the store's database, e.g. postgresql://user@127.0.0.1/store")
    migrate(os.environ["DATABASE_URL"])
