"""What a MySQL or MariaDB server says about itself, its binlogs and its tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pymysql

from cdc.errors import SourceUnfit
from cdc.events import Column, Relation, TableName
from cdc.lsn import Lsn
from cdc.mysql.connections import ControlConnection, query
from cdc.mysql.fitness import ServerFacts, TableFacts
from cdc.mysql.gtid import Gtids, parse_mariadb, parse_mysql
from cdc.mysql.positions import file_number, position_of
from cdc.mysql.table_map import Charsets, table_oid

_PARSE_ERROR = 1064
_TABLES = """
    SELECT t.TABLE_SCHEMA AS db, t.TABLE_NAME AS name, t.TABLE_TYPE AS kind, t.ENGINE AS engine,
           coalesce(e.TRANSACTIONS, 'NO') = 'YES' AS transactional,
           EXISTS (SELECT 1 FROM information_schema.STATISTICS s WHERE s.TABLE_SCHEMA = t.TABLE_SCHEMA
                      AND s.TABLE_NAME = t.TABLE_NAME AND s.INDEX_NAME = 'PRIMARY') AS has_key
      FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
     WHERE t.TABLE_SCHEMA = %s AND t.TABLE_NAME = %s
"""
_COLUMNS = """
    SELECT COLUMN_NAME AS name, lower(DATA_TYPE) AS kind, lower(COLUMN_TYPE) AS full_kind,
           CHARACTER_SET_NAME AS charset, COLUMN_KEY = 'PRI' AS in_key
      FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION
"""
_CASCADES = """
    SELECT CONSTRAINT_NAME AS name FROM information_schema.REFERENTIAL_CONSTRAINTS
     WHERE CONSTRAINT_SCHEMA = %s AND TABLE_NAME = %s
       AND (DELETE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT')
            OR UPDATE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT'))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndOfLog:
    """Where the server's binlog ends now. `gtids` None: they are off."""

    file: str
    offset: int
    gtids: Gtids | None

    @property
    def position(self) -> Lsn:
        return position_of(self.file, self.offset)


@dataclass(frozen=True, kw_only=True, slots=True)
class BinlogFile:
    """One file that the server still has."""

    name: str
    size: int

    @property
    def number(self) -> int:
        return file_number(self.name)


def read_server_facts(connection: ControlConnection, place: str) -> ServerFacts:
    """Variables, identity and clock."""
    variables = {
        str(row["Variable_name"]).lower(): str(row["Value"]) for row in query(connection, "SHOW GLOBAL VARIABLES")
    }
    (clock,) = query(connection, "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED) AS us")
    return ServerFacts(place=place, variables=variables, clock_us=int(clock["us"]))


def end_of_log(connection: ControlConnection, facts: ServerFacts) -> EndOfLog:
    """Raises `SourceUnfit` when the server writes no binlog."""
    rows = _status(connection)
    if not rows:
        raise SourceUnfit(
            thing=f"server of {facts.place}",
            reason="writes no binlog",
            mend="start it with log_bin, binlog_format = ROW and binlog_row_metadata = FULL",
        )
    file, offset = str(rows[0]["File"]), int(rows[0]["Position"])
    gtids = gtids_at(connection, facts, file, offset)
    if facts.has_gtids and not facts.is_mariadb:
        gtids = parse_mysql(str(rows[0].get("Executed_Gtid_Set") or ""))
    return EndOfLog(file=file, offset=offset, gtids=gtids)


def gtids_at(connection: ControlConnection, facts: ServerFacts, file: str, offset: int) -> Gtids | None:
    """Every transaction before a place; only MariaDB can tell."""
    if not facts.is_mariadb:
        return None
    (row,) = query(connection, "SELECT BINLOG_GTID_POS(%s, %s) AS gtids", [file, offset])
    return None if row["gtids"] is None else parse_mariadb(str(row["gtids"]))


def binlog_files(connection: ControlConnection) -> list[BinlogFile]:
    """What the server still has, oldest first."""
    rows = query(connection, "SHOW BINARY LOGS")
    return [BinlogFile(name=str(row["Log_name"]), size=int(row["File_size"])) for row in rows]


def read_charsets(connection: ControlConnection) -> Charsets:
    """Every collation number that the server may write into its binlog."""
    rows = query(connection, "SELECT ID AS id, CHARACTER_SET_NAME AS charset FROM information_schema.COLLATIONS")
    found = {int(row["id"]): str(row["charset"]) for row in rows if row["id"] is not None and row["charset"]}
    try:
        more = query(
            connection,
            "SELECT ID AS id, CHARACTER_SET_NAME AS charset "
            "FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID IS NOT NULL",
        )
    except pymysql.MySQLError:  # MySQL, and MariaDB before 10.10, have no numbers there: the first list is complete
        more = []
    return Charsets(of_collation={**found, **{int(row["id"]): str(row["charset"]) for row in more}})


def read_table_facts(connection: ControlConnection, tables: Iterable[TableName]) -> dict[TableName, TableFacts]:
    """Facts of the tables that exist and are visible."""
    found = {}
    for table in tables:
        rows = query(connection, _TABLES, [table.schema, table.name])
        if not rows:
            continue
        columns = query(connection, _COLUMNS, [table.schema, table.name])
        cascades = query(connection, _CASCADES, [table.schema, table.name])
        found[table] = TableFacts(
            name=table,
            kind=str(rows[0]["kind"]),
            engine=str(rows[0]["engine"]),
            is_transactional=bool(rows[0]["transactional"]),
            has_primary_key=bool(rows[0]["has_key"]),
            columns=tuple((str(row["name"]), str(row["kind"]), row["charset"]) for row in columns),
            cascades=tuple(str(row["name"]) for row in cascades),
        )
    return found


def primary_keys(connection: ControlConnection, tables: Sequence[TableName]) -> dict[TableName, tuple[str, ...]]:
    """Primary-key columns in index order."""
    found = {}
    for table in tables:
        rows = query(
            connection,
            "SELECT COLUMN_NAME AS name FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s AND "
            "TABLE_NAME = %s AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX",
            [table.schema, table.name],
        )
        found[table] = tuple(str(row["name"]) for row in rows)
    return found


def describe_table(connection: ControlConnection, table: TableName) -> Relation:
    """The table as it is *now*: for a TRUNCATE that comes before any row, where only names and the key matter."""
    rows = query(connection, _COLUMNS, [table.schema, table.name])
    columns = tuple(Column(name=str(row["name"]), type_oid=25, in_key=bool(row["in_key"])) for row in rows)
    return Relation(oid=table_oid(table.schema, table.name), schema=table.schema, name=table.name, columns=columns)


def _status(connection: ControlConnection) -> list[dict[str, Any]]:
    try:
        return query(connection, "SHOW MASTER STATUS")
    except pymysql.MySQLError as error:
        if not error.args or error.args[0] != _PARSE_ERROR:
            raise
        return query(connection, "SHOW BINARY LOG STATUS")
