"""The one database: pooled connections for single statements, transactions and ORM sessions."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import current_app
from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.orm import Session

_EXTENSION = "legacy_monolith.database"


def sqlalchemy_url(database_url: str) -> str:
    """`postgresql://…` with the psycopg 3 driver named, as SQLAlchemy wants it."""
    return make_url(database_url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


class Database:
    """Two pools of connections, for single statements and for transactions; thread-safe, one per process.

    They are apart because turning a pooled connection to autocommit and back costs more than the statement.
    """

    def __init__(self, database_url: str, *, pool_size: int = 8) -> None:
        url = sqlalchemy_url(database_url)
        arguments = {"options": "-c timezone=UTC -c application_name=store"}
        self._transactions = create_engine(url, pool_size=pool_size, connect_args=arguments)
        self._autocommit = create_engine(url, pool_size=pool_size, connect_args=arguments, isolation_level="AUTOCOMMIT")

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        """For one statement that is its own transaction: one round trip, no BEGIN and COMMIT around it."""
        with self._autocommit.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Several statements that commit together, or roll back on any exception."""
        with self._transactions.begin() as connection:
            yield connection

    @contextmanager
    def session(self) -> Iterator[Session]:
        """An ORM session whose work commits at the end, or rolls back on any exception."""
        with Session(self._transactions, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all pooled connections that are not in use."""
        self._transactions.dispose()
        self._autocommit.dispose()

    def attach(self, extensions: dict[str, object]) -> None:
        """Make it the database of the app that owns `extensions`."""
        extensions[_EXTENSION] = self


def database() -> Database:
    """The database of the app that answers the current request."""
    attached = current_app.extensions[_EXTENSION]
    assert isinstance(attached, Database)
    return attached
