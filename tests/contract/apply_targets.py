"""The targets that the contract of `cdc.target_port.ApplyTarget` is run over."""

import contextlib
from pathlib import Path

import psycopg
import sqlalchemy as sa

from cdc import positions, provision
from cdc.events import TableName
from cdc.link import LinkLimits, LinkSpec
from cdc.lsn import Lsn
from cdc.open_target import open_target
from cdc.sql_target import provision as sql_provision
from cdc.sql_target.engine import open_engine
from sandbox.errors import PartMissing
from sandbox.mariadb import create_mysql_database, find_server
from strangler.clock import SystemClock


def has_mariadb():
    with contextlib.suppress(PartMissing):
        return bool(find_server())
    return False


class NoMapper:
    """Enough of `Mapper` for a target alone."""

    source_tables = (TableName(name="t"), TableName(name="u"))

    def __init__(self, *target_tables):
        self.target_tables = tuple(TableName(name=name) for name in target_tables)


class TargetDatabase:
    """One empty database. `dialect`: postgresql, mysql, sqlite or generic."""

    def __init__(self, dialect, dsn, folder):
        self.dialect, self.dsn, self.folder = dialect, dsn, Path(folder)
        self._open = []

    def execute(self, *statements):
        if self.dialect == "postgresql":
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement)
            return
        engine = open_engine(self.dsn)
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.commit()
        engine.dispose()

    def rows(self, query):
        if self.dialect == "postgresql":
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                return connection.execute(query).fetchall()
        engine = open_engine(self.dsn)
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.exec_driver_sql(query)]
        finally:
            engine.dispose()

    def link(self, *tables, types=None, direction="forward", **limits):
        return LinkSpec(
            move="c",
            direction=direction,
            source_dsn="",
            target_dsn=self.dsn,
            log_folder=self.folder / "log",
            mapper=NoMapper(*tables),
            source_keys={},
            limits=LinkLimits(**{"takeover_s": 2.0, "lock_timeout_s": 1.0, **limits}),
            value_types={TableName(name=table): columns for table, columns in (types or {}).items()},
        )

    def provision(self, link, position=100):
        if self.dialect == "postgresql":
            provision.provision_target(self.dsn, link.stream)
            positions.start_ledger(self.dsn, link.stream, Lsn(position))
        else:
            sql_provision.provision_target(self.dsn, link.stream)
            sql_provision.start_ledger(self.dsn, link.stream, Lsn(position))

    def open(self, link):
        session = open_target(link, SystemClock())
        self._open.append(session)
        return session

    def close(self):
        for session in self._open:
            session.close()
        if self.dialect == "mysql":
            url = sa.engine.make_url(self.dsn)
            engine = open_engine(self.dsn)
            with engine.connect() as connection:
                connection.exec_driver_sql(f"DROP DATABASE `{url.database}`")
            engine.dispose()


def make_target(dialect, request, folder):
    """Starts what it needs."""
    if dialect == "postgresql":
        return TargetDatabase(dialect, request.getfixturevalue("new_database")("target"), folder)
    if dialect == "generic":  # What SQLAlchemy knows of a dialect that has no rules of its own here.
        dsn = request.getfixturevalue("new_database")("target").replace("postgresql:", "postgresql+psycopg:")
        return TargetDatabase(dialect, dsn, folder)
    if dialect == "sqlite":
        return TargetDatabase(dialect, f"sqlite:///{folder}/target.db", folder)
    server = request.getfixturevalue("mariadb_url")
    return TargetDatabase(dialect, create_mysql_database(server, "target"), folder)
