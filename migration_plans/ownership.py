"""Who may write the moved tables: a row with an epoch in *both* databases, and a trigger fence that enforces it.

The fence is a statement trigger that always refuses, and that is *disabled* while the side owns the tables. Raising it
is `LOCK TABLE … SHARE ROW EXCLUSIVE` (waits for every in-flight writer, lets readers pass) plus `ALTER TABLE … ENABLE
TRIGGER`, in one transaction with the ownership row. Trigger state is read from the catalog, not through the writer's
snapshot, so a REPEATABLE READ transaction that began before the fence cannot slip under it, as it could if the trigger
looked the owner up in a table (C2). Stream appliers run with `session_replication_role = replica` and pass.

Transfer: the giving side's row is written first (epoch + 1, naming the taker), then the taking side's. The first commit
is the point of no return; whoever reads both rows later believes the higher epoch.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migration_plans.errors import FenceTimeout, OwnershipAmbiguous, OwnershipMoved
from migration_plans.ports import Side
from strangler.errors import Unreachable
from strangler.redaction import redact

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS strangler;
CREATE TABLE IF NOT EXISTS strangler.ownership (
    move text PRIMARY KEY,
    owner text NOT NULL CHECK (owner IN ('legacy', 'service')),
    epoch bigint NOT NULL,
    fenced boolean NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE OR REPLACE FUNCTION strangler.refuse_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table "%.%" is not owned by this database: move "%" keeps its writes on the other side',
        TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'read_only_sql_transaction',
              HINT = 'Send the write through the router, or see: strangler status ' || TG_ARGV[0];
END $$;
"""

_FENCES = ("strangler_fence", "strangler_fence_truncate")

_LOWER_TIMEOUT_S = 10.0
"""Lowering waits only for appliers and maintenance; longer than this means that something is stuck."""

_PATIENT_LOCK_S = 0.1
_PATIENT_ATTEMPTS = 150


@dataclass(frozen=True, kw_only=True, slots=True)
class Ownership:
    """One database's row: who owns, since which epoch, and whether writes are refused *here*."""

    owner: Side
    epoch: int
    fenced: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnershipPair:
    """Both databases' rows. After a crash in a transfer they differ; the higher epoch is the truth."""

    legacy: Ownership
    service: Ownership

    @property
    def owner(self) -> Side:
        return self._newest.owner

    @property
    def epoch(self) -> int:
        return self._newest.epoch

    @property
    def settled(self) -> bool:
        """Both rows agree, exactly the owner is open."""
        return (
            (self.legacy.owner, self.legacy.epoch) == (self.service.owner, self.service.epoch)
            and self.of(self.owner).fenced is False
            and self.of("service" if self.owner == "legacy" else "legacy").fenced is True
        )

    def of(self, side: Side) -> Ownership:
        return self.legacy if side == "legacy" else self.service

    @property
    def _newest(self) -> Ownership:
        if self.legacy.epoch == self.service.epoch and self.legacy.owner != self.service.owner:
            raise OwnershipAmbiguous(
                thing=f"epoch {self.legacy.epoch}",
                reason=f"legacy says {self.legacy.owner}, service says {self.service.owner}",
                mend="find out which side took writes last, then correct strangler.ownership in the other database",
            )
        return self.legacy if self.legacy.epoch >= self.service.epoch else self.service


class OwnershipLedger:
    """The ownership row and the fence of one move in one database. Keeps one connection open."""

    def __init__(self, *, side: Side, dsn: str, move: str, tables: Sequence[str]) -> None:
        self.side: Side = side
        self._dsn = dsn
        self._move = move
        self._tables = tuple(sorted(tables))
        self._connection: psycopg.Connection | None = None

    def connect(self) -> None:
        """Open the connection now, so that it costs nothing inside the cutover window."""
        with self._session():
            pass

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def install(self, *, owner: Side) -> None:
        """Create row and fence. The fence starts raised on the side that does not own. Keeps an existing row."""
        with self._session() as connection:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(hashtext('strangler.ownership'))")
                connection.execute(_SCHEMA)
                connection.execute(
                    "INSERT INTO strangler.ownership (move, owner, epoch, fenced) VALUES (%s, %s, 1, %s)"
                    " ON CONFLICT (move) DO NOTHING",
                    (self._move, owner, owner != self.side),
                )
            for table in self._with_partitions(connection):
                self._patiently(connection, table, self._create_triggers)
            row = self.read()
            if row is not None and row.fenced:
                for table in self._with_partitions(connection):
                    self._patiently(connection, table, self._enable)

    def uninstall(self) -> None:
        """Drop fence and row; the tables themselves are left as they are."""
        with self._session() as connection:
            if connection.execute("SELECT to_regclass('strangler.ownership')").fetchone() == (None,):
                return
            for table in self._with_partitions(connection):
                self._patiently(connection, table, self._drop_triggers)
        with self._session() as connection, connection.transaction():
            connection.execute("DELETE FROM strangler.ownership WHERE move = %s", (self._move,))
            if connection.execute("SELECT FROM strangler.ownership LIMIT 1").fetchone() is None:
                connection.execute("DROP TABLE strangler.ownership; DROP FUNCTION strangler.refuse_write()")
                with contextlib.suppress(psycopg.errors.DependentObjectsStillExist), connection.transaction():
                    connection.execute("DROP SCHEMA strangler")

    def read(self) -> Ownership | None:
        """The row, or None before `install`."""
        with self._session() as connection:
            if connection.execute("SELECT to_regclass('strangler.ownership')").fetchone() == (None,):
                return None
            row = connection.execute(
                "SELECT owner, epoch, fenced FROM strangler.ownership WHERE move = %s", (self._move,)
            ).fetchone()
        return None if row is None else Ownership(owner=row[0], epoch=row[1], fenced=row[2])

    def raise_fence(self, *, epoch: int, lock_timeout_s: float) -> None:
        """Refuse application writes from now on; on return no earlier writer is still in flight.

        Raises `FenceTimeout` (naming the blocking sessions) when an open transaction holds on, `OwnershipMoved` when
        the epoch is not `epoch` any more. In both cases nothing has changed.
        """

        def fence(connection: psycopg.Connection) -> None:
            self._expect(connection, epoch)
            tables = sql.SQL(", ").join(_identifier(table) for table in self._tables)
            # Partitions too: LOCK TABLE descends to them.
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(tables))
            for table in self._with_partitions(connection):
                self._create_triggers(connection, table)
                self._enable(connection, table)
            self._write(connection, "fenced = true")

        self._under_lock(fence, lock_timeout_s)

    def try_lock(self, *, lock_timeout_s: float) -> None:
        """Raise `FenceTimeout` if the fence could not be moved now, naming who is in the way. Changes nothing.

        Table by table, each for a moment: the stream is writing them.
        """

        def lock(connection: psycopg.Connection, table: str) -> None:
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(_identifier(table)))

        attempts = max(2, round(lock_timeout_s / _PATIENT_LOCK_S))
        with self._session() as connection:
            for table in self._with_partitions(connection):
                self._patiently(connection, table, lock, attempts=attempts)

    def lower_fence(self, *, epoch: int) -> None:
        """Accept application writes again, if this side owns at `epoch`. Raises `FenceTimeout` as `raise_fence`."""

        def lower(connection: psycopg.Connection) -> None:
            self._expect(connection, epoch, owner=self.side)
            self._disable(connection)
            self._write(connection, "fenced = false")

        self._under_lock(lower, _LOWER_TIMEOUT_S)

    def give_up(self, *, to: Side, epoch: int) -> None:
        """The point of no return: this side's row now names the taker at `epoch` + 1. The fence stays raised."""
        with self._session() as connection, connection.transaction():
            self._expect(connection, epoch, owner=self.side, fenced=True)
            self._write(connection, "owner = %s, epoch = epoch + 1", to)

    def take_up(self, *, epoch: int) -> None:
        """This side owns at `epoch` and accepts writes. A no-op when it already does; `FenceTimeout` if held up."""

        def take(connection: psycopg.Connection) -> None:
            row = connection.execute(
                "SELECT owner, epoch, fenced FROM strangler.ownership WHERE move = %s FOR UPDATE", (self._move,)
            ).fetchone()
            if row == (self.side, epoch, False):
                return
            if row is None or row[1] > epoch or (row[1] == epoch and row[0] != self.side):
                raise self._moved(row, epoch)
            self._disable(connection)
            self._write(connection, "owner = %s, epoch = %s, fenced = false", self.side, epoch)

        self._under_lock(take, _LOWER_TIMEOUT_S)

    def open_writers(self) -> str:
        """Who has written to the moved tables and not ended yet, for how long, and what they wait for, in words."""
        with self._session() as connection:
            return self._blockers(connection) or "no open transaction has written to the moved tables"

    def longest_writer_s(self) -> float:
        """Age in seconds of the oldest open transaction that has written to a moved table; 0 when none has."""
        with self._session() as connection:
            row = connection.execute(
                "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)), 0)::float8"
                " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " WHERE l.relation = ANY(%s::regclass[]) AND l.mode = 'RowExclusiveLock' AND l.granted"
                " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                ([_quoted(table) for table in self._tables],),
            ).fetchone()
        return float(row[0]) if row else 0.0

    def _enable(self, connection: psycopg.Connection, table: str) -> None:
        for name in _FENCES:
            connection.execute(
                sql.SQL("ALTER TABLE {} ENABLE TRIGGER {}").format(_identifier(table), sql.Identifier(name))
            )

    def _disable(self, connection: psycopg.Connection) -> None:
        """On every table that has the fence: a partition attached since has none yet."""
        rows = connection.execute(
            "SELECT n.nspname || '.' || c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE t.tgname = ANY(%s) AND t.tgrelid = ANY(%s::regclass[]) AND t.tgenabled <> 'D' ORDER BY 1, 2",
            (list(_FENCES), [_quoted(table) for table in self._with_partitions(connection)]),
        ).fetchall()
        for table, name in rows:
            connection.execute(
                sql.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(_identifier(table), sql.Identifier(name))
            )

    def _drop_triggers(self, connection: psycopg.Connection, table: str) -> None:
        for name in _FENCES:
            connection.execute(
                sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(name), _identifier(table))
            )

    def _under_lock(self, change: Callable[[psycopg.Connection], None], lock_timeout_s: float) -> None:
        """One transaction for all tables. A deadlock with a writer is tried again until the time is up."""
        deadline = time.monotonic() + lock_timeout_s
        with self._session() as connection:
            while True:
                try:
                    with connection.transaction():
                        self._set_lock_timeout(connection, max(0.001, deadline - time.monotonic()))
                        change(connection)
                    return
                except psycopg.errors.LockNotAvailable:
                    raise self._held_up(connection, lock_timeout_s) from None
                except psycopg.errors.DeadlockDetected:
                    if time.monotonic() >= deadline:
                        raise self._held_up(connection, lock_timeout_s) from None

    def _patiently(
        self,
        connection: psycopg.Connection,
        table: str,
        change: Callable[[psycopg.Connection, str], None],
        attempts: int = _PATIENT_ATTEMPTS,
    ) -> None:
        """One short transaction per table, that gives way again and again rather than make clients queue behind it."""
        for attempt in range(attempts):
            try:
                with connection.transaction():
                    self._set_lock_timeout(connection, _PATIENT_LOCK_S)
                    change(connection, table)
                return
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                if attempt == attempts - 1:
                    raise self._held_up(connection, attempts * _PATIENT_LOCK_S) from None
                time.sleep(_PATIENT_LOCK_S / 2)

    def _held_up(self, connection: psycopg.Connection, waited_s: float) -> FenceTimeout:
        return FenceTimeout(
            thing=f"fence on {self.side} ({', '.join(self._tables)})",
            reason=f"not granted within {waited_s:g} s; held by {self._blockers(connection) or 'a session now gone'}",
            mend="end these sessions or wait for them, then run the command again",
        )

    def _create_triggers(self, connection: psycopg.Connection, table: str) -> None:
        for name, operations in zip(_FENCES, ("INSERT OR UPDATE OR DELETE", "TRUNCATE"), strict=True):
            exists = connection.execute(
                "SELECT 1 FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = %s", (_quoted(table), name)
            ).fetchone()
            if exists:
                continue
            connection.execute(
                sql.SQL(
                    "CREATE TRIGGER {} BEFORE {} ON {} FOR EACH STATEMENT EXECUTE FUNCTION strangler.refuse_write({})"
                ).format(sql.Identifier(name), sql.SQL(operations), _identifier(table), sql.Literal(self._move))
            )
            connection.execute(
                sql.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(_identifier(table), sql.Identifier(name))
            )

    def _with_partitions(self, connection: psycopg.Connection) -> list[str]:
        """The tables and all their partitions: a statement trigger fires only for the table that is named."""
        rows = connection.execute(
            "SELECT DISTINCT n.nspname || '.' || c.relname FROM unnest(%s::regclass[]) AS moved,"
            " LATERAL (SELECT moved AS relid UNION SELECT relid FROM pg_partition_tree(moved)) AS tree"
            " JOIN pg_class c ON c.oid = tree.relid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1",
            ([_quoted(table) for table in self._tables],),
        ).fetchall()
        return [row[0] for row in rows]

    def _expect(
        self, connection: psycopg.Connection, epoch: int, *, owner: Side | None = None, fenced: bool | None = None
    ) -> None:
        row = connection.execute(
            "SELECT owner, epoch, fenced FROM strangler.ownership WHERE move = %s FOR UPDATE", (self._move,)
        ).fetchone()
        wrong = row is None or row[1] != epoch or (owner is not None and row[0] != owner)
        if wrong or (fenced is not None and row is not None and row[2] != fenced):
            raise self._moved(row, epoch)

    def _moved(self, row: tuple[object, ...] | None, epoch: int) -> OwnershipMoved:
        return OwnershipMoved(
            thing=f"ownership of {self._move} in the {self.side} database",
            reason=f"expected epoch {epoch}, found (owner, epoch, fenced) = {row}",
            mend="another runner has acted; look at `strangler status` before going on",
        )

    def _write(self, connection: psycopg.Connection, assignments: str, *values: object) -> None:
        connection.execute(
            f"UPDATE strangler.ownership SET {assignments}, changed_at = clock_timestamp() WHERE move = %s".encode(),
            (*values, self._move),
        )

    def _set_lock_timeout(self, connection: psycopg.Connection, lock_timeout_s: float) -> None:
        connection.execute(
            "SELECT set_config('lock_timeout', %s, true)", (f"{max(1, round(lock_timeout_s * 1000))}ms",)
        )
        # An autovacuum on the table yields only after deadlock_timeout (1 s by default); where we may, ask sooner.
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("SET LOCAL deadlock_timeout = '20ms'")

    def _blockers(self, connection: psycopg.Connection) -> str:
        rows = connection.execute(
            "SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), a.state,"
            " round(extract(epoch FROM clock_timestamp() - a.xact_start)::numeric, 1),"
            " coalesce(a.wait_event_type || ':' || a.wait_event, 'nothing')"
            " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.relation = ANY(%s::regclass[]) AND l.granted AND a.pid <> pg_backend_pid()"
            " AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') LIMIT 5",
            ([_quoted(table) for table in self._tables],),
        ).fetchall()
        return "; ".join(
            f"pid {pid} ({name}, {state}, open for {seconds} s, waits for {event})"
            for pid, name, state, seconds, event in rows
        )

    @contextlib.contextmanager
    def _session(self) -> Iterator[psycopg.Connection]:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(
                    self._dsn, autocommit=True, connect_timeout=5, application_name="strangler runner"
                )
            yield self._connection
        except psycopg.OperationalError as error:
            if isinstance(error, (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)):
                raise
            raise Unreachable(
                thing=f"{self.side} database",
                reason=redact(str(error)).strip().splitlines()[0],
                mend="check that it runs and that strangler.toml has its URL, then run the command again",
            ) from error


def _identifier(table: str) -> sql.Identifier:
    schema, _, name = table.rpartition(".")
    return sql.Identifier(schema or "public", name)


def _quoted(table: str) -> str:
    schema, _, name = table.rpartition(".")
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema or "public", name))
