"""Catalog rows of each dialect → `SqlColumn`. Pure."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import types as sql

from cdc.sql_target.columns import Kind, SqlColumn

_Row = Mapping[str, Any]

_INTEGER_BITS: Final = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64}
_MYSQL_TEXTS: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_MYSQL_BYTES: Final = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_MYSQL_OTHERS: Final[Mapping[str, Kind]] = {
    "date": "date",
    "time": "time",
    "datetime": "datetime",
    "timestamp": "datetime",
    "enum": "enum",
    "bit": "bit",
    "uuid": "uuid",
    "json": "json",
    "inet4": "uuid",
    "inet6": "uuid",
}
_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_ARGUMENTS = re.compile(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")


def mysql_column(row: _Row, json_checked: Collection[str] = ()) -> SqlColumn:
    """A row of `information_schema.columns`. `json_checked`: text columns that hold JSON (MariaDB's way)."""
    name, data_type, declared = str(row["name"]), str(row["data_type"]).lower(), str(row["column_type"])
    extra = str(row["extra"] or "").lower()
    shared: dict[str, Any] = {
        "name": name,
        "declared": declared,
        "nullable": bool(row["nullable"]),
        "generated": bool(row["expression"]) or "generated" in extra.replace("default_generated", ""),
        "touched_by_update": "on update" in extra,
    }
    if data_type in _INTEGER_BITS:
        low, high = _range(_INTEGER_BITS[data_type], unsigned="unsigned" in declared)
        return SqlColumn(kind="integer", low=low, high=high, **shared)
    if data_type == "year":
        return SqlColumn(kind="integer", low=1901, high=2155, **shared)
    if data_type == "decimal":
        least = 0 if "unsigned" in declared else None
        return SqlColumn(kind="numeric", precision=row["precision"], scale=row["scale"], low=least, **shared)
    if data_type in ("float", "double"):
        return SqlColumn(kind="float", length=24 if data_type == "float" else 53, **shared)
    if data_type in _MYSQL_TEXTS:
        kind: Kind = "json" if name in json_checked else "text"
        limits = {"length": row["length"]} if data_type in ("char", "varchar") else {"octets": row["octets"]}
        folded = not _is_exact(str(row["collation"] or ""))
        return SqlColumn(kind=kind, folded=folded, fixed=data_type == "char", **limits, **shared)
    if data_type in _MYSQL_BYTES:
        return SqlColumn(kind="bytes", length=row["octets"], fixed=data_type == "binary", **shared)
    labels = tuple(label.replace("''", "'") for label in _QUOTED.findall(declared)) if data_type == "enum" else ()
    return SqlColumn(
        kind=_MYSQL_OTHERS.get(data_type, "unknown"),
        fraction=int(row["fraction"] or 0),
        labels=labels,
        length=row["precision"] if data_type == "bit" else None,
        stored_as_text=data_type != "json",
        **shared,
    )


def _is_exact(collation: str) -> bool:
    """Bytes decide, blanks included: the NOPAD binary collations. All others fold something."""
    return collation in ("utf8mb4_nopad_bin", "utf8mb4_0900_bin", "utf8mb3_nopad_bin")


def _range(bits: int, *, unsigned: bool) -> tuple[int, int]:
    return (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def sqlite_column(row: _Row, primary: Collection[str], folded: Collection[str]) -> SqlColumn:
    """A row of `pragma_table_xinfo`, by SQLite's rules of affinity and SQLAlchemy's names."""
    declared = str(row["type"])
    name, said = str(row["name"]), declared.upper()
    kind, affinity = _sqlite_kind(said)
    arguments = _ARGUMENTS.search(said)
    first = int(arguments[1]) if arguments else None
    return SqlColumn(
        name=name,
        kind=kind,
        declared=declared or "(no type)",
        nullable=not row["notnull"] and name not in primary,
        generated=row["hidden"] in (2, 3),
        low=-(2**63) if kind == "integer" else None,
        high=2**63 - 1 if kind == "integer" else None,
        length=first if kind == "text" else 53 if kind == "float" else None,
        precision=first if kind == "numeric" else None,
        scale=int(arguments[2] or 0) if arguments and kind == "numeric" else None,
        folded=name in folded,
        numeric_affinity=affinity,
    )


def _sqlite_kind(said: str) -> tuple[Kind, bool]:
    """(kind, whether the column turns text that looks like a number into one)."""
    base = said.partition("(")[0].strip()
    if "INT" in said:
        return "integer", True
    if any(part in said for part in ("CHAR", "CLOB", "TEXT")):
        return "text", False
    if "BLOB" in said:
        return "bytes", False
    if not said:
        return "text", False
    if any(part in said for part in ("REAL", "FLOA", "DOUB")):
        return "float", True
    named: dict[str, Kind] = {
        "BOOLEAN": "boolean", "BOOL": "boolean", "DATETIME": "datetime", "TIMESTAMP": "datetime", "DATE": "date",
        "TIME": "time", "JSON": "json", "JSONB": "json", "NUMERIC": "numeric", "DECIMAL": "numeric", "UUID": "uuid",
    }  # fmt: skip
    return named.get(base, "unknown"), True


def generic_column(row: _Row) -> SqlColumn:
    """A column of SQLAlchemy's inspector, in any dialect."""
    kind_of = row["type"]
    shared: dict[str, Any] = {
        "name": str(row["name"]),
        "declared": str(kind_of),
        "nullable": bool(row["nullable"]),
        "generated": bool(row.get("computed")),
    }
    if isinstance(kind_of, sql.Boolean):
        return SqlColumn(kind="boolean", **shared)
    if isinstance(kind_of, sql.Integer):
        small, big = isinstance(kind_of, sql.SmallInteger), isinstance(kind_of, sql.BigInteger)
        low, high = _range(16 if small else 64 if big else 32, unsigned=False)
        return SqlColumn(kind="integer", low=low, high=high, **shared)
    if isinstance(kind_of, sql.Float):
        return SqlColumn(kind="float", length=24 if isinstance(kind_of, sql.REAL) else 53, **shared)
    if isinstance(kind_of, sql.Numeric):
        return SqlColumn(kind="numeric", precision=kind_of.precision, scale=kind_of.scale, **shared)
    if isinstance(kind_of, sql.Enum):
        return SqlColumn(kind="enum", labels=tuple(kind_of.enums), **shared)
    if isinstance(kind_of, sql.String):
        fixed = isinstance(kind_of, sql.CHAR | sql.NCHAR)
        return SqlColumn(kind="text", length=kind_of.length, fixed=fixed, folded=True, **shared)
    if isinstance(kind_of, sql.DateTime):
        return SqlColumn(kind="datetime", zoned=bool(kind_of.timezone), **shared)
    simple: list[tuple[type[Any], Kind]] = [
        (sql.Date, "date"), (sql.Time, "time"), (sql.JSON, "json"), (sql.LargeBinary, "bytes"), (sql.BINARY, "bytes"),
        (sql.VARBINARY, "bytes"), (sql.Uuid, "uuid"),
    ]  # fmt: skip
    return SqlColumn(kind=next((kind for cls, kind in simple if isinstance(kind_of, cls)), "unknown"), **shared)
