"""Row groups → SQL by SQLAlchemy Core. Each statement is compiled once and then run with plain tuples.

An upsert must never write over a row of another key. MySQL's `ON DUPLICATE KEY UPDATE` does that as soon as there is a
second unique constraint, so it is used only where there is none; elsewhere rows are inserted, and where that is refused
updated by key and inserted if they were not there. A key column that folds case or blanks is matched by its bytes too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Dialect as SqlDialect

from cdc.sql_target.catalog import located
from cdc.sql_target.columns import Dialect, SqlTable, canonical_key
from cdc.sql_target.values import Convert, converter
from cdc.target_port import RowRefused

Parameters = tuple[object, ...] | dict[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiled:
    """SQL text, and which value of a row stands at each of its places, by name where the driver wants names."""

    text: str
    order: tuple[int, ...]
    names: tuple[str, ...] | None = None

    def parameters(self, row: Sequence[object]) -> Parameters:
        values = tuple(row[index] for index in self.order)
        return values if self.names is None else dict(zip(self.names, values, strict=True))


class TableStatements:
    """The statements of one target table. Kept until its catalog is read afresh."""

    def __init__(self, table: SqlTable, dialect: Dialect, engine_dialect: SqlDialect) -> None:
        self.table, self._dialect, self._engine_dialect = table, dialect, engine_dialect
        schema, name = located(table.table, dialect)
        self._sql = sa.table(name, *(sa.column(each) for each in table.columns), schema=schema)
        self._compiled: dict[tuple[object, ...], Compiled] = {}
        self._converters: dict[str, Convert] = {}

    def convert(self, columns: Sequence[str], row: Sequence[str | None]) -> list[object]:
        """One row's values as they are bound. Raises `RowRefused` that names the column."""
        return [self.value(name, text) for name, text in zip(columns, row, strict=True)]

    def value(self, name: str, text: str | None) -> object:
        column = self.table.column(name)
        if text is None:
            if not column.nullable:
                raise RowRefused(f"column {self.table.table}.{name} may not be NULL")
            return None
        convert = self._converters.get(name)
        if convert is None:
            convert = self._converters[name] = converter(column, self.table.known_types.get(name), self._dialect)
        try:
            return convert(text)
        except (ValueError, ArithmeticError) as error:
            shown = text if len(text) <= 60 else f"{text[:60]}…"
            raise RowRefused(f"column {self.table.table}.{name}: the value {shown!r} {error}") from None

    def upserts_natively(self, key: Sequence[str]) -> bool:
        """One statement inserts or overwrites, and can meet no other row than that of `key`."""
        if set(key) != set(self.table.primary_key):
            return False
        if any(not canonical_key(self.table.column(name), self._type(name)) for name in self.table.primary_key):
            return False
        return self._dialect == "sqlite" or (self._dialect == "mysql" and self.table.batching == "any")

    def upsert(self, key: Sequence[str], columns: Sequence[str]) -> Compiled:
        """`row`: values of `columns`."""
        return self._once(("upsert", *key, "", *columns), columns, lambda marks: self._upsert(key, columns, marks))

    def _upsert(self, key: Sequence[str], columns: Sequence[str], marks: Sequence[Any]) -> Any:
        values = dict(zip(columns, marks, strict=True))
        settable = [name for name in columns if name not in key]
        if self._dialect == "sqlite":
            statement = sqlite_insert(self._sql).values(values)
            if not settable:
                return statement.on_conflict_do_nothing(index_elements=list(key))
            return statement.on_conflict_do_update(
                index_elements=list(key), set_={name: statement.excluded[name] for name in settable}
            )
        insert = mysql_insert(self._sql).values(values)
        kept = [name for name in self._kept(columns) if name not in settable] or [] if settable else [key[0]]
        return insert.on_duplicate_key_update(
            {name: insert.inserted[name] for name in settable} | {name: self._sql.c[name] for name in kept}
        )

    def insert(self, columns: Sequence[str]) -> Compiled:
        return self._once(
            ("insert", *columns),
            columns,
            lambda marks: sa.insert(self._sql).values(dict(zip(columns, marks, strict=True))),
        )

    def update(self, key: Sequence[str], columns: Sequence[str]) -> Compiled:
        """`row`: the key to look for, then the values of `columns`."""

        def make(marks: Sequence[Any]) -> Any:
            given = dict(zip(columns, marks[len(key) :], strict=True))
            kept = {name: self._sql.c[name] for name in self._kept(columns)}
            return sa.update(self._sql).values(given | kept).where(self._matches(key, marks[: len(key)]))

        return self._once(("update", *key, "", *columns), [*key, *columns], make)

    def delete(self, key: Sequence[str], rows: int = 1) -> Compiled:
        """`row`: the keys of `rows` rows, one after the other."""

        def make(marks: Sequence[Any]) -> Any:
            width = len(key)
            if width == 1 and rows > 1 and not self._folds(key[0]):
                return sa.delete(self._sql).where(self._sql.c[key[0]].in_(marks))
            keys = [self._matches(key, marks[at : at + width]) for at in range(0, len(marks), width)]
            return sa.delete(self._sql).where(sa.or_(*keys))

        return self._once(("delete", rows, *key), [*key] * rows, make)

    def truncate(self) -> Compiled:
        return self._once(("truncate",), (), lambda _: sa.delete(self._sql))

    def exists(self) -> Compiled:
        """One row, one value: whether there is any row."""
        some: Any = sa.select(sa.literal_column("1")).select_from(self._sql)
        return self._once(("exists",), (), lambda _: sa.select(sa.exists(some)))

    def select(self, key: Sequence[str], columns: Sequence[str]) -> Compiled:
        return self._once(
            ("select", *key, "", *columns),
            key,
            lambda marks: sa.select(*(self._read(name) for name in columns)).where(self._matches(key, marks)),
        )

    def select_all(self, columns: Sequence[str]) -> Compiled:
        return self._once(
            ("all", *columns), (), lambda _: sa.select(*(self._read(name) for name in columns)).select_from(self._sql)
        )

    def _read(self, name: str) -> Any:
        """MySQL prints a FLOAT with six digits; in an expression it is the number that it is."""
        column = self.table.column(name)
        if self._dialect == "mysql" and column.kind == "float":
            return (self._sql.c[name] + sa.literal_column("0e0")).label(name)
        return self._sql.c[name]

    def _kept(self, columns: Sequence[str]) -> list[str]:
        """Columns that an update would change by itself."""
        return [name for name, column in self.table.columns.items() if column.touched_by_update and name not in columns]

    def _type(self, name: str) -> str | None:
        return self.table.known_types.get(name)

    def _folds(self, name: str) -> bool:
        column = self.table.column(name)
        return column.kind == "text" and column.folded

    def _matches(self, key: Sequence[str], marks: Sequence[Any]) -> Any:
        return sa.and_(*(self._match(name, mark) for name, mark in zip(key, marks, strict=True)))

    def _match(self, name: str, mark: Any) -> Any:
        column = self._sql.c[name]
        found = column == mark
        if not self._folds(name):
            return found
        if self._dialect == "mysql":
            in_utf8 = sa.func.convert(column.op("USING")(sa.literal_column("utf8mb4")))
            return sa.and_(found, sa.cast(in_utf8, sa.LargeBinary) == sa.cast(mark, sa.LargeBinary))
        if self._dialect == "sqlite":
            return sa.and_(found, sa.collate(column, "BINARY") == mark)
        return found

    def _once(self, said: tuple[object, ...], columns: Sequence[str], make: Callable[[Sequence[Any]], Any]) -> Compiled:
        known = self._compiled.get(said)
        if known is None:
            known = self._compiled[said] = self._compile(columns, make)
        return known

    def _compile(self, columns: Sequence[str], make: Callable[[Sequence[Any]], Any]) -> Compiled:
        for name in columns:
            self.table.column(name)
        prefix = "v"
        while any(name.startswith(prefix) for name in self.table.columns):
            prefix += "v"
        marks = [sa.bindparam(f"{prefix}{index}", type_=sa.types.NullType()) for index in range(len(columns))]
        compiled = make(marks).compile(dialect=self._engine_dialect)
        places = compiled.positiontup
        names = None if places is not None else tuple(compiled.params)
        order = tuple(int(place[len(prefix) :]) for place in (places if names is None else names))
        return Compiled(text=str(compiled), order=order, names=names)
