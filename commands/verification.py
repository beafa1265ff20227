"""Proving both sides of a move equal: every row while it serves, and in the hold what changed since."""

from collections.abc import Callable

from cdc.changelog.port import ChangeLog
from cdc.errors import SchemaChanged
from cdc.events import TableName
from cdc.link import Direction
from cdc.lsn import Lsn, parse_lsn
from cdc.parking.requests import demand_nothing_parked
from cdc.schema_changes.watch import WatchedSchema
from cdc.verify import Verdict, verify_all, verify_keys
from commands.changed_tail import ChangedTail
from commands.move_links import MoveLinks
from migration_plans.ports import Proof
from strangler.clock import Clock

_CHUNK_ROWS = 5000
_LONGEST_REST_S = 0.5
_FOLLOWED_S = 12.0


class MoveVerification:
    """`catch_up(direction)` waits until everything written before it is applied; `position(direction)` is one of the
    source's log such that whatever commits from now on lies after it.

    Keeps the change logs open from the first use on, for opening them has no place inside a hold: `close` it.
    """

    def __init__(
        self,
        links: MoveLinks,
        clock: Clock,
        *,
        catch_up: Callable[[Direction], None],
        position: Callable[[Direction], str],
    ) -> None:
        self._links = links
        self._clock = clock
        self._catch_up = catch_up
        self._position = position
        self._logs: dict[Direction, ChangeLog] = {}
        self._tails: dict[Direction, ChangedTail] = {}

    def close(self) -> None:
        for log in self._logs.values():
            log.close()
        self._logs.clear()

    def verify(self, direction: Direction) -> Proof:
        """Every row, while the stream runs. Refuses while a row is parked or a schema change not followed."""
        demand_nothing_parked(self._links.target_dsn(direction), self._links.stream(direction))
        self.await_schema(direction)
        ends = self._links.ends(direction)
        verdict = verify_all(
            ends.source_dsn,
            ends.target_dsn,
            self._links.compiled(direction).mapping,
            move=self._links.move,
            direction=direction,
            wait_caught_up=lambda: self._catch_up(direction),
            position=lambda: parse_lsn(self._position(direction)),
            clock=self._clock,
            chunk_rows=_CHUNK_ROWS,
            progress=self._paced(),
        )
        self._tails[direction] = ChangedTail(parse_lsn(verdict.position), self._links.compiled(direction))
        return self._proof(verdict)

    def await_schema(self, direction: Direction) -> None:
        """What the stream does not follow yet is not compared either. It follows within seconds, or stops."""
        deadline = self._clock.monotonic() + _FOLLOWED_S
        while True:
            try:
                WatchedSchema(self._links.schema(direction)).refuse_drift()
                self._links.forget_mapper(direction)
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
        """The rows that the source changed after `since`, while both sides stand still. Refuses as `verify` does."""
        demand_nothing_parked(self._links.target_dsn(direction), self._links.stream(direction))
        # What no event tells is no change that the log could name.
        WatchedSchema(self._links.schema(direction)).refuse_partition_changes()
        ends = self._links.ends(direction)
        compiled = self._links.compiled(direction)
        tail = self._tails.get(direction)
        if tail is None or tail.since != parse_lsn(since) or tail.mapping is not compiled:
            tail = self._tails[direction] = ChangedTail(parse_lsn(since), compiled)
        keys = tail.read_on(self._kept_log(direction))
        verdict = verify_keys(
            ends.source_dsn,
            ends.target_dsn,
            compiled.mapping,
            keys,
            move=self._links.move,
            direction=direction,
            position=lambda: parse_lsn(self._position(direction)),
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

    def _kept_log(self, direction: Direction) -> ChangeLog:
        """Open from the first use on, as the connections are."""
        known = self._logs.get(direction)
        if known is None:
            known = self._logs[direction] = self._links.change_logs.to_read(self._links.move, direction)
        return known

    def warm(self, direction: Direction) -> None:
        """Read what changed since the proof, or else the newest transaction: what reading needs is then there when it
        is needed inside the hold."""
        log, tail = self._kept_log(direction), self._tails.get(direction)
        if tail is not None:
            tail.read_on(log)
            return
        for transaction in log.read(Lsn(max(log.first_lsn(), log.last_lsn() - 1))):
            for _ in transaction.changes:
                pass
