"""Groups of rows of a table without a primary key → SQL. Pure.

A row is found by all of its values. Two are the same when their text forms are: what a type calls equal may be more
(1.0 and 1.00), and some types know no equality at all. Rows that are the same are counted in the order in which they
lie, so that a statement writes exactly as many of them as it was given.
"""

from collections.abc import Iterator, Sequence

from cdc.row_groups import RowGroup
from cdc.statement_parts import names_of, quote, quote_table, value_of
from cdc.target_tables import TargetColumn, TargetTable

COUNTED = TargetColumn(
    name="", type_name="bigint", as_array=True, identity_always=False, generated=False, canonical=True
)
"""First and last of the rows that are exactly so."""


def writing_whole_rows(group: RowGroup, target: TargetTable, given: str) -> str:
    """The statement for an `insert`, `replace` or `remove`; `given`: its rows, as `u (c0, c1, …)`."""
    if group.kind == "insert":
        return _insert(group, target, given)
    width, changed = len(group.key), [target.column(name) for name in group.columns]
    first, last = (f"u.c{width + len(changed) + place}::bigint" for place in range(2))
    found = (
        f"WITH u AS MATERIALIZED (SELECT *, row_number() OVER () AS n FROM {given}),"
        f" found AS (SELECT u.*, t.tableoid AS part, t.ctid AS place,"
        f" row_number() OVER (PARTITION BY u.n ORDER BY t.tableoid, t.ctid) AS nth"
        f" FROM u JOIN {quote_table(group.table)} AS t ON {_same(group, target)}),"
        f" chosen AS MATERIALIZED (SELECT * FROM found AS u WHERE u.nth BETWEEN {first} AND {last})"
    )
    meant = "t.ctid = u.place AND t.tableoid = u.part"
    if group.kind == "remove":
        return f"{found} DELETE FROM {quote_table(group.table)} AS t USING chosen AS u WHERE {meant}"
    if any(column.identity_always for column in changed):
        return f"{found}, {_put_back(group, target, meant)}"
    sets = ", ".join(f"{quote(column.name)} = {value_of(column, width + at)}" for at, column in enumerate(changed))
    return f"{found} UPDATE {quote_table(group.table)} AS t SET {sets} FROM chosen AS u WHERE {meant}"


def _insert(group: RowGroup, target: TargetTable, given: str) -> str:
    columns = [target.column(name) for name in group.columns]
    values = ", ".join(value_of(column, index) for index, column in enumerate(columns))
    names = names_of(group.columns)
    return f"INSERT INTO {quote_table(group.table)} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {given}"


def _put_back(group: RowGroup, target: TargetTable, meant: str) -> str:
    """A column that can only be inserted changes: take the row out and put it back changed."""
    width = len(group.key)
    changed = {name: width + at for at, name in enumerate(group.columns)}
    kept = [column for column in target.columns.values() if not column.generated]
    values = ", ".join(
        value_of(column, changed[column.name]) if column.name in changed else f"t.{quote(column.name)}"
        for column in kept
    )
    names = names_of(column.name for column in kept)
    table = quote_table(group.table)
    return (
        f"moved ({names}) AS (DELETE FROM {table} AS t USING chosen AS u WHERE {meant} RETURNING {values})"
        f" INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM moved"
    )


def _same(group: RowGroup, target: TargetTable) -> str:
    """`t` has the values of `u`. By equality, which an index may serve, as far as that says the same."""
    columns = [target.column(name) for name in group.key]
    by_value = {
        at
        for at, column in enumerate(columns)
        if column.canonical and not column.padded and all(row[at] is not None for row in group.rows)
    }
    conditions = [f"t.{quote(columns[at].name)} = {_stored(columns[at], at)}" for at in sorted(by_value)]
    by_text = [(at, column) for at, column in enumerate(columns) if at not in by_value]
    if by_text:
        ours = _texts(f"t.{quote(column.name)}" for _, column in by_text)
        theirs = _texts(_stored(column, at) for at, column in by_text)
        conditions.append(f"{ours} = {theirs}")
    return " AND ".join(conditions)


def _texts(values: Iterator[str]) -> str:
    """The types' own output functions, NULL and empty text distinct."""
    return f'ROW({", ".join(values)})::text COLLATE "C"'


def _stored(column: TargetColumn, index: int) -> str:
    """The value as the column keeps it."""
    value = value_of(column, index)
    return value if column.rounded is None else f"({value})::{column.rounded.replace('%', '%%')}"


def whole_row_columns(group: RowGroup, target: TargetTable) -> list[TargetColumn]:
    """What a row of the group holds, in order."""
    columns: Sequence[TargetColumn] = [target.column(name) for name in (*group.key, *group.columns)]
    return [*columns] if group.kind == "insert" else [*columns, COUNTED, COUNTED]
