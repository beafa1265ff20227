"""Source transactions → what one target transaction has to do. Decides; executes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cdc.bookkeeping import CANARY_TABLE
from cdc.chunk_handover import ChunkHandover
from cdc.copy_tracker import CopyTracker, Watermark, parse_watermark
from cdc.events import Change, Message, RowChange, TableName, TargetChange, Transaction, Truncate
from cdc.link import LinkSpec


@dataclass(slots=True)
class BatchWork:
    """`changes` in commit order. `must_be_empty`: target tables of copies that begin here.

    `copied_rows`: rows of our chunks by source table. `settled`: chunks that are in it; `rejected`: one has to be read
    again. `has_data`: something besides canaries is written, so ownership counts.
    """

    changes: list[TargetChange] = field(default_factory=list)
    must_be_empty: list[TableName] = field(default_factory=list)
    copied_rows: dict[TableName, int] = field(default_factory=dict)
    settled: list[Watermark] = field(default_factory=list)
    rejected: bool = False
    has_data: bool = False


class BatchMapper:
    """Maps transactions of one stream, advancing a `CopyTracker` on the way."""

    def __init__(self, link: LinkSpec, handover: ChunkHandover) -> None:
        self._link = link
        self._handover = handover
        self._mapped = frozenset(link.mapper.source_tables)

    def work(self, transactions: Sequence[Transaction], tracker: CopyTracker) -> BatchWork:
        work = BatchWork()
        for transaction in transactions:
            self._add(transaction, tracker, work)
            tracker.recent.add(transaction.xid)
        return work

    def _add(self, transaction: Transaction, tracker: CopyTracker, work: BatchWork) -> None:
        routed: list[RowChange | Truncate] = []
        lenient = False
        for change in transaction.changes:
            if isinstance(change, Message):
                if mark := parse_watermark(change):
                    self._pass_mark(mark, tracker, work)
            elif _is_canary(change):
                work.changes += self._canary(change)
            elif (known := self._known(change)) is not None:
                changes, may_be_absent = tracker.route(transaction.xid, known)
                routed += changes
                lenient = lenient or may_be_absent
        if routed:
            self._map(routed, lenient, work)

    def _map(self, changes: Sequence[Change], lenient: bool, work: BatchWork) -> None:
        mapped = self._link.mapper.map_transaction(changes)
        work.changes += [_lenient(each) for each in mapped] if lenient else mapped
        work.has_data = work.has_data or bool(mapped)

    def _known(self, change: RowChange | Truncate) -> RowChange | Truncate | None:
        if isinstance(change, RowChange):
            return change if change.relation.table in self._mapped else None
        relations = tuple(relation for relation in change.relations if relation.table in self._mapped)
        return replace(change, relations=relations) if relations else None

    def _pass_mark(self, mark: Watermark, tracker: CopyTracker, work: BatchWork) -> None:
        if mark.mark == "low":
            relation = self._handover.relation(mark.run, mark.table)
            if relation is None:
                return
            if tracker.state(mark.table) == "waiting":
                emptied = self._link.mapper.map(Truncate(relations=(relation,)))
                work.must_be_empty += [change.table for change in emptied]
                tracker.begin(mark.table)
            tracker.low(mark.table)
            return
        chunk = self._handover.take(mark.run, mark.number)
        if chunk is None:
            return
        rows = tracker.high(mark.table, chunk)
        if rows is None:
            work.rejected = True
            return
        self._map(rows, False, work)
        work.copied_rows[mark.table] = work.copied_rows.get(mark.table, 0) + (0 if chunk.again else len(chunk.rows))
        work.settled.append(mark)

    def _canary(self, change: RowChange | Truncate) -> list[TargetChange]:
        """The stream's own row passes as it is, whoever owns the tables."""
        row = None if isinstance(change, Truncate) else change.new
        if row is None:
            return []
        assert isinstance(change, RowChange)
        values = {
            column.name: value
            for column, value in zip(change.relation.columns, row, strict=True)
            if isinstance(value, str)
        }
        if values.get("stream") != self._link.stream:
            return []
        return [TargetChange(kind="upsert", table=CANARY_TABLE, key={"stream": self._link.stream}, values=values)]


def _lenient(change: TargetChange) -> TargetChange:
    return change if change.kind == "upsert" else replace(change, missing="ignore")


def _is_canary(change: RowChange | Truncate) -> bool:
    return isinstance(change, RowChange) and change.relation.table == CANARY_TABLE
