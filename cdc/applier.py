"""Source transactions into the target: whole, in commit order, each exactly once.

Several source transactions share one target transaction, which also moves the ledger and the copies' progress. It is
filled in pieces, so that a transaction of any length passes in bounded memory. When the target refuses a batch, or
something is parked, it is written carefully instead (`cdc.parking.careful`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from cdc.apply_batch import plan
from cdc.batch_mapping import BatchMapper, BatchWork, BulkRows, LargeValues
from cdc.bulk_text import bulk_text
from cdc.chunk_handover import ChunkHandover
from cdc.copy_tracker import CopyTracker, is_watermark
from cdc.errors import ConflictingWrite, CopyRefused, DatabaseUnreachable, SchemaChanged, StreamBusy, TargetBusy
from cdc.events import Relation, TableName, Transaction
from cdc.held_rows import HeldOnDisk
from cdc.insert_run import ChangesInRuns
from cdc.link import LinkSpec
from cdc.lsn import Lsn, format_lsn
from cdc.open_target import open_target
from cdc.parking.careful import Parking
from cdc.sent_batches import may_be_run
from cdc.sent_changes import SentChanges
from cdc.target_port import ApplyTarget, BulkTarget, LedgerStep, RaceLost, RowRefused
from strangler import failpoints
from strangler.clock import Clock
from strangler.errors import StranglerError

_TRANSIENT_WAIT_S = 0.05
Way = Literal["in_bulk", "in_groups", "carefully"]
"""How a batch is written: with runs as bytes, which no row may be in the way of; in few statements; or row by row,
parking what is refused. Each is tried when the one before was refused."""
Progress = Callable[[int, int], None]
"""(source events written, of how many) while a large batch is applied."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApplyCounts:
    """What this applier did since it was opened."""

    transactions: int = 0
    events: int = 0
    source_time_us: int = 0


class Applier:
    """Applies one stream. One thread uses it; after `DatabaseUnreachable` or `StreamBusy` close it and make another."""

    def __init__(
        self,
        link: LinkSpec,
        *,
        clock: Clock,
        handover: ChunkHandover | None = None,
        progress: Progress = lambda done, total: None,
    ) -> None:
        self._link = link
        self._clock = clock
        self._progress = progress
        self._handover = handover or ChunkHandover(in_flight=link.limits.copy_chunks_in_flight)
        self._mapper = BatchMapper(link, self._handover)
        self._session = open_target(link, clock)
        try:
            self._position = self._session.load_position()
            self._parking = Parking(link, self._session, clock)
            self._tracker = CopyTracker(
                source_keys=link.source_keys,
                follows_copy=link.follows_copy,
                tables=dict(self._session.load_copies()),
                hold_back=partial(HeldOnDisk, link.log_folder),
            )
        except BaseException:
            self._session.close()
            raise
        self._counts = ApplyCounts()
        self._followed: set[Relation] = set()
        self._given_up: dict[Relation, SchemaChanged] = {}

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

    @property
    def parked(self) -> bool:
        """Something is parked."""
        return self._parking.active

    def apply(self, transactions: Sequence[Transaction]) -> None:
        """Apply those above `position`; on return they are durable, or parked durably.

        Raises `ApplyFailed`, `TargetBusy`, `TooManyParked`, `ConflictingWrite`, `CopyRefused`, `SchemaChanged` (the
        position is then just before the transaction that failed), `StreamBusy` or `DatabaseUnreachable`.
        """
        todo = [transaction for transaction in transactions if transaction.commit_lsn > self._position]
        if not todo:
            return
        if not self._parking.active:
            in_bulk = self._session.bulk is not None and (any(map(_may_bring_runs, todo)) or may_be_run(todo))
            if (in_bulk and self._passes(todo, "in_bulk")) or self._passes(todo, "in_groups"):
                return
        self._session.forget_tables()
        if self._passes(todo, "carefully"):
            return
        for transaction in todo:
            self._attempt_following([transaction])

    def _passes(self, batch: Sequence[Transaction], way: Way) -> bool:
        """Whether the batch got through; False when it has to be gone through more closely."""
        try:
            self._attempt(batch, way)
        except (DatabaseUnreachable, StreamBusy, TargetBusy):
            raise
        except (StranglerError, RowRefused, LargeValues):
            return False
        return True

    def _attempt_following(self, batch: Sequence[Transaction]) -> None:
        """One transaction, and the schema changes that it shows."""
        while True:
            try:
                self._attempt(batch, "carefully")
                self._followed.clear()
                return
            except SchemaChanged as changed:
                self._follow(changed)

    def _last_word(self, changed: SchemaChanged) -> SchemaChanged:
        """What keeps a table from following. Raises `changed` as long as nobody was asked about this form of it."""
        if changed.relation is None or changed.relation not in self._given_up:
            raise changed
        return self._given_up[changed.relation]

    def _follow(self, changed: SchemaChanged) -> None:
        """Find an answer to a new form of a table, outside of any transaction; none is an answer, too."""
        relation, evolution = changed.relation, self._link.evolution
        if relation is None or relation in self._given_up:
            raise changed
        if evolution is None or relation in self._followed:
            self._given_up[relation] = changed
            return
        try:
            self._mapper.use(evolution.follow(relation, self._mapper.mapper))
            self._followed.add(relation)
        except SchemaChanged as diff:
            self._given_up[relation] = diff
        self._session.forget_tables()

    def serve_requests(self) -> bool:
        """Retry and skip parked rows as people asked; whether anything was asked. Raises what `apply` raises."""
        if not self._parking.active or not self._session.parked.requests():
            return False
        self._given_up.clear()
        self._followed.clear()
        self._session.forget_tables()
        while True:
            try:
                with self._session.transaction(pipelined=False):
                    served = self._parking.serve(self._mapper.mapper, last_word=self._last_word)
                    if served:
                        self._check_owner(BatchWork(has_data=True), lock=True)
                return served
            except SchemaChanged as changed:
                self._parking.forget()
                self._follow(changed)
            except RaceLost:
                self._parking.forget()
                return False
            except BaseException:
                self._parking.forget()
                raise

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

    def _attempt(self, batch: Sequence[Transaction], way: Way) -> None:
        """One batch, tried again while it only loses races."""
        for attempt in range(self._link.limits.transient_attempts):
            if attempt:
                self._clock.sleep(_TRANSIENT_WAIT_S * attempt)
            try:
                self._commit(batch, way)
                return
            except RaceLost as error:
                last = error
        raise TargetBusy(
            thing=f"transaction at {format_lsn(batch[0].commit_lsn)} of stream {self._link.stream}",
            reason=f"lost {self._link.limits.transient_attempts} races in a row, SQLSTATE {last.code}",
            mend="end the sessions that lock the target's tables (pg_stat_activity, pg_locks); the stream retries",
        ) from last

    def _commit(self, batch: Sequence[Transaction], way: Way) -> None:
        tracker, work = self._tracker.clone(), BatchWork()
        try:
            with self._session.transaction(pipelined=way == "in_groups"):
                if way == "carefully":
                    self._write_carefully(batch, tracker, work)
                else:
                    self._write(batch, tracker, work, self._session.bulk if way == "in_bulk" else None)
                for table in tracker.touched | work.copied_rows.keys():
                    self._session.save_copy(table, tracker.tables[table], work.copied_rows.get(table, 0))
                # The row lock comes last: whoever transfers ownership locks the tables first, too, so no ring can form.
                self._refuse_other(self._session.settle(self._step(batch), lock_owner=work.has_data))
                failpoints.reach("cdc.apply.before_commit")
        except BaseException:
            if way == "carefully":
                self._parking.forget()
            raise
        failpoints.reach("cdc.apply.after_commit")
        self._keep(batch, tracker, work)

    def _write(
        self, batch: Sequence[Transaction], tracker: CopyTracker, work: BatchWork, bulk: BulkTarget | None
    ) -> None:
        """The stream's hot path."""
        total = sum(len(transaction.changes) for transaction in batch)
        for piece in self._mapper.changes(batch, tracker, work, takes_runs=bulk.takes_copy_text if bulk else None):
            self._refuse_filled(work.take_must_be_empty())
            if isinstance(piece, BulkRows):
                assert bulk is not None
                for columns in piece.targets:
                    bulk.insert_copy_text(columns, bulk_text(piece.run, columns), len(piece.run))
            else:
                self._session.write(plan(piece, self._session.batching))
            del piece
            self._progress(work.events, total)

    def _write_carefully(self, batch: Sequence[Transaction], tracker: CopyTracker, work: BatchWork) -> None:
        total = sum(len(transaction.changes) for transaction in batch)
        for units in self._mapper.units(batch, tracker, work):
            self._refuse_filled(work.take_must_be_empty())
            self._check_owner(work, lock=False)
            self._parking.write(units, self._mapper.mapper, last_word=self._last_word)
            del units
            self._progress(work.events, total)

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
        if work.has_data:
            self._refuse_other(self._session.owner(lock=lock))

    def _refuse_other(self, owner: str | None) -> None:
        """None: nobody has said, or it was not asked."""
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


def _may_bring_runs(transaction: Transaction) -> bool:
    """Runs of its own, or the mark of a chunk."""
    changes = transaction.changes
    if isinstance(changes, SentChanges):
        return False
    return isinstance(changes, ChangesInRuns) or (len(changes) == 1 and is_watermark(next(iter(changes))))
