"""What no event shows: tables that were dropped, renamed or left out, and forms that no row has come in yet.

A published table that is dropped, renamed or taken out of the publication is simply not heard of again (S7, H12). And a
schema change after which nobody writes to the table would reach neither the target nor a verification.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import psycopg

from cdc.connections import CatalogConnection, open_database
from cdc.errors import SchemaChanged
from cdc.events import Relation, TableName
from cdc.lsn import Lsn, before_boundary
from cdc.mapping.port import Mapper
from cdc.schema_changes.catalog import read_table
from cdc.schema_changes.difference import difference
from cdc.schema_changes.evolution import StreamSchema, carried
from cdc.schema_changes.forms import CatalogTable, TableForm
from cdc.schema_changes.partition_guard import forget_changes, partition_changes
from cdc.schema_changes.publication import Publication, read_publication
from cdc.schema_changes.store import Met, accepted, forget_stopped, read_met, refresh_storage, write_met
from cdc.sessions import source_error

_MOST_TOLD = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting:
    """A form that the catalog has and the stream has not met: everything before `position` was of earlier forms."""

    form: TableForm
    position: Lsn


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """A table as the source has it, the log position by which it is so, and its latest form in the target."""

    catalog: CatalogTable | None
    position: Lsn
    last: TableForm
    stopped: bool


class WatchedSchema:
    """`cdc.schema_port.SchemaEvolution`: follows what events show, and looks after what they do not.

    `follow` and `look` may run in two threads, each in one at a time.
    """

    def __init__(self, schema: StreamSchema) -> None:
        self._schema = schema
        self._waiting: dict[TableName, _Waiting] = {}
        self._entries: dict[TableName, int] = {}

    def follow(self, relation: Relation, mapper: Mapper) -> Mapper:
        return self._schema.follow(relation, mapper)

    def passed_over(self, relation: Relation) -> None:
        for table, forms in self._schema.forms().items():
            if relation.oid and forms[-1].oid == relation.oid:
                self._break(table, forms[-1], f"was renamed to {relation.table}, and changes came under that name")

    def look(self, applied: Lsn) -> None:
        """`applied`: everything through it is durable in the target. Follows forms that the stream has passed without
        meeting a row of them.

        Raises `SchemaChanged` when a table cannot be followed any more; the next look says so again until it is mended.
        """
        self._schema.remember()
        troubles: list[SchemaChanged] = []
        for table, seen in self._seen().items():
            try:
                self._judge(table, seen, applied)
            except SchemaChanged as trouble:
                troubles.append(trouble)
        if troubles:
            raise troubles[0]

    def refuse_drift(self) -> None:
        """Raises `SchemaChanged` unless the stream follows every table as it is now: before anything is verified."""
        self._schema.remember()
        for table, seen in self._seen().items():
            if (catalog := seen.catalog) is None or seen.last.table != catalog.form.table:
                raise _lost(self._schema, table, "was dropped or renamed")
            if changes := difference(seen.last, carried(catalog.form, seen.last), catalog):
                raise SchemaChanged(
                    thing=f"table {table}",
                    reason="the stream does not follow its schema change yet: " + "; ".join(c.line for c in changes),
                    mend="see `strangler cdc schema`; when the stream has stopped there, do what it says",
                )

    def refuse_partition_changes(self) -> None:
        """Raises `SchemaChanged` when rows came or went with a whole partition: quick enough for the end of a hold."""
        with open_database(self._schema.target_dsn) as target:
            met = read_met(target, self._schema.stream)
        self._refuse_broken(met)
        try:
            with open_database(self._schema.source_dsn) as source:
                self._refuse_partitions(source, accepted(met))
        except psycopg.Error as error:
            raise source_error(self._schema.source_dsn, f"partitions of {self._schema.stream}", error) from error

    def _seen(self) -> dict[TableName, _Seen]:
        schema = self._schema
        with open_database(schema.target_dsn) as target:
            met = read_met(target, schema.stream)
        forms = accepted(met)
        try:
            with open_database(schema.source_dsn) as source:
                found = {table: read_table(source, table, each[-1].oid) for table, each in forms.items()}
                self._refuse_left_out(source, met, forms, found)
                position = _position(source)
        except psycopg.Error as error:
            raise source_error(schema.source_dsn, f"catalog of {schema.stream}", error) from error
        stopped = {each.form.table for each in met if each.state == "stopped"}
        return {
            table: _Seen(catalog=found[table], position=position, last=each[-1], stopped=table in stopped)
            for table, each in forms.items()
        }

    def _judge(self, table: TableName, seen: _Seen, applied: Lsn) -> None:
        catalog, last = seen.catalog, seen.last
        if catalog is None or catalog.form.table != last.table:
            now = "dropped" if catalog is None else f"renamed to {catalog.form.table}"
            self._break(table, last, f"was {now}")
            raise _lost(self._schema, table, f"was {now}")
        if not difference(last, carried(catalog.form, last), catalog):
            self._waiting.pop(table, None)
            if seen.stopped or dict(last.storage) != dict(catalog.form.storage):
                self._settled(last, catalog)
            return
        waiting = self._waiting.get(table)
        if waiting is None or waiting.form != catalog.form:
            self._waiting[table] = _Waiting(form=catalog.form, position=seen.position)
        elif applied >= waiting.position:
            self._schema.take(table, None, catalog)

    def _settled(self, last: TableForm, catalog: CatalogTable) -> None:
        """Nothing new: rows may have been written anew by maintenance (S10), and a form that stopped may be gone."""
        with open_database(self._schema.target_dsn) as target:
            forget_stopped(target, self._schema.stream, last.table)
            refresh_storage(target, self._schema.stream, last, catalog.form.storage)

    def _refuse_left_out(
        self,
        source: CatalogConnection,
        met: Sequence[Met],
        forms: Mapping[TableName, Sequence[TableForm]],
        found: Mapping[TableName, CatalogTable | None],
    ) -> None:
        self._refuse_broken(met)
        self._refuse_partitions(source, forms)
        publication = read_publication(source, self._schema.stream)
        for table, each in forms.items():
            catalog = found[table]
            if catalog is None:
                continue
            if reason := self._unsent(table, publication, catalog.form.oid):
                self._break(table, each[-1], reason)
                raise _lost(self._schema, table, reason)
            if catalog.replica_identity == "n" or (catalog.replica_identity == "d" and not catalog.form.key):
                raise SchemaChanged(
                    thing=f"source table {table}",
                    reason="has no replica identity any more: the server refuses its updates and deletes",
                    mend=f"ALTER TABLE {table} REPLICA IDENTITY DEFAULT, with a primary key, at once",
                )

    def _unsent(self, table: TableName, publication: Publication, oid: int) -> str | None:
        """Why changes of the table are not sent, or were not since the last look."""
        entry, before = publication.entry(oid), self._entries.pop(table, 0)
        if (reason := publication.left_out(oid)) is not None:
            return reason
        self._entries[table] = entry
        if before and entry != before:
            return "was taken out of the publication for a time: what changed then was not sent"
        return None

    def _refuse_broken(self, met: Sequence[Met]) -> None:
        for broken in met:
            if broken.state == "broken":
                raise _lost(self._schema, broken.form.table, broken.changes[0])

    def _refuse_partitions(self, source: CatalogConnection, forms: Mapping[TableName, Sequence[TableForm]]) -> None:
        """Kept as broken before the note of it goes: a crash between the two only says it twice."""
        notes = partition_changes(source, self._schema.stream)
        for table, each in forms.items():
            mine = [note for note in notes if note.root == each[-1].oid]
            if mine:
                reason = "; ".join(dict.fromkeys(note.what for note in mine[:_MOST_TOLD])) + ", which no event says"
                self._break(table, each[-1], reason)
                forget_changes(source, mine)
                raise _lost(self._schema, table, reason)

    def _break(self, table: TableName, last: TableForm, reason: str) -> None:
        with open_database(self._schema.target_dsn) as target:
            version = sum(len(forms) for name, forms in self._schema.forms().items() if name == table) + 1
            write_met(
                target,
                self._schema.stream,
                version=version,
                state="broken",
                form=replace(last, table=table),
                changes=[reason],
                mend=_made_good(self._schema, table),
            )


def _lost(schema: StreamSchema, table: TableName, reason: str) -> SchemaChanged:
    return SchemaChanged(thing=f"table {table}", reason=schema.lead + reason, mend=_made_good(schema, table))


def _made_good(schema: StreamSchema, table: TableName) -> str:
    return (
        f"bring {table} back under its name and into the publication, make good what was missed (`strangler verify` "
        f"lists it, or copy the table again), then `{schema.accept_command(table)}`; or take it out of the plan"
    )


def _position(source: CatalogConnection) -> Lsn:
    row = source.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS at").fetchone()
    assert row is not None
    return before_boundary(Lsn(int(row["at"])))
