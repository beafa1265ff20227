"""What an applier must know about a target table, read once from its catalog."""

from collections.abc import Mapping
from dataclasses import dataclass

from cdc.apply_batch import Batching
from cdc.errors import SchemaChanged
from cdc.events import TableName
from cdc.parking.model import Reference, TableRules
from cdc.sessions import Connection

_CANONICAL_TYPES = frozenset(
    {"bool", "int2", "int4", "int8", "oid", "uuid", "text", "varchar", "bpchar", "name", "bytea"}
    | {"date", "timestamp", "timestamptz", "time", "inet", "macaddr"}
)
"""Equal values have equal text forms."""

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, -1), a.attidentity, a.attgenerated <> '',
       t.typname, t.typtype, t.typcategory, t.typtype = 'd' AND b.typtype = 'c', t.typdelim = ',' AND t.typarray <> 0,
       coalesce(c.collisdeterministic, true),
       CASE WHEN a.atttypmod >= 0 AND coalesce(e.typcategory, t.typcategory) NOT IN ('S', 'V')
            THEN format_type(a.atttypid, a.atttypmod) END,
       a.atttypid = 'bpchar'::regtype AND a.atttypmod < 0
  FROM pg_attribute a
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_type b ON b.oid = t.typbasetype
  LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
  LEFT JOIN pg_collation c ON c.oid = a.attcollation
 WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
"""

_INDEXES = """
SELECT (SELECT array_agg(a.attname::text) FROM pg_index i
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
         WHERE i.indrelid = %(table)s AND i.indisprimary),
       EXISTS (SELECT FROM pg_index i
                WHERE i.indrelid = %(table)s AND (i.indisunique OR i.indisexclusion) AND NOT i.indisprimary)
"""

_DEFERRABLE = """
SELECT i.indisexclusion, pg_get_expr(i.indpred, i.indrelid),
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, true) FROM generate_series(1, i.indnkeyatts) AS k ORDER BY k),
       ARRAY(SELECT format('OPERATOR(%%I.%%s)', n.nspname, o.oprname)
               FROM unnest(c.conexclop) WITH ORDINALITY AS x (op, k)
               JOIN pg_operator o ON o.oid = x.op JOIN pg_namespace n ON n.oid = o.oprnamespace ORDER BY x.k),
       coalesce(to_jsonb(i) ->> 'indnullsnotdistinct', 'false') = 'true'
  FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x')
 WHERE i.indrelid = %s AND NOT i.indimmediate AND (i.indisunique OR i.indisexclusion)
"""

_UNIQUES = """
SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey) AS k
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k ORDER BY a.attname),
       i.indexprs IS NULL AND NOT i.indisexclusion AND coalesce(to_jsonb(i) ->> 'indnullsnotdistinct', 'f') <> 'true'
  FROM pg_index i
 WHERE i.indrelid = %s AND (i.indisunique OR i.indisexclusion) AND NOT i.indisprimary
"""

_REFERENCES = """
SELECT ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k (n, i)
               JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.i),
       ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k (n, i)
               JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY k.i),
       n.nspname, r.relname,
       NOT EXISTS (SELECT FROM unnest(c.conkey, c.confkey) AS k (child, parent)
                     JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.child
                     JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.parent
                    WHERE a.atttypid <> b.atttypid
                      AND NOT (a.atttypid, b.atttypid) IN (SELECT x, y FROM unnest('{int2,int4,int8}'::regtype[]) AS x,
                                                                  unnest('{int2,int4,int8}'::regtype[]) AS y)),
       ARRAY(SELECT a.attname::text FROM pg_index i, unnest(i.indkey) AS k
               JOIN pg_attribute a ON a.attnum = k
              WHERE i.indrelid = c.confrelid AND i.indisprimary AND a.attrelid = c.confrelid)
  FROM pg_constraint c JOIN pg_class r ON r.oid = c.confrelid JOIN pg_namespace n ON n.oid = r.relnamespace
 WHERE c.conrelid = %s AND c.contype = 'f' AND c.conparentid = 0
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetColumn:
    """`type_name` carries no length or precision: the assignment checks those, a cast would cut silently.

    `as_array`: values can travel as elements of one array of this type, each read by the type's own input function.
    `canonical`: equal values have equal text forms. `rounded`: the type with its precision, where an assignment rounds
    a value to it, rather than refuse it. `padded`: equal values may differ in trailing blanks.
    """

    name: str
    type_name: str
    as_array: bool
    identity_always: bool
    generated: bool
    canonical: bool
    rounded: str | None = None
    padded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Deferrable:
    """A constraint that no two rows may break together, checked at the end of a transaction.

    Two rows break it when each of `expressions` (SQL over the table's columns) of the one is to that of the other as
    `operators` say. `predicate`: the rows that it is about. `code`: SQLSTATE of what breaks it.
    """

    expressions: tuple[str, ...]
    operators: tuple[str, ...]
    predicate: str | None
    code: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetTable:
    """`deferrable`: PostgreSQL checks those constraints by triggers, which do not fire in an apply session."""

    table: TableName
    columns: Mapping[str, TargetColumn]
    batching: Batching
    deferrable: tuple[Deferrable, ...] = ()

    @property
    def keyless(self) -> bool:
        """Its rows are told apart as a whole only."""
        return self.batching in ("whole_rows", "whole_rows_in_order")

    def column(self, name: str) -> TargetColumn:
        try:
            return self.columns[name]
        except KeyError:
            raise SchemaChanged(
                thing=f"target column {self.table}.{name}",
                reason="does not exist",
                mend="restore the column, or change the mapping in the plan and copy the table again",
            ) from None


def load_target_table(connection: Connection, table: TableName) -> TargetTable:
    """Read one table's catalog rows. Raises `SchemaChanged` when there is no such table."""
    oid = _oid(connection, table)
    columns = {str(row[0]): _column(row) for row in connection.execute(_COLUMNS, (oid,))}
    key, other_uniques = connection.execute(_INDEXES, {"table": oid}).fetchall()[0]
    return TargetTable(
        table=table,
        columns=columns,
        batching=_batching(columns, key, bool(other_uniques)),
        deferrable=tuple(_deferrable(row) for row in connection.execute(_DEFERRABLE, (oid,))),
    )


def load_rules(connection: Connection, table: TableName) -> TableRules:
    """The constraints that tie its rows to others. Raises `SchemaChanged` when there is no such table."""
    target, oid = load_target_table(connection, table), _oid(connection, table)
    uniques: list[tuple[str, ...]] = []
    exact = target.batching != "one"
    for names, plain in connection.execute(_UNIQUES, (oid,)):
        columns = _names(names)
        exact = exact and bool(plain) and all(target.columns[name].canonical for name in columns)
        uniques.append(columns)
    references = [
        Reference(
            columns=_names(own),
            parent=TableName(schema=str(schema), name=str(name)),
            parent_columns=_names(theirs),
            exact=bool(same_type)
            and set(_names(theirs)) == set(_names(key))
            and all(target.columns[column].canonical for column in _names(own)),
        )
        for own, theirs, schema, name, same_type, key in connection.execute(_REFERENCES, (oid,))
    ]
    return TableRules(uniques=tuple(uniques), references=tuple(references), exact=exact)


def _names(raw: object) -> tuple[str, ...]:
    return tuple(str(name) for name in raw) if isinstance(raw, list) else ()


def _oid(connection: Connection, table: TableName) -> object:
    found = connection.execute(
        "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')",
        (table.schema, table.name),
    ).fetchone()
    if found is None:
        raise SchemaChanged(
            thing=f"target table {table}",
            reason="does not exist",
            mend="run the service's migrations, or correct the mapping in the plan",
        )
    return found[0]


def _batching(columns: Mapping[str, TargetColumn], key: object, other_uniques: bool) -> Batching:
    names = key if isinstance(key, list) else []
    if not names:
        return "whole_rows_in_order" if other_uniques else "whole_rows"
    if not all(columns[name].canonical for name in names):
        return "one"
    return "in_order" if other_uniques else "any"


def _deferrable(row: tuple[object, ...]) -> Deferrable:
    exclusion, predicate, expressions, operators, nulls_equal = row
    parts = _names(expressions)
    alike = "IS NOT DISTINCT FROM" if nulls_equal else "="
    return Deferrable(
        expressions=parts,
        operators=_names(operators) if exclusion else (alike,) * len(parts),
        predicate=None if predicate is None else str(predicate),
        code="23P01" if exclusion else "23505",
    )


def _column(row: tuple[object, ...]) -> TargetColumn:
    name, type_name, identity, generated, base, kind, category, over_composite, array_exists, deterministic, *more = row
    rounded, padded = more
    return TargetColumn(
        name=str(name),
        type_name=str(type_name),
        as_array=bool(array_exists) and category != "A" and kind != "c" and not over_composite,
        identity_always=identity == "a",
        generated=bool(generated),
        canonical=bool(deterministic) and (kind == "e" or base in _CANONICAL_TYPES),
        rounded=None if rounded is None else str(rounded),
        padded=bool(padded),
    )
