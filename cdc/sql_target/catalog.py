"""What a target's catalog says about a table, per dialect."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cdc.errors import SchemaChanged
from cdc.events import TableName
from cdc.parking.model import Reference, TableRules
from cdc.sql_target.column_kinds import generic_column, mysql_column, sqlite_column
from cdc.sql_target.columns import Dialect, SqlColumn, SqlTable, canonical_key

_MYSQL_COLUMNS = """
SELECT column_name AS name, data_type, column_type, is_nullable = 'YES' AS nullable, character_maximum_length AS length,
       character_octet_length AS octets, numeric_precision AS `precision`, numeric_scale AS scale,
       datetime_precision AS fraction, collation_name AS collation, character_set_name AS charset, extra,
       generation_expression AS expression
  FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position
"""

_MYSQL_INDEXES = """
SELECT index_name AS name, column_name AS col, sub_part AS prefix
  FROM information_schema.statistics WHERE table_schema = %s AND table_name = %s AND non_unique = 0
 ORDER BY index_name, seq_in_index
"""

_MYSQL_REFERENCES = """
SELECT constraint_name AS name, column_name AS col, referenced_table_schema AS parent_schema,
       referenced_table_name AS parent, referenced_column_name AS parent_col
  FROM information_schema.key_column_usage
 WHERE table_schema = %s AND table_name = %s AND referenced_table_name IS NOT NULL
 ORDER BY constraint_name, ordinal_position
"""

_MYSQL_TRIGGERS = """
SELECT trigger_name AS name, action_statement AS body FROM information_schema.triggers
 WHERE event_object_schema = %s AND event_object_table = %s
"""

_MYSQL_CHECKS = """
SELECT check_clause AS clause FROM information_schema.check_constraints
 WHERE constraint_schema = %s AND table_name = %s
"""

_MARKER = "strangler_apply"
"""A MySQL trigger that looks at `@strangler_apply` minds us by itself."""

_Row = Mapping[str, Any]


def located(table: TableName, dialect: Dialect) -> tuple[str | None, str]:
    """(schema, name) of a table in the target. `public` is the connection's own database; our bookkeeping lies beside
    the service's tables, with a prefix."""
    if table.schema == "strangler":
        return None, f"strangler_{table.name}"
    return (None if table.schema == "public" or dialect == "sqlite" else table.schema), table.name


def load_table(
    connection: Connection, table: TableName, dialect: Dialect, known_types: Mapping[str, str] | None = None
) -> SqlTable:
    """Read one table. Raises `SchemaChanged` when there is no such table, driver errors as they come."""
    types = dict(known_types or {})
    found = {"mysql": _mysql, "sqlite": _sqlite, "generic": _generic}[dialect](connection, table, types)
    if found is None:
        raise SchemaChanged(
            thing=f"target table {table}",
            reason="does not exist",
            mend="run the service's migrations, or correct the mapping in the plan",
        )
    return found


def _rows(connection: Connection, query: str, *parameters: object) -> list[_Row]:
    return [
        {str(key).lower(): value for key, value in row.items()}
        for row in connection.exec_driver_sql(query, tuple(parameters)).mappings()
    ]


def _mysql(connection: Connection, table: TableName, types: Mapping[str, str]) -> SqlTable | None:
    schema, name = located(table, "mysql")
    if schema is None:
        schema = str(connection.exec_driver_sql("SELECT DATABASE()").scalar_one())
    at = (schema, name)
    checks = _json_checks(_rows(connection, _MYSQL_CHECKS, *at)) if _is_mariadb(connection) else frozenset[str]()
    columns = {row["name"]: mysql_column(row, checks) for row in _rows(connection, _MYSQL_COLUMNS, *at)}
    if not columns:
        return None
    engine = _rows(
        connection, "SELECT engine AS e FROM information_schema.tables WHERE table_schema = %s AND table_name = %s", *at
    )[0]["e"]
    indexes: dict[str, list[_Row]] = {}
    for row in _rows(connection, _MYSQL_INDEXES, *at):
        indexes.setdefault(row["name"], []).append(row)
    primary = tuple(row["col"] for row in indexes.pop("PRIMARY", []))
    plain = [rows for rows in indexes.values() if all(row["col"] and not row["prefix"] for row in rows)]
    references: dict[str, list[_Row]] = {}
    for row in _rows(connection, _MYSQL_REFERENCES, *at):
        references.setdefault(row["name"], []).append(row)
    return _table(
        table,
        columns,
        primary,
        types,
        uniques=[tuple(row["col"] for row in rows) for rows in plain],
        references=[
            _reference(
                tuple(r["col"] for r in rows),
                _parent(rows[0], schema),
                tuple(r["parent_col"] for r in rows),
                _mysql_key(connection, rows[0]["parent_schema"], rows[0]["parent"]),
            )
            for rows in references.values()
        ],
        exact=len(plain) == len(indexes),
        triggers=[row["name"] for row in _rows(connection, _MYSQL_TRIGGERS, *at) if _MARKER not in row["body"]],
        without_rollback=str(engine).upper() not in ("INNODB", "ROCKSDB", "TOKUDB", "NDBCLUSTER", "NDB"),
    )


def _mysql_key(connection: Connection, schema: str, name: str) -> tuple[str, ...]:
    return tuple(row["col"] for row in _rows(connection, _MYSQL_INDEXES, schema, name) if row["name"] == "PRIMARY")


def _sqlite_key(connection: Connection, name: str) -> tuple[str, ...]:
    rows = _rows(connection, "SELECT name, pk FROM pragma_table_xinfo(?) WHERE pk ORDER BY pk", name)
    return tuple(row["name"] for row in rows)


def _reference(
    columns: tuple[str, ...], parent: TableName, parent_columns: tuple[str, ...], key: tuple[str, ...]
) -> Reference:
    return Reference(
        columns=columns, parent=parent, parent_columns=parent_columns, exact=set(parent_columns) == set(key)
    )


def _is_mariadb(connection: Connection) -> bool:
    return bool(getattr(connection.dialect, "is_mariadb", False))


def _parent(row: _Row, schema: str) -> TableName:
    return TableName(schema="public" if row["parent_schema"] == schema else row["parent_schema"], name=row["parent"])


def _json_checks(rows: Sequence[_Row]) -> frozenset[str]:
    """Columns that MariaDB checks with `json_valid`: that is its JSON type."""
    found = (re.fullmatch(r"json_valid\(`(.+)`\)", str(row["clause"]), re.IGNORECASE) for row in rows)
    return frozenset(match[1].replace("``", "`") for match in found if match)


def _sqlite(connection: Connection, table: TableName, types: Mapping[str, str]) -> SqlTable | None:
    name = located(table, "sqlite")[1]
    infos = _rows(connection, "SELECT * FROM pragma_table_xinfo(?)", name)
    if not infos:
        return None
    primary = tuple(row["name"] for row in sorted(infos, key=lambda row: row["pk"]) if row["pk"])
    folded: set[str] = set()
    uniques: list[tuple[str, ...]] = []
    exact = True
    for index in _rows(connection, 'SELECT * FROM pragma_index_list(?) WHERE "unique"', name):
        parts = _rows(connection, "SELECT * FROM pragma_index_xinfo(?) WHERE key", index["name"])
        folded |= {row["name"] for row in parts if str(row["coll"]).upper() != "BINARY" and row["name"]}
        if index["origin"] == "pk":
            continue
        if index["partial"] or any(row["name"] is None for row in parts):
            exact = False
        else:
            uniques.append(tuple(row["name"] for row in parts))
    columns = {row["name"]: sqlite_column(row, primary, folded) for row in infos if row["hidden"] != 1}
    references: dict[int, list[_Row]] = {}
    for row in _rows(connection, "SELECT * FROM pragma_foreign_key_list(?) ORDER BY id, seq", name):
        references.setdefault(row["id"], []).append(row)
    triggers = _rows(connection, "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", name)
    return _table(
        table,
        columns,
        primary,
        types,
        uniques=uniques,
        references=[
            _reference(
                tuple(r["from"] for r in rows),
                TableName(name=rows[0]["table"]),
                tuple(r["to"] for r in rows if r["to"]) or _sqlite_key(connection, rows[0]["table"]),
                _sqlite_key(connection, rows[0]["table"]),
            )
            for rows in references.values()
        ],
        exact=exact,
        triggers=[row["name"] for row in triggers],
    )


def _generic(connection: Connection, table: TableName, types: Mapping[str, str]) -> SqlTable | None:
    schema, name = located(table, "generic")
    inspector = sa.inspect(connection)
    if not inspector.has_table(name, schema):
        return None
    columns = {str(row["name"]): generic_column(row) for row in inspector.get_columns(name, schema)}
    keys = inspector.get_foreign_keys(name, schema)
    uniques = {tuple(row["column_names"]) for row in inspector.get_unique_constraints(name, schema)}
    uniques |= {tuple(str(c) for c in i["column_names"]) for i in inspector.get_indexes(name, schema) if i["unique"]}
    primary = tuple(inspector.get_pk_constraint(name, schema)["constrained_columns"])
    return _table(
        table,
        columns,
        primary,
        types,
        uniques=[each for each in sorted(uniques) if each != primary],
        references=[
            _reference(
                tuple(key["constrained_columns"]),
                TableName(schema=key["referred_schema"] or "public", name=key["referred_table"]),
                tuple(key["referred_columns"]),
                tuple(
                    inspector.get_pk_constraint(key["referred_table"], key["referred_schema"])["constrained_columns"]
                ),
            )
            for key in keys
        ],
        exact=True,
        triggers=[],
        checks_foreign_keys=bool(keys),
    )


def _table(
    table: TableName,
    columns: Mapping[str, SqlColumn],
    primary: tuple[str, ...],
    types: Mapping[str, str],
    *,
    uniques: Iterable[tuple[str, ...]],
    references: Iterable[Reference],
    exact: bool,
    triggers: Sequence[str],
    without_rollback: bool = False,
    checks_foreign_keys: bool = False,
) -> SqlTable:
    found = tuple(uniques)
    canonical = {name: canonical_key(column, types.get(name)) for name, column in columns.items()}
    return SqlTable(
        table=table,
        columns=columns,
        primary_key=primary,
        rules=TableRules(
            uniques=found,
            references=tuple(
                replace(each, exact=each.exact and all(canonical.get(name) for name in each.columns))
                for each in references
            ),
            exact=exact and all(canonical.get(name) for names in (primary, *found) for name in names),
        ),
        triggers=tuple(triggers),
        without_rollback=without_rollback,
        checks_foreign_keys=checks_foreign_keys,
        known_types=types,
    )
