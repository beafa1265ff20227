"""A connector that writes, forgets and writes again; brokers that show partitions late; a consumer that dies anywhere.

Seeded. With a transaction topic every unit is one transaction of the source; without one nothing is lost or doubled.
"""

import json
import random

import pytest

from cdc.changelog.debezium_topics.assembly import TopicAssembler
from cdc.changelog.debezium_topics.changes import row_changes
from cdc.changelog.debezium_topics.topic_events import EndMark, Raw, TopicEvent, newest_from_json
from cdc.events import UNCHANGED, Column, Relation, RowChange, TableName, Truncate

TABLES = [TableName(name="a"), TableName(name="b")]
RELATIONS = {
    table: Relation(
        oid=0,
        schema="public",
        name=table.name,
        columns=(Column(name="id", type_oid=25, in_key=True), Column(name="v", type_oid=25)),
    )
    for table in TABLES
}
JOURNAL = ("p.transaction", 0)
IDLE_S = 1.0


class Source:
    """A database with transactions that overlap. `committed`: [(xid, end lsn, [(lsn, op, table, old, new)])]."""

    def __init__(self, chosen, *, transactions, truncates):
        self.chosen, self.truncates = chosen, truncates
        self.tables = {table: {} for table in TABLES}
        self.committed, self.states = [], [self._copy()]
        self.lsn, self.xid, self.open = 1000, 700, {}
        while len(self.committed) < transactions:
            self._step()

    def _step(self):
        if len(self.open) < 3 and self.chosen.random() < 0.5:
            self.xid += 1
            self.open[self.xid] = ([], set())
        if not self.open:
            return None
        xid = self.chosen.choice(list(self.open))
        events, locked = self.open[xid]
        if events and self.chosen.random() < 0.3:
            return self._commit(xid, events)
        self.lsn += self.chosen.randrange(8, 60)
        taken = set().union(*(locks for _, locks in self.open.values()))
        table = self.chosen.choice(TABLES)
        if self.truncates and self.chosen.random() < 0.02 and len(self.open) == 1:
            self._truncate(events, locked)
            return None
        key, other = (str(self.chosen.randrange(25)) for _ in range(2))
        if {(table, key), (table, other)} & (taken - locked):
            return None
        locked |= {(table, key), (table, other)}
        rows = self._seen(events, table)
        if key not in rows:
            events.append((self.lsn, "c", table, None, (key, f"v{self.lsn}")))
        elif self.chosen.random() < 0.3:
            events.append((self.lsn, "d", table, key, None))
        elif self.chosen.random() < 0.4 and other not in rows:
            events.append((self.lsn, "m", table, key, (other, rows[key])))
        else:
            events.append((self.lsn, "u", table, key, (key, f"v{self.lsn}")))
        return None

    def _truncate(self, events, locked):
        for table in TABLES:
            locked |= {(table, str(key)) for key in range(25)}
            events.append((self.lsn, "t", table, None, None))

    def _seen(self, events, table):
        rows = dict(self.tables[table])
        for event in events:
            if event[2] == table:
                play(rows, event)
        return rows

    def _commit(self, xid, events):
        del self.open[xid]
        self.lsn += 40
        for event in events:
            play(self.tables[event[2]], event)
        self.committed.append((xid, self.lsn, events))
        self.states.append(self._copy())

    def _copy(self):
        return {table: dict(rows) for table, rows in self.tables.items()}


def play(rows, event):
    _, op, _, old, new = event
    if op == "t":
        rows.clear()
    if op in "dm":
        del rows[old]
    if new is not None:
        rows[new[0]] = new[1]


def emitted(source, *, metadata):
    """Everything that a connector writes, once: (place without partition, make(offset, place))."""
    found, previous = [], None
    for xid, end, events in source.committed:
        order, counts = 0, {}
        for lsn, op, table, old, new in events:
            parts = [("d", old, None), ("c", old, new)] if op == "m" else [(op, old, new)]
            for part, before, after in parts:
                order, counts[table] = order + 1, counts.get(table, 0) + 1
                moved = op == "m" and part == "c" and metadata
                found.append(
                    event_of(table, part, before, after, moved, xid, lsn, previous, order if metadata else None, end)
                )
        if metadata:
            found.append(("end", xid, end, counts))
        previous = end
    return found


def event_of(table, op, old, new, moved, xid, lsn, previous, order, end):
    relation = RELATIONS[table]
    if op == "t":
        change = Truncate(relations=(relation,))
    else:
        after = None if new is None or op == "d" else (new[0], UNCHANGED if moved else new[1])
        change = RowChange(
            relation=relation,
            op=op,
            new=after,
            old=(old, None) if op == "d" else None,
            old_is_key=op == "d",
        )
    key = "" if op == "t" else old if op in "du" else new[0]
    fields = {"table": table, "op": op, "xid": xid, "lsn": lsn, "previous": previous, "order": order,
              "time_us": end * 1000, "digest": (hash(key) & 0xFFFF, hash(repr(change)) & 0xFFFFFF),
              "keyed": op != "t", "size": 1, "change": change}  # fmt: skip
    return key, fields


def partitions_of(chosen, records, count, restarts):
    """{place: [records]}, with what a connector that was restarted wrote again."""
    written, at = [], 0
    while at < len(records):
        upto = min(len(records), at + chosen.randrange(5, 60)) if restarts else len(records)
        written += records[(max(0, at - chosen.randrange(0, 40)) if restarts else at) : upto]
        at = upto
    places = {(f"p.public.{table.name}", n): [] for table in TABLES for n in range(count)} | {JOURNAL: []}
    for record in written:
        if record[0] == "end":
            places[JOURNAL].append(record)
        else:
            key, fields = record
            number = chosen.randrange(count) if fields["op"] == "t" else int(key) % count
            places[f"p.public.{fields['table'].name}", number].append(record)
    return places


class Consumer:
    """Feeds an assembler, applies its units to a target that remembers progress with them."""

    def __init__(self, chosen, places, metadata):
        self.chosen, self.places, self.metadata = chosen, places, metadata
        self.target = {table: {} for table in TABLES}
        self.saved, self.visible = dict.fromkeys(places, (0, None)), dict.fromkeys(places, 0)
        self.now_s = 0.0
        self.units = []
        self.restart()

    def restart(self):
        self.assembler = TopicAssembler(journal=JOURNAL if self.metadata else None, idle_s=IDLE_S, new_store=list)
        self.fed = {}
        for place, (offset, newest) in self.saved.items():
            table = next((t for t in TABLES if place[0].endswith(f".{t.name}")), None)
            again = newest_from_json(json.loads(json.dumps(newest.as_json()))) if newest else None
            self.assembler.add_place(place, (offset, again), table)
            self.fed[place] = offset

    def step(self):
        self.now_s += self.chosen.choice([0.01, 0.1, 2.5])
        place = self.chosen.choice(list(self.places))
        self.visible[place] = min(len(self.places[place]), self.visible[place] + self.chosen.randrange(0, 30))
        for place in self.chosen.sample(list(self.places), len(self.places)):
            for _ in range(self.chosen.randrange(0, 20)):
                if self.fed[place] < self.visible[place]:
                    self._feed(place)
        self.assembler.reached([p for p in self.places if self.fed[p] == self.visible[p]], self.now_s)
        while self.chosen.random() < 0.9 and (unit := self.assembler.take(self.now_s)) is not None:
            self._apply(unit)
        if self.chosen.random() < 0.03:
            self.restart()

    def finish(self):
        self.visible = {place: len(records) for place, records in self.places.items()}
        for _ in range(3):
            for place in self.places:
                while self.fed[place] < self.visible[place]:
                    self._feed(place)
            self.now_s += 2 * IDLE_S
            self.assembler.reached(list(self.places), self.now_s)
            while (unit := self.assembler.take(self.now_s)) is not None:
                self._apply(unit)
        assert self.assembler.is_empty

    def _feed(self, place):
        offset, record = self.fed[place], self.places[place][self.fed[place]]
        self.fed[place] += 1
        if record[0] == "end":
            _, xid, end, counts = record
            self.assembler.feed_end(
                EndMark(offset=offset, xid=xid, lsn=end, time_us=end * 1000, counts=counts), self.now_s
            )
        else:
            _, fields = record
            event = TopicEvent(place=place, offset=offset, raw=Raw(topic=place[0], key=None, value=b""), **fields)
            self.assembler.feed(event, self.now_s)

    def _apply(self, unit):
        for change in row_changes(unit.events(), self._decoded):
            if isinstance(change, Truncate):
                self.target[change.relations[0].table].clear()
                continue
            rows = self.target[change.relation.table]
            before = None
            if change.old is not None:
                before = rows.pop(change.old[0])
            elif change.op == "u":
                before = rows[change.new[0]]
            if change.new is not None:
                key, value = change.new
                rows[key] = before if value is UNCHANGED else value
        self.saved |= unit.progress
        self.units.append((unit, {table: dict(rows) for table, rows in self.target.items()}))

    @staticmethod
    def _decoded(event):
        if event.error is not None:
            raise event.error
        return event.change


def run(seed, *, metadata, count, truncates, restarts):
    chosen = random.Random(seed)
    source = Source(chosen, transactions=40, truncates=truncates)
    places = partitions_of(chosen, emitted(source, metadata=metadata), count, restarts)
    consumer = Consumer(chosen, places, metadata)
    for _ in range(250):
        consumer.step()
    consumer.finish()
    return source, consumer


@pytest.mark.parametrize("seed", range(16))
def test_units_are_the_sources_transactions_by_the_transaction_topic(seed):
    source, consumer = run(seed, metadata=True, count=1 + seed % 3, truncates=True, restarts=seed % 2 == 1)
    assert consumer.target == source.tables
    assert [state for _, state in consumer.units] == source.states[1:]
    assert all(unit.is_whole for unit, _ in consumer.units)


@pytest.mark.parametrize("seed", range(16))
def test_nothing_is_lost_or_doubled_without_the_transaction_topic(seed):
    source, consumer = run(seed, metadata=False, count=1 + seed % 3, truncates=False, restarts=seed % 2 == 1)
    assert consumer.target == source.tables


@pytest.mark.parametrize("seed", range(8))
def test_a_topic_of_one_partition_keeps_truncates_in_order_without_the_transaction_topic(seed):
    source, consumer = run(seed, metadata=False, count=1, truncates=True, restarts=seed % 2 == 1)
    assert consumer.target == source.tables
