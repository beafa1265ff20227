"""`migration_plans.ports.Streams` over `cdc`, for one plan."""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from cdc import canary, copy_requests, positions
from cdc.connections import open_database
from cdc.errors import DatabaseUnreachable, NotProvisioned, SlotInUse, StreamBusy
from cdc.lag import StreamLag, read_lag
from cdc.link import Direction
from cdc.lsn import before_boundary, format_lsn, parse_lsn
from cdc.parking.requests import parked_reason
from cdc.provision import deprovision_source, deprovision_target, provision_source, provision_target
from cdc.sequences import SequencePair, push_sequences, sequence_pairs
from cdc.sessions import Connection, connect, source_error
from cdc.tables import schema_hash
from cdc.target_reset import empty_copied_tables
from commands.move_links import DIRECTIONS, MoveLinks
from commands.preflight import preflight_problems
from commands.verification import MoveVerification
from migration_plans.plan import Plan
from migration_plans.ports import CopySeen, LagSeen, Proof, Side
from strangler.clock import Clock
from strangler.settings import Settings

SIDES: tuple[Side, Side] = ("legacy", "service")
_LET_GO_S = 30.0
_OWNER = "SELECT owner, epoch FROM strangler.ownership WHERE move = %s"


class MoveStreams(MoveLinks):
    """Both directions of one move. A context manager; connections open when first needed."""

    def __init__(self, settings: Settings, plan: Plan, clock: Clock) -> None:
        super().__init__(settings, plan)
        self._clock = clock
        self._connections: dict[Side, Connection] = {}
        self.verification = MoveVerification(
            self,
            clock,
            catch_up=self._catch_up,
            position=lambda direction: self.position("legacy" if direction == "forward" else "service"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._drop_connections()
        self.verification.close()

    def wanted(self) -> bool:
        """Whether a worker has something to run: provisioned, and not about to be deprovisioned."""
        if self._off.exists():
            return False
        try:
            for direction in DIRECTIONS:
                positions.applied_position(self.ends(direction).target_dsn, self.stream(direction))
        except (NotProvisioned, DatabaseUnreachable):
            return False
        return True

    @property
    def _off(self) -> Path:
        """Tells the worker to let go of its slots."""
        return self.layout.move(self.plan.move) / "streams-off"

    def stream_lag(self, direction: Direction) -> StreamLag:
        ends = self.ends(direction)
        return read_lag(ends.source_dsn, ends.target_dsn, self.stream(direction))

    @cached_property
    def sequence_pairs(self) -> tuple[SequencePair, ...]:
        """Found once: reflecting both schemas has no place inside the hold of a cutover."""
        legacy, service = self.schemas()
        return sequence_pairs(self.mapping, legacy, service)

    def preflight(self) -> Sequence[tuple[str, str, str]]:
        return preflight_problems(self.settings, self.plan)

    def provision(self) -> None:
        for direction in DIRECTIONS:
            ends, stream = self.ends(direction), self.stream(direction)
            provision_target(ends.target_dsn, stream)
            position = provision_source(
                ends.source_dsn,
                stream,
                ends.mapping.source_tables,
                failover=self.settings.stream.failover_slots,
            )
            positions.start_ledger(ends.target_dsn, stream, position)
            self.schema(direction).remember()
        self._off.unlink(missing_ok=True)

    def deprovision(self, *, empty_target: bool) -> None:
        self._off.parent.mkdir(parents=True, exist_ok=True)
        self._off.touch()
        for direction in DIRECTIONS:
            ends, stream = self.ends(direction), self.stream(direction)
            self._once_let_go(partial(deprovision_source, ends.source_dsn, stream))
        if empty_target:
            stream, tables = self.stream("forward"), self.mapping.target_tables
            self._once_let_go(partial(empty_copied_tables, self._dsn["service"], stream, tables))
        for direction in DIRECTIONS:
            ends, stream = self.ends(direction), self.stream(direction)
            self._once_let_go(partial(deprovision_target, ends.target_dsn, stream))
            self.change_logs.remove(self.plan.move, direction)

    def _once_let_go(self, drop: Callable[[], object]) -> None:
        """The worker lets go within a moment; one that does not is somebody else's, and the error names it."""
        deadline = self._clock.monotonic() + _LET_GO_S
        while True:
            try:
                drop()
                return
            except (SlotInUse, StreamBusy):
                if self._clock.monotonic() > deadline:
                    raise
                self._clock.sleep(0.1)

    def request_copy(self) -> None:
        copy_requests.request_copy(self._dsn["service"], self.stream("forward"), self.mapping.source_tables)

    def copy_progress(self) -> CopySeen:
        tables = copy_requests.copy_progress(self._dsn["service"], self.stream("forward"))
        started = [table.started_at for table in tables if table.started_at is not None]
        finished = [table.finished_at for table in tables if table.finished_at is not None]
        seconds = (max(finished) - min(started)).total_seconds() if started and finished else 0.0
        return CopySeen(
            rows=sum(table.rows for table in tables),
            tables_done=len(finished),
            tables=len(tables),
            seconds=seconds,
        )

    def lag(self, direction: Direction) -> LagSeen:
        seen = self.stream_lag(direction)
        return LagSeen(
            direction=direction,
            state=seen.state,
            seconds=seen.seconds,
            bytes=seen.bytes,
            events=seen.events,
            error=f"{seen.error['thing']}: {seen.error['reason']}" if seen.error else self._parked(direction),
        )

    def _parked(self, direction: Direction) -> str | None:
        """Promise 6: while a row is parked nothing may rely on the stream."""
        return parked_reason(self.target_dsn(direction), self.stream(direction))

    def position(self, side: Side) -> str:
        with open_database(self._dsn[side]) as connection:
            row = connection.execute("SELECT pg_current_wal_insert_lsn()::text AS at").fetchone()
        assert row is not None
        return format_lsn(before_boundary(parse_lsn(str(row["at"]))))

    def emit_barrier(self, direction: Direction) -> str:
        return format_lsn(
            positions.emit_barrier(self.ends(direction).source_dsn, self.stream(direction), self.plan.move)
        )

    def wait_applied(self, direction: Direction, position: str, timeout_s: float) -> float:
        return positions.wait_applied(
            self.ends(direction).target_dsn, self.stream(direction), parse_lsn(position), timeout_s, self._clock
        )

    def exercise(self, direction: Direction, timeout_s: float) -> float:
        ends, stream = self.ends(direction), self.stream(direction)
        seconds = canary.exercise(ends.source_dsn, ends.target_dsn, stream, timeout_s, clock=self._clock)
        self.verification.warm(direction)
        return seconds

    def push_sequences(self, owner: Side) -> None:
        pairs = self.sequence_pairs
        other_side: Side = "service" if owner == "legacy" else "legacy"
        chosen = pairs if owner == "legacy" else tuple(pair.swapped() for pair in pairs)
        owning, following = self._kept_connection(owner), self._kept_connection(other_side)
        push_sequences(owning, following, chosen, self.settings.stream.sequence_headroom)

    def keep_sequences_ahead(self) -> None:
        """For the worker, every second: push the sequences of the side that does not own, if anybody owns yet.

        Raises what `push_sequences` raises; the next call begins afresh.
        """
        try:
            if (owner := self._owner()) is not None:
                self.push_sequences(owner)
        except BaseException:
            self._drop_connections()
            raise

    def _owner(self) -> Side | None:
        """As the newer of both rows says; None before ownership is installed."""
        rows: list[tuple[int, Side]] = []
        for side in SIDES:
            try:
                row = self._kept_connection(side).execute(_OWNER, (self.move,)).fetchone()
            except psycopg.errors.UndefinedTable:
                return None
            except psycopg.Error as error:
                raise source_error(self.dsn(side), "strangler.ownership", error) from error
            if row is not None:
                rows.append((int(str(row[1])), "service" if row[0] == "service" else "legacy"))
        return max(rows)[1] if rows else None

    def _kept_connection(self, side: Side) -> Connection:
        """Open from the first use on: connecting has no place inside a cutover's hold either."""
        known = self._connections.get(side)
        if known is None or known.closed:
            known = self._connections[side] = connect(self._dsn[side], "strangler runner")
        return known

    def schema_hash(self) -> str:
        return schema_hash(*self.schemas())

    def _drop_connections(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _catch_up(self, direction: Direction) -> None:
        self.wait_applied(direction, self.emit_barrier(direction), self.plan.cutover.catch_up_timeout_s)

    def verify(self, direction: Direction) -> Proof:
        return self.verification.verify(direction)

    def verify_changed(self, direction: Direction, since: str) -> Proof:
        return self.verification.verify_changed(direction, since)
