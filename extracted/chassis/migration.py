"""A service's own Alembic history, run from code: no ini file, the URL from the caller."""

from alembic import command, context
from alembic.config import Config
from sqlalchemy import create_engine, pool, text
from sqlalchemy.engine import URL, make_url

_LOCK = 7_230_411_862
"""Advisory lock: two deployments that migrate at once take turns."""


def upgrade(package: str, database_url: str, revision: str = "head") -> None:
    """Bring the database up to `revision`. `package` holds a `migrations` folder; the URL is in libpq form."""
    command.upgrade(_config(package, database_url), revision)


def downgrade(package: str, database_url: str, revision: str) -> None:
    """Take the database back to `revision`; `base` is before the first."""
    command.downgrade(_config(package, database_url), revision)


def run_in_environment() -> None:
    """What a `migrations/env.py` calls: every step in one transaction, under the lock."""
    url: URL = context.config.attributes["url"]
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            context.run_migrations()
    engine.dispose()


def _config(package: str, database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", f"{package}:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = make_url(database_url).set(drivername="postgresql+psycopg")
    return config
