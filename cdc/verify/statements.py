"""The SQL that both sides run so that equal rows give equal text. Pure; placeholders are `$1`, `$2` …

A row is rendered in target shape as `ROW(…)::text`: the types' own output functions, NULL, empty text and separators
distinct, the key included (V2). Under the canonical session settings that text does not depend on the server (V6).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cdc.errors import MappingInvalid
from cdc.events import TableName
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from cdc.mapping.types import is_number, native_order
from cdc.tables import Schema, Table, TableColumn
from cdc.verify.bags import BagComparison, BagSql

_TEXT_HASHES = ("hashtextextended(r, 0)", "hashtextextended(r, 1)")
_BYTES_HASHES = tuple(f"('x' || substr(md5(convert_to(r, 'UTF8')), {start}, 16))::bit(64)::bigint" for start in (1, 17))
"""For two databases of different encodings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SideSql:
    """One side of a comparison. Expressions are over `t`.

    `columns`: rendered columns, in rule order. `key`: target-key expressions; `key_types`: what their text is cast
    to; `order`: expressions that both sides sort alike.
    """

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    key_types: tuple[str, ...]
    order: tuple[str, ...]
    order_types: tuple[str, ...]
    hashes: tuple[str, ...]

    def checksum(self, bounded: "Bounded") -> str:
        """One row: count, and the sum of each hash."""
        sums = ", ".join(f"coalesce(sum({expression}), 0)::text" for expression in self.hashes)
        return f"SELECT count(*), {sums} FROM ({self._records('', bounded)}) x"

    def rows(self, bounded: "Bounded") -> str:
        """One row each: hashes as one text, then the key's text forms."""
        keys = ", ".join(f"({each})::text AS k{i}" for i, each in enumerate(self.key))
        names = ", ".join(f"k{i}" for i in range(len(self.key)))
        return f"SELECT {self._hash()}, {names} FROM ({self._records(keys + ', ', bounded)}) x"

    def next_bound(self, rows: int, *, bounded: "Bounded") -> str:
        """The order key that ends the chunk of `rows` rows in the bounds; no row when fewer are left."""
        shown = ", ".join(f"({each})::text" for each in self.order)
        return (
            f"SELECT {shown} FROM {self.table} t WHERE {self._range(bounded)}"
            f" ORDER BY {', '.join(self.order)} OFFSET {rows - 1} LIMIT 1"
        )

    def all_bounds(self, rows: int, most: int) -> str:
        """Every chunk's end in one pass, at most `most`: for keys whose order no index gives."""
        shown = ", ".join(f"({each})::text AS o{i}" for i, each in enumerate(self.order))
        names = ", ".join(f"o{i}" for i in range(len(self.order)))
        ordered = f"row_number() OVER (ORDER BY {', '.join(self.order)}) AS place, count(*) OVER () AS total"
        return (
            f"SELECT {names} FROM (SELECT {shown}, {ordered} FROM {self.table} t) x"
            f" WHERE place % greatest({rows}, total / {most} + 1) = 0 AND place < total ORDER BY place"
        )

    def states(self) -> str:
        """By keys ($1 … one text array per key column): place in the arrays, hashes, version of the stored row."""
        return (
            f"SELECT n, {self._hash()}, version FROM (SELECT k.n, ROW({', '.join(self.columns)})::text AS r,"
            f" concat(t.tableoid, ' ', t.xmin, ' ', t.ctid) AS version {self._by_key()} OFFSET 0) x"
        )

    def column_texts(self) -> str:
        """By keys: place in the arrays, each column's text on its own."""
        columns = ", ".join(f"ROW({column})::text" for column in self.columns)
        return f"SELECT k.n, ARRAY[{columns}] {self._by_key()}"

    def _records(self, more: str, bounded: "Bounded") -> str:
        record = f"ROW({', '.join(self.columns)})::text AS r"
        return f"SELECT {more}{record} FROM {self.table} t WHERE {self._range(bounded)} OFFSET 0"

    def _hash(self) -> str:
        return f"concat({self.hashes[0]}, ' ', {self.hashes[1]})"

    def _range(self, bounded: "Bounded") -> str:
        """`$1…` hold the lower bound (excluded), then the upper bound (included), as far as there are any."""
        order, conditions, place = f"({', '.join(self.order)})", [], 0
        for given, operator in ((bounded.low, ">"), (bounded.high, "<=")):
            if given:
                values = ", ".join(f"${place + i + 1}::text::{kind}" for i, kind in enumerate(self.order_types))
                conditions.append(f"{order} {operator} ({values})")
                place += len(self.order)
        return " AND ".join(conditions) or "true"

    def _by_key(self) -> str:
        arrays = ", ".join(f"${i + 1}::text[]" for i in range(len(self.key)))
        names = ", ".join(f"k{i}" for i in range(len(self.key)))
        matches = " AND ".join(
            f"{expression} = k.k{i}::{kind}"
            for i, (expression, kind) in enumerate(zip(self.key, self.key_types, strict=True))
        )
        return f"FROM unnest({arrays}) WITH ORDINALITY AS k ({names}, n) JOIN {self.table} t ON {matches}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounded:
    """Which bounds a range has."""

    low: bool
    high: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One source table against one of its targets.

    `columns`: target column of each rendered column. `source_key`: for each target key column its place in the
    source's primary key, or the constant it has. `indexed`: the primary-key index gives the order.
    """

    source_table: TableName
    target_table: TableName
    columns: tuple[str, ...]
    source_key: tuple[int | str, ...]
    source: SideSql
    target: SideSql
    indexed: bool

    def target_key(self, source_key: Sequence[str]) -> tuple[str, ...]:
        """A source row's primary key as the key its target row has."""
        return tuple(each if isinstance(each, str) else source_key[each] for each in self.source_key)


def comparisons(mapping: MoveMapping, source: Schema, target: Schema) -> list[Comparison | BagComparison]:
    """What to compare, in mapping order. Raises `MappingInvalid` for a table that cannot be verified (V9)."""
    hashes = _TEXT_HASHES if source.encoding == target.encoding else _BYTES_HASHES
    return [
        _comparison(table, each, _known(source, table.source), _known(target, each.table), hashes)
        for table, each in mapping.pairs()
    ]


def _known(schema: Schema, name: TableName) -> Table:
    table = schema.tables.get(name)
    if table is None:
        raise MappingInvalid(
            thing=f"table {name}",
            reason="does not exist",
            mend="correct the mapping; unverified tables are not cut over",
        )
    return table


def _comparison(
    table: TableMapping, target: TargetMapping, known: Table, other: Table, hashes: tuple[str, ...]
) -> Comparison | BagComparison:
    pairs = [(rule, _source_column(known, rule), _column(other, rule.target)) for rule in target.columns]
    if not known.primary_key and not other.primary_key and not target.partial:
        return BagComparison(
            source_table=table.source,
            target_table=target.table,
            source=BagSql(
                table=_sql_name(table.source), columns=tuple(_source_text(*pair) for pair in pairs), hashes=hashes
            ),
            target=BagSql(
                table=_sql_name(target.table), columns=tuple(_target_text(*pair) for pair in pairs), hashes=hashes
            ),
        )
    if not known.primary_key or not other.primary_key:
        raise MappingInvalid(
            thing=f"table {other.name if known.primary_key else known.name}",
            reason="has no primary key, so its rows cannot be told apart",
            mend="correct the mapping, or give the table a primary key; unverified tables are not cut over",
        )
    keys = [pair for name in other.primary_key for pair in pairs if pair[0].target == name]
    if len(keys) != len(other.primary_key) or any(
        o is not None and o.name not in known.primary_key for _, o, _ in keys
    ):
        raise MappingInvalid(
            thing=f"primary key of {target.table}",
            reason=f"is not carried over from the primary key of {table.source}",
            mend="map every key column without a rule",
        )
    native = all(origin is not None and _sorts_alike(origin, column) for _, origin, column in keys)
    source_types = tuple((origin or column).type for _, origin, column in keys)
    target_types = tuple(column.type for _, _, column in keys)
    return Comparison(
        source_table=table.source,
        target_table=target.table,
        columns=tuple(rule.target for rule in target.columns),
        source_key=tuple(
            known.primary_key.index(origin.name) if origin is not None else (rule.constant or "")
            for rule, origin, _ in keys
        ),
        source=_side(
            table.source,
            [_source_text(*pair) for pair in pairs],
            [_key(*k) for k in keys],
            source_types,
            native,
            hashes,
        ),
        target=_side(
            target.table,
            [_target_text(*pair) for pair in pairs],
            [f"t.{quoted(column.name)}" for _, _, column in keys],
            target_types,
            native,
            hashes,
        ),
        indexed=native,
    )


def _side(
    table: TableName,
    columns: Sequence[str],
    key: Sequence[str],
    types: tuple[str, ...],
    native: bool,
    hashes: tuple[str, ...],
) -> SideSql:
    return SideSql(
        table=_sql_name(table),
        columns=tuple(columns),
        key=tuple(key),
        key_types=types,
        order=tuple(key) if native else tuple(f'(({each})::text COLLATE "C")' for each in key),
        order_types=types if native else ("text",) * len(types),
        hashes=hashes,
    )


def _sql_name(table: TableName) -> str:
    return f"{quoted(table.schema)}.{quoted(table.name)}"


def _sorts_alike(origin: TableColumn, column: TableColumn) -> bool:
    plain = not (origin.collatable or column.collatable or origin.enum_labels or column.enum_labels)
    return plain and native_order(origin.type, column.type)


def _key(rule: ColumnRule, origin: TableColumn | None, column: TableColumn) -> str:
    return f"t.{quoted(origin.name)}" if origin else f"{literal(rule.constant or '')}::{column.type}"


def _source_text(rule: ColumnRule, origin: TableColumn | None, column: TableColumn) -> str:
    if origin is None:
        return f"{literal(rule.constant or '')}::text"
    value = f"t.{quoted(origin.name)}"
    if rule.lookup is not None:
        cases = " ".join(f"WHEN {literal(a)} THEN {literal(b)}" for a, b in rule.lookup.items())
        return f"(CASE {value}::text {cases} ELSE 'not in the lookup: ' || {value}::text END)"
    if rule.scale is not None or rule.unscale is not None:
        factor = str(rule.scale) if rule.scale is not None else f"0.{'1':0>{rule.digits}}"
        return f"trim_scale({value}::numeric * {factor})"
    return f"trim_scale({value}::numeric)" if _other_scale(origin, column) else value


def _target_text(rule: ColumnRule, origin: TableColumn | None, column: TableColumn) -> str:
    value = f"t.{quoted(column.name)}"
    scaled = rule.scale is not None or rule.unscale is not None
    return f"trim_scale({value}::numeric)" if scaled or (origin and _other_scale(origin, column)) else value


def _other_scale(origin: TableColumn, column: TableColumn) -> bool:
    return origin.type != column.type and is_number(origin.type) and is_number(column.type)


def _source_column(known: Table, rule: ColumnRule) -> TableColumn | None:
    return None if rule.source is None else _column(known, rule.source)


def _column(table: Table, name: str) -> TableColumn:
    if (column := table.column(name)) is None:
        raise MappingInvalid(
            thing=f"column {table.name}.{name}", reason="does not exist", mend="correct the mapping in the plan file"
        )
    return column


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string (`standard_conforming_strings` is on in our sessions)."""
    return "'" + text.replace("'", "''") + "'"
