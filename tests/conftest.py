"""Fixtures that more than one folder of tests uses."""

import contextlib
import signal
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest

from sandbox.errors import PartMissing
from sandbox.mariadb import find_server, mariadb_server
from sandbox.postgres import create_database, postgres_server

# Whoever starts the tests in the background of a script has them ignore Ctrl-C and the end of the terminal, and so
# would every process that they start: those that are to be ended that way would not end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

_LONGEST = (
    "tests/integration/test_killed_rollbacks.py",
    "tests/integration/test_killed_cutovers.py",
    "tests/crash/test_kills.py",
    "tests/integration/test_kafka_log.py",
)
"""Files that take a process for minutes: begun last, they would be waited for with the other processes idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; the order is otherwise as it was."""
    rank = {name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))


_servers: list[str] = []
"""The one of the whole run, while it runs."""


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One real server for the whole run. Without fsync: tests that need durability start their own."""
    with postgres_server({"fsync": "off"}) as url:
        _servers.append(url)
        yield url
        _servers.clear()


@pytest.fixture(scope="module", autouse=True)
def origins_left_behind_are_dropped() -> Iterator[None]:
    """One belongs to the server, not to a database, and the server has room for a few: what the streams of one file
    leave behind, those of later files would lack."""
    yield
    for url in _servers:
        with psycopg.connect(url, autocommit=True) as connection:
            for (name,) in connection.execute("SELECT roname FROM pg_replication_origin").fetchall():
                with contextlib.suppress(psycopg.errors.ObjectInUse, psycopg.errors.UndefinedObject):
                    connection.execute("SELECT pg_replication_origin_drop(%s)", [name])


@pytest.fixture
def new_database(postgres_url: str) -> Callable[[str], str]:
    """Makes an empty database with a fresh name; returns its URL."""

    def make(label: str) -> str:
        return create_database(postgres_url, f"{label}_{uuid.uuid4().hex[:8]}")

    return make


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """One real MariaDB for the whole run; skips where none is installed."""
    try:
        find_server()
    except PartMissing as missing:
        pytest.skip(str(missing))
    with mariadb_server({"innodb-flush-log-at-trx-commit": "0", "sync-binlog": "0"}) as url:
        yield url
