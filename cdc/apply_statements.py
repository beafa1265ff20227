"""Row groups → SQL and its parameters. Pure.

Every value travels in its text form and is read by the target type's own input function: each column is one array
parameter, so a statement has few parameters however many rows it writes, and its text depends only on its shape.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from cdc.keyless_statements import whole_row_columns, writing_whole_rows
from cdc.mapping.port import BulkColumns
from cdc.row_groups import RowGroup
from cdc.statement_parts import names_of, quote, quote_table, type_of, value_of
from cdc.target_tables import Deferrable, TargetColumn, TargetTable


def statement(group: RowGroup, target: TargetTable) -> str:
    """The statement that writes `group`, whatever its rows are; its row count is the number of rows hit."""
    if group.kind == "truncate":
        # Not TRUNCATE: that refuses a table that foreign keys point to, and locks out readers.
        return f"DELETE FROM {quote_table(group.table)}"
    return _writing(group, target, _given(columns_of(group, target)))


def parameters_of(group: RowGroup) -> list[str]:
    """Of its statement: one array for each column."""
    return [array_literal(column) for column in zip(*group.rows, strict=True)]


def keys_after(group: RowGroup) -> list[list[str | None]]:
    """The keys that the group's rows have once it is written; nothing of rows without a key."""
    if group.kind in ("insert", "replace"):
        return []
    names = group.columns if group.kind == "upsert" else (*group.key, *group.columns)
    last = {name: position for position, name in enumerate(names)}
    return [[row[last[name]] for name in group.key] for row in group.rows]


def staged_statement(group: RowGroup, target: TargetTable) -> tuple[str, str]:
    """(the staging table's DDL, the statement) for a group whose rows are copied into `STAGED` first, as text."""
    columns = columns_of(group, target)
    ddl = f"CREATE TEMPORARY TABLE {STAGED} ({', '.join(f'c{index} text' for index in range(len(columns)))})"
    as_text = replace(target, columns={name: replace(each, as_array=False) for name, each in target.columns.items()})
    return ddl, _writing(group, as_text, f"{STAGED} AS u").replace("%%", "%")


STAGED = "pg_temp.strangler_rows"


def columns_of(group: RowGroup, target: TargetTable) -> list[TargetColumn]:
    """What a row of the group holds, in order."""
    if group.kind in ("insert", "replace", "remove"):
        return whole_row_columns(group, target)
    names = group.columns if group.kind == "upsert" else (*group.key, *group.columns)
    return [target.column(name) for name in names]


def _writing(group: RowGroup, target: TargetTable, given: str) -> str:
    if group.kind == "upsert":
        return _upsert(group, target, given)
    if group.kind == "delete":
        return _delete(group, target, given)
    if group.kind in ("insert", "replace", "remove"):
        return writing_whole_rows(group, target, given)
    if any(target.column(name).identity_always for name in group.key if name in group.columns):
        return _move(group, target, given)
    return _update(group, target, given)


def conflicts_statement(target: TargetTable, key: Sequence[str], constraint: Deferrable) -> str:
    """Finds a row, of those with the given values of `key`, that breaks `constraint` together with another row.

    Without a key, of all rows.
    """
    keys = [target.column(name) for name in key]
    values = [f", ({each}) AS strangler_{at}" for at, each in enumerate(constraint.expressions)]
    where = f" WHERE {constraint.predicate}" if constraint.predicate else ""
    rows = (
        f"(SELECT *, tableoid AS strangler_part, ctid AS strangler_place{_escaped(''.join(values))}"
        f" FROM {quote_table(target.table)}{_escaped(where)})"
    )
    broken = " AND ".join(
        f"o.strangler_{at} {_escaped(operator)} t.strangler_{at}" for at, operator in enumerate(constraint.operators)
    )
    given = f"{_given(keys)} JOIN {rows} AS t ON {_matches(keys)}" if keys else f"{rows} AS t"
    return (
        f"SELECT FROM {given} JOIN {rows} AS o ON {broken}"
        f" AND (o.strangler_part, o.strangler_place) <> (t.strangler_part, t.strangler_place) LIMIT 1"
    )


def _escaped(sql: str) -> str:
    """For a statement that has `%s` parameters."""
    return sql.replace("%", "%%")


def read_row_statement(target: TargetTable, key: Sequence[str], columns: Sequence[str]) -> str:
    """Text forms of `columns` of one row; its parameters are the key values, an array of one each."""
    keys = [target.column(name) for name in key]
    read = ", ".join(f"t.{quote(target.column(name).name)}::text" for name in columns)
    return f"SELECT {read} FROM {quote_table(target.table)} AS t, {_given(keys)} WHERE {_matches(keys)}"


def copy_statement(target: BulkColumns, *, null: str) -> str:
    """Rows in the text format follow. A generated identity takes the given value, as with OVERRIDING SYSTEM VALUE."""
    names = names_of([*target.columns, *(name for name, _ in target.constants)])
    return f"COPY {quote_table(target.table)} ({names}) FROM STDIN (FORMAT text, NULL '{null}')".replace("%%", "%")


def array_literal(values: Iterable[str | None]) -> str:
    """PostgreSQL's text form of a one-dimensional array."""
    return "{" + ",".join(["NULL" if value is None else '"' + _escape(value) + '"' for value in values]) + "}"


def _escape(value: str) -> str:
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if '"' in value:
        value = value.replace('"', '\\"')
    return value


def copy_text(value: str | None) -> Iterator[str]:
    """A value as COPY's text format has it, in slices, so that no second copy of a large one is made."""
    if value is None:
        yield "\\N"
        return
    for start in range(0, len(value), _SLICE):
        yield value[start : start + _SLICE].translate(_COPY_ESCAPES)


_SLICE = 1 << 18
_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _given(columns: Sequence[TargetColumn]) -> str:
    """`unnest(…) AS u(c0, c1…)`: the parameters as rows."""
    arrays = ", ".join(f"%s::{type_of(column) if column.as_array else 'text'}[]" for column in columns)
    names = ", ".join(f"c{index}" for index in range(len(columns)))
    return f"unnest({arrays}) AS u({names})"


def _upsert(group: RowGroup, target: TargetTable, given: str) -> str:
    columns = [target.column(name) for name in group.columns]
    settable = [column.name for column in columns if column.name not in group.key and not column.identity_always]
    sets = ", ".join(f"{quote(name)} = EXCLUDED.{quote(name)}" for name in settable)
    values = ", ".join(value_of(column, index) for index, column in enumerate(columns))
    return (
        f"INSERT INTO {quote_table(group.table)} ({names_of(group.columns)}) OVERRIDING SYSTEM VALUE"
        f" SELECT {values} FROM {given}"
        f" ON CONFLICT ({names_of(group.key)}) DO {f'UPDATE SET {sets}' if sets else 'NOTHING'}"
    )


def _delete(group: RowGroup, target: TargetTable, given: str) -> str:
    keys = [target.column(name) for name in group.key]
    return f"DELETE FROM {quote_table(group.table)} AS t USING {given} WHERE {_matches(keys)}"


def _update(group: RowGroup, target: TargetTable, given: str) -> str:
    keys = [target.column(name) for name in group.key]
    columns = [target.column(name) for name in group.columns]
    sets = ", ".join(
        f"{quote(column.name)} = {value_of(column, len(keys) + index)}"
        for index, column in enumerate(columns)
        if not column.identity_always
    )
    return f"UPDATE {quote_table(group.table)} AS t SET {sets} FROM {given} WHERE {_matches(keys)}"


def _move(group: RowGroup, target: TargetTable, given: str) -> str:
    """A new key for a row whose key column can only be inserted: take the row out and put it back changed."""
    keys = [target.column(name) for name in group.key]
    changed = {name: index + len(keys) for index, name in enumerate(group.columns)}
    kept = [column for column in target.columns.values() if not column.generated]
    values = ", ".join(
        value_of(column, changed[column.name]) if column.name in changed else f"moved.{quote(column.name)}"
        for column in kept
    )
    return (
        f"WITH u AS MATERIALIZED (SELECT * FROM {given}),"
        f" moved AS (DELETE FROM {quote_table(group.table)} AS t USING u WHERE {_matches(keys)} RETURNING t.*)"
        f" INSERT INTO {quote_table(group.table)} ({names_of(column.name for column in kept)})"
        f" OVERRIDING SYSTEM VALUE SELECT {values} FROM moved CROSS JOIN u"
    )


def _matches(keys: Sequence[TargetColumn]) -> str:
    return " AND ".join(f"t.{quote(column.name)} = {value_of(column, index)}" for index, column in enumerate(keys))
