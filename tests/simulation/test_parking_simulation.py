"""Parking against a simulated target: any refusals, restarts and retries, one seed a run.

Held to: foreign keys hold after every commit, unique values are never given away, the position passes nothing that is
neither applied nor parked, and once the target accepts everything a retry in order makes it equal to the source.
"""

import contextlib
import copy
import random
from datetime import UTC, datetime
from itertools import count

import pytest

from cdc.applier import Applier
from cdc.errors import ApplyFailed
from cdc.events import Column, Relation, RowChange, TableName, Transaction, Truncate
from cdc.link import LinkLimits, LinkSpec
from cdc.lsn import Lsn
from cdc.mapping.compiled import compile_mapping
from cdc.parking.model import ParkedRequest, ParkedRow, Reference, TableRules
from cdc.parking.payload import decode_events, encode_events
from cdc.tables import Schema, Table, TableColumn
from cdc.target_port import RaceLost, RowRefused, RowsNotFound
from strangler.clock import ManualClock
from tests.stream_pair import identical

COLUMNS = {"parent": ("id", "v"), "child": ("id", "parent", "v"), "item": ("id", "code", "v")}
RELATIONS = {
    name: Relation(
        oid=number, schema="public", name=name,
        columns=tuple(Column(name=column, type_oid=25, in_key=column == "id") for column in columns),
    )
    for number, (name, columns) in enumerate(COLUMNS.items(), 1)
}  # fmt: skip
SCHEMA = Schema(
    tables={
        TableName(name=name): Table(
            name=TableName(name=name),
            columns=tuple(TableColumn(name=column, type="text", type_oid=25) for column in columns),
            primary_key=("id",),
        )
        for name, columns in COLUMNS.items()
    }
)
MAPPING = identical(*((name, " ".join(columns)) for name, columns in COLUMNS.items()))
RULES = {
    "parent": TableRules(),
    "child": TableRules(
        references=(
            Reference(columns=("parent",), parent=TableName(name="parent"), parent_columns=("id",), exact=True),
        )
    ),
    "item": TableRules(uniques=(("code",),)),
}
IDS = [str(number) for number in range(8)]


class Source:
    def __init__(self, chance):
        self.chance, self.lsn, self.log = chance, count(1000, 10), []
        self.tables = {name: {} for name in COLUMNS}

    def write(self):
        changes = [change for _ in range(self.chance.randint(1, 4)) if (change := self._change()) is not None]
        if changes:
            lsn = next(self.lsn)
            self.log.append(
                Transaction(xid=1, commit_lsn=lsn, end_lsn=lsn + 1, commit_time_us=1, changes=tuple(changes))
            )

    def _change(self):
        if self.chance.random() < 0.01:
            return self._truncate(self.chance.choice([("item",), ("child",), ("child", "parent")]))
        name = self.chance.choice(list(COLUMNS))
        rows, key = self.tables[name], self.chance.choice(IDS)
        if key not in rows:
            return self._put(name, None, self._row(name, key))
        used = name == "parent" and any(child[1] == key for child in self.tables["child"].values())
        action = self.chance.choice(["update", "update", "delete", "move"])
        if action == "delete" and not used:
            del rows[key]
            return RowChange(relation=RELATIONS[name], op="d", new=None, old=self._old(name, key), old_is_key=True)
        new_key = self.chance.choice(IDS)
        if action == "move" and (used or new_key in rows):
            return None
        return self._put(name, key, self._row(name, new_key if action == "move" else key, key))

    def _row(self, name, key, before=None):
        v = self.chance.choice(["good", "good", "good", "bad"]) + str(self.chance.randrange(1000))
        if name == "parent":
            return (key, v)
        if name == "child":
            parent = self.chance.choice([*self.tables["parent"], None])
            return (key, parent, v)
        taken = {row[1] for id, row in self.tables["item"].items() if id != before}
        return (key, self.chance.choice([code for code in "abcdefghij" if code not in taken]), v)

    def _put(self, name, before, row):
        if before is not None:
            del self.tables[name][before]
        self.tables[name][row[0]] = row
        moved = before is not None and before != row[0]
        return RowChange(
            relation=RELATIONS[name], op="c" if before is None else "u", new=row,
            old=self._old(name, before) if moved else None, old_is_key=moved,
        )  # fmt: skip

    def _old(self, name, key):
        return (key, *[None] * (len(COLUMNS[name]) - 1))

    def _truncate(self, names):
        for name in names:
            self.tables[name].clear()
        return Truncate(relations=tuple(RELATIONS[name] for name in names))


class Target:
    """What `cdc.target_port.ApplyTarget` says, in memory. `healed`: accepts every row."""

    def __init__(self, chance):
        self.chance, self.healed = chance, False
        self.tables = {name: {} for name in COLUMNS}
        self.rows, self.asked, self.ids, self.position = [], {}, count(1), Lsn(1)
        self.parked, self.bulk = self, None

    def _state(self):
        return copy.deepcopy((self.tables, self.rows, self.asked, self.position))

    @contextlib.contextmanager
    def savepoint(self):
        before = self._state()
        try:
            yield
        except BaseException:
            self.tables, self.rows, self.asked, self.position = before
            raise

    @contextlib.contextmanager
    def transaction(self, *, pipelined):
        with self.savepoint():
            yield
            if self.chance.random() < 0.05:
                raise RaceLost("40001")
            for child in self.tables["child"].values():
                assert child["parent"] is None or child["parent"] in self.tables["parent"], "an orphan"

    def write(self, groups):
        for group in groups:
            name, rows = group.table.name, self.tables[group.table.name]
            if group.kind == "truncate":
                rows.clear()
            hit = 0
            for row in group.rows:
                old, values = (
                    (row[0], dict(zip(group.columns, row, strict=True)))
                    if group.kind == "upsert"
                    else (row[0], dict(zip(group.columns, row[1:], strict=True)))
                )
                before = rows.pop(old, None)
                hit += before is not None
                if group.kind == "delete" or (before is None and group.kind == "update"):
                    continue
                self._insert(name, {**(before or {}), **({"id": old} if before else {}), **values})
            if group.must_match and hit != len(group.rows):
                raise RowsNotFound(group)

    def _insert(self, name, row):
        if not self.healed and row["v"].startswith("bad"):
            raise RowRefused("is bad", "23514")
        rows = self.tables[name]
        if row["id"] in rows or (name == "item" and any(each["code"] == row["code"] for each in rows.values())):
            raise RowRefused("unique", "23505")
        rows[row["id"]] = row

    def read_row(self, table, key, columns):
        row = self.tables[table.name].get(key["id"])
        return None if row is None else {name: row[name] for name in columns}

    def rules(self, table):
        return RULES[table.name]

    def batching(self, table):
        return "in_order" if table.name == "item" else "any"

    def load_position(self):
        return self.position

    def load_copies(self):
        return {}

    def move_position(self, step):
        assert step.previous == self.position < step.position
        self.position = step.position

    def settle(self, step, *, lock_owner):
        self.move_position(step)

    def owner(self, *, lock):
        return None

    def forget_tables(self):
        pass

    def close(self):
        pass

    # The parked store

    def any(self):
        return bool(self.rows)

    def load(self):
        return list(self.rows)

    def add(self, rows, at):
        for row in rows:
            assert decode_events(encode_events(row.events)) == row.events
            self.rows.append(ParkedRow(id=next(self.ids), parked=row))

    def refused(self, id, refusal):
        self.asked.pop(id, None)
        self.rows = [self._refused(row, refusal) if row.id == id else row for row in self.rows]

    def _refused(self, row, refusal):
        values = {name: getattr(row.parked, name) for name in row.parked.__slots__}
        return ParkedRow(id=row.id, parked=type(row.parked)(**{**values, "state": "refused", "refusal": refusal}))

    def remove(self, id):
        self.asked.pop(id, None)
        self.rows = [row for row in self.rows if row.id != id]

    def requests(self):
        return [ParkedRequest(id=id, kind=kind) for id, kind in sorted(self.asked.items())]

    def drop_request(self, id):
        self.asked.pop(id)


@pytest.mark.parametrize("seed", range(50))
def test_what_is_parked_comes_back_in_order(seed, tmp_path, monkeypatch):
    chance = random.Random(seed)
    source, target = Source(chance), Target(chance)
    link = LinkSpec(
        move="m", direction="forward", source_dsn="", target_dsn="", log_folder=tmp_path, follows_copy=False,
        mapper=compile_mapping(MAPPING, SCHEMA, SCHEMA),
        source_keys={TableName(name=name): ("id",) for name in COLUMNS},
        limits=LinkLimits(batch_events=chance.choice([1, 3, 2000])),
    )  # fmt: skip
    monkeypatch.setattr("cdc.applier.open_target", lambda link, clock: target)
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    applier = Applier(link, clock=clock)

    def serve(ids):
        target.asked = dict.fromkeys(ids, "retry")
        with contextlib.suppress(ApplyFailed):
            for _ in range(20):
                applier.serve_requests()
                if not target.asked:
                    break

    for _ in range(chance.randint(20, 120)):
        action = chance.choices(["write", "apply", "restart", "retry", "heal"], [6, 4, 0.3, 0.5, 0.05])[0]
        if action == "write":
            source.write()
        elif action == "apply":
            ready = [each for each in source.log if each.commit_lsn > target.position]
            applier.apply(ready[: chance.randint(1, 5)])
        elif action == "restart":
            applier = Applier(link, clock=clock)
        elif action == "retry" and target.rows:
            refused = [row.id for row in target.rows if row.parked.state == "refused"]
            serve(chance.sample(refused, chance.randint(1, len(refused))))
        elif action == "heal":
            target.healed = not target.healed
    applier.apply([each for each in source.log if each.commit_lsn > target.position])
    target.healed = True
    for _ in range(3):
        serve([row.id for row in target.rows if row.parked.state == "refused"])
    assert [row.parked.refusal for row in target.rows] == []
    assert not applier.parked
    for name, columns in COLUMNS.items():
        rows = {id: tuple(row[column] for column in columns) for id, row in target.tables[name].items()}
        assert rows == source.tables[name]
