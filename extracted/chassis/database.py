"""An async PostgreSQL pool whose errors are the service's own."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow, tuple_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from extracted.chassis.errors import (
    AlreadyStored,
    Invalid,
    MissingReference,
    ReadOnly,
    ServiceError,
    Unavailable,
)
from extracted.chassis.settings import ServiceSettings

Connection = AsyncConnection[TupleRow]


class Database:
    """A pool of autocommit connections; every statement is prepared at its first use on a connection.

    A single statement is a transaction of its own in one round trip; several take `connection.transaction()`.
    Concurrency: any number of tasks of one event loop. Errors: subclasses of `ServiceError`.
    """

    def __init__(self, settings: ServiceSettings, *, application_name: str) -> None:
        self._wait_s = settings.pool_wait_s
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            settings.database_url,
            min_size=min(settings.pool_min, settings.pool_max),
            max_size=settings.pool_max,
            timeout=settings.pool_wait_s,
            open=False,
            name=application_name,
            kwargs={
                "autocommit": True,
                "prepare_threshold": 0,
                "row_factory": tuple_row,
                "application_name": application_name,
                "options": f"-c TimeZone=UTC -c statement_timeout={settings.statement_timeout_ms}",
            },
        )

    async def open(self) -> None:
        """Connect. Raises `Unavailable` when the database does not answer in time."""
        try:
            await self._pool.open(wait=True, timeout=self._wait_s)
        except PoolTimeout:
            await self._pool.close()
            raise Unavailable("the database does not answer: check DATABASE_URL and that the server runs") from None

    async def close(self) -> None:
        """Give every connection back and close it."""
        await self._pool.close()

    def stats(self) -> Mapping[str, int]:
        """`pool_size`, `pool_available`, `requests_waiting` and more, as psycopg_pool counts them."""
        return self._pool.get_stats()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection from the pool, given back at the end."""
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, TooManyRequests, PoolClosed):
            raise Unavailable("no database connection became free in time: try again") from None
        except psycopg.Error as error:
            raise translate(error) from error

    async def fetch_one(self, statement: str, parameters: Mapping[str, Any]) -> TupleRow | None:
        """The first row of one statement, in a transaction of its own."""
        async with self.connection() as connection:
            return await (await connection.execute(statement, parameters)).fetchone()

    async def fetch_all(self, statement: str, parameters: Mapping[str, Any]) -> list[TupleRow]:
        """Every row of one statement, in a transaction of its own. The statement bounds their number."""
        async with self.connection() as connection:
            return await (await connection.execute(statement, parameters)).fetchall()

    async def fetch_two(
        self, first: str, second: str, parameters: Mapping[str, Any]
    ) -> tuple[TupleRow | None, TupleRow | None]:
        """The first row of each of two statements, run in this order in one transaction, in one round trip.

        Between two syncs of a pipeline the server keeps an implicit transaction: locks that the first statement takes
        last until the second is done. Isolation: READ COMMITTED, so the second sees what was committed while the
        first waited.
        """
        async with self.connection() as connection:
            async with connection.pipeline():
                one = await connection.execute(first, parameters)
                two = await connection.execute(second, parameters)
            return await one.fetchone(), await two.fetchone()


def translate(error: psycopg.Error) -> Exception:
    """The service's word for a driver error; the error itself when it can only be a defect of ours."""
    constraint = error.diag.constraint_name or "unnamed constraint"
    match error:
        case errors.UniqueViolation():
            return AlreadyStored(constraint)
        case errors.ForeignKeyViolation():
            return MissingReference(constraint)
        case errors.ReadOnlySqlTransaction():
            return ReadOnly("writes are refused here now: try again")
        case errors.CheckViolation() | errors.NotNullViolation() | errors.DataError():
            return Invalid(error.diag.message_primary or "a value is not allowed")
        case errors.OperationalError():
            return _unavailable(error)
        case _:
            return error


def _unavailable(error: errors.OperationalError) -> ServiceError:
    detail = type(error).__name__ if error.sqlstate else "connection lost"
    return Unavailable(f"the database did not finish this ({detail}): try again")
