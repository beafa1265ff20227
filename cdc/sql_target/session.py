"""`ApplyTarget` over SQLAlchemy: one connection that alone may write a stream's rows and its position."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cdc.apply_batch import Batching, RowGroup
from cdc.copy_tracker import CopyCursor, TableCopying, cursor_from_json
from cdc.errors import NotProvisioned, StreamBusy, TargetUnfit
from cdc.events import TableName
from cdc.link import LinkSpec
from cdc.lsn import Lsn, format_lsn, parse_lsn
from cdc.parking.model import TableRules
from cdc.sql_target.bookkeeping import COPY_PROGRESS, OWNERSHIP, STREAM_POSITION
from cdc.sql_target.catalog import load_table
from cdc.sql_target.claim import StreamClaim
from cdc.sql_target.engine import dialect_of, open_engine, settled, target_url, translated
from cdc.sql_target.fitness import table_problems
from cdc.sql_target.parked import SqlParkedStore
from cdc.sql_target.reading import text_of
from cdc.sql_target.statements import TableStatements
from cdc.sql_target.writing import RowWriter
from cdc.target_port import LedgerStep
from strangler.clock import Clock

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - moments in these tables are UTC without a zone


class SqlApplySession:
    """One thread uses it. Raises `StreamBusy`, `DatabaseUnreachable`, `TargetUnfit` when it cannot be opened."""

    def __init__(self, link: LinkSpec, clock: Clock) -> None:
        self._link, self._clock = link, clock
        self._dsn = link.target_dsn
        self._dialect = dialect_of(target_url(self._dsn))
        self._engine = open_engine(self._dsn, lock_timeout_s=link.limits.lock_timeout_s, applies=True)
        self._tables: dict[TableName, TableStatements] = {}
        self._ownership_exists = False
        with settled(self._dsn, f"session of {link.stream}"):
            self._connection: Connection = self._engine.connect()
        self._claim = StreamClaim(self._connection, self._dialect, self._dsn, link.stream)
        try:
            with settled(self._dsn, f"session of {link.stream}"):
                self._claim.take(clock, link.limits.takeover_s)
                self._writer = RowWriter(self._connection, self._dialect, self._statements, self._largest())
        except BaseException:
            self.close()
            raise
        self.parked = SqlParkedStore(self._connection, link.stream, self._work)

    def close(self) -> None:
        """Also after the connection was lost, and again."""
        try:
            if not self._connection.closed:
                self._connection.invalidate()
                self._connection.close()
        finally:
            self._claim.release()
            self._engine.dispose()

    def _largest(self) -> int | None:
        if self._dialect != "mysql":
            return None
        with self._connection.begin():
            return int(self._connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one())

    @contextmanager
    def _work(self, thing: str) -> Iterator[Connection]:
        """The connection, inside the transaction that is open, or in one of its own."""
        opened: AbstractContextManager[Any] = nullcontext()
        with translated(self._dsn, thing):
            if not self._connection.in_transaction():
                opened = self._connection.begin()
            with opened:
                yield self._connection

    def load_position(self) -> Lsn:
        with settled(self._dsn, STREAM_POSITION.name), self._work(STREAM_POSITION.name) as connection:
            row = None
            if sa.inspect(connection).has_table(STREAM_POSITION.name):
                row = connection.execute(
                    sa.select(STREAM_POSITION.c.commit_lsn).where(STREAM_POSITION.c.stream == self._link.stream)
                ).first()
        if row is None:
            raise NotProvisioned(
                thing=f"stream {self._link.stream}",
                reason=f"has no row in {STREAM_POSITION.name} of its target",
                mend="provision the move first: `strangler run` does it in its phase `prepared`",
            )
        self._refuse_unfit()
        return parse_lsn(str(row[0]))

    def _refuse_unfit(self) -> None:
        """Everything that cannot be carried exactly is said before the first row, not at it."""
        problems = []
        with settled(self._dsn, "catalog"), self._work("catalog"):
            for table in self._link.mapper.target_tables:
                problems += table_problems(self._statements(table).table, self._dialect)
        if problems:
            first, more = problems[0], f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise TargetUnfit(thing=first.thing, reason=first.reason + more, mend=first.mend)

    def load_copies(self) -> Mapping[TableName, TableCopying]:
        with settled(self._dsn, COPY_PROGRESS.name), self._work(COPY_PROGRESS.name) as connection:
            rows = connection.execute(
                sa.select(COPY_PROGRESS.c.source_table, COPY_PROGRESS.c.state, COPY_PROGRESS.c.last_key).where(
                    COPY_PROGRESS.c.stream == self._link.stream, COPY_PROGRESS.c.state.in_(["copying", "done"])
                )
            ).all()
        names = {str(table): table for table in self._link.mapper.source_tables}
        return {names[name]: _copying(state, cursor) for name, state, cursor in rows if name in names}

    def batching(self, table: TableName) -> Batching:
        return self._statements(table).table.batching

    def rules(self, table: TableName) -> TableRules:
        return self._statements(table).table.rules

    def forget_tables(self) -> None:
        self._tables.clear()

    def _statements(self, table: TableName) -> TableStatements:
        known = self._tables.get(table)
        if known is None:
            with self._work(f"catalog of {table}") as connection:
                found = load_table(connection, table, self._dialect, self._link.value_types.get(table))
            known = self._tables[table] = TableStatements(found, self._dialect, self._engine.dialect)
        return known

    @contextmanager
    def transaction(self, *, pipelined: bool) -> Iterator[None]:
        """`pipelined` changes nothing here: every answer is read at once."""
        with translated(self._dsn, f"a batch of {self._link.stream}"), self._connection.begin():
            yield

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        with translated(self._dsn, f"a batch of {self._link.stream}"), self._connection.begin_nested():
            yield

    def write(self, groups: Iterable[RowGroup]) -> None:
        with translated(self._dsn, f"rows of {self._link.stream}"):
            self._writer.write(groups)

    @property
    def bulk(self) -> None:
        """Rows go group by group."""
        return None

    def read_row(
        self, table: TableName, key: Mapping[str, str | None], columns: Sequence[str]
    ) -> Mapping[str, str | None] | None:
        statements = self._statements(table)
        wanted = statements.select(tuple(key), columns)
        with self._work(f"row of {table}") as connection:
            bound = wanted.parameters(statements.convert(tuple(key), tuple(key.values())))
            row = connection.exec_driver_sql(wanted.text, bound).first()
        if row is None:
            return None
        found = statements.table
        return {
            name: text_of(value, found.column(name), found.known_types.get(name))
            for name, value in zip(columns, row, strict=True)
        }

    def owner(self, *, lock: bool) -> str | None:
        with self._work(OWNERSHIP.name) as connection:
            if not self._ownership_exists:
                self._ownership_exists = sa.inspect(connection).has_table(OWNERSHIP.name)
            if not self._ownership_exists:
                return None
            query = sa.select(OWNERSHIP.c.owner).where(OWNERSHIP.c.move == self._link.move)
            if lock and self._dialect != "sqlite":
                query = query.with_for_update(read=True)
            row = connection.execute(query).first()
        return str(row[0]) if row else None

    def is_empty(self, table: TableName) -> bool:
        with self._work(str(table)) as connection:
            return not connection.exec_driver_sql(self._statements(table).exists().text).scalar_one()

    def settle(self, step: LedgerStep, *, lock_owner: bool) -> str | None:
        owner = self.owner(lock=True) if lock_owner else None
        self.move_position(step)
        return owner

    def move_position(self, step: LedgerStep) -> None:
        if self._connection.in_transaction():
            self._move_position(step)
            return
        with settled(self._dsn, STREAM_POSITION.name):
            self._move_position(step)

    def _move_position(self, step: LedgerStep) -> None:
        ledger = STREAM_POSITION.c
        values: dict[Any, Any] = {
            ledger.commit_lsn: format_lsn(step.position),
            ledger.applied_at: self._now(),
            ledger.transactions: ledger.transactions + step.transactions,
            ledger.events: ledger.events + step.events,
        }
        if step.source_time_us:
            values[ledger.source_commit_time] = _EPOCH + timedelta(microseconds=step.source_time_us)
        with self._work(STREAM_POSITION.name) as connection:
            moved = connection.execute(
                sa.update(STREAM_POSITION)
                .values(values)
                .where(ledger.stream == self._link.stream, ledger.commit_lsn == format_lsn(step.previous))
            )
            if moved.rowcount != 1:
                raise StreamBusy(
                    thing=f"position of stream {self._link.stream}",
                    reason=f"is no longer {format_lsn(step.previous)}, where this worker left it",
                    mend=f"find who else writes {STREAM_POSITION.name}, stop it, and start the worker again",
                )

    def save_copy(self, table: TableName, copying: TableCopying, new_rows: int) -> None:
        progress = COPY_PROGRESS.c
        of_table = (progress.stream == self._link.stream, progress.source_table == str(table))
        now, done = self._now(), copying.state == "done"
        values: dict[Any, Any] = {
            progress.state: copying.state,
            progress.last_key: json.dumps(copying.cursor.as_json()),
            progress.finished_at: now if done else None,
        }
        with self._work(COPY_PROGRESS.name) as connection:
            changed = values | {
                progress.rows: progress.rows + new_rows,
                progress.started_at: sa.func.coalesce(progress.started_at, now),
            }
            if connection.execute(sa.update(COPY_PROGRESS).values(changed).where(*of_table)).rowcount:
                return
            fresh = values | {
                progress.stream: self._link.stream,
                progress.source_table: str(table),
                progress.rows: new_rows,
                progress.started_at: now,
            }
            connection.execute(sa.insert(COPY_PROGRESS).values({column.name: value for column, value in fresh.items()}))

    def _now(self) -> datetime:
        return self._clock.now().replace(tzinfo=None)


def _copying(state: str, cursor: str | None) -> TableCopying:
    read = cursor_from_json(json.loads(cursor)) if cursor else CopyCursor()
    return TableCopying(state="done" if state == "done" else "copying", cursor=read)
