"""Tables of a MySQL or MariaDB database as `cdc.tables` values, their columns in the PostgreSQL types that the stream
gives their values in."""

from collections.abc import Iterable
from typing import Any, Final

from cdc.events import TableName
from cdc.mysql import server
from cdc.mysql.connections import ControlConnection, open_mysql, query
from cdc.tables import Schema, Table, TableColumn

_COLUMNS: Final = """
    SELECT COLUMN_NAME AS name, lower(DATA_TYPE) AS kind, COLUMN_TYPE AS full_kind,
           IS_NULLABLE = 'YES' AS nullable, COLUMN_DEFAULT AS default_text, EXTRA AS extra,
           NUMERIC_PRECISION AS digits, NUMERIC_SCALE AS scale, CHARACTER_MAXIMUM_LENGTH AS length,
           DATETIME_PRECISION AS fraction_digits
      FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION
"""

_TYPES: Final = {
    "tinyint": ("smallint", 21),
    "smallint": ("smallint", 21),
    "mediumint": ("integer", 23),
    "int": ("integer", 23),
    "bigint": ("bigint", 20),
    "year": ("smallint", 21),
    "float": ("real", 700),
    "double": ("double precision", 701),
    "date": ("date", 1082),
    "time": ("interval", 1186),
    "json": ("json", 114),
    "datetime": ("timestamp without time zone", 1114),
    "timestamp": ("timestamp with time zone", 1184),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), ("bytea", 17)),
    **dict.fromkeys(("tinytext", "text", "mediumtext", "longtext", "enum", "set"), ("text", 25)),
}
_UNSIGNED: Final = {
    "smallint": ("integer", 23),
    "int": ("bigint", 20),
    "bigint": ("numeric(20,0)", 1700),
}


def reflect_mysql(dsn: str, tables: Iterable[TableName]) -> Schema:
    """The asked-for tables that exist. Foreign keys are not read. Raises `DatabaseUnreachable`, `SourceUnfit`."""
    names = list(tables)
    with open_mysql(dsn) as connection:
        keys = server.primary_keys(connection, names)
        read = {name: _table(connection, name, keys[name]) for name in names}
    return Schema(tables={name: table for name, table in read.items() if table is not None})


def _table(connection: ControlConnection, name: TableName, key: tuple[str, ...]) -> Table | None:
    rows = query(connection, _COLUMNS, [name.schema, name.name])
    if not rows:
        return None
    return Table(name=name, columns=tuple(_column(row) for row in rows), primary_key=key)


def _column(row: dict[str, Any]) -> TableColumn:
    kind, full_kind, extra = str(row["kind"]), str(row["full_kind"]), str(row["extra"]).upper()
    type_text, oid = postgres_type(kind, full_kind, row)
    default = row["default_text"]
    return TableColumn(
        name=str(row["name"]),
        type=type_text,
        type_oid=oid,
        nullable=bool(row["nullable"]),
        default=None if default is None or default == "NULL" else str(default),
        generated="GENERATED" in extra and "DEFAULT_GENERATED" not in extra,
        identity="d" if "AUTO_INCREMENT" in extra else "",
        enum_labels=_labels(full_kind) if kind == "enum" else (),
        collatable=kind in ("char", "varchar", "enum", "set") or kind.endswith("text"),
    )


def postgres_type(kind: str, full_kind: str, row: dict[str, Any]) -> tuple[str, int]:
    """(type as text, oid), the same as the stream's columns have."""
    if kind in ("decimal", "numeric"):
        return f"numeric({row['digits']},{row['scale']})", 1700
    if kind in ("char", "varchar"):
        return f"character varying({row['length']})", 1043
    if kind == "bit":
        return f"bit({row['digits']})", 1560
    if kind in ("datetime", "timestamp"):
        text, oid = _TYPES[kind]
        return text.replace("timestamp", f"timestamp({row['fraction_digits']})"), oid
    if "unsigned" in full_kind.lower() and kind in _UNSIGNED:
        return _UNSIGNED[kind]
    return _TYPES.get(kind, (kind, 0))


def _labels(full_kind: str) -> tuple[str, ...]:
    """`enum('a','b''c')` → ('a', "b'c")."""
    inner = full_kind.partition("(")[2].rpartition(")")[0]
    return tuple(part.replace("''", "'") for part in inner[1:-1].split("','"))
