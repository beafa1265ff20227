"""`migration_plans.ports.Streams` over `cdc`, for one plan."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self

from cdc import canary, copy_requests, positions
from cdc.changelog.port import ChangeLog
from cdc.connections import open_database
from cdc.errors import DatabaseUnreachable, NotProvisioned, SchemaChanged, SlotInUse, StreamBusy
from cdc.events import TableName
from cdc.lag import StreamLag, read_lag
from cdc.link import Direction, LinkLimits, LinkSpec, stream_name
from cdc.lsn import Lsn, before_boundary, format_lsn, parse_lsn
from cdc.mapping.compiled import CompiledMapping
from cdc.mapping.model import MoveMapping
from cdc.parking.requests import demand_nothing_parked, parked_reason
from cdc.provision import deprovision_source, deprovision_target, provision_source, provision_target
from cdc.schema import reflect
from cdc.schema_changes.evolution import StreamSchema
from cdc.schema_changes.policy import policy_of
from cdc.schema_changes.watch import WatchedSchema
from cdc.sequences import SequencePair, push_sequences, sequence_pairs
from cdc.sessions import Connection, connect
from cdc.tables import Schema, schema_hash
from cdc.target_reset import empty_copied_tables
from cdc.verify import Verdict, verify_all, verify_keys
from commands.change_logs import ChangeLogs
from commands.changed_tail import ChangedTail
from commands.layout import Layout
from commands.mapping import move_mapping
from commands.preflight import preflight_problems
from migration_plans.plan import Plan
from migration_plans.ports import CopySeen, LagSeen, Proof, Side
from strangler.clock import Clock
from strangler.settings import Settings

_LET_GO_S = 30.0
_VERIFY_CHUNK_ROWS = 5000
_LONGEST_REST_S = 0.5
_FOLLOWED_S = 12.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ends:
    """One direction: its databases and its mapping."""

    source_dsn: str
    target_dsn: str
    mapping: MoveMapping


class MoveStreams:
    """Both directions of one move. A context manager; connections open when first needed."""

    def __init__(self, settings: Settings, plan: Plan, clock: Clock) -> None:
        self._settings = settings
        self._plan = plan
        self._clock = clock
        self._dsn: dict[Side, str] = {
            "legacy": settings.legacy.database,
            "service": settings.service(plan.service).database,
        }
        self._layout = Layout.of(settings)
        self.change_logs = ChangeLogs(settings)
        self._mappers: dict[Direction, CompiledMapping] = {}
        self._stream_schemas: dict[Direction, StreamSchema] = {}
        self._connections: dict[Side, Connection] = {}
        self._logs: dict[Direction, ChangeLog] = {}
        self._tails: dict[Direction, ChangedTail] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        for log in self._logs.values():
            log.close()
        self._logs.clear()

    @cached_property
    def _mapping(self) -> MoveMapping:
        return move_mapping(self._plan)

    def _ends(self, direction: Direction) -> Ends:
        if direction == "forward":
            return Ends(source_dsn=self._dsn["legacy"], target_dsn=self._dsn["service"], mapping=self._mapping)
        return Ends(source_dsn=self._dsn["service"], target_dsn=self._dsn["legacy"], mapping=self._mapping.inverse())

    def _stream(self, direction: Direction) -> str:
        return stream_name(self._plan.move, direction)

    def _schemas(self) -> tuple[Schema, Schema]:
        """(legacy, service), as they are now."""
        return (
            reflect(self._dsn["legacy"], self._mapping.source_tables),
            reflect(self._dsn["service"], self._mapping.target_tables),
        )

    def links(self) -> tuple[LinkSpec, LinkSpec]:
        """Forward and reverse, bound to the schemas as they are now."""
        self._mappers.clear()
        for direction in _DIRECTIONS:
            self.schema(direction).remember()
        return self._link("forward", self._compiled("forward")), self._link("reverse", self._compiled("reverse"))

    def _compiled(self, direction: Direction) -> CompiledMapping:
        """Bound to the schemas as they were when first asked for: reflecting has no place inside a cutover's hold."""
        if direction not in self._mappers:
            self._mappers[direction] = self.schema(direction).mapper()
        return self._mappers[direction]

    def schema(self, direction: Direction) -> StreamSchema:
        """The forms that a direction's source tables have had. The way back goes by the mapping that came forward."""
        if direction not in self._stream_schemas:
            ends = self._ends(direction)
            self._stream_schemas[direction] = StreamSchema(
                stream=self._stream(direction),
                direction=direction,
                source_dsn=ends.source_dsn,
                target_dsn=ends.target_dsn,
                plan=(lambda: self._mapping)
                if direction == "forward"
                else (lambda: self.schema("forward").mapping().inverse()),
                policy=policy_of(self._settings.stream.on_schema_change),
            )
        return self._stream_schemas[direction]

    def link(self, direction: Direction, *, takeover_s: float) -> LinkSpec:
        """One direction, for a session that gives up on a stream that a worker runs after `takeover_s`."""
        link = self._link(direction, self._compiled(direction))
        return replace(link, limits=replace(link.limits, takeover_s=takeover_s))

    def stream(self, direction: Direction) -> str:
        return self._stream(direction)

    def target_dsn(self, direction: Direction) -> str:
        return self._ends(direction).target_dsn

    def _link(self, direction: Direction, mapper: CompiledMapping) -> LinkSpec:
        ends, limits = self._ends(direction), self._settings.stream
        return LinkSpec(
            move=self._plan.move,
            direction=direction,
            source_dsn=ends.source_dsn,
            target_dsn=ends.target_dsn,
            on_bad_row=limits.on_bad_row,
            log_folder=self._layout.change_log(self._plan.move, direction),
            mapper=mapper,
            evolution=WatchedSchema(self.schema(direction)),
            source_keys={table: mapper.source_key(table) for table in mapper.source_tables},
            limits=LinkLimits(
                batch_events=limits.batch_events,
                copy_chunk_rows=limits.copy_chunk_rows,
                log_retention_bytes=limits.log_retention_bytes,
            ),
        )

    @property
    def move(self) -> str:
        return self._plan.move

    @property
    def sequence_headroom(self) -> int:
        return self._settings.stream.sequence_headroom

    def dsn(self, side: Side) -> str:
        return self._dsn[side]

    def wanted(self) -> bool:
        """Whether a worker has something to run: provisioned, and not about to be deprovisioned."""
        if self._off.exists():
            return False
        try:
            for direction in _DIRECTIONS:
                positions.applied_position(self._ends(direction).target_dsn, self._stream(direction))
        except (NotProvisioned, DatabaseUnreachable):
            return False
        return True

    @property
    def _off(self) -> Path:
        """Tells the worker to let go of its slots."""
        return self._layout.move(self._plan.move) / "streams-off"

    def stream_lag(self, direction: Direction) -> StreamLag:
        ends = self._ends(direction)
        return read_lag(ends.source_dsn, ends.target_dsn, self._stream(direction))

    @cached_property
    def sequence_pairs(self) -> tuple[SequencePair, ...]:
        """Found once: reflecting both schemas has no place inside the hold of a cutover."""
        legacy, service = self._schemas()
        return sequence_pairs(self._mapping, legacy, service)

    def preflight(self) -> Sequence[tuple[str, str, str]]:
        return preflight_problems(self._settings, self._plan)

    def provision(self) -> None:
        for direction in _DIRECTIONS:
            ends, stream = self._ends(direction), self._stream(direction)
            provision_target(ends.target_dsn, stream)
            position = provision_source(
                ends.source_dsn,
                stream,
                ends.mapping.source_tables,
                failover=self._settings.stream.failover_slots,
            )
            positions.start_ledger(ends.target_dsn, stream, position)
            self.schema(direction).remember()
        self._off.unlink(missing_ok=True)

    def deprovision(self, *, empty_target: bool) -> None:
        self._off.parent.mkdir(parents=True, exist_ok=True)
        self._off.touch()
        for direction in _DIRECTIONS:
            ends, stream = self._ends(direction), self._stream(direction)
            self._once_let_go(partial(deprovision_source, ends.source_dsn, stream))
        if empty_target:
            stream, tables = self._stream("forward"), self._mapping.target_tables
            self._once_let_go(partial(empty_copied_tables, self._dsn["service"], stream, tables))
        for direction in _DIRECTIONS:
            ends, stream = self._ends(direction), self._stream(direction)
            self._once_let_go(partial(deprovision_target, ends.target_dsn, stream))
            self.change_logs.remove(self._plan.move, direction)

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
        copy_requests.request_copy(self._dsn["service"], self._stream("forward"), self._mapping.source_tables)

    def copy_progress(self) -> CopySeen:
        tables = copy_requests.copy_progress(self._dsn["service"], self._stream("forward"))
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
        return parked_reason(self.target_dsn(direction), self._stream(direction))

    def position(self, side: Side) -> str:
        with open_database(self._dsn[side]) as connection:
            row = connection.execute("SELECT pg_current_wal_insert_lsn()::text AS at").fetchone()
        assert row is not None
        return format_lsn(before_boundary(parse_lsn(str(row["at"]))))

    def emit_barrier(self, direction: Direction) -> str:
        return format_lsn(
            positions.emit_barrier(self._ends(direction).source_dsn, self._stream(direction), self._plan.move)
        )

    def wait_applied(self, direction: Direction, position: str, timeout_s: float) -> float:
        return positions.wait_applied(
            self._ends(direction).target_dsn, self._stream(direction), parse_lsn(position), timeout_s, self._clock
        )

    def exercise(self, direction: Direction, timeout_s: float) -> float:
        ends, stream = self._ends(direction), self._stream(direction)
        seconds = canary.exercise(ends.source_dsn, ends.target_dsn, stream, timeout_s, clock=self._clock)
        self._warm(direction)
        return seconds

    def _kept_log(self, direction: Direction) -> ChangeLog:
        """Open from the first use on, as the connections are."""
        known = self._logs.get(direction)
        if known is None:
            known = self._logs[direction] = self.change_logs.to_read(self._plan.move, direction)
        return known

    def _warm(self, direction: Direction) -> None:
        """Read what changed since the proof, or else the newest transaction: what reading needs is then there when it
        is needed inside the hold."""
        log, tail = self._kept_log(direction), self._tails.get(direction)
        if tail is not None:
            tail.read_on(log)
            return
        for transaction in log.read(Lsn(max(log.first_lsn(), log.last_lsn() - 1))):
            for _ in transaction.changes:
                pass

    def push_sequences(self, owner: Side) -> None:
        pairs = self.sequence_pairs
        other_side: Side = "service" if owner == "legacy" else "legacy"
        chosen = pairs if owner == "legacy" else tuple(pair.swapped() for pair in pairs)
        owning, following = self._kept_connection(owner), self._kept_connection(other_side)
        push_sequences(owning, following, chosen, self._settings.stream.sequence_headroom)

    def _kept_connection(self, side: Side) -> Connection:
        """Open from the first use on: connecting has no place inside a cutover's hold either."""
        known = self._connections.get(side)
        if known is None or known.closed:
            known = self._connections[side] = connect(self._dsn[side], "strangler runner")
        return known

    def schema_hash(self) -> str:
        return schema_hash(*self._schemas())

    def verify(self, direction: Direction) -> Proof:
        demand_nothing_parked(self.target_dsn(direction), self._stream(direction))
        self._await_schema(direction)
        ends = self._ends(direction)

        def wait_caught_up() -> None:
            self.wait_applied(direction, self.emit_barrier(direction), self._plan.cutover.catch_up_timeout_s)

        verdict = verify_all(
            ends.source_dsn,
            ends.target_dsn,
            self._compiled(direction).mapping,
            move=self._plan.move,
            direction=direction,
            wait_caught_up=wait_caught_up,
            position=lambda: parse_lsn(self.position("legacy" if direction == "forward" else "service")),
            clock=self._clock,
            chunk_rows=_VERIFY_CHUNK_ROWS,
            progress=self._paced(),
        )
        self._tails[direction] = ChangedTail(parse_lsn(verdict.position), self._compiled(direction))
        return self._proof(verdict)

    def _await_schema(self, direction: Direction) -> None:
        """What the stream does not follow yet is not compared either. It follows within seconds, or stops."""
        deadline = self._clock.monotonic() + _FOLLOWED_S
        while True:
            try:
                WatchedSchema(self.schema(direction)).refuse_drift()
                self._mappers.pop(direction, None)
                return
            except SchemaChanged:
                if self._clock.monotonic() > deadline:
                    raise
                self._clock.sleep(0.5)

    def _paced(self) -> Callable[[TableName, int], None]:
        """Rest after each chunk as long as it took, so that a verification leaves the servers to their clients."""
        last_s = self._clock.monotonic()

        def rest(table: TableName, rows: int) -> None:
            nonlocal last_s
            self._clock.sleep(min(_LONGEST_REST_S, self._clock.monotonic() - last_s))
            last_s = self._clock.monotonic()

        return rest

    def verify_changed(self, direction: Direction, since: str) -> Proof:
        demand_nothing_parked(self.target_dsn(direction), self._stream(direction))
        # What no event tells is no change that the log could name.
        WatchedSchema(self.schema(direction)).refuse_partition_changes()
        ends = self._ends(direction)
        compiled = self._compiled(direction)
        tail = self._tails.get(direction)
        if tail is None or tail.since != parse_lsn(since) or tail.mapping is not compiled:
            tail = self._tails[direction] = ChangedTail(parse_lsn(since), compiled)
        keys = tail.read_on(self._kept_log(direction))
        verdict = verify_keys(
            ends.source_dsn,
            ends.target_dsn,
            compiled.mapping,
            keys,
            move=self._plan.move,
            direction=direction,
            position=lambda: parse_lsn(self.position("legacy" if direction == "forward" else "service")),
            clock=self._clock,
        )
        return self._proof(verdict)

    def _proof(self, verdict: Verdict) -> Proof:
        return Proof(
            direction=verdict.direction,
            method=verdict.method,
            equal=verdict.equal,
            position=verdict.position,
            schema_hash=verdict.schema_hash,
            rows=verdict.rows,
            difference_count=verdict.difference_count,
            at=verdict.at,
            seconds=verdict.seconds,
            detail=verdict.model_dump(mode="json"),
        )


_DIRECTIONS: tuple[Direction, Direction] = ("forward", "reverse")
