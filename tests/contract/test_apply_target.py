"""What `cdc.target_port.ApplyTarget` promises, over every kind of target."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cdc.apply_batch import RowGroup, plan, plan_one_by_one
from cdc.copy_tracker import CopyCursor, TableCopying
from cdc.errors import NotProvisioned, SchemaChanged, StreamBusy
from cdc.events import TableName, TargetChange
from cdc.lsn import Lsn
from cdc.target_port import LedgerStep, RaceLost, RowRefused, RowsNotFound
from tests.contract.apply_targets import make_target

ROOT = Path(__file__).parents[2]
DIALECTS = ["postgresql", "sqlite", "mysql", "generic"]
T = TableName(name="t")


@pytest.fixture(params=DIALECTS)
def target(request, tmp_path):
    made = make_target(request.param, request, tmp_path)
    yield made
    made.close()


@pytest.fixture
def opened(target):
    """A session on table t (id, a, b)."""
    target.execute("CREATE TABLE t (id int PRIMARY KEY, a varchar(40), b int)")
    link = target.link("t")
    target.provision(link)
    return target.open(link)


def needs_rules_of_its_own(target):
    if target.dialect == "generic":
        pytest.skip("no dialect-wide way to do this: docs/targets.md")


def upsert(*rows, columns=("id", "a", "b"), table=T):
    return RowGroup(kind="upsert", table=table, key=("id",), columns=columns, rows=rows)


def update(*rows, columns=("b",), must_match=True):
    return RowGroup(kind="update", table=T, key=("id",), columns=columns, rows=rows, must_match=must_match)


def delete(*rows, must_match=True):
    return RowGroup(kind="delete", table=T, key=("id",), columns=(), rows=rows, must_match=must_match)


TRUNCATE = RowGroup(kind="truncate", table=T, key=(), columns=(), rows=())


def write(session, *groups, pipelined=True):
    with session.transaction(pipelined=pipelined):
        session.write(groups)


def step(position, previous=100, **more):
    return LedgerStep(
        position=Lsn(position), previous=Lsn(previous), **{"source_time_us": 0, "transactions": 1, "events": 1, **more}
    )


def rows(target, query="SELECT * FROM t ORDER BY id"):
    return [tuple(row) for row in target.rows(query)]


def test_every_kind_of_group_in_order(target, opened):
    write(opened, upsert(("1", "x", "1"), ("2", "y", None), ("3", "z", "3")))
    assert rows(target) == [(1, "x", 1), (2, "y", None), (3, "z", 3)]
    write(
        opened,
        update(("1", "10"), ("3", "30")),
        upsert(("2", "Y", "2"), ("4", "", "4")),
        delete(("3",)),
        update(("4", "5", "moved"), columns=("id", "a")),
    )
    assert rows(target) == [(1, "x", 10), (2, "Y", 2), (5, "moved", 4)]
    write(opened, TRUNCATE, upsert(("9", None, "9")))
    assert rows(target) == [(9, None, 9)]


def test_an_upsert_of_some_columns_keeps_the_others(target, opened):
    write(opened, upsert(("1", "x", "1")))
    write(opened, upsert(("1", "7"), ("2", "8"), columns=("id", "b")))
    assert rows(target) == [(1, "x", 7), (2, None, 8)]


def test_an_upsert_of_the_key_alone_is_idempotent(target, opened):
    write(opened, upsert(("1", "x", "1")))
    write(opened, upsert(("1",), ("2",), columns=("id",)))
    assert rows(target) == [(1, "x", 1), (2, None, None)]


def test_applying_again_changes_nothing(target, opened):
    groups = [
        upsert(*((str(n), f"a{n}", str(n)) for n in range(1, 501))),
        update(*((str(n), "0") for n in range(1, 9))),
    ]
    write(opened, *groups)
    before = rows(target)
    write(opened, *groups)
    assert rows(target) == before
    assert len(before) == 500


def test_an_update_that_changes_nothing_matches_its_row(opened):
    write(opened, upsert(("1", "x", "1"), ("2", "y", "2")))
    write(opened, update(("1", "1")), update(("1", "1"), ("2", "2")))


@pytest.mark.parametrize("group", [update(("1", "5"), ("7", "5")), delete(("1",), ("7",))])
def test_rows_that_must_match_and_do_not_undo_the_transaction(target, opened, group):
    write(opened, upsert(("1", "x", "1")))
    with pytest.raises(RowsNotFound):
        write(opened, group)
    assert rows(target) == [(1, "x", 1)]
    lenient = RowGroup(kind=group.kind, table=T, key=group.key, columns=group.columns, rows=group.rows)
    write(opened, lenient)


def test_d2_keys_swap_by_way_of_a_third(target, opened):
    write(opened, upsert(("1", "one", "1"), ("2", "two", "2")))
    moves = [("1", "3"), ("2", "1"), ("3", "2")]
    write(opened, *(update(move, columns=("id",)) for move in moves))
    assert rows(target) == [(1, "two", 2), (2, "one", 1)]


def test_d3_d4_a_unique_value_moves_from_row_to_row_in_one_batch(target):
    target.execute("CREATE TABLE t (id int PRIMARY KEY, a varchar(40) UNIQUE, b int)")
    link = target.link("t")
    target.provision(link)
    session = target.open(link)
    assert session.batching(T) == "in_order"
    write(session, upsert(("1", "mail", "1"), ("2", "slot", "2"), ("3", None, "3")))
    write(session, delete(("1",)), upsert(("4", "mail", "4")))
    write(session, update(("2", None), columns=("a",)), update(("3", "slot"), columns=("a",)))
    assert rows(target) == [(2, None, 2), (3, "slot", 3), (4, "mail", 4)]


def test_an_upsert_never_writes_over_a_row_of_another_key(target):
    target.execute("CREATE TABLE t (id int PRIMARY KEY, a varchar(40) UNIQUE, b int)")
    link = target.link("t")
    target.provision(link)
    session = target.open(link)
    write(session, upsert(("1", "mail", "1")))
    with pytest.raises(RowRefused):
        write(session, upsert(("2", "mail", "2")))
    assert rows(target) == [(1, "mail", 1)]
    write(session, upsert(("1", "mail", "5"), ("3", "other", "3")))
    assert rows(target) == [(1, "mail", 5), (3, "other", 3)]


def test_d6_columns_that_are_not_named_keep_their_value(target, opened):
    write(opened, upsert(("1", "large", "1")))
    write(opened, update(("1", "2")))
    assert rows(target) == [(1, "large", 2)]


@pytest.mark.parametrize("bad", [("2", "x" * 41, "1"), ("2", "x", "no number"), ("2", "x", str(2**31))])
def test_a_refused_row_is_a_matter_of_that_row(target, opened, bad):
    if target.dialect == "sqlite" and bad[2] != "no number":
        pytest.skip("SQLite has no bounds: it holds these exactly")
    with pytest.raises(RowRefused) as caught:
        write(opened, upsert(("1", "ok", "1")), upsert(bad), pipelined=False)
    assert caught.value.reason
    assert rows(target) == []
    write(opened, upsert(("1", "ok", "1")))


def test_a_check_of_the_target_refuses_a_row(target):
    target.execute("CREATE TABLE t (id int PRIMARY KEY, b int NOT NULL CHECK (b < 10))")
    link = target.link("t")
    target.provision(link)
    session = target.open(link)
    for value in ("10", None):
        with pytest.raises(RowRefused):
            write(session, upsert(("1", value), columns=("id", "b")))
    assert rows(target) == []


def test_a_savepoint_undoes_only_what_came_since(target, opened):
    with opened.transaction(pipelined=False):
        opened.write([upsert(("1", "x", "1"))])
        with pytest.raises(RowRefused), opened.savepoint():
            opened.write([upsert(("2", "y", "2"))])
            opened.write([upsert(("3", "z", "no number"))])
        opened.write([upsert(("4", "w", "4"))])
    assert rows(target) == [(1, "x", 1), (4, "w", 4)]


def test_position_and_rows_are_one(target, opened):
    assert opened.load_position() == 100
    with opened.transaction(pipelined=True):
        opened.write([upsert(("1", "x", "1"))])
        opened.move_position(step(200, source_time_us=1_700_000_000_000_000))
    assert (opened.load_position(), len(rows(target))) == (200, 1)
    with pytest.raises(RowRefused), opened.transaction(pipelined=False):
        opened.move_position(step(300, 200))
        opened.write([upsert(("2", "x", "no number"))])
    assert (opened.load_position(), len(rows(target))) == (200, 1)
    opened.move_position(step(250, 200, transactions=0))
    assert opened.load_position() == 250


def test_a_position_that_somebody_else_moved_stops_the_worker(opened):
    with pytest.raises(StreamBusy), opened.transaction(pipelined=False):
        opened.move_position(step(300, 299))
    assert opened.load_position() == 100


def test_copy_progress_comes_back(target, opened):
    table, other = TableName(name="t"), TableName(name="u")
    cursor = CopyCursor(after=("7", "a"), again=(("3", "b"),))
    with opened.transaction(pipelined=True):
        opened.save_copy(table, TableCopying(state="copying", cursor=cursor), 5)
    with opened.transaction(pipelined=True):
        opened.save_copy(table, TableCopying(state="copying", cursor=cursor), 2)
        opened.save_copy(other, TableCopying(state="done", cursor=CopyCursor(range_done=True)), 0)
    copies = opened.load_copies()
    assert (copies[table].state, copies[table].cursor) == ("copying", cursor)
    assert copies[other].state == "done"


def test_rows_read_back_have_the_text_that_was_written(opened):
    write(opened, upsert(("1", "é\\'\"😀", None)))
    assert opened.read_row(T, {"id": "1"}, ("id", "a", "b")) == {"id": "1", "a": "é\\'\"😀", "b": None}
    assert opened.read_row(T, {"id": "2"}, ("a",)) is None


def test_emptiness_and_a_missing_table(opened):
    assert opened.is_empty(T)
    write(opened, upsert(("1", "x", "1")))
    assert not opened.is_empty(T)
    with pytest.raises(SchemaChanged):
        opened.batching(TableName(name="nowhere"))


def test_a_column_that_is_gone_is_a_changed_schema(target, opened):
    with pytest.raises(SchemaChanged):
        write(opened, upsert(("1", "x"), columns=("id", "gone")), pipelined=False)


def test_a_second_worker_is_refused(target, opened):
    needs_rules_of_its_own(target)
    with pytest.raises(StreamBusy):
        target.open(target.link("t", takeover_s=0.2))
    opened.close()
    target.open(target.link("t"))


def test_without_a_ledger_it_is_not_provisioned(target):
    target.execute("CREATE TABLE t (id int PRIMARY KEY, a varchar(40), b int)")
    session = target.open(target.link("t"))
    with pytest.raises(NotProvisioned):
        session.load_position()


def test_a_lock_of_somebody_else_is_a_lost_race(target, opened):
    needs_rules_of_its_own(target)
    write(opened, upsert(("1", "x", "1")))
    other = target.open(target.link("t", direction="reverse"))
    with other.transaction(pipelined=False):
        other.write([update(("1", "2"))])
        with pytest.raises(RaceLost):
            write(opened, update(("1", "3")), pipelined=False)
    write(opened, update(("1", "3")))
    assert rows(target) == [(1, "x", 3)]


def test_foreign_keys_are_left_to_the_source(target):
    needs_rules_of_its_own(target)
    target.execute(
        "CREATE TABLE u (id int PRIMARY KEY)",
        "CREATE TABLE t (id int PRIMARY KEY, a varchar(40), b int,"
        " FOREIGN KEY (b) REFERENCES u (id) ON DELETE CASCADE)",
    )
    link = target.link("t", "u")
    target.provision(link)
    session = target.open(link)
    u = TableName(name="u")
    write(session, upsert(("1", "x", "7")), upsert(("7",), columns=("id",), table=u))
    write(session, RowGroup(kind="delete", table=u, key=("id",), columns=(), rows=(("7",),)))
    assert rows(target) == [(1, "x", 7)]
    (reference,) = session.rules(T).references
    assert (reference.columns, reference.parent.name, reference.exact) == (("b",), "u", True)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_before_commit_leaves_nothing_and_after_it_everything(target, moment):
    target.execute("CREATE TABLE t (id int PRIMARY KEY, a varchar(40), b int)")
    target.provision(target.link("t"))
    died = subprocess.run(
        [sys.executable, "-m", "tests.contract.apply_and_die", target.dialect, target.dsn, str(target.folder), moment],
        check=False, cwd=ROOT, capture_output=True, timeout=60, env={**os.environ},
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    session = target.open(target.link("t", takeover_s=10.0))
    expected = (100, 0) if moment == "before" else (200, 2)
    assert (session.load_position(), len(rows(target))) == expected


class Model:
    """A source table with a unique column that obeys its constraints at every statement, and says what it did."""

    def __init__(self, chance):
        self.chance, self.rows = chance, {}

    def change(self):
        key = str(self.chance.randint(1, 12))
        kind = self.chance.choice(["insert", "insert", "update", "update", "partial", "move", "delete"])
        if kind == "insert" and key not in self.rows:
            return self._put(key, (self._free(), str(self.chance.randint(0, 9))), "upsert")
        if key not in self.rows:
            return None
        if kind == "update":
            return self._put(key, (self._free(), self.rows[key][1]), "update")
        if kind == "partial":
            self.rows[key] = (self.rows[key][0], None)
            return TargetChange(kind="update", table=T, key={"id": key}, values={"b": None})
        if kind == "move" and (new := str(self.chance.randint(13, 20))) not in self.rows:
            self.rows[new] = self.rows.pop(key)
            return TargetChange(kind="update", table=T, key={"id": new}, values={"id": new}, old_key={"id": key})
        if kind == "delete":
            del self.rows[key]
            return TargetChange(kind="delete", table=T, key={"id": key}, values={})
        return None

    def _free(self):
        taken = {a for a, _ in self.rows.values()}
        return self.chance.choice([None, *(name for name in "abcdefgh" if name not in taken)])

    def _put(self, key, row, kind):
        self.rows[key] = row
        values = {"id": key, "a": row[0], "b": row[1]}
        if kind == "update":
            values.pop("id")
        return TargetChange(kind=kind, table=T, key={"id": key}, values=values)


@pytest.mark.parametrize("seed", range(4))
def test_any_stream_of_changes_in_batches_ends_where_the_source_is(target, seed):
    unique = "" if seed % 2 else "UNIQUE"
    target.execute(f"CREATE TABLE t (id int PRIMARY KEY, a varchar(40) {unique}, b int)")
    link = target.link("t")
    target.provision(link)
    session, model = target.open(link), Model(random.Random(seed))
    for _ in range(12):
        changes = [change for change in (model.change() for _ in range(40)) if change]
        try:
            write(session, *plan(changes, session.batching))
        except RowRefused:  # What batches may not know is settled one by one, as the applier does.
            with session.transaction(pipelined=False):
                for change in changes:
                    session.write(plan_one_by_one(change))
        expected = sorted((int(key), a, b if b is None else int(b)) for key, (a, b) in model.rows.items())
        assert rows(target) == expected
