"""One suite over every source of changes: what the port promises, on real servers."""

import random
import threading
import time

import psycopg
import pymysql
import pytest

from cdc.errors import DatabaseUnreachable, SlotInUse, SlotMismatch
from cdc.events import RowChange, Truncate
from sandbox.supervision import Stack
from tests.contract.sources import RIGS, Servers

pytestmark = pytest.mark.integration

EXOTIC = "quote ' double \" back\\slash tab\t line\nfeed \r é ß 😀 \U0010ffff NULL \\N \\x00"
BIG = ["9" * 35 + "." + "1" * 30, "-0." + "0" * 29 + "1", "9007199254740993", "0." + "0" * 30]


@pytest.fixture(scope="module")
def servers():
    with Stack() as stack:
        yield Servers(stack)


@pytest.fixture(params=RIGS, ids=lambda rig: rig.kind.replace(" ", "_"))
def rig(request, servers, tmp_path):
    made = request.param(servers, tmp_path)
    yield made
    made.close()


def gather(source, enough, timeout_s=20):
    """Poll until `enough(changes)`; returns the transactions."""
    found, deadline = [], time.monotonic() + timeout_s
    while not enough([change for transaction in found for change in transaction.changes]):
        assert time.monotonic() < deadline, f"only {len(found)} transactions arrived"
        found += source.poll(0.3)
    return found


def take(source, count, **options):
    """`count` changes as (op, new, old) of texts."""
    transactions = gather(source, lambda changes: len(changes) >= count, **options)
    return [shown(change) for transaction in transactions for change in transaction.changes]


def shown(change):
    if isinstance(change, Truncate):
        return "t", sorted(relation.name for relation in change.relations)
    return change.op, change.new, change.old


def ids(transactions):
    return [int((change.new or change.old)[0]) for one in transactions for change in one.changes]


def insert(key, a=None):
    return f"INSERT INTO t (id, a) VALUES ({key}, {'NULL' if a is None else repr(a)})"


def test_insert_update_delete_with_both_images(rig):
    source = rig.source(rig.provision())
    rig.many(insert(1, "x"), "UPDATE t SET b = 5 WHERE id = 1", "DELETE FROM t WHERE id = 1")
    assert take(source, 3) == [
        ("c", ("1", "x", None, None), None),
        ("u", ("1", "x", None, "5"), ("1", "x", None, None)),
        ("d", None, ("1", "x", None, "5")),
    ]


def test_relations_name_columns_and_key(rig):
    source = rig.source(rig.provision())
    rig.execute(insert(1))
    (transaction,) = gather(source, bool)
    relation = next(iter(transaction.changes)).relation
    assert relation.table == rig.tables[0]
    assert [column.name for column in relation.columns] == ["id", "a", "n", "b"]
    assert [column.type_oid for column in relation.columns] == [20, 25, 1700, 23]
    assert relation.columns[0].in_key


def test_D01_update_of_the_primary_key(rig):
    source = rig.source(rig.provision())
    rig.many(insert(1, "x"), "UPDATE t SET id = 7 WHERE id = 1")
    assert take(source, 2)[1] == ("u", ("7", "x", None, None), ("1", "x", None, None))


def test_D24_null_empty_and_the_word_null(rig):
    source = rig.source(rig.provision())
    rig.many(insert(1), insert(2, ""), insert(3, "null"), insert(4, "NULL"), insert(5, "{}"))
    assert [new[1] for _, new, _ in take(source, 5)] == [None, "", "null", "NULL", "{}"]


def test_D19_big_numbers_keep_every_digit(rig):
    source = rig.source(rig.provision())
    for key, number in enumerate(BIG, 1):
        rig.execute(f"INSERT INTO t (id, n) VALUES ({key}, {number})")
    rig.execute("INSERT INTO t (id) VALUES (9223372036854775807)")
    found = take(source, len(BIG) + 1)
    from decimal import Decimal

    assert [Decimal(new[2]) for _, new, _ in found[:-1]] == [Decimal(number) for number in BIG]
    assert found[-1][1][0] == "9223372036854775807"


def test_D25_text_of_every_kind(rig):
    source = rig.source(rig.provision())
    rig.execute("INSERT INTO t (id, a) VALUES (1, %s)", [EXOTIC])
    rig.execute("INSERT INTO t (id, a) VALUES (2, %s)", ["x" * 300_000 + "é"])
    assert [new[1] for _, new, _ in take(source, 2)] == [EXOTIC, "x" * 300_000 + "é"]


def test_a_transaction_arrives_whole_and_in_order(rig):
    source = rig.source(rig.provision())
    session = rig.session()
    cursor = session.cursor()
    for key in range(1, 6):
        cursor.execute(insert(key))
    cursor.execute("INSERT INTO u (id) VALUES (1)")
    cursor.execute("UPDATE t SET b = 1 WHERE id = 3")
    session.commit()
    session.close()
    (transaction,) = gather(source, bool)
    assert [change.relation.name for change in transaction.changes] == ["t"] * 5 + ["u", "t"]
    assert ids([transaction]) == [1, 2, 3, 4, 5, 1, 3]
    assert len(transaction.changes) == 7
    assert list(transaction.changes) == list(transaction.changes)


def test_tables_that_are_not_captured_are_left_out(rig):
    source = rig.source(rig.provision())
    rig.many("INSERT INTO elsewhere (id) VALUES (1)", insert(1))
    (transaction,) = gather(source, bool)
    assert ids([transaction]) == [1]


def test_T03_what_was_rolled_back_is_never_seen(rig):
    source = rig.source(rig.provision())
    session = rig.session()
    cursor = session.cursor()
    cursor.execute(insert(1))
    session.rollback()
    cursor.execute(insert(2))
    cursor.execute("SAVEPOINT s")
    cursor.execute(insert(3))
    cursor.execute("ROLLBACK TO SAVEPOINT s")
    cursor.execute(insert(4))
    session.commit()
    session.close()
    assert ids(gather(source, bool)) == [2, 4]


def test_T04_interleaved_transactions_come_in_commit_order(rig):
    source = rig.source(rig.provision())
    early, late = rig.session(), rig.session()
    early.cursor().execute(insert(1, "began first"))
    late.cursor().execute(insert(2, "began second"))
    late.commit()
    assert ids(gather(source, bool)) == [2]
    early.cursor().execute(insert(3))
    early.commit()
    (transaction,) = gather(source, bool)
    assert ids([transaction]) == [1, 3]
    early.close()
    late.close()


def test_T04_changes_of_one_row_by_many_come_in_the_order_they_happened(rig):
    """A transaction that began long before, and writes the row last, comes last."""
    rig.execute(insert(1))
    source = rig.source(rig.provision())
    old, middle = rig.session(), rig.session()
    old.cursor().execute(insert(10))
    middle.cursor().execute(insert(11))
    rig.execute("UPDATE t SET b = 1 WHERE id = 1")
    middle.cursor().execute("UPDATE t SET b = 2 WHERE id = 1")
    middle.commit()
    old.cursor().execute("UPDATE t SET b = 3 WHERE id = 1")
    old.commit()
    old.close()
    middle.close()
    found = [new[3] for op, new, _ in take(source, 5) if op == "u"]
    assert found == ["1", "2", "3"]


def test_D32_truncate(rig):
    source = rig.source(rig.provision())
    rig.many(insert(1), "TRUNCATE TABLE t", insert(2))
    found = take(source, 3)
    assert [one[0] for one in found] == ["c", "t", "c"]
    assert found[1] == ("t", ["t"])


def test_positions_strictly_increase_and_cover_what_was_delivered(rig):
    start = rig.provision()
    source = rig.source(start)
    for key in range(1, 21):
        rig.execute(insert(key))
    transactions = gather(source, lambda changes: len(changes) == 20)
    positions = [start, *(one.commit_lsn for one in transactions)]
    assert positions == sorted(set(positions))
    assert all(one.end_lsn > one.commit_lsn for one in transactions)
    deadline = time.monotonic() + 20
    while source.delivered_through.lsn < positions[-1]:
        assert source.poll(0.2) == []
        assert time.monotonic() < deadline
    assert source.delivered_through.source_time_us > 0


def test_T05_many_events_of_one_transaction_and_a_kill_skip_and_double_nothing(rig):
    """Read some, acknowledge some, lose the reader, resume from what was kept: exactly the rest comes."""
    start = rig.provision()
    session = rig.session()
    cursor = session.cursor()
    for key in range(1, 501):
        cursor.execute(insert(key))
    session.commit()
    for key in range(501, 511):
        cursor.execute(insert(key))
        session.commit()
    session.close()
    source = rig.source(start)
    seen = gather(source, lambda changes: len(changes) >= 503)
    kept = next(one for one in seen if ids([one])[-1] >= 500)
    assert ids([kept]) == list(range(1, 501))
    source.close()
    again = rig.source(start, kept.commit_lsn)
    found = gather(again, lambda changes: any(change.new[0] == "510" for change in changes))
    assert ids([one for one in found if one.commit_lsn > kept.commit_lsn]) == list(range(501, 511))
    assert all(one.commit_lsn >= kept.commit_lsn for one in found)
    again.close()
    whole = rig.source(start)
    found = gather(whole, lambda changes: any(change.new[0] == "510" for change in changes))
    assert ids(found) == list(range(1, 511))


def test_what_is_not_acknowledged_comes_again_and_positions_stay(rig):
    start = rig.provision()
    source = rig.source(start)
    for key in range(1, 5):
        rig.execute(insert(key))
    first = gather(source, lambda changes: len(changes) == 4)
    source.acknowledge(first[1].commit_lsn)
    source.report()
    source.poll(0.1)
    source.close()
    source = rig.source(first[1].commit_lsn)
    again = gather(source, lambda changes: any(change.new[0] == "4" for change in changes))
    beyond = [one for one in again if one.commit_lsn > first[1].commit_lsn]
    assert [(one.commit_lsn, ids([one])) for one in beyond] == [(one.commit_lsn, ids([one])) for one in first[2:]]


def test_T14_a_second_consumer_is_refused(rig):
    start = rig.provision()
    source = rig.source(start)
    source.poll(0.05)
    with pytest.raises(SlotInUse):
        rig.source(start)
    source.close()
    rig.execute(insert(1))
    deadline = time.monotonic() + 20
    while True:
        try:
            second = rig.source(start)
            break
        except SlotInUse:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert ids(gather(second, bool)) == [1]


def test_T12_T13_a_position_that_is_gone_is_refused(rig):
    start = rig.provision()
    rig.execute(insert(1))
    source = rig.source(start)
    (transaction,) = gather(source, bool)
    source.acknowledge(transaction.commit_lsn)
    source.report()
    source.close()
    rig.lose()
    with pytest.raises(SlotMismatch) as refused:
        lost = rig.source(transaction.commit_lsn)
        lost.poll(2)
    assert not isinstance(refused.value, SlotInUse)
    assert refused.value.mend


def test_T16_a_restart_of_the_server_is_an_error_and_a_new_source_goes_on(rig):
    start = rig.provision()
    source = rig.source(start)
    rig.execute(insert(1))
    (first,) = gather(source, bool)
    rig.restart()
    with pytest.raises(DatabaseUnreachable):
        for _ in range(50):
            source.poll(0.2)
    source.close()
    rig.execute(insert(2))
    source = rig.source(start, first.commit_lsn)
    found = gather(source, lambda changes: any(change.new[0] == "2" for change in changes))
    assert ids([one for one in found if one.commit_lsn > first.commit_lsn]) == [2]


def test_replaying_the_stream_gives_the_table_whoever_wrote_and_whenever_it_was_read(rig):
    """Four seeded writers, a third of their transactions rolled back, the reader replaced again and again."""
    start = rig.provision()
    stop = threading.Event()
    writers = [threading.Thread(target=_write, args=(rig, number, stop)) for number in range(4)]
    for writer in writers:
        writer.start()
    replica, position, chance = {}, start, random.Random(3)
    for _ in range(5):
        source = reopened(rig, position)
        deadline = time.monotonic() + 0.2 + chance.random() / 2
        while time.monotonic() < deadline:
            position = replay(replica, source.poll(0.1), position)
            source.acknowledge(position)
        source.close()
    stop.set()
    for writer in writers:
        writer.join()
    rig.execute("INSERT INTO u (id) VALUES (424242)")
    source = reopened(rig, position)
    while ("u", "424242") not in replica:
        position = replay(replica, source.poll(1), position)
    expected = {("t", str(row[0])): tuple(None if v is None else str(v) for v in row) for row in rig.rows(ROWS)}
    assert {key: (row[0], row[1], row[3]) for key, row in replica.items() if key[0] == "t"} == expected
    assert len(expected) > 5


ROWS = "SELECT id, a, b FROM t"


def reopened(rig, position):
    deadline = time.monotonic() + 20
    while True:
        try:
            return rig.source(position)
        except SlotInUse:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def replay(replica, transactions, position):
    for transaction in transactions:
        if transaction.commit_lsn <= position:
            continue
        for change in transaction.changes:
            assert isinstance(change, RowChange)
            name = change.relation.name
            if change.old is not None:
                assert replica.pop((name, change.old[0])) == change.old
            if change.new is not None:
                assert (name, change.new[0]) not in replica
                replica[name, change.new[0]] = change.new
        position = transaction.commit_lsn
    return position


def _write(rig, number, stop):
    chance = random.Random(number)
    session = rig.session()
    while not stop.is_set():
        try:
            cursor = session.cursor()
            for _ in range(chance.randint(1, 4)):
                key = chance.randint(1, 40)
                cursor.execute(
                    chance.choice(
                        [
                            f"INSERT INTO t (id, a) VALUES ({key}, '{number}')",
                            f"UPDATE t SET b = coalesce(b, 0) + 1 WHERE id = {key}",
                            f"UPDATE t SET id = {key + 40} WHERE id = {key}",
                            f"DELETE FROM t WHERE id = {key + 40}",
                        ]
                    )
                )
            if chance.random() < 0.3:
                session.rollback()
            else:
                session.commit()
        except (psycopg.Error, pymysql.MySQLError):
            session.rollback()
        stop.wait(0.002)
    session.close()
