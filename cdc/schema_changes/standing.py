"""Tables of a stream that follows no schema change: what no event says is looked for all the same, and stops them.

A server says nothing when a table is dropped, renamed, taken out of the publication, or when rows come and go with a
whole partition: the stream would run on and lack those changes for good.
"""

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import psycopg
from psycopg.rows import DictRow

from cdc.connections import CatalogConnection, open_database
from cdc.errors import LogDamaged, LogUnwritable, SchemaChanged
from cdc.events import Relation, TableName
from cdc.lsn import Lsn
from cdc.mapping.port import Mapper
from cdc.schema_changes.partition_guard import forget_changes, partition_changes
from cdc.schema_changes.publication import Publication, read_publication
from cdc.sessions import source_error
from strangler.durable_files import replace_file

_NAME: Final = "tables.json"
_MOST_TOLD: Final = 5
_ANEW: Final = "end the stream with `strangler cdc stream --remove`, empty the target's tables and begin it anew"

_NOW = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.relreplident AS replica_identity,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AS has_key
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
"""
_BY_OID = _NOW + " WHERE c.oid = ANY (%s::bigint[])"
_BY_NAME = (
    _NOW + " WHERE c.relkind IN ('r', 'p') AND (n.nspname, c.relname) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Standing:
    """A table as it was when the stream began. `entry`: of the publication. `lost`: why changes of it are missing."""

    schema: str
    name: str
    oid: int
    entry: int
    lost: str | None = None

    @property
    def table(self) -> TableName:
        return TableName(schema=self.schema, name=self.name)


class StandingTables:
    """`cdc.schema_port.SchemaEvolution` for PostgreSQL sources: follows nothing. What was lost stays lost, also when
    the table is back under its name: it is kept in a file in `folder`. `anew`: how the stream is begun anew then.
    Any thread may call it."""

    def __init__(
        self, *, source_dsn: str, stream: str, tables: Sequence[TableName], folder: Path, anew: str = _ANEW
    ) -> None:
        self._source_dsn, self._stream, self._tables = source_dsn, stream, tuple(tables)
        self._path = folder / _NAME
        self._anew = anew
        self._lock = threading.Lock()

    def remember(self) -> None:
        """Take the tables as they are now, unless they are known: when the stream begins, before its ledger does."""
        with self._lock:
            if self._load() is not None:
                return
            with open_database(self._source_dsn) as source:
                names = [[table.schema for table in self._tables], [table.name for table in self._tables]]
                publication = read_publication(source, self._stream)
                found = [
                    _Standing(
                        schema=row["schema"], name=row["name"], oid=row["oid"], entry=publication.entry(row["oid"])
                    )
                    for row in source.execute(_BY_NAME, names)
                ]
            self._save(found)

    def follow(self, relation: Relation, mapper: Mapper) -> Mapper:
        """See `SchemaEvolution`. Always raises `SchemaChanged`."""
        columns = ", ".join(column.name for column in relation.columns)
        raise SchemaChanged(
            thing=f"table {relation.table}",
            reason=f"changed its columns, types or key ({columns}); a stream of its own follows no schema change",
            mend="alter the target's table in the same way, start the stream anew, then `strangler parked retry --all` "
            "with the same --source, --target and --name",
            relation=relation,
        )

    def passed_over(self, relation: Relation) -> None:
        """See `SchemaEvolution`."""
        with self._lock:
            known = self._load() or []
            if any(each.oid == relation.oid for each in known):
                reason = f"was renamed to {relation.table}, and changes came under that name"
                self._lose(known, relation.oid, reason)

    def look(self, applied: Lsn) -> None:
        """Raises `SchemaChanged` when changes of a table are not sent, or were not."""
        with self._lock:
            known: Sequence[_Standing] = self._load() or []
            try:
                with open_database(self._source_dsn) as source:
                    known = self._compare(source, known)
            except psycopg.Error as error:
                raise source_error(self._source_dsn, f"catalog of {self._stream}", error) from error
        if any(each.lost for each in known):
            raise _lost(known, self._anew)

    def _compare(self, source: CatalogConnection, known: Sequence[_Standing]) -> Sequence[_Standing]:
        """Kept before the notes of partitions go, so that a crash says it twice rather than never."""
        now = {row["oid"]: row for row in source.execute(_BY_OID, [[each.oid for each in known]])}
        publication = read_publication(source, self._stream)
        notes = partition_changes(source, self._stream)
        for each in known:
            told = [note.what for note in notes if note.root == each.oid]
            if (reason := _missing(each, now.get(each.oid), publication, told)) is not None:
                known = self._lose(known, each.oid, reason)
        if notes:
            forget_changes(source, notes)
        for each in known:
            if not each.lost and _is_without_identity(now[each.oid]):
                raise _without_identity(each)
        return known

    def _lose(self, known: Sequence[_Standing], oid: int, reason: str) -> list[_Standing]:
        changed = [replace(each, lost=each.lost or reason) if each.oid == oid else each for each in known]
        self._save(changed)
        return changed

    def _load(self) -> list[_Standing] | None:
        try:
            return [_Standing(**each) for each in json.loads(self._path.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, OSError) as error:
            raise LogDamaged(
                thing=str(self._path),
                reason=f"is not what was written ({error})",
                mend="end the stream with `strangler cdc stream --remove` and begin it anew with empty target tables",
            ) from None

    def _save(self, tables: Sequence[_Standing]) -> None:
        try:
            replace_file(self._path, json.dumps([asdict(each) for each in tables], indent=1))
        except OSError as error:
            raise LogUnwritable.because(error, str(self._path)) from None


def _missing(each: _Standing, row: DictRow | None, publication: Publication, told: Sequence[str]) -> str | None:
    """Why changes of the table are missing; None when none are."""
    if row is None:
        return "was dropped"
    if (name := TableName(schema=row["schema"], name=row["name"])) != each.table:
        return f"was renamed to {name}"
    if told:
        return f"{'; '.join(dict.fromkeys(told[:_MOST_TOLD]))}, which no event says"
    if (reason := publication.left_out(each.oid)) is not None:
        return reason
    if publication.entry(each.oid) != each.entry:
        return "was taken out of the publication for a time: what changed then was not sent"
    return None


def _is_without_identity(row: DictRow) -> bool:
    return bool(row["replica_identity"] == "n" or (row["replica_identity"] == "d" and not row["has_key"]))


def _lost(known: Sequence[_Standing], anew: str) -> SchemaChanged:
    lost = [each for each in known if each.lost]
    others = f"; also of {', '.join(str(each.table) for each in lost[1:])}" if lost[1:] else ""
    return SchemaChanged(
        thing=f"table {lost[0].table}",
        reason=f"{lost[0].lost}; changes of it are missing in the target for good{others}",
        mend=f"bring the source back as it was, {anew}",
    )


def _without_identity(each: _Standing) -> SchemaChanged:
    return SchemaChanged(
        thing=f"source table {each.table}",
        reason="has no replica identity any more: the server refuses its updates and deletes",
        mend=f"ALTER TABLE {each.table} REPLICA IDENTITY DEFAULT, with a primary key, at once",
    )
