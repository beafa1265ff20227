"""The sources that the contract suite runs over: one rig each, with the same few verbs.

A rig has one table `t (id bigint primary key, a text, n numeric/decimal, b int)` and a second one `u` alike.
"""

import contextlib
import itertools
import subprocess

import psycopg
import pytest

from cdc.events import TableName
from cdc.mysql.memory import FileMemory
from cdc.mysql.provision import deprovision_mysql_source, provision_mysql_source
from cdc.mysql.source import BinlogSource
from cdc.postgres_source import PostgresSource
from cdc.provision import deprovision_source, provision_source
from cdc.triggers.install import install, uninstall
from cdc.triggers.source import TriggerSource
from sandbox.errors import PartMissing
from sandbox.mariadb import create_mysql_database, mariadb_program
from sandbox.mysql import find_mysql, mysql_program
from sandbox.postgres import create_database, postgres_program, server_url
from tests.mariadb_pair import Mysql, need_mariadb

NUMBERS = itertools.count(1)


class Servers:
    """Started when first asked for, restarted by name, one of each kind for a module."""

    def __init__(self, stack):
        self.stack, self.urls = stack, {}

    def postgres(self):
        if "postgres" not in self.urls:
            (port,) = self.stack.reserve_ports(1)
            settings = {"fsync": "off"}  # a killed process loses nothing that it wrote; only a machine would
            self.stack.run(postgres_program(self.stack.folder, port=port, settings=settings), timeout_s=60)
            self.urls["postgres"] = server_url(port)
        return self.urls["postgres"]

    def mariadb(self):
        need_mariadb()
        if "mariadb" not in self.urls:
            (port,) = self.stack.reserve_ports(1)
            settings = {"innodb-lock-wait-timeout": "3", "sync-binlog": "0", "innodb-flush-log-at-trx-commit": "2"}
            self.stack.run(mariadb_program(self.stack.folder, port=port, settings=settings), timeout_s=60)
            self.urls["mariadb"] = f"mysql://root@127.0.0.1:{port}/"
        return self.urls["mariadb"]

    def mysql(self):
        try:
            find_mysql()
        except (PartMissing, subprocess.TimeoutExpired) as missing:
            pytest.skip(str(missing))
        if "mysql" not in self.urls:
            (port,) = self.stack.reserve_ports(1)
            settings = {"innodb-lock-wait-timeout": "3", "sync-binlog": "0", "innodb-flush-log-at-trx-commit": "2"}
            self.stack.run(mysql_program(self.stack.folder, port=port, settings=settings), timeout_s=120)
            self.urls["mysql"] = f"mysql://root@127.0.0.1:{port}/"
        return self.urls["mysql"]


class Rig:
    server: str

    def __init__(self, servers, folder):
        self.servers, self.folder = servers, folder
        self.stream = f"strangler_contract{next(NUMBERS)}_forward"
        self.opened = []

    def source(self, position, resume_from=0):
        """A new source, opened."""
        made = self.make(position, resume_from)
        self.opened.append(made)
        made.open()
        return made

    def restart(self):
        """As after a crash: killed, then started."""
        self.servers.stack.kill(self.server)
        self.servers.stack.start(self.server)

    def many(self, *statements):
        for statement in statements:
            self.execute(statement)

    def close(self):
        for source in self.opened:
            source.close()
        with contextlib.suppress(Exception):
            self.deprovision()


class PostgresRig(Rig):
    server = "postgres"
    numeric = "numeric"

    def __init__(self, servers, folder):
        super().__init__(servers, folder)
        self.url = create_database(servers.postgres(), self.stream)
        self.tables = [TableName(name="t"), TableName(name="u")]
        for name in ("t", "u", "elsewhere"):
            self.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, a text, n numeric, b int)")
            self.execute(f"ALTER TABLE {name} REPLICA IDENTITY FULL")

    def session(self):
        """A connection that commits when told."""
        return psycopg.connect(self.url)

    def execute(self, statement, parameters=None):
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement, parameters)

    def rows(self, query):
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query).fetchall()


class SlotRig(PostgresRig):
    kind = "postgres slot"

    def provision(self):
        return provision_source(self.url, self.stream, self.tables)

    def deprovision(self):
        deprovision_source(self.url, self.stream)

    def make(self, position, resume_from):
        return PostgresSource(
            self.url, slot=self.stream, publication=self.stream, position=position, resume_from=resume_from
        )

    def lose(self):
        """Somebody drops and makes anew what keeps the changes."""
        # The server notices a closed connection a moment later.
        while self.rows(f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{self.stream}' AND active"):
            pass
        self.execute("SELECT pg_drop_replication_slot(%s)", [self.stream])
        self.execute("INSERT INTO t VALUES (999)")
        self.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [self.stream])


class TriggerRig(PostgresRig):
    kind = "triggers"

    def provision(self):
        return install(self.url, self.stream, self.tables)

    def deprovision(self):
        uninstall(self.url, self.stream)

    def make(self, position, resume_from):
        return TriggerSource(self.url, stream=self.stream, position=position, resume_from=resume_from)

    def lose(self):
        uninstall(self.url, self.stream)
        self.execute("INSERT INTO t VALUES (999)")
        install(self.url, self.stream, self.tables)


class MariadbRig(Rig):
    kind = "mariadb binlog"
    server = "mariadb"

    def __init__(self, servers, folder):
        super().__init__(servers, folder)
        self.server_url = self.start()
        self.url = create_mysql_database(self.server_url, "contract")
        self.mysql = Mysql(self.url)
        self.tables = [self.mysql.table("t"), self.mysql.table("u")]
        for name in ("t", "u", "elsewhere"):
            self.execute(
                f"CREATE TABLE {name} (id bigint PRIMARY KEY, a mediumtext, n decimal(65,30), b int) CHARSET utf8mb4"
            )

    def start(self):
        return self.servers.mariadb()

    def session(self):
        return self.mysql.other(autocommit=False)

    def execute(self, statement, parameters=None):
        connection = self.mysql.other()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
        finally:
            connection.close()

    def rows(self, query):
        connection = self.mysql.other()
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def provision(self):
        return provision_mysql_source(self.url, self.stream, self.tables, memory=FileMemory(self.folder))

    def deprovision(self):
        deprovision_mysql_source(self.url, self.stream)

    def make(self, position, resume_from):
        return BinlogSource(
            self.url,
            stream=self.stream,
            tables=self.tables,
            position=position,
            resume_from=resume_from,
            memory=FileMemory(self.folder),
        )

    def lose(self):
        self.execute("FLUSH BINARY LOGS")
        self.execute("INSERT INTO t VALUES (999, NULL, NULL, NULL)")
        self.execute("RESET MASTER")


class MysqlRig(MariadbRig):
    """MySQL itself, with GTIDs."""

    kind = "mysql binlog"
    server = "mysql"

    def start(self):
        return self.servers.mysql()


RIGS = (SlotRig, MariadbRig, MysqlRig, TriggerRig)
