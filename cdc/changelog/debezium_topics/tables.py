"""Which tables of the target take a connector's rows, and of what types those are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cdc.changelog.debezium_topics.changes import POSITION_TABLE
from cdc.errors import MappingInvalid
from cdc.events import TableName
from cdc.mapping.check import check_mapping
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from cdc.schema import reflect
from cdc.server_kinds import is_postgresql
from cdc.tables import Schema, Table, TableColumn

_POSITIONS: Final = Table(
    name=POSITION_TABLE,
    columns=(
        TableColumn(name="stream", type="character varying(190)", nullable=False),
        TableColumn(name="topic", type="character varying(249)", nullable=False),
        TableColumn(name="partition", type="integer", nullable=False),
        TableColumn(name="next_offset", type="bigint", nullable=False),
        TableColumn(name="newest", type="text"),
        TableColumn(name="topic_id", type="character varying(40)"),
    ),
    primary_key=("stream", "topic", "partition"),
)
_WAY_BACK: Final = "on the way back"


def same_tables(target_dsn: str, tables: Sequence[TableName], source: Schema | None = None) -> MoveMapping:
    """Every table to the one of its name, column by column. One that is not there has no columns.

    `source`: what a target that is not PostgreSQL takes its columns from; its tables are of the database of the URL,
    whatever the schema of the source's. Raises `MappingInvalid` when two would become one there.
    """
    if is_postgresql(target_dsn):
        return MoveMapping(
            tables=tuple(_same(name, name, _columns(reflect(target_dsn, tables), name)) for name in tables)
        )
    assert source is not None
    targets = {name: TableName(name=name.name) for name in tables}
    if len(set(targets.values())) < len(targets):
        raise MappingInvalid(
            thing="tables " + ", ".join(map(str, tables)),
            reason="have the same name in different schemas, and the target has only one",
            mend="consume them into two databases, or map them in a plan (--plan-of)",
        )
    return MoveMapping(tables=tuple(_same(name, targets[name], _columns(source, name)) for name in tables))


def both_schemas(mapping: MoveMapping, target_dsn: str, source: Schema | None) -> tuple[MoveMapping, Schema, Schema]:
    """(mapping, source, target) with the table of positions, ready to be compiled.

    `source` None: the source's tables are taken to be like their targets, which PostgreSQL alone can tell. Raises
    `MappingInvalid` for what a target that is not PostgreSQL cannot hold, `SchemaChanged`, `DatabaseUnreachable`.
    """
    whole = MoveMapping(tables=(*mapping.tables, _same(POSITION_TABLE, POSITION_TABLE, _POSITIONS.column_names)))
    if is_postgresql(target_dsn):
        target = reflect(target_dsn, whole.target_tables)
        known = source.tables if source else _like_targets(mapping, target)
        return whole, Schema(tables={**known, POSITION_TABLE: target.tables[POSITION_TABLE]}), target
    from cdc.sql_target.schema import reflect_target

    assert source is not None
    origin = Schema(tables={**source.tables, POSITION_TABLE: _POSITIONS})
    target = reflect_target(target_dsn, whole, origin)
    problems = [each for each in check_mapping(mapping, source, target) if not each.reason.startswith(_WAY_BACK)]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise MappingInvalid(thing=problems[0].thing, reason=problems[0].reason + more, mend=problems[0].mend)
    return whole, origin, target


def _columns(schema: Schema, name: TableName) -> list[str]:
    found = schema.tables.get(name)
    return [column.name for column in found.columns if not column.generated] if found else []


def _same(source: TableName, target: TableName, columns: Iterable[str]) -> TableMapping:
    rules = tuple(ColumnRule(target=name, source=name) for name in columns)
    return TableMapping(source=source, targets=(TargetMapping(table=target, columns=rules),))


def _like_targets(mapping: MoveMapping, target: Schema) -> Mapping[TableName, Table]:
    """The source's tables, when nobody can be asked, are taken to be like their targets of the same name."""
    return {
        table.source: target.tables[table.targets[0].table]
        for table in mapping.tables
        if table.targets[0].table in target.tables
    }
