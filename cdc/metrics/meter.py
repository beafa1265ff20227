"""Counts of one link, kept while it runs. Times are parameters; one lock, so that every thread may tell it."""

import threading
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from cdc.events import Relation, RowChange, TableName, Transaction, Truncate
from cdc.insert_run import HeldChanges, Run, runs_of
from cdc.lsn import ZERO, Lsn
from cdc.sent_changes import SentChanges

DURATION_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

LARGE: Final = "(large transactions)"
"""Stands for the table of events that lie on disk: decoding them once more only to count them would cost too much."""

NO_TABLE: Final = "(none)"
"""Stands for the table of messages."""

_OPERATIONS: Final = {"c": "insert", "u": "update", "d": "delete", "r": "read"}

MOST_APART: Final = 10_000
MOST_TOGETHER: Final = 1000
"""Transactions that wait are counted each by itself up to the first, and then up to the second together."""

_SENT_OPERATIONS: Final = {ord("I"): "insert", ord("U"): "update", ord("D"): "delete"}
_MOST_RELATIONS_KNOWN: Final = 4096

TableOperation = tuple[str, str]
"""(source table, operation): `insert`, `update`, `delete`, `truncate`, `message` (of no table); `any` for `LARGE`."""


class Durations:
    """A histogram: how many observations fell into each bucket, and their sum in seconds."""

    def __init__(self, bounds: Sequence[float] = DURATION_BUCKETS_S) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += times
        self.sum_s += seconds * times

    def cumulative(self) -> list[tuple[str, int]]:
        """(upper bound, observations at or below it), the last one `+Inf`."""
        total, found = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            total += count
            found.append((bound, total))
        return found


def count_changes(transaction: Transaction) -> Counter[TableOperation]:
    """Events of a transaction by source table and operation; of one that lies on disk only their number."""
    changes = transaction.changes
    if not isinstance(changes, tuple | list | HeldChanges | SentChanges):
        return Counter({(LARGE, "any"): len(changes)})
    found: Counter[TableOperation] = Counter()
    relation, operations = None, dict.fromkeys(_OPERATIONS, 0)
    for change in runs_of(changes):
        if isinstance(change, RowChange):
            # Changes of one table mostly come together: two look-ups each, since this runs for every event.
            if change.relation is not relation:
                _add(found, relation, operations)
                relation = change.relation
            operations[change.op] += 1
        elif isinstance(change, Run):
            found[_table(change.relation), "insert"] += len(change)
        elif isinstance(change, Truncate):
            found.update((_table(each), "truncate") for each in change.relations)
        else:
            found[NO_TABLE, "message"] += 1
    _add(found, relation, operations)
    return found


def _add(found: Counter[TableOperation], relation: Relation | None, operations: dict[str, int]) -> None:
    """Add what was counted of one table, and begin anew."""
    if relation is None:
        return
    for op, count in operations.items():
        if count:
            found[_table(relation), _OPERATIONS[op]] += count
            operations[op] = 0


def _table(relation: Relation) -> str:
    return _name(relation.schema, relation.name)


@lru_cache(maxsize=4096)
def _name(schema: str, name: str) -> str:
    return str(TableName(schema=schema, name=name))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting:
    """Transactions through `lsn`, the first of which was captured at `captured_at_s`. `together`: in a long backlog."""

    lsn: Lsn
    captured_at_s: float | None
    counts: Counter[TableOperation]
    transactions: int = 1
    together: bool = False


@dataclass(kw_only=True, slots=True)
class _Small:
    """Small transactions that were captured together, each by its position; `ends`: how many of `events` came by its
    end. They are counted when they are applied, all at once."""

    captured_at_s: float
    lsns: list[Lsn] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    events: list[TableOperation] = field(default_factory=list)
    passed: int = 0

    @property
    def lsn(self) -> Lsn:
        return self.lsns[-1]

    @property
    def transactions(self) -> int:
        return len(self.lsns) - self.passed

    @property
    def counts(self) -> Counter[TableOperation]:
        """Of those that are not passed."""
        return Counter(self.events[self.ends[self.passed - 1] :] if self.passed else self.events)

    def take_through(self, lsn: Lsn) -> tuple[int, Counter[TableOperation]]:
        """Pass those through `lsn`: how many these are, and what is in them."""
        through = bisect_right(self.lsns, lsn)
        taken, first = through - self.passed, self.ends[self.passed - 1] if self.passed else 0
        counts = Counter(self.events[first : self.ends[through - 1]] if taken else ())
        self.passed = through
        return taken, counts


class _Operations:
    """The same `TableOperation` for every event of its kind."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Relation, dict[int, TableOperation]]] = {}

    def of(self, relation: Relation) -> dict[int, TableOperation]:
        """By the tag of the message."""
        known = self._known.get(id(relation))
        if known is None or known[0] is not relation:
            if len(self._known) >= _MOST_RELATIONS_KNOWN:
                self._known.clear()
            table = _table(relation)
            known = (relation, {tag: (table, operation) for tag, operation in _SENT_OPERATIONS.items()})
            self._known[id(relation)] = known
        return known[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class MeterView:
    """One moment. Counters begin when the worker does. `waiting`: events captured and not applied, by source table.

    `last_applied_s`: wall time of each source table's last applied event, seconds since the Unix epoch.
    """

    captured_events: int
    captured_transactions: int
    applied: dict[TableOperation, int]
    applied_transactions: int
    waiting: dict[str, int]
    last_applied_s: dict[str, float]
    retries: dict[str, int]
    errors: dict[tuple[str, str], int]
    apply: list[tuple[str, int]]
    apply_sum_s: float
    latency: list[tuple[str, int]]
    latency_sum_s: float

    @property
    def events_waiting(self) -> int:
        return sum(self.waiting.values())


@dataclass(slots=True)
class StreamMeter:
    """Counts events when they are captured, and again when the ledger has passed them: never a batch that failed."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waiting: deque[_Waiting | _Small] = field(default_factory=deque)
    _apart: int = 0
    _operations: _Operations = field(default_factory=_Operations)
    _applied_at: tuple[Lsn, float, float] = (ZERO, 0.0, 0.0)
    _captured_through: Lsn = ZERO
    _captured_events: int = 0
    _captured_transactions: int = 0
    _applied: Counter[TableOperation] = field(default_factory=Counter)
    _applied_transactions: int = 0
    _last_applied_s: dict[str, float] = field(default_factory=dict)
    _retries: Counter[str] = field(default_factory=Counter)
    _errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    _apply: Durations = field(default_factory=Durations)
    _latency: Durations = field(default_factory=Durations)
    _batch_began_s: float | None = None

    def backlog(self, transactions: Iterable[Transaction]) -> None:
        """What the change log held beyond the ledger when the worker began, in commit order, before any `captured`."""
        with self._lock:
            for one in transactions:
                self._wait(_Waiting(lsn=one.commit_lsn, captured_at_s=None, counts=count_changes(one)))
                self._captured_through = one.commit_lsn
            self._pass_applied()

    def captured(self, transactions: Sequence[Transaction], now_s: float) -> None:
        """`transactions` are durable in the change log; those that came before are not counted again. `now_s`:
        monotonic."""
        with self._lock:
            small = _Small(captured_at_s=now_s)
            for one in transactions:
                if one.commit_lsn <= self._captured_through:
                    continue
                self._captured_through = one.commit_lsn
                self._captured_transactions += 1
                if isinstance(one.changes, SentChanges):
                    self._add_small(one, one.changes, small)
                    continue
                if small.lsns:
                    self._wait(small)
                    small = _Small(captured_at_s=now_s)
                counts = count_changes(one)
                self._wait(_Waiting(lsn=one.commit_lsn, captured_at_s=now_s, counts=counts))
                self._captured_events += counts.total()
            if small.lsns:
                self._wait(small)
            self._pass_applied()

    def _add_small(self, transaction: Transaction, changes: SentChanges, small: _Small) -> None:
        relation, operations = None, dict[int, TableOperation]()
        for message, each in zip(changes.messages, changes.relations, strict=True):
            if each is not relation:
                relation, operations = each, self._operations.of(each)
            small.events.append(operations[message[0]])
        small.lsns.append(transaction.commit_lsn)
        small.ends.append(len(small.events))
        self._captured_events += len(changes.messages)

    def _wait(self, one: _Waiting | _Small) -> None:
        """In a long backlog neighbours are counted together, so that a target that is long away fills no memory."""
        waiting = self._waiting
        if self._apart + one.transactions <= MOST_APART:
            waiting.append(one)
            self._apart += one.transactions
            return
        last = waiting[-1] if waiting else None
        if isinstance(last, _Waiting) and last.together and last.transactions < MOST_TOGETHER:
            last.counts.update(one.counts)
            waiting[-1] = replace(last, lsn=one.lsn, transactions=last.transactions + one.transactions)
        else:
            waiting.append(
                _Waiting(
                    lsn=one.lsn,
                    captured_at_s=one.captured_at_s,
                    counts=one.counts,
                    transactions=one.transactions,
                    together=True,
                )
            )

    @property
    def awaits_batch(self) -> bool:
        """The next `batch_begins` counts."""
        return self._batch_began_s is None

    def batch_begins(self, now_s: float) -> None:
        """The applier took something from the change log; the first such call since `applied` counts."""
        if self._batch_began_s is None:
            self._batch_began_s = now_s

    def applied(self, lsn: Lsn, now_s: float, wall_s: float) -> None:
        """Everything through `lsn` is durable in the target. `now_s`: monotonic; `wall_s`: since the Unix epoch.

        May be told before `captured` was: the applier reads the log as soon as it is durable.
        """
        with self._lock:
            self._applied_at = (max(self._applied_at[0], lsn), now_s, wall_s)
            began_s, self._batch_began_s = self._batch_began_s, None
            if self._pass_applied() and began_s is not None:
                self._apply.observe(max(0.0, now_s - began_s))

    def _pass_applied(self) -> int:
        lsn, now_s, wall_s = self._applied_at
        passed = 0
        while self._waiting:
            one = self._waiting[0]
            if isinstance(one, _Small):
                taken, counts = one.take_through(lsn)
            else:
                taken, counts = (one.transactions, one.counts) if one.lsn <= lsn else (0, Counter())
            if not taken:
                break
            passed += taken
            self._applied.update(counts)
            for table, _ in counts:
                self._last_applied_s[table] = wall_s
            if one.captured_at_s is not None:
                self._latency.observe(max(0.0, now_s - one.captured_at_s), taken if isinstance(one, _Small) else 1)
            if not (isinstance(one, _Waiting) and one.together):
                self._apart -= taken
            if one.lsn > lsn:
                break
            self._waiting.popleft()
        self._applied_transactions += passed
        return passed

    def trouble(self, part: str, error: str, *, retried: bool) -> None:
        """A part of the link failed with an error of class `error`; `retried`: it tries again by itself."""
        with self._lock:
            self._errors[part, error] += 1
            self._retries[part] += retried
            self._batch_began_s = None

    def view(self) -> MeterView:
        with self._lock:
            waiting: Counter[str] = Counter()
            for one in self._waiting:
                for (table, _), count in one.counts.items():
                    waiting[table] += count
            return MeterView(
                captured_events=self._captured_events,
                captured_transactions=self._captured_transactions,
                applied=dict(self._applied),
                applied_transactions=self._applied_transactions,
                waiting=dict(waiting),
                last_applied_s=dict(self._last_applied_s),
                retries=dict(self._retries),
                errors=dict(self._errors),
                apply=self._apply.cumulative(),
                apply_sum_s=self._apply.sum_s,
                latency=self._latency.cumulative(),
                latency_sum_s=self._latency.sum_s,
            )
