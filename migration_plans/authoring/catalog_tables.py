"""Columns, constraints, indexes and partitions of some tables, read from the catalog."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

from migration_plans.authoring import catalog_queries as queries
from migration_plans.authoring.catalog_objects import CatalogObjects, Row, Start
from migration_plans.authoring.legacy_schema import (
    NOTHING,
    Column,
    Constraint,
    Index,
    Needs,
    Partition,
    SequenceOptions,
    Statistics,
    Table,
)
from migration_plans.authoring.legacy_schema import Sequence as SequenceDefinition

_IDENTITY: Final[Mapping[str, Any]] = {"": "", "a": "ALWAYS", "d": "BY DEFAULT"}
_GENERATED: Final[Mapping[str, Any]] = {"": "", "s": "STORED", "v": "VIRTUAL"}


class CatalogTables:
    """Of the tables `oids`, partitions among them. Everything is read at once; `table` puts it together."""

    def __init__(self, connection: psycopg.Connection[Row], oids: Sequence[int]) -> None:
        self._connection = connection
        self._oids = list(oids)
        self._columns = self._by_table(queries.COLUMNS)
        self._constraints = self._by_table(queries.CONSTRAINTS)
        self._indexes = self._by_table(queries.INDEXES)
        self._statistics = self._by_table(queries.STATISTICS)
        self.objects = CatalogObjects(connection)
        self.objects.read(self._starts())
        self._sequences = self._read_sequences()

    @property
    def sequences(self) -> list[SequenceDefinition]:
        """Those that defaults draw from."""
        identities = {row["identity_sequence"] for rows in self._columns.values() for row in rows}
        return [self._sequence(row) for oid, row in self._sequences.items() if oid not in identities]

    @property
    def sequence_schemas(self) -> set[str]:
        """As SQL."""
        return {row["schema_sql"] for row in self._sequences.values()}

    def table(self, name: str, row: Row, partitions: Sequence[Row]) -> Table:
        """`row` and `partitions`: of `catalog_queries.DETAILS`."""
        oid = row["oid"]
        return Table(
            name=name,
            schema=row["schema"],
            sql=row["sql"],
            columns=tuple(map(self._column, self._columns[oid])),
            constraints=tuple(map(self._constraint, self._constraints[oid])),
            indexes=tuple(map(self._index, self._indexes[oid])),
            statistics=tuple(map(self._extended, self._statistics[oid])),
            key=row["key"],
            partitions=tuple(self._partition(partition, oid) for partition in partitions),
            options=tuple(row["options"]),
            replica_identity=row["replica_identity"],
            identity_index=row["identity_index"],
            clustered_on=row["clustered_on"],
            comment=row["comment"],
            is_logged=row["is_logged"],
            publications=tuple(sorted({name for part in (row, *partitions) for name in part["publications"]})),
            heirs=tuple(row["heirs"]),
            parents=tuple(row["parents"]),
            policies=_with_parts("policies", row, partitions),
            row_security=any(part["row_security"] for part in (row, *partitions)),
            rules=_with_parts("rules", row, partitions),
            triggers=_with_parts("triggers", row, partitions),
            grants=tuple(row["grants"]),
        )

    def _starts(self) -> list[Start]:
        starts: list[Start] = [("pg_class", oid, None) for oid in self._oids]
        for rows in self._columns.values():
            starts += [("pg_attrdef", row["default_oid"], None) for row in rows if row["default_oid"]]
        for rows in self._constraints.values():
            starts += [("pg_constraint", row["oid"], None) for row in rows]
            starts += [("pg_class", row["index_oid"], None) for row in rows if row["index_oid"]]
        for rows in self._indexes.values():
            starts += [("pg_class", row["oid"], None) for row in rows]
        for rows in self._statistics.values():
            starts += [("pg_statistic_ext", row["oid"], None) for row in rows]
        return starts

    def _read_sequences(self) -> Mapping[int, Row]:
        identities = [row["identity_sequence"] for rows in self._columns.values() for row in rows]
        drawn = self._rows(queries.DRAWN_SEQUENCES, oids=self._oids)
        oids = [*(row["oid"] for row in drawn), *(oid for oid in identities if oid)]
        return {row["oid"]: row for row in self._rows(queries.SEQUENCES, oids=oids, moved=self._oids)}

    def _column(self, row: Row) -> Column:
        return Column(
            name=row["name"],
            sql=row["sql"],
            type=row["type"],
            nullable=row["nullable"],
            default=row["default"],
            generated=_GENERATED[row["generated"]],
            identity=_IDENTITY[row["identity"]],
            identity_sequence=self._sequence(self._sequences[row["identity_sequence"]])
            if row["identity_sequence"]
            else None,
            collation=row["collation"],
            storage=row["storage"],
            compression=row["compression"],
            statistics=row["statistics"],
            options=tuple(row["options"]),
            comment=row["comment"],
            needs_of_type=self.objects.needs(("pg_class", row["table_oid"], row["number"])),
            needs_of_default=self._needs("pg_attrdef", row["default_oid"]),
        )

    def _constraint(self, row: Row) -> Constraint:
        return Constraint(
            name=row["name"],
            sql=row["sql"],
            kind=row["kind"],
            definition=row["definition"],
            validated=row["validated"],
            comment=row["comment"],
            needs=self._needs("pg_constraint", row["oid"]) | self._needs("pg_class", row["index_oid"]),
            columns=tuple(row["columns"]),
        )

    def _index(self, row: Row) -> Index:
        return Index(
            name=row["name"],
            quoted=row["quoted"],
            sql=row["sql"],
            definition=row["definition"],
            is_valid=row["is_valid"],
            alterations=tuple(row["alterations"]),
            comment=row["comment"],
            needs=self._needs("pg_class", row["oid"]),
            columns=tuple(row["columns"]),
        )

    def _extended(self, row: Row) -> Statistics:
        return Statistics(
            sql=row["sql"],
            definition=row["definition"],
            target=row["target"],
            comment=row["comment"],
            needs=self._needs("pg_statistic_ext", row["oid"]),
        )

    def _partition(self, row: Row, root: int) -> Partition:
        of_root = {column["name"]: column for column in self._columns[root]}
        return Partition(
            sql=row["sql"],
            parent_sql=row["partition_of"],
            bounds=row["bounds"],
            key=row["key"],
            constraints=tuple(map(self._constraint, self._constraints[row["oid"]])),
            indexes=tuple(map(self._index, self._indexes[row["oid"]])),
            defaults=tuple(
                (column["sql"], column["default"])
                for column in self._columns[row["oid"]]
                if column["default"] != of_root[column["name"]]["default"]
            ),
            filled=tuple(
                column["sql"]
                for column in self._columns[row["oid"]]
                if of_root[column["name"]]["nullable"] and not column["nullable"]
            ),
            options=tuple(row["options"]),
            stored=tuple(
                (column["sql"], column["storage"])
                for column in self._columns[row["oid"]]
                if column["storage"] and column["storage"] != of_root[column["name"]]["storage"]
            ),
            is_logged=row["is_logged"],
            comments=(
                *([(f"TABLE {row['sql']}", row["comment"])] if row["comment"] else []),
                *(
                    (f"COLUMN {row['sql']}.{column['sql']}", column["comment"])
                    for column in self._columns[row["oid"]]
                    if column["comment"]
                ),
            ),
        )

    def _sequence(self, row: Row) -> SequenceDefinition:
        return SequenceDefinition(
            sql=row["sql"],
            options=SequenceOptions(
                type=row["type"],
                start=row["seqstart"],
                increment=row["seqincrement"],
                minimum=row["seqmin"],
                maximum=row["seqmax"],
                cache=row["seqcache"],
                cycles=row["seqcycle"],
            ),
            owned_by=row["owned_by"] if row["owner_oid"] in self._oids else None,
            stays_with=tuple(row["stays_with"]),
            comment=row["comment"],
        )

    def _needs(self, catalog: str, oid: int | None) -> Needs:
        return self.objects.needs((catalog, oid, None)) if oid else NOTHING

    def _by_table(self, query: str) -> Mapping[int, list[Row]]:
        found: dict[int, list[Row]] = defaultdict(list)
        for row in self._rows(query, oids=self._oids):
            found[row["table_oid"]].append(row)
        return found

    def _rows(self, query: str, **parameters: Any) -> list[Row]:
        return self._connection.execute(query.encode(), parameters).fetchall()


def _with_parts(key: str, row: Row, partitions: Sequence[Row]) -> tuple[str, ...]:
    """What the table has, and what its partitions have by themselves."""
    return (*row[key], *(f"{each} (of {part['sql']})" for part in partitions for each in part[key]))
