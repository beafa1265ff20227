"""The service's database in SQL: what makes it, what takes it away, and what is left out. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from migration_plans.authoring.bringing import Bringing
from migration_plans.authoring.definitions import literal
from migration_plans.authoring.legacy_schema import (
    Column,
    Constraint,
    Index,
    LegacySchema,
    Partition,
    Table,
)
from migration_plans.authoring.sequence_ddl import comment_of, create_sequence, identity
from migration_plans.errors import PlanNotAuthored

_WIDTH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """Something of a moved table that the generated database does not have, and what a person does about it."""

    thing: str
    why: str
    todo: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ddl:
    """`up` on an empty database; `down` takes away exactly what `up` made, but leaves extensions.

    `lost`: columns that are not made, `(table, column)`; of a generated one that cannot be generated there.
    `extensions`: names of those that the server has to have.
    """

    up: tuple[str, ...]
    down: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    lost: frozenset[tuple[str, str]]
    extensions: tuple[str, ...]


def service_ddl(schema: LegacySchema) -> Ddl:
    """Raises `PlanNotAuthored` for a column whose type cannot be made elsewhere."""
    return _Writer(schema).ddl()


class _Writer:
    def __init__(self, schema: LegacySchema) -> None:
        self._schema = schema
        self._bringing = Bringing(schema.objects, schema.extensions)
        self._left_out: list[LeftOut] = []
        self._lost: set[tuple[str, str]] = set()

    def ddl(self) -> Ddl:
        tables = [self._table(table) for table in self._schema.tables]
        indexes = [text for table in self._schema.tables for text in self._indexes(table)]
        finish = [text for table in self._schema.tables for text in self._finish(table)]
        keys = list(self._keys())
        made = self._bringing.made()
        own_schemas, shared_schemas = self._schemas()
        up = [
            *(f"CREATE SCHEMA {sql}" for sql in own_schemas),
            *(f"CREATE SCHEMA IF NOT EXISTS {sql}" for sql in shared_schemas),
            *(
                f"CREATE EXTENSION IF NOT EXISTS {extension.sql} WITH SCHEMA {extension.schema}"
                for extension in self._bringing.extensions()
            ),
            *(text for brought in made for text in brought.create),
            *(text for sequence in self._schema.sequences for text in create_sequence(sequence)),
            *(text for made_table in tables for text in made_table),
            *(f"ALTER SEQUENCE {s.sql} OWNED BY {s.owned_by}" for s in self._schema.sequences if s.owned_by),
            *indexes,
            *keys,
            *finish,
        ]
        down = [
            _broken("DROP TABLE", _listed([table.sql for table in self._schema.tables])),
            *(f"DROP SEQUENCE {sequence.sql}" for sequence in self._schema.sequences if not sequence.owned_by),
            *(brought.drop for brought in reversed(made)),
            *(f"DROP SCHEMA {sql}" for sql in reversed(own_schemas)),
        ]
        return Ddl(
            up=tuple(up),
            down=tuple(down),
            left_out=tuple(self._left_out),
            lost=frozenset(self._lost),
            extensions=tuple(extension.name for extension in self._bringing.extensions()),
        )

    def _schemas(self) -> tuple[list[str], list[str]]:
        """Those that are ours alone, and those in which an extension lies: they stay."""
        shared = {extension.schema for extension in self._bringing.extensions()}
        schemas = self._schema.schemas
        return [sql for sql in schemas if sql not in shared], [sql for sql in schemas if sql in shared]

    def _table(self, table: Table) -> list[str]:
        lines = [line for column in table.columns if (line := self._column(table, column))]
        later = []
        for constraint in table.constraints:
            if not self._may(f"constraint {constraint.name} of {table.name}", constraint, table):
                continue
            if constraint.validated:
                lines.append(f"CONSTRAINT {constraint.sql} {constraint.definition}")
            else:
                later.append(f"ALTER TABLE {table.sql} ADD CONSTRAINT {constraint.sql} {constraint.definition}")
        body = ",\n".join(f"    {line}" for line in lines)
        text = f"CREATE TABLE {table.sql} (\n{body}\n)"
        if table.key:
            text += f" PARTITION BY {table.key}"
        if table.options:
            text += f" WITH ({', '.join(table.options)})"
        return [text, *later, *(text for partition in table.partitions for text in self._partition(table, partition))]

    def _column(self, table: Table, column: Column) -> str | None:
        if why := self._bringing.why_not(column.needs_of_type):
            raise PlanNotAuthored(
                thing=f"column {table.name}.{column.name}",
                reason=f"its type {column.type} cannot be made elsewhere: {why}",
                mend="change the column's type in the legacy database, or leave the table out",
            )
        parts = [column.sql, column.type]
        parts += [f"COMPRESSION {column.compression}"] if column.compression else []
        parts += [f"COLLATE {column.collation}"] if column.collation else []
        if column.identity:
            parts.append(identity(table, column))
        elif column.default is not None:
            if why := self._bringing.why_not(column.needs_of_default):
                self._without_default(table, column, why)
                if column.generated:
                    return None
            elif column.generated:
                parts.append(f"GENERATED ALWAYS AS ({column.default}) {column.generated}")
            else:
                parts.append(f"DEFAULT {column.default}")
        parts += [] if column.nullable else ["NOT NULL"]
        return " ".join(parts)

    def _without_default(self, table: Table, column: Column, why: str) -> None:
        thing = f"column {table.name}.{column.name}"
        if column.generated:
            self._lost.add((table.name, column.name))
            self._left_out.append(
                LeftOut(
                    thing=thing,
                    why=f"is generated by {column.default}: {why}",
                    todo="the column is not in the service's table: let the code compute it, or write a migration that "
                    "generates it",
                )
            )
            return
        self._left_out.append(
            LeftOut(
                thing=f"default of {table.name}.{column.name}",
                why=f"{column.default}: {why}",
                todo="the service gives a value with every insert, or a further migration brings the default",
            )
        )

    def _partition(self, table: Table, partition: Partition) -> Iterator[str]:
        text = f"CREATE TABLE {partition.sql} PARTITION OF {partition.parent_sql}"
        kept = [
            constraint
            for constraint in partition.constraints
            if self._may(f"constraint {constraint.name} of {partition.sql}", constraint, table)
        ]
        if inline := [f"    CONSTRAINT {one.sql} {one.definition}" for one in kept if one.validated]:
            text += " (\n" + ",\n".join(inline) + "\n)"
        text += f" {partition.bounds}"
        if partition.key:
            text += f" PARTITION BY {partition.key}"
        if partition.options:
            text += f" WITH ({', '.join(partition.options)})"
        yield text
        for constraint in kept:
            if not constraint.validated:
                yield f"ALTER TABLE {partition.sql} ADD CONSTRAINT {constraint.sql} {constraint.definition}"
        for column, default in partition.defaults:
            change = "DROP DEFAULT" if default is None else f"SET DEFAULT {default}"
            yield f"ALTER TABLE ONLY {partition.sql} ALTER COLUMN {column} {change}"
        for column in partition.filled:
            yield f"ALTER TABLE {partition.sql} ALTER COLUMN {column} SET NOT NULL"
        for column, storage in partition.stored:
            yield f"ALTER TABLE ONLY {partition.sql} ALTER COLUMN {column} SET STORAGE {storage}"

    def _indexes(self, table: Table) -> Iterator[str]:
        indexes = [*table.indexes, *(index for partition in table.partitions for index in partition.indexes)]
        for index in indexes:
            if not index.is_valid and not table.key:
                self._left_out.append(
                    LeftOut(
                        thing=f"index {index.name} of {table.name}",
                        why="is not valid in the legacy database: building it once failed",
                        todo="nothing, unless the service needs it",
                    )
                )
            elif self._may(f"index {index.name} of {table.name}", index, table):
                head, _, tail = index.definition.partition(f"INDEX {index.quoted} ")
                # A partitioned table's index is made on its partitions, too.
                yield _broken(f"{head}INDEX {index.quoted}", re.sub(r"^ON ONLY ", "ON ", tail))
                for alteration in index.alterations:
                    yield f"ALTER INDEX {index.sql} ALTER {alteration}"
        for statistics in table.statistics:
            if why := self._bringing.why_not(statistics.needs):
                self._left_out.append(LeftOut(thing=f"statistics {statistics.sql}", why=why, todo="none is needed"))
                continue
            yield statistics.definition
            if statistics.target is not None:
                yield f"ALTER STATISTICS {statistics.sql} SET STATISTICS {statistics.target}"
            if statistics.comment:
                yield f"COMMENT ON STATISTICS {statistics.sql} IS {literal(statistics.comment)}"

    def _keys(self) -> Iterator[str]:
        for key in self._schema.inner_keys:
            yield _broken(f"ALTER TABLE {key.table_sql}", f"ADD CONSTRAINT {key.sql} {key.definition}")
            if key.comment:
                yield f"COMMENT ON CONSTRAINT {key.sql} ON {key.table_sql} IS {literal(key.comment)}"

    def _finish(self, table: Table) -> Iterator[str]:
        """What stands after the tables and indexes are there."""
        for column in table.columns:
            if column.storage and (table.name, column.name) not in self._lost:
                yield f"ALTER TABLE {table.sql} ALTER COLUMN {column.sql} SET STORAGE {column.storage}"
            if column.statistics is not None and (table.name, column.name) not in self._lost:
                yield f"ALTER TABLE {table.sql} ALTER COLUMN {column.sql} SET STATISTICS {column.statistics}"
            if column.options and (table.name, column.name) not in self._lost:
                yield f"ALTER TABLE {table.sql} ALTER COLUMN {column.sql} SET ({', '.join(column.options)})"
        if table.clustered_on:
            yield f"ALTER TABLE {table.sql} CLUSTER ON {table.clustered_on}"
        if table.primary_key is None or table.replica_identity == "f":
            for sql in (table.sql, *(partition.sql for partition in table.partitions)):
                yield f"ALTER TABLE ONLY {sql} REPLICA IDENTITY FULL"
        elif table.replica_identity == "i" and table.identity_index:
            yield f"ALTER TABLE ONLY {table.sql} REPLICA IDENTITY USING INDEX {table.identity_index}"
        for column in table.columns:
            if column.identity_sequence is not None:
                yield from comment_of(column.identity_sequence)
        yield from self._comments(table)

    def _comments(self, table: Table) -> Iterator[str]:
        if table.comment:
            yield f"COMMENT ON TABLE {table.sql} IS {literal(table.comment)}"
        for column in table.columns:
            if column.comment and (table.name, column.name) not in self._lost:
                yield f"COMMENT ON COLUMN {table.sql}.{column.sql} IS {literal(column.comment)}"
        for partition in table.partitions:
            for what, comment in partition.comments:
                yield f"COMMENT ON {what} IS {literal(comment)}"
        left_out = {found.thing for found in self._left_out}
        named = [(table.name, table.sql, table.constraints, table.indexes)]
        named += [(part.sql, part.sql, part.constraints, part.indexes) for part in table.partitions]
        for name, sql, constraints, indexes in named:
            for constraint in constraints:
                if constraint.comment and f"constraint {constraint.name} of {name}" not in left_out:
                    yield f"COMMENT ON CONSTRAINT {constraint.sql} ON {sql} IS {literal(constraint.comment)}"
            for index in indexes:
                if index.comment and f"index {index.name} of {table.name}" not in left_out:
                    yield f"COMMENT ON INDEX {index.sql} IS {literal(index.comment)}"

    def _may(self, thing: str, part: Constraint | Index, table: Table) -> bool:
        """Whether it can be made; noted when not."""
        lost = [column for column in part.columns if (table.name, column) in self._lost]
        why = f"uses {', '.join(lost)}, which is not made" if lost else self._bringing.why_not(part.needs)
        if why:
            self._left_out.append(
                LeftOut(thing=thing, why=why, todo="keep the rule in the service's code, or write a further migration")
            )
        return not why


def _listed(names: list[str]) -> str:
    plain = ", ".join(names)
    return plain if len(plain) < _WIDTH else ",\n    ".join(names)


def _broken(head: str, tail: str) -> str:
    """In two lines when it is long."""
    return f"{head} {tail}" if len(head) + len(tail) < _WIDTH else f"{head}\n    {tail}"
