"""The one database session that may write a stream's rows and its position."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from cdc.apply_statements import (
    STAGED,
    array_literal,
    conflicts_statement,
    copy_statement,
    copy_text,
    keys_after,
    parameters_of,
    read_row_statement,
    staged_statement,
    statement,
)
from cdc.copy_tracker import CopyCursor, TableCopying, cursor_from_json
from cdc.errors import NotProvisioned, StreamBusy, TargetUnfit
from cdc.events import TableName
from cdc.insert_run import CopyText
from cdc.link import LinkSpec
from cdc.lsn import Lsn, format_lsn, parse_lsn
from cdc.mapping.port import BulkColumns
from cdc.parking.model import TableRules
from cdc.parking.postgres import PostgresParkedStore
from cdc.row_groups import Batching, RowGroup
from cdc.sessions import begun, connect, is_away, is_row_level, is_transient, target_error, target_reason
from cdc.statement_parts import quote_table
from cdc.target_port import BulkTarget, LedgerStep, RaceLost, RowRefused, RowsNotFound
from cdc.target_tables import TargetTable, load_rules, load_target_table
from strangler.clock import Clock

_SETTINGS = {
    "session_replication_role": "replica",
    "synchronous_commit": "on",
    # Every statement finds its rows by key. A plan made while a table was small must not scan it when it is large.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
_WHOLE_ROW_SETTINGS = {
    "enable_seqscan": "on",
    "enable_hashjoin": "on",
    "plan_cache_mode": "force_custom_plan",
}
"""Rows without a key are looked for in one pass over their table, unless an index helps."""
_STAGE_CHARACTERS = 4 << 20
_TAKEOVER_POLL_S = 0.1
_FEW_GROUPS = 2
"""So many statements are sent one after the other: a pipeline costs as much as each."""
_HAS_OWNERSHIP = "to_regclass('strangler.ownership') IS NOT NULL"
_LOCKED_OWNER = "(SELECT owner FROM strangler.ownership WHERE move = %s FOR SHARE)"
_PREPARED_STATEMENTS = 1000


class ApplySession:
    """`ApplyTarget` over PostgreSQL: a session with the stream's replication origin and advisory lock."""

    def __init__(self, link: LinkSpec, clock: Clock) -> None:
        self._link = link
        self._connection = connect(link.target_dsn, f"{link.stream} apply")
        self._tables: dict[TableName, TargetTable] = {}
        self._rules: dict[TableName, TableRules] = {}
        self._queries: dict[tuple[object, ...], bytes] = {}
        self.parked = PostgresParkedStore(self._connection, link, self.translated)
        self._ownership_exists = self._locked = self._pipelined = False
        self._unchecked: dict[tuple[TableName, tuple[str, ...]], list[list[str | None]]] = {}
        try:
            self._connection.prepared_max = _PREPARED_STATEMENTS
            self._configure()
            self._take_stream(clock)
        except psycopg.errors.InsufficientPrivilege as error:
            self.close()
            raise TargetUnfit(
                thing=f"session of {link.stream}",
                reason=f"its role may not switch off triggers and foreign keys, or not mark what it writes: "
                f"{target_reason(error)}",
                mend="GRANT SET ON PARAMETER session_replication_role, and EXECUTE on the pg_replication_origin "
                "functions, to the role (PostgreSQL 15 on), or use a superuser; `strangler doctor` lists it",
            ) from error
        except psycopg.Error as error:
            self.close()
            raise target_error(link.target_dsn, f"session of {link.stream}", error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def _configure(self) -> None:
        settings = {**_SETTINGS, "lock_timeout": f"{int(self._link.limits.lock_timeout_s * 1000)}ms"}
        calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
        self._connection.execute(f"SELECT {calls}".encode(), [text for pair in settings.items() for text in pair])

    def _take_stream(self, clock: Clock) -> None:
        """Be the only worker of the stream. A session that a killed worker left behind is given time to end."""
        deadline = clock.monotonic() + self._link.limits.takeover_s
        while not (self._lock_stream() and self._set_origin()):
            if clock.monotonic() >= deadline:
                raise StreamBusy(
                    thing=f"stream {self._link.stream}",
                    reason="another worker holds it",
                    mend="stop the other `strangler cdc stream` process; find it in strangler.stream_status.worker_pid",
                )
            clock.sleep(_TAKEOVER_POLL_S)

    def _lock_stream(self) -> bool:
        if not self._locked:
            row = self._connection.execute(
                "SELECT pg_try_advisory_lock(hashtextextended('strangler stream ' || %s, 0))", (self._link.stream,)
            ).fetchone()
            self._locked = bool(row and row[0])
        return self._locked

    def _set_origin(self) -> bool:
        self._connection.execute(
            "SELECT pg_replication_origin_create(name) FROM (VALUES (%s)) AS o (name)"
            " WHERE pg_replication_origin_oid(name) IS NULL",
            (self._link.stream,),
        )
        try:
            self._connection.execute("SELECT pg_replication_origin_session_setup(%s)", (self._link.stream,))
        except psycopg.errors.ObjectInUse:
            return False
        return True

    def load_position(self) -> Lsn:
        """The ledger. Raises `NotProvisioned` when the stream has none."""
        row = self._read("SELECT commit_lsn FROM strangler.stream_position WHERE stream = %s", (self._link.stream,))
        if row is None or row[0] is None:
            raise NotProvisioned(
                thing=f"stream {self._link.stream}",
                reason="has no row in strangler.stream_position of its target",
                mend="provision the move first: `strangler run` does it in its phase `prepared`",
            )
        return parse_lsn(str(row[0]))

    def load_copies(self) -> dict[TableName, TableCopying]:
        """Copies that have begun. A requested one has not."""
        with self.translated("strangler.copy_progress"):
            rows = self._connection.execute(
                "SELECT source_table, state, last_key FROM strangler.copy_progress"
                " WHERE stream = %s AND state IN ('copying', 'done')",
                (self._link.stream,),
            ).fetchall()
        names = {str(table): table for table in self._link.mapper.source_tables}
        return {names[str(name)]: _copying(state, cursor) for name, state, cursor in rows if str(name) in names}

    def batching(self, table: TableName) -> Batching:
        return self._target(table).batching

    def rules(self, table: TableName) -> TableRules:
        rules = self._rules.get(table)
        if rules is None:
            with self.translated(f"catalog of {table}"):
                rules = self._rules[table] = load_rules(self._connection, table)
        return rules

    def forget_tables(self) -> None:
        """Read target catalogs afresh: an error may come from a changed table."""
        self._tables.clear()
        self._rules.clear()
        self._queries.clear()

    def _target(self, table: TableName) -> TargetTable:
        target = self._tables.get(table)
        if target is None:
            target = self._tables[table] = load_target_table(self._connection, table)
        return target

    @contextmanager
    def translated(self, thing: str) -> Iterator[None]:
        """Driver errors inside become ours, as `cdc.target_port` names them."""
        try:
            yield
        except psycopg.Error as error:
            if is_away(error):
                raise target_error(self._link.target_dsn, thing, error) from error
            if is_transient(error):
                raise RaceLost(error.sqlstate or "") from error
            if is_row_level(error):
                raise RowRefused(target_reason(error), error.sqlstate or "") from error
            raise target_error(self._link.target_dsn, thing, error) from error

    @contextmanager
    def transaction(self, *, pipelined: bool) -> Iterator[None]:
        self._unchecked.clear()
        self._pipelined = pipelined
        with self.translated(f"a batch of {self._link.stream}"), begun(self._connection):
            yield
            self._check_deferrable()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        with self.translated(f"rows of {self._link.stream}"), self._connection.transaction():
            self._unchecked.clear()
            yield
            self._check_deferrable()

    def write(self, groups: Iterable[RowGroup]) -> None:
        with self.translated(f"rows of {self._link.stream}"):
            self._write(groups)

    def _write(self, groups: Iterable[RowGroup]) -> None:
        groups = list(groups)
        if self._pipelined and len(groups) > _FEW_GROUPS:
            with self._connection.pipeline():
                sent = self._send(groups)
        else:
            sent = self._send(groups)
        for group, cursor in sent:
            if group.must_match and cursor.rowcount != group.hits:
                raise RowsNotFound(group)

    def _send(self, groups: Sequence[RowGroup]) -> list[tuple[RowGroup, psycopg.Cursor[TupleRow]]]:
        sent = []
        for group in groups:
            target = self._target(group.table)
            if target.deferrable and group.kind not in ("delete", "truncate", "remove"):
                self._unchecked.setdefault((group.table, group.key), []).extend(keys_after(group))
            if group.kind in ("replace", "remove"):
                self._configure_locally(_WHOLE_ROW_SETTINGS)
            if self._is_large(group):
                self._write_staged(group)
            else:
                known = group.kind not in ("replace", "remove")
                query = self._query(group, target)
                sent.append((group, self._connection.execute(query, parameters_of(group), prepare=known)))
            if group.kind in ("replace", "remove"):
                self._configure_locally({name: _SETTINGS[name] for name in _WHOLE_ROW_SETTINGS})
        return sent

    def _query(self, group: RowGroup, target: TargetTable) -> bytes:
        if group.kind in ("replace", "remove"):
            # Its text depends on which values are NULL, too.
            return statement(group, target).encode()
        shape = (group.kind, group.table, group.key, group.columns)
        query = self._queries.get(shape)
        if query is None:
            query = self._queries[shape] = statement(group, target).encode()
        return query

    def _configure_locally(self, settings: Mapping[str, str]) -> None:
        """For the statements of this transaction that follow."""
        calls = ", ".join(["set_config(%s, %s, true)"] * len(settings))
        self._connection.execute(f"SELECT {calls}".encode(), [text for pair in settings.items() for text in pair])

    def _check_deferrable(self) -> None:
        """Deferrable constraints of the rows written since the last check: nothing else looks at them."""
        for (table, key), rows in self._unchecked.items():
            target = self._target(table)
            key = () if target.keyless else key
            parameters = [array_literal(column) for column in zip(*rows, strict=True)] if key else []
            for constraint in target.deferrable:
                query = conflicts_statement(target, key, constraint)
                if self._connection.execute(query.encode(), parameters).fetchone() is not None:
                    names = ", ".join(constraint.expressions)
                    said = "conflicting" if constraint.code == "23P01" else "the same"
                    raise RowRefused(f"another row of {table} has {said} values of ({names})", constraint.code)
        self._unchecked.clear()

    def _is_large(self, group: RowGroup) -> bool:
        """Too large for a second copy in parameters. Not asked in the pipeline, which knows no COPY."""
        if self._connection.pgconn.pipeline_status or not group.rows:
            return False
        return sum(len(value) for row in group.rows for value in row if value is not None) > _STAGE_CHARACTERS

    def _write_staged(self, group: RowGroup) -> None:
        """By way of a temporary table, into which the values are copied bit by bit."""
        ddl, query = staged_statement(group, self._target(group.table))
        self._connection.execute(ddl.encode())
        with self._connection.cursor() as cursor:
            with cursor.copy(f"COPY {STAGED} FROM STDIN".encode()) as copy:
                for row in group.rows:
                    for number, value in enumerate(row):
                        for part in copy_text(value):
                            copy.write(part)
                        copy.write("\t" if number < len(row) - 1 else "\n")
            cursor.execute(query.encode())
            hit = cursor.rowcount
            cursor.execute(f"DROP TABLE {STAGED}".encode())
        if group.must_match and hit != group.hits:
            raise RowsNotFound(group)

    @property
    def bulk(self) -> BulkTarget:
        return self

    def takes_copy_text(self, table: TableName) -> bool:
        return not self._target(table).deferrable

    def insert_copy_text(self, columns: BulkColumns, rows: CopyText, count: int) -> None:
        with self.translated(f"rows of {columns.table}"), self._connection.cursor() as cursor:
            with cursor.copy(copy_statement(columns, null=rows.null).encode()) as copy:
                copy.write(rows.text)
            if cursor.rowcount != count:
                raise RowRefused(f"{cursor.rowcount} of {count} rows were taken")

    def owner(self, *, lock: bool) -> str | None:
        if not self._ownership_exists:
            found = self._connection.execute("SELECT to_regclass('strangler.ownership') IS NOT NULL").fetchone()
            self._ownership_exists = bool(found and found[0])
        if not self._ownership_exists:
            return None
        row = self._connection.execute(
            b"SELECT owner FROM strangler.ownership WHERE move = %s" + (b" FOR SHARE" if lock else b""),
            (self._link.move,),
        ).fetchone()
        return str(row[0]) if row else None

    def is_empty(self, table: TableName) -> bool:
        row = self._connection.execute(f"SELECT NOT EXISTS (SELECT FROM {quote_table(table)})".encode(), ()).fetchone()
        return bool(row and row[0])

    def move_position(self, step: LedgerStep) -> None:
        with self.translated("strangler.stream_position"):
            self._move_position(step, _HAS_OWNERSHIP)

    def settle(self, step: LedgerStep, *, lock_owner: bool) -> str | None:
        with self.translated("strangler.stream_position"):
            if lock_owner and self._ownership_exists:
                said = self._move_position(step, _LOCKED_OWNER, self._link.move)
                return None if said is None else str(said)
            self._ownership_exists = bool(self._move_position(step, _HAS_OWNERSHIP))
        return self.owner(lock=True) if lock_owner and self._ownership_exists else None

    def _move_position(self, step: LedgerStep, returning: str, *parameters: str) -> object:
        """Returns what the expression `returning` says."""
        cursor = self._connection.execute(
            "UPDATE strangler.stream_position SET commit_lsn = %s, applied_at = clock_timestamp(),"
            " source_commit_time = CASE WHEN %s THEN source_commit_time"
            " ELSE to_timestamp(0) + %s * interval '1 microsecond' END,"
            " transactions = coalesce(transactions, 0) + %s, events = coalesce(events, 0) + %s"
            f" WHERE stream = %s AND commit_lsn = %s RETURNING {returning}".encode(),
            (
                format_lsn(step.position),
                step.source_time_us == 0,
                step.source_time_us,
                step.transactions,
                step.events,
                self._link.stream,
                format_lsn(step.previous),
                *parameters,
            ),
            prepare=True,
        )
        row = cursor.fetchone()
        if row is None:
            raise StreamBusy(
                thing=f"position of stream {self._link.stream}",
                reason=f"is no longer {format_lsn(step.previous)}, where this worker left it",
                mend="find who else writes strangler.stream_position, stop it, and start the worker again",
            )
        return row[0]

    def save_copy(self, table: TableName, copying: TableCopying, new_rows: int) -> None:
        """Progress of one table, in the same transaction as its rows."""
        self._connection.execute(
            "INSERT INTO strangler.copy_progress AS p (stream, source_table, state, last_key, rows, started_at)"
            " VALUES (%s, %s, %s, %s::jsonb, %s, clock_timestamp())"
            " ON CONFLICT (stream, source_table) DO UPDATE SET state = EXCLUDED.state, last_key = EXCLUDED.last_key,"
            " rows = coalesce(p.rows, 0) + EXCLUDED.rows, started_at = coalesce(p.started_at, EXCLUDED.started_at),"
            " finished_at = CASE WHEN EXCLUDED.state = 'done' THEN clock_timestamp() END",
            (self._link.stream, str(table), copying.state, json.dumps(copying.cursor.as_json()), new_rows),
        )

    def read_row(
        self, table: TableName, key: Mapping[str, str | None], columns: Sequence[str]
    ) -> Mapping[str, str | None] | None:
        with self.translated(f"row of {table}"):
            query = read_row_statement(self._target(table), tuple(key), columns)
            row = self._connection.execute(
                query.encode(), [array_literal([value]) for value in key.values()]
            ).fetchone()
        if row is None:
            return None
        return {name: None if value is None else str(value) for name, value in zip(columns, row, strict=True)}

    def _read(self, query: str, parameters: Sequence[Any]) -> TupleRow | None:
        try:
            return self._connection.execute(query.encode(), parameters).fetchone()
        except psycopg.errors.UndefinedTable:
            return None
        except psycopg.Error as error:
            raise target_error(self._link.target_dsn, "strangler schema", error) from error


def _copying(state: object, cursor: object) -> TableCopying:
    read = cursor_from_json(cursor) if isinstance(cursor, dict) else CopyCursor()
    return TableCopying(state="done" if state == "done" else "copying", cursor=read)
