"""Which PostgreSQL type the values have that reach each target column. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

from cdc.events import TableName
from cdc.mapping.model import ColumnRule, MoveMapping
from cdc.tables import Schema, Table


def value_types(mapping: MoveMapping, source: Schema) -> Mapping[TableName, Mapping[str, str]]:
    """`format_type` text by target table and column, for `LinkSpec.value_types`. An enum counts as text; a column
    whose source is not in `source` is left out."""
    found: dict[TableName, dict[str, str]] = {}
    for table, target in mapping.pairs():
        known = source.tables.get(table.source)
        if known is None:
            continue
        columns = found.setdefault(target.table, {})
        for rule in target.columns:
            kind = _type(rule, known)
            if kind is not None:
                columns[rule.target] = kind
    return MappingProxyType({table: MappingProxyType(columns) for table, columns in found.items()})


def _type(rule: ColumnRule, source: Table) -> str | None:
    column = source.column(rule.source) if rule.source else None
    if column is None or rule.lookup is not None:
        return None
    if rule.scale is not None or rule.unscale is not None:
        return None
    if column.enum_labels:
        return f"character varying({max(map(len, column.enum_labels))})"
    return column.type
