"""Whose column is it: names inside one SELECT, and around it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from migration_plans.gather.statement import Catalog, ColumnName

_DATABASES_OWN = frozenset({"pg_catalog", "information_schema", "pg_toast", "mysql", "performance_schema", "sys"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What a FROM item offers: a table's columns, or a query's outputs."""

    table: str | None = None
    outputs: Mapping[str, ColumnName | None] | None = None
    """None: the table's columns are not known."""


@dataclass(kw_only=True, slots=True)
class Scope:
    """FROM items by alias; names that are not found are looked for in `outer`."""

    outer: "Scope | None" = None
    sources: dict[str, Source] = field(default_factory=dict)

    def add(self, alias: str, source: Source) -> None:
        """A name that is taken gets another, so that both count where a column has no qualifier."""
        self.sources[alias if alias not in self.sources else f"{alias}#{len(self.sources)}"] = source

    def resolve(self, qualifier: str, column: str) -> ColumnName | None:
        """The table's column behind a name, or None: an expression, a function's column, or not to be told."""
        scope: Scope | None = self
        while scope is not None:
            if qualifier:
                source = scope.sources.get(qualifier)
                if source is not None:
                    return _column_of(source, column)
            else:
                holders = [source for source in scope.sources.values() if _may_have(source, column, scope)]
                if holders:
                    found = {_column_of(source, column) for source in holders}
                    return found.pop() if len(found) == 1 else None
            scope = scope.outer
        return None


def _column_of(source: Source, column: str) -> ColumnName | None:
    if source.outputs is not None:
        return source.outputs.get(column)
    return None if source.table is None else ColumnName(source.table, column)


def _may_have(source: Source, column: str, scope: Scope) -> bool:
    if source.outputs is not None:
        return column in source.outputs
    # Without a schema a bare column belongs to the only table there is.
    return source.table is not None and len(scope.sources) == 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """Names of tables, as the facts have them."""

    catalog: Catalog
    folds: bool
    """Unquoted names are lower case, as in PostgreSQL."""

    def identifier(self, name: str, *, quoted: bool) -> str:
        """A name without its quotes."""
        return name if quoted or not self.folds else name.lower()

    def table(self, schema: str, name: str) -> str | None:
        """A table's name, a partition's parent in its place; None of a table of the database itself."""
        if schema in _DATABASES_OWN or (not schema and name.startswith("pg_") and not self._known(name)):
            return None
        full = name if not schema or schema in self.catalog.default_schemas else f"{schema}.{name}"
        seen: set[str] = set()
        while (whole := self.catalog.partitions.get(full)) is not None and full not in seen:
            seen.add(full)
            full = whole
        return full

    def is_known(self, table: str) -> bool:
        """Is it a table of the schema? Yes when no schema was given."""
        return self.catalog.columns is None or table in self.catalog.columns

    def source(self, table: str) -> Source:
        """The table as a FROM item."""
        columns = (self.catalog.columns or {}).get(table)
        outputs = None if not columns else {column: ColumnName(table, column) for column in columns}
        return Source(table=table, outputs=outputs)

    def _known(self, name: str) -> bool:
        return self.catalog.columns is not None and name in self.catalog.columns
