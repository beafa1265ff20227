"""A provisioned source database and short words for what tests do with it."""

import contextlib

import psycopg

from cdc.connections import canonical_conninfo
from cdc.events import RowChange, TableName
from cdc.lsn import before_boundary
from cdc.postgres_source import PostgresSource
from cdc.provision import deprovision_source, provision_source

EMPTY = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
"""One database serves many tests: making one costs a second."""


class Capture:
    """One stream over the tables that `ddl` makes. `start`: the position it was provisioned at."""

    def __init__(self, url, ddl, tables, stream):
        self.url = url
        self.stream = stream
        self.database = psycopg.connect(canonical_conninfo(url), autocommit=True)
        self.database.execute(ddl)
        self.tables = [TableName(name=table) for table in tables]
        self.start = provision_source(url, stream, self.tables)

    def execute(self, *statements):
        for statement in statements:
            self.database.execute(statement)

    def one(self, query):
        return self.database.execute(query).fetchone()[0]

    def lsn(self, query="SELECT pg_current_wal_flush_lsn()"):
        return int(self.database.execute(f"SELECT ({query})::pg_lsn - '0/0'::pg_lsn").fetchone()[0])

    def wait_released(self):
        """The server notices a closed connection a moment later."""
        while self.one(
            f"SELECT coalesce(bool_or(active), false) FROM pg_replication_slots WHERE slot_name = '{self.stream}'"
        ):
            pass

    def confirmed(self):
        self.wait_released()
        return self.confirmed_now()

    def confirmed_now(self):
        return self.lsn(f"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{self.stream}'")

    def open(self, position=None, **options):
        position = self.start if position is None else position
        return PostgresSource(self.url, slot=self.stream, publication=self.stream, position=position, **options)

    def drain(self, source):
        """Everything committed until now."""
        end = before_boundary(self.lsn())
        found = []
        while source.delivered_through.lsn < end:
            found += source.poll(0.2)
        return found

    def captured(self, position=None):
        """What a fresh connection is sent after `position`, nothing acknowledged."""
        self.wait_released()
        with self.open(position) as source:
            return self.drain(source)

    def changes(self):
        """The row changes of `captured`."""
        found = [change for transaction in self.captured() for change in transaction.changes]
        return [change for change in found if isinstance(change, RowChange)]

    def close(self):
        with contextlib.suppress(psycopg.Error):
            self.database.execute("ROLLBACK")
            self.wait_released()
        deprovision_source(self.url, self.stream)
        self.execute(EMPTY)
        self.database.close()


@contextlib.contextmanager
def capturing(url, ddl, *tables, stream="strangler_test_forward"):
    """A `Capture` that leaves its database empty."""
    capture = Capture(url, ddl, tables, stream)
    try:
        yield capture
    finally:
        capture.close()
