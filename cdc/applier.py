"""Source transactions into the target: whole, in commit order, each exactly once.

Several source transactions share one target transaction, which also moves the ledger and the copies' progress. When
the target refuses a batch, its transactions are tried one by one, change by change, so that the error names the row and
everything before it is applied.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cdc.apply_batch import plan, plan_one_by_one
from cdc.batch_mapping import BatchMapper, BatchWork
from cdc.chunk_handover import ChunkHandover
from cdc.copy_tracker import CopyTracker
from cdc.errors import ApplyFailed, ConflictingWrite, CopyRefused, DatabaseUnreachable, StreamBusy
from cdc.events import TableName, TargetChange, Transaction
from cdc.link import LinkSpec
from cdc.lsn import Lsn, format_lsn
from cdc.open_target import open_target
from cdc.target_port import ApplyTarget, LedgerStep, RaceLost, RowRefused
from strangler import failpoints
from strangler.clock import Clock
from strangler.errors import StranglerError

_TRANSIENT_WAIT_S = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class ApplyCounts:
    """What this applier did since it was opened."""

    transactions: int = 0
    events: int = 0
    source_time_us: int = 0


class Applier:
    """Applies one stream. One thread uses it; after `DatabaseUnreachable` or `StreamBusy` close it and make another."""

    def __init__(self, link: LinkSpec, *, clock: Clock, handover: ChunkHandover | None = None) -> None:
        self._link = link
        self._clock = clock
        self._handover = handover or ChunkHandover(in_flight=link.limits.copy_chunks_in_flight)
        self._mapper = BatchMapper(link, self._handover)
        self._session = open_target(link, clock)
        try:
            self._position = self._session.load_position()
            self._tracker = CopyTracker(
                source_keys=link.source_keys, follows_copy=link.follows_copy, tables=dict(self._session.load_copies())
            )
        except BaseException:
            self._session.close()
            raise
        self._counts = ApplyCounts()

    @property
    def position(self) -> Lsn:
        """`commit_lsn` through which everything is durable in the target."""
        return self._position

    @property
    def counts(self) -> ApplyCounts:
        return self._counts

    @property
    def session(self) -> ApplyTarget:
        return self._session

    @property
    def copying(self) -> bool:
        """Some table's copy has begun and is not done."""
        return any(table.state == "copying" for table in self._tracker.tables.values())

    @property
    def awaits_copies(self) -> bool:
        """Some table is not copied yet, or not to its end."""
        return not self._tracker.settled

    def remember(self, transaction: Transaction) -> None:
        """A transaction that an earlier session applied. One that is still invisible in the source when a chunk is
        read must be known, or the chunk would overwrite it (see `cdc.snapshot_window`)."""
        if transaction.commit_lsn <= self._position:
            self._tracker.recent.add(transaction.xid)

    def close(self) -> None:
        self._session.close()

    def apply(self, transactions: Sequence[Transaction]) -> None:
        """Apply those above `position`; on return they are durable.

        Raises `ApplyFailed`, `ConflictingWrite`, `CopyRefused`, `SchemaChanged` (position is then just before the
        transaction that failed), `StreamBusy` or `DatabaseUnreachable`.
        """
        todo = [transaction for transaction in transactions if transaction.commit_lsn > self._position]
        if not todo:
            return
        try:
            self._attempt(todo, one_by_one=False)
        except (DatabaseUnreachable, StreamBusy):
            raise
        except (StranglerError, RowRefused):
            self._session.forget_tables()
            for transaction in todo:
                self._attempt([transaction], one_by_one=True)

    def advance(self, position: Lsn, source_time_us: int) -> None:
        """Move the ledger over a stretch of the source log that holds nothing for this stream.

        `source_time_us`: when the source had come that far, by its own clock; what lag is measured from.
        """
        if position <= self._position:
            return
        step = LedgerStep(
            position=position, previous=self._position, source_time_us=source_time_us, transactions=0, events=0
        )
        self._session.move_position(step)
        self._position = position

    def _attempt(self, batch: Sequence[Transaction], *, one_by_one: bool) -> None:
        """One batch, tried again while it only loses races."""
        for attempt in range(self._link.limits.transient_attempts):
            if attempt:
                self._clock.sleep(_TRANSIENT_WAIT_S * attempt)
            try:
                self._commit(batch, one_by_one)
                return
            except RaceLost as error:
                last = error
        raise ApplyFailed(
            thing=f"transaction at {format_lsn(batch[0].commit_lsn)} of stream {self._link.stream}",
            reason=f"lost {self._link.limits.transient_attempts} races in a row, SQLSTATE {last.code}",
            mend="end the sessions that lock the target's tables (pg_stat_activity, pg_locks); the stream retries",
        ) from last

    def _commit(self, batch: Sequence[Transaction], one_by_one: bool) -> None:
        tracker = self._tracker.clone()
        work = self._mapper.work(batch, tracker)
        with self._session.transaction(pipelined=not one_by_one):
            self._refuse_filled(work.must_be_empty)
            if one_by_one:
                self._check_owner(work, lock=False)
                self._write_one_by_one(work.changes)
            else:
                self._session.write(plan(work.changes, self._session.batching))
            for table in tracker.touched | work.copied_rows.keys():
                self._session.save_copy(table, tracker.tables[table], work.copied_rows.get(table, 0))
            self._check_owner(work, lock=True)
            self._session.move_position(self._step(batch))
            failpoints.reach("cdc.apply.before_commit")
        failpoints.reach("cdc.apply.after_commit")
        self._keep(batch, tracker, work)

    def _keep(self, batch: Sequence[Transaction], tracker: CopyTracker, work: BatchWork) -> None:
        self._position = batch[-1].commit_lsn
        self._tracker = tracker
        self._counts = ApplyCounts(
            transactions=self._counts.transactions + len(batch),
            events=self._counts.events + sum(len(transaction.changes) for transaction in batch),
            source_time_us=batch[-1].commit_time_us,
        )
        for mark in work.settled:
            self._handover.settle(mark.run, mark.number)
        if work.rejected:
            self._handover.interrupt()

    def _step(self, batch: Sequence[Transaction]) -> LedgerStep:
        return LedgerStep(
            position=batch[-1].commit_lsn,
            previous=self._position,
            source_time_us=batch[-1].commit_time_us,
            transactions=len(batch),
            events=sum(len(transaction.changes) for transaction in batch),
        )

    def _check_owner(self, work: BatchWork, *, lock: bool) -> None:
        """The row lock comes last: whoever transfers ownership locks the tables first, too, so no ring can form."""
        if not work.has_data:
            return
        owner = self._session.owner(lock=lock)
        giver = "legacy" if self._link.direction == "forward" else "service"
        if owner is not None and owner != giver:
            raise ConflictingWrite(
                thing=f"{giver} changed tables of move {self._link.move}",
                reason=f"they are owned by {owner}; stream {self._link.stream} brought such a change and stopped",
                mend=f"find the writer that bypassed the fence, compare with `strangler verify {self._link.move}`, "
                "undo its change, then restart the stream",
            )

    def _refuse_filled(self, tables: Sequence[TableName]) -> None:
        for table in tables:
            if not self._session.is_empty(table):
                raise CopyRefused(
                    thing=f"target table {table}",
                    reason="is not empty, and its rows did not come from this stream",
                    mend=f"empty it (DELETE FROM {table}) if nothing in it is needed; the copy then begins by itself",
                )

    def _write_one_by_one(self, changes: Sequence[TargetChange]) -> None:
        for change in changes:
            row = ", ".join(f"{name}={value}" for name, value in change.key.items())
            thing = f"{change.kind} of {change.table} row {row}" if row else f"{change.kind} of {change.table}"
            try:
                self._session.write(plan_one_by_one(change))
            except RowRefused as refused:
                raise ApplyFailed(
                    thing=thing,
                    reason=f"{refused.reason} ({refused.code})" if refused.code else refused.reason,
                    mend=f"run `strangler verify {self._link.move}`, put the row back, or copy the table again; "
                    "the stream retries by itself and never passes it",
                ) from refused
