"""What a stream needs in a MySQL or MariaDB source: a database `strangler` with two small tables, and a first position.

There is no slot to make: the position is where the binlog ends now, and the server must keep its files until they are
read (`binlog_expire_logs_seconds`).
"""

from collections.abc import Sequence
from typing import Final

import pymysql

from cdc.errors import SourceUnfit
from cdc.events import TableName
from cdc.fitness import Finding
from cdc.lsn import Lsn
from cdc.mysql import server
from cdc.mysql.assembly import MESSAGE_TABLE, OWN_SCHEMA
from cdc.mysql.connections import ControlConnection, open_mysql, parse_url, query
from cdc.mysql.fitness import ServerFacts, judge_server, judge_tables
from cdc.mysql.memory import BinlogMemory, MemoryStore
from cdc.mysql.positions import position_of

_MESSAGES_KEPT: Final = 1_000
_CREATE: Final = (
    f"CREATE DATABASE IF NOT EXISTS {OWN_SCHEMA} CHARACTER SET utf8mb4",
    f"CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.{MESSAGE_TABLE} (id bigint AUTO_INCREMENT PRIMARY KEY, "
    "stream varchar(100) NOT NULL, prefix varchar(200) NOT NULL, content longblob NOT NULL, "
    "at timestamp(6) NOT NULL DEFAULT current_timestamp(6)) ENGINE = InnoDB",
    f"CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.canary (stream varchar(100) PRIMARY KEY, token text NOT NULL, "
    "at timestamp(6) NOT NULL DEFAULT current_timestamp(6)) ENGINE = InnoDB",
    f"CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.stream (stream varchar(100) PRIMARY KEY, "
    "provisioned_at timestamp(6) NOT NULL DEFAULT current_timestamp(6)) ENGINE = InnoDB",
)


def provision_mysql_source(
    dsn: str, stream: str, tables: Sequence[TableName], *, memory: MemoryStore | None = None
) -> Lsn:
    """Our tables, and the position that everything committed from now on lies above.

    Raises `SourceUnfit` before touching anything when the server or a table cannot be captured. `memory`: kept from the
    first moment, so that a server which was reset before the stream's first session is noticed.
    """
    with open_mysql(dsn) as connection:
        facts = _fit_server(connection, dsn, tables)
        for statement in _CREATE:
            query(connection, statement)
        query(connection, f"INSERT IGNORE INTO {OWN_SCHEMA}.stream (stream) VALUES (%s)", [stream])
        end = server.end_of_log(connection, facts)
        if memory is not None:
            gtids = None if end.gtids is None else str(end.gtids)
            memory.save(BinlogMemory(server=facts.identity, position=end.position, gtids=gtids))
        return end.position


def refuse_unfit_mysql_source(dsn: str, tables: Sequence[TableName]) -> None:
    """What `provision_mysql_source` would refuse, before anything is made elsewhere. Raises `SourceUnfit`."""
    with open_mysql(dsn) as connection:
        _fit_server(connection, dsn, tables)


def _fit_server(connection: ControlConnection, dsn: str, tables: Sequence[TableName]) -> ServerFacts:
    facts = server.read_server_facts(connection, str(parse_url(dsn)))
    findings = judge_server(facts) + judge_tables(tables, server.read_table_facts(connection, tables))
    for finding in findings:
        if not finding.ok:
            raise SourceUnfit(thing=finding.thing, reason=finding.reason, mend=finding.mend)
    return facts


def deprovision_mysql_source(dsn: str, stream: str) -> None:
    """Remove the stream's row, and our database when no stream is left in it."""
    with open_mysql(dsn) as connection:
        if not query(connection, "SHOW DATABASES LIKE %s", [OWN_SCHEMA]):
            return
        if not _has_table(connection, "stream"):
            return
        query(connection, f"DELETE FROM {OWN_SCHEMA}.stream WHERE stream = %s", [stream])
        if query(connection, f"SELECT 1 FROM {OWN_SCHEMA}.stream LIMIT 1"):
            return
        for name in ("stream", MESSAGE_TABLE, "canary"):
            query(connection, f"DROP TABLE IF EXISTS {OWN_SCHEMA}.{name}")
        if not query(connection, "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s", [OWN_SCHEMA]):
            query(connection, f"DROP DATABASE {OWN_SCHEMA}")


def emit_message(dsn: str, stream: str, prefix: str, content: bytes) -> Lsn:
    """Commit a marker into the source's log; everything committed before lies at or below the returned position.

    Once it is applied, so is everything that committed before it. Raises `DatabaseUnreachable`, `SourceUnfit`.
    """
    with open_mysql(dsn) as connection:
        facts = server.read_server_facts(connection, str(parse_url(dsn)))
        query(
            connection,
            f"INSERT INTO {OWN_SCHEMA}.{MESSAGE_TABLE} (stream, prefix, content) VALUES (%s, %s, %s)",
            [stream, prefix, content],
        )
        end = server.end_of_log(connection, facts)
        query(
            connection,
            f"DELETE FROM {OWN_SCHEMA}.{MESSAGE_TABLE} WHERE stream = %s AND id + %s <= LAST_INSERT_ID()",
            [stream, _MESSAGES_KEPT],
        )
        return position_of(end.file, end.offset)


def examine_mysql_source(dsn: str, tables: Sequence[TableName]) -> list[Finding]:
    """Every need of capturing `tables`, met or not. Raises `DatabaseUnreachable`."""
    with open_mysql(dsn) as connection:
        facts = server.read_server_facts(connection, str(parse_url(dsn)))
        findings = judge_server(facts) + judge_tables(tables, server.read_table_facts(connection, tables))
        return [*findings, _access(connection)]


def _access(connection: ControlConnection) -> Finding:
    try:
        server.binlog_files(connection)
    except pymysql.MySQLError as error:
        return Finding(
            check="replication_privilege",
            ok=False,
            thing="this account",
            reason=str(error.args[-1]),
            mend="GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO it (MariaDB 10.5 on: BINLOG MONITOR)",
        )
    return Finding(check="replication_privilege", ok=True, thing="this account", reason="may read the binlog's list")


def _has_table(connection: ControlConnection, name: str) -> bool:
    found = query(
        connection,
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
        [OWN_SCHEMA, name],
    )
    return bool(found)
