"""Source transactions → what one target transaction has to do. Decides; executes nothing.

The work comes in pieces of bounded size, so that a transaction of any length passes in bounded memory. Only where one
transaction changes several source tables that fill one target row together do their events stay in memory until it
ends: their order is not known before.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cdc.bookkeeping import CANARY_TABLE
from cdc.chunk_handover import ChunkHandover
from cdc.copy_tracker import CopyTracker, Watermark, parse_watermark
from cdc.events import Change, Message, Relation, RowChange, TableName, TargetChange, Transaction, Truncate
from cdc.insert_run import ChangesInRuns, Run, runs_of
from cdc.link import LinkSpec
from cdc.mapping.port import BulkColumns, Mapper
from cdc.parking.footprint import Unit
from cdc.parking.units import Event, Routed, as_lenient, units_of, woven_tables
from cdc.sent_batches import in_stretches, sent_pieces, without_runs
from cdc.whole_table import WholeTable

Out = TypeVar("Out", TargetChange, Unit)

PIECE_CHARACTERS = 8 << 20
"""A piece ends with the event that reaches it, in a transaction that is decoded while it is read."""
Takes = Callable[[TableName], bool]
_MOST_RELATIONS_KNOWN = 256
_PASSED_OVER, _CANARY, _MAPPED = range(3)


@dataclass(slots=True)
class BatchWork:
    """What the pieces add up to, besides the changes.

    `must_be_empty`: target tables of copies that begin with the next piece. `copied_rows`: rows of our chunks by source
    table. `settled`: chunks that are in it; `rejected`: one has to be read again. `has_data`: something besides
    canaries is written, so ownership counts. `events`: source events passed so far.
    """

    must_be_empty: list[TableName] = field(default_factory=list)
    copied_rows: dict[TableName, int] = field(default_factory=dict)
    settled: list[Watermark] = field(default_factory=list)
    rejected: bool = False
    has_data: bool = False
    events: int = 0

    def take_must_be_empty(self) -> list[TableName]:
        tables, self.must_be_empty = self.must_be_empty, []
        return tables


@dataclass(frozen=True, slots=True)
class BulkRows:
    """A run whose rows go into `targets` as they are."""

    run: Run
    targets: Sequence[BulkColumns]


class LargeValues(Exception):
    """One event alone is larger than a piece: to be written carefully, which needs no second copy of it."""


class BatchMapper:
    """Maps transactions of one stream, advancing a `CopyTracker` on the way."""

    def __init__(self, link: LinkSpec, handover: ChunkHandover) -> None:
        self._link = link
        self._handover = handover
        self.use(link.mapper)

    def use(self, mapper: Mapper) -> None:
        """From now on."""
        self.mapper = mapper
        self._mapped = frozenset(mapper.source_tables)
        self._woven = woven_tables(mapper)
        self._kinds: dict[int, tuple[Relation, int]] = {}

    def changes(
        self,
        transactions: Sequence[Transaction],
        tracker: CopyTracker,
        work: BatchWork,
        *,
        takes_runs: Takes | None = None,
    ) -> Iterator[Sequence[TargetChange] | BulkRows]:
        """Target changes in commit order, a piece each. Raises `LargeValues` and what the mapper raises.

        `takes_runs`: which target tables take new rows in bulk; a run that nobody has to look into is a piece then.
        """

        def mapped(routed: Sequence[Routed]) -> Sequence[TargetChange]:
            changes = self.mapper.map_transaction([event for _, event, _ in routed])
            lenient = any(lenient for _, _, lenient in routed)
            return [as_lenient(change) for change in changes] if lenient else changes

        def own(change: TargetChange, order: tuple[int, int]) -> Sequence[TargetChange]:
            return (change,)

        for sent, stretch in in_stretches(transactions):
            if sent and tracker.settled and not self._woven:
                yield from self._sent(stretch, tracker, work, takes_runs)
                continue
            yield from self._pieces(
                stretch,
                tracker,
                work,
                lambda routed, _: mapped(routed),
                own,
                refuse_large=True,
                takes_runs=takes_runs,
            )

    def _sent(
        self, transactions: Sequence[Transaction], tracker: CopyTracker, work: BatchWork, takes: Takes | None
    ) -> Iterator[Sequence[TargetChange] | BulkRows]:
        """The same for small transactions that need not be told apart."""

        def bulk(relation: Relation) -> Sequence[BulkColumns]:
            return (takes and self._bulk(relation, takes)) or ()

        for each in sent_pieces(transactions, self._link.limits.batch_events):
            runs, rest = without_runs(each, lambda relation: bool(bulk(relation)))
            piece = [row for change in rest if self._known(change.relation) == _CANARY if (row := self._canary(change))]
            events = [change for change in rest if self._known(change.relation) >= _MAPPED]
            if events:
                piece += self._counted(self.mapper.map_transaction(events), work)
            work.events += len(each.messages)
            for xid in each.xids:
                tracker.recent.add(xid)
            for run in runs:
                work.has_data = True
                yield BulkRows(run, bulk(run.relation))
            if piece:
                yield piece

    def units(
        self, transactions: Sequence[Transaction], tracker: CopyTracker, work: BatchWork
    ) -> Iterator[Sequence[Unit]]:
        """The same, each event with its own changes, or with the error that its mapping is."""

        def mapped(routed: Sequence[Routed], transaction: Transaction) -> Sequence[Unit]:
            return units_of(routed, transaction.commit_lsn, self.mapper, self._woven)

        def own(change: TargetChange, order: tuple[int, int]) -> Sequence[Unit]:
            return (Unit(order=order, events=(), changes=(change,)),)

        pieces = self._pieces(transactions, tracker, work, mapped, own)
        return (piece for piece in pieces if not isinstance(piece, BulkRows))

    def _pieces(
        self,
        transactions: Sequence[Transaction],
        tracker: CopyTracker,
        work: BatchWork,
        mapped: Callable[[Sequence[Routed], Transaction], Sequence[Out]],
        own: Callable[[TargetChange, tuple[int, int]], Sequence[Out]],
        *,
        refuse_large: bool = False,
        takes_runs: Takes | None = None,
    ) -> Iterator[Sequence[Out] | BulkRows]:
        piece: list[Out] = []
        passed = work.events
        most = self._link.limits.batch_events
        for transaction in transactions:
            routed: list[Routed] = []
            kept: list[Routed] = []
            woven: frozenset[TableName] | None = None if self._woven else frozenset()
            # What lies in memory as a whole anyway need not be measured.
            measured = not isinstance(transaction.changes, tuple)
            settled, last, kind = tracker.settled, None, _PASSED_OVER
            changes = self._parts(transaction.changes, tracker, takes_runs)
            if not settled and (whole := self._whole_table(transaction, tracker, work)) is not None:
                measured, changes = True, self._parts(whole, tracker, takes_runs)
            size, index = 0, -1
            bulk: BulkRows | None = None
            for change in changes:
                index += 1
                if isinstance(change, RowChange):
                    if change.relation is not last:
                        last = change.relation
                        kind = self._known(last)
                    if kind >= _MAPPED:
                        if settled:
                            routed.append((index, change, False))
                        else:
                            routed += self._routed(index, change, transaction, tracker)
                    elif kind == _CANARY and (row := self._canary(change)):
                        piece += own(row, (transaction.commit_lsn, index))
                elif isinstance(change, Truncate):
                    routed += self._routed(index, change, transaction, tracker)
                elif isinstance(change, BulkRows):
                    bulk = change
                    index += len(change.run) - 1
                else:
                    bulk, rows = self._passed(change, tracker, work, takes_runs)
                    if rows:
                        piece += self._counted(mapped([(index, each, False) for each in rows], transaction), work)
                    settled = tracker.settled
                if measured:
                    size += self._measured(change, refuse_large=refuse_large)
                if bulk is not None or len(routed) >= most or size >= PIECE_CHARACTERS:
                    work.events = passed + index + 1
                    if woven is None:
                        woven = self._woven_in(transaction)
                    if woven:
                        kept += _part_of(routed, woven, inside=True)
                        routed = _part_of(routed, woven, inside=False)
                    if routed:
                        piece += self._counted(mapped(routed, transaction), work)
                    routed, size = [], 0
                    # Nothing here may hold on to a large event while the next one is decoded.
                    del change
                    yield piece
                    piece = []
                    if bulk is not None:
                        work.has_data = True
                        yield bulk
                        bulk = None
            routed = kept + routed if kept else routed
            if routed:
                piece += self._counted(mapped(routed, transaction), work)
            work.events = passed = passed + len(transaction.changes)
            tracker.recent.add(transaction.xid)
            if len(piece) >= most:
                yield piece
                piece = []
        if piece or work.must_be_empty:
            yield piece

    def _routed(
        self, index: int, change: RowChange | Truncate, transaction: Transaction, tracker: CopyTracker
    ) -> list[Routed]:
        if isinstance(change, Truncate):
            relations = tuple(relation for relation in change.relations if self._known(relation) >= _MAPPED)
            if not relations:
                return []
            change = replace(change, relations=relations)
        events, may_be_absent = tracker.route(transaction.xid, change)
        return [(index, event, may_be_absent) for event in events]

    def _parts(
        self, changes: Collection[Change], tracker: CopyTracker, takes: Takes | None
    ) -> Iterable[Change | BulkRows]:
        """Runs in one where their rows may pass unseen, everything else change by change."""
        return (
            changes if takes is None or not isinstance(changes, ChangesInRuns) else self._runs(changes, tracker, takes)
        )

    def _runs(self, changes: ChangesInRuns, tracker: CopyTracker, takes: Takes) -> Iterator[Change | BulkRows]:
        held: list[Change] = []
        for each in changes.runs():
            if not isinstance(each, Run):
                # This frame must not hold on to a large event while the next one is decoded.
                held.append(each)
                del each
                yield held.pop()
            elif tracker.state(each.relation.table) == "done" and (columns := self._bulk(each.relation, takes)):
                yield BulkRows(each, columns)
            else:
                yield from each

    def _whole_table(self, transaction: Transaction, tracker: CopyTracker, work: BatchWork) -> WholeTable | None:
        """What the copy of a table without a key brings, when the transaction is the mark behind it."""
        first = next(iter(transaction.changes), None) if len(transaction.changes) == 1 else None
        mark = parse_watermark(first) if isinstance(first, Message) else None
        if mark is None or mark.mark != "high" or not tracker.in_one_piece(mark.table):
            return None
        changes = self._pass_mark(mark, tracker, work)
        return changes if isinstance(changes, WholeTable) else None

    def _bulk(self, relation: Relation, takes: Takes) -> Sequence[BulkColumns] | None:
        """Where the rows of a run go, if they may pass unseen."""
        if self._known(relation) < _MAPPED or self._woven.get(relation.table):
            return None
        columns = self.mapper.bulk(relation)
        return columns if columns and all(takes(each.table) for each in columns) else None

    def _passed(
        self, message: Message, tracker: CopyTracker, work: BatchWork, takes: Takes | None
    ) -> tuple[BulkRows | None, list[RowChange]]:
        """The rows that a mark of a copy brings: those that pass unseen, and the others."""
        mark = parse_watermark(message)
        bulk: BulkRows | None = None
        single: list[RowChange] = []
        for each in runs_of(self._pass_mark(mark, tracker, work) if mark else ()):
            if isinstance(each, Run):
                columns = self._bulk(each.relation, takes) if takes is not None else None
                if columns:
                    bulk = BulkRows(each, columns)
                else:
                    single += each
            elif isinstance(each, RowChange):
                single.append(each)
        return bulk, single

    def _measured(self, change: Change | BulkRows, *, refuse_large: bool) -> int:
        """Characters of its values. A message has none that stay."""
        if not isinstance(change, RowChange):
            return 0
        characters = sum(
            len(value) for row in (change.new, change.old) if row for value in row if isinstance(value, str)
        )
        if refuse_large and characters > PIECE_CHARACTERS and self._known(change.relation) >= _MAPPED:
            raise LargeValues
        return characters

    def _counted(self, out: Sequence[Out], work: BatchWork) -> Sequence[Out]:
        work.has_data = work.has_data or bool(out)
        return out

    def _known(self, relation: Relation) -> int:
        known = self._kinds.get(id(relation))
        if known is None or known[0] is not relation:
            if len(self._kinds) >= _MOST_RELATIONS_KNOWN:
                self._kinds.clear()
            known = self._kinds[id(relation)] = (relation, self._kind(relation))
        return known[1]

    def _kind(self, relation: Relation) -> int:
        if relation.table == CANARY_TABLE:
            return _CANARY
        if relation.table not in self._mapped:
            if self._link.evolution is not None:
                self._link.evolution.passed_over(relation)
            return _PASSED_OVER
        return _MAPPED

    def _woven_in(self, transaction: Transaction) -> frozenset[TableName]:
        """Tables of which it changes others, too, that fill the same target rows."""
        relations: dict[int, Relation] = {}
        for change in transaction.changes:
            if isinstance(change, RowChange):
                relations[id(change.relation)] = change.relation
            elif isinstance(change, Truncate):
                relations.update((id(relation), relation) for relation in change.relations)
        tables = frozenset(relation.table for relation in relations.values())
        return frozenset(table for table in tables if self._woven.get(table, frozenset()) & tables)

    def _pass_mark(self, mark: Watermark, tracker: CopyTracker, work: BatchWork) -> Collection[Change]:
        """The rows that a chunk brings; one run at most."""
        if mark.mark == "low":
            relation = self._handover.relation(mark.run, mark.table)
            if relation is None:
                return ()
            if tracker.state(mark.table) == "waiting":
                self._must_be_empty(relation, work)
                if not tracker.in_one_piece(mark.table):
                    tracker.begin(mark.table)
            tracker.low(mark.table)
            return ()
        chunk = self._handover.take(mark.run, mark.number)
        if chunk is None:
            return ()
        rows = tracker.high(mark.table, chunk)
        if rows is None:
            work.rejected = True
            return ()
        if isinstance(rows, WholeTable):
            self._must_be_empty(chunk.relation, work)
        work.copied_rows[mark.table] = work.copied_rows.get(mark.table, 0) + (0 if chunk.again else len(chunk.rows))
        work.settled.append(mark)
        return rows

    def _must_be_empty(self, relation: Relation, work: BatchWork) -> None:
        emptied = self.mapper.map(Truncate(relations=(relation,)))
        work.must_be_empty += [change.table for change in emptied]

    def _canary(self, change: RowChange) -> TargetChange | None:
        """The stream's own row passes as it is, whoever owns the tables."""
        row = change.new
        if row is None:
            return None
        values = {
            column.name: value
            for column, value in zip(change.relation.columns, row, strict=True)
            if isinstance(value, str)
        }
        if values.get("stream") != self._link.stream:
            return None
        return TargetChange(kind="upsert", table=CANARY_TABLE, key={"stream": self._link.stream}, values=values)


def _part_of(routed: Sequence[Routed], woven: frozenset[TableName], *, inside: bool) -> list[Routed]:
    return [(index, part, lenient) for index, event, lenient in routed if (part := _part(event, woven, inside=inside))]


def _part(event: Event, woven: frozenset[TableName], *, inside: bool) -> Event | None:
    if isinstance(event, RowChange):
        return event if (event.relation.table in woven) is inside else None
    relations = tuple(relation for relation in event.relations if (relation.table in woven) is inside)
    return replace(event, relations=relations) if relations else None
