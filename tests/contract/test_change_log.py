"""One suite over every change log: what the port promises."""

import dataclasses
import threading
from collections.abc import Collection

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.changelog.local import LocalChangeLog
from cdc.changelog.memory import MemoryChangeLog
from cdc.errors import PositionExpired
from cdc.events import UNCHANGED, Column, Message, Relation, RowChange, Transaction, Truncate

PRODUCT = Relation(
    oid=7,
    schema="public",
    name="product",
    columns=(Column(name="id", type_oid=20, in_key=True), Column(name="descr", type_oid=25)),
)
PRODUCT_LATER = Relation(
    oid=7, schema="public", name="product", columns=(*PRODUCT.columns, Column(name="x", type_oid=25))
)


def transaction(lsn, *changes):
    return Transaction(xid=lsn, commit_lsn=lsn, end_lsn=lsn + 8, commit_time_us=lsn * 10, changes=changes)


def insert(*values, relation=PRODUCT):
    return RowChange(relation=relation, op="c", new=values)


@pytest.fixture(params=["local", "local_small_segments", "memory"])
def log(request, tmp_path):
    if request.param == "memory":
        made = MemoryChangeLog()
    else:
        made = LocalChangeLog(tmp_path / "log", segment_bytes=64 << 20 if request.param == "local" else 300)
    yield made
    made.close()


def lsns(log, after=0):
    return [found.commit_lsn for found in log.read(after)]


def test_an_empty_log_starts_at_zero(log):
    assert (log.last_lsn(), log.first_lsn(), lsns(log)) == (0, 0, [])


def test_reads_back_what_was_appended_in_order_after_a_position(log):
    written = [transaction(lsn, insert(str(lsn), "v")) for lsn in range(10, 200, 10)]
    log.append(written[:3])
    log.append(written[3:])
    assert list(log.read(0)) == written
    assert list(log.read(95)) == [one for one in written if one.commit_lsn > 95]
    assert (log.last_lsn(), lsns(log, 190), lsns(log, 10_000)) == (190, [], [])


def test_every_shape_of_change_survives(log):
    written = transaction(
        5,
        insert("1", None),
        insert("2", ""),
        insert("3", "null"),
        insert("4", "__debezium_unavailable_value"),
        RowChange(relation=PRODUCT, op="u", new=("1", UNCHANGED), old=("0", None), old_is_key=True),
        RowChange(relation=PRODUCT_LATER, op="u", new=("1", "é'\\\n😀\U0010ffff", UNCHANGED), old=("1", "x", "")),
        RowChange(relation=PRODUCT, op="d", new=None, old=("1", None), old_is_key=True),
        Truncate(relations=(PRODUCT, PRODUCT_LATER), cascade=True, restart_identity=True),
        Message(prefix="strangler", content=b"\x00\xff", transactional=True, lsn=4),
    )
    log.append([written])
    (found,) = log.read(0)
    assert found == written
    assert found.changes[4].new[1] is UNCHANGED


def test_keeps_origin_and_messages_of_their_own(log):
    message = Message(prefix="heartbeat", content=b"", transactional=False, lsn=3)
    written = Transaction(xid=0, commit_lsn=3, end_lsn=4, commit_time_us=0, changes=(message,), origin="other")
    log.append([written])
    assert list(log.read(0)) == [written]


def test_a_value_of_a_megabyte(log):
    written = transaction(1, insert("1", "x" * 1_000_000 + "ß"))
    log.append([written])
    assert list(log.read(0)) == [written]


class OnDisk(Collection):
    """Changes as a source hands over those of a huge transaction: iterated again and again, never indexed."""

    def __init__(self, make):
        self.make = make

    def __len__(self):
        return sum(1 for _ in self.make())

    def __iter__(self):
        return self.make()

    def __contains__(self, change):
        return any(change == one for one in self)


def huge(lsn, rows=30_000, pad=60):
    """A transaction of some megabytes with two shapes of its table, a truncate and a message in the middle."""

    def changes():
        for number in range(rows):
            if number == rows // 2:
                yield Truncate(relations=(PRODUCT, PRODUCT_LATER))
                yield Message(prefix="middle", content=b"\x00", transactional=True, lsn=lsn - 1)
            if number % 3:
                yield insert(str(number), "v" * pad)
            else:
                yield RowChange(
                    relation=PRODUCT_LATER,
                    op="u",
                    new=(str(number), UNCHANGED, None),
                    old=("1", "é", ""),
                    old_is_key=False,
                )

    return transaction(lsn, *()), OnDisk(changes)


def with_changes(one, changes):
    return dataclasses.replace(one, changes=changes)


def test_T01_a_huge_transaction_comes_back_and_may_be_iterated_again(log):
    written = with_changes(*huge(20))
    log.append([transaction(10, insert("1", "before")), written, transaction(30, insert("2", "after"))])
    before, found, after = log.read(0)
    assert (before.commit_lsn, after.commit_lsn, log.last_lsn()) == (10, 30, 30)
    assert (found.xid, found.commit_lsn, found.end_lsn, found.commit_time_us) == (20, 20, 28, 200)
    expected = list(written.changes)
    assert len(found.changes) == len(expected)
    for _ in range(2):
        assert list(found.changes) == expected
    log.append([written, transaction(40, insert("3", "v", relation=PRODUCT_LATER))])
    assert lsns(log, 10) == [20, 30, 40]
    assert lsns(log, 20) == [30, 40]


def test_T01_a_huge_transactions_changes_outlive_retention_and_the_iteration_of_the_log(log):
    written = with_changes(*huge(20, rows=5_000))
    log.append([written])
    (found,) = log.read(0)
    for lsn in range(30, 60, 10):
        log.append([transaction(lsn, insert(str(lsn), "v" * 300))])
    begun = iter(found.changes)
    first = next(begun)
    log.trim(50)
    assert [first, *begun] == list(written.changes) == list(found.changes)


def test_T01_D20_values_of_many_megabytes_come_back_in_any_place(log):
    """Also characters that are cut by any border, next to values that are not large."""
    large, wide = "0123456789" * 200_000, "aé😀\U0010ffff" * 150_000
    rows = [
        insert("1", large),
        insert(large, wide),
        RowChange(relation=PRODUCT, op="u", new=(wide, UNCHANGED), old=(large, None)),
        insert("2", None),
        Message(prefix="blob", content=bytes(range(256)) * 5_000, transactional=True, lsn=3),
        insert("3", "é" + large),
    ]
    written = transaction(10, *rows)
    log.append([written, with_changes(transaction(20), OnDisk(lambda: iter(rows)))])
    for found in log.read(0):
        assert list(found.changes) == rows


def test_what_is_resent_is_skipped(log):
    log.append([transaction(10, insert("1", "first")), transaction(20, insert("2", "b"))])
    log.append(
        [transaction(10, insert("1", "again")), transaction(20, insert("2", "b")), transaction(30, insert("3", "c"))]
    )
    assert lsns(log) == [10, 20, 30]
    assert next(log.read(0)).changes[0].new == ("1", "first")


def test_positions_strictly_increase_within_a_batch_too(log):
    log.append([transaction(10), transaction(10), transaction(9), transaction(11)])
    assert lsns(log) == [10, 11]


def test_retention_never_removes_what_is_later(log):
    log.append([transaction(lsn, insert(str(lsn), "v" * 50)) for lsn in range(10, 300, 10)])
    log.trim(150)
    assert log.first_lsn() <= 150
    assert lsns(log, 150) == list(range(160, 300, 10))
    assert log.last_lsn() == 290


def test_retention_keeps_everything_when_nothing_may_go(log):
    log.append([transaction(lsn, insert(str(lsn), "v" * 50)) for lsn in range(10, 300, 10)])
    log.trim(0)
    assert (log.first_lsn(), lsns(log)) == (0, list(range(10, 300, 10)))


def test_a_reader_that_comes_too_late_is_refused(log):
    for lsn in range(10, 300, 10):
        log.append([transaction(lsn, insert(str(lsn), "v" * 50))])
    log.trim(150)
    if log.first_lsn():
        with pytest.raises(PositionExpired):
            list(log.read(log.first_lsn() - 1))
        assert lsns(log, log.first_lsn())[-1] == 290


def test_appends_go_on_after_trimming_everything(log):
    log.append([transaction(lsn, insert(str(lsn), "v" * 50)) for lsn in range(10, 100, 10)])
    log.trim(90)
    log.append([transaction(100, insert("100", "v"))])
    assert lsns(log, 90) == [100]


def test_a_log_begun_at_a_position_says_what_it_never_had(log):
    log.start(100)
    assert (log.first_lsn(), log.last_lsn(), lsns(log, 100)) == (100, 100, [])
    with pytest.raises(PositionExpired):
        log.read(99)
    log.append([transaction(100), transaction(101, insert("1", "v")), transaction(102)])
    assert (log.last_lsn(), lsns(log, 100), lsns(log, 101)) == (102, [101, 102], [102])
    with pytest.raises(PositionExpired):
        log.read(99)


def test_an_empty_log_may_be_begun_further_but_not_earlier(log):
    log.start(100)
    log.start(50)
    assert log.first_lsn() == 100
    log.start(200)
    assert (log.first_lsn(), log.last_lsn()) == (200, 200)


def test_beginning_a_log_that_holds_transactions_changes_nothing(log):
    log.append([transaction(10), transaction(20)])
    log.start(500)
    assert (log.first_lsn(), log.last_lsn(), lsns(log)) == (0, 20, [10, 20])
    log.append([transaction(30)])
    assert lsns(log, 20) == [30]


def test_following_sees_each_transaction_once_while_another_thread_appends(log):
    total = 300

    def write():
        for lsn in range(1, total + 1):
            log.append([transaction(lsn, insert(str(lsn), "v" * 40))])

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while len(seen) < total:
        seen += lsns(log, seen[-1] if seen else 0)
    writer.join()
    assert seen == list(range(1, total + 1))


def test_many_readers_at_many_positions(log):
    log.append([transaction(lsn, insert(str(lsn), "v" * 40)) for lsn in range(1, 101)])
    iterators = [(after, log.read(after)) for after in (0, 50, 99, 10, 100)]
    first = [(after, next(iterator, None)) for after, iterator in iterators]
    log.append([transaction(101, insert("101", "v"))])
    assert [(after, one and one.commit_lsn) for after, one in first] == [
        (0, 1),
        (50, 51),
        (99, 100),
        (10, 11),
        (100, None),
    ]
    assert [one.commit_lsn for one in iterators[0][1]][:3] == [2, 3, 4]
    assert lsns(log, 99) == [100, 101]


VALUES = st.one_of(st.none(), st.just(UNCHANGED), st.text(st.characters(exclude_categories=["Cs"])))


@settings(deadline=None)  # each example syncs files: how long that takes is the disk's affair
@given(rows=st.lists(st.tuples(VALUES, VALUES), max_size=5), splits=st.integers(1, 4))
def test_any_values_survive(rows, splits, tmp_path_factory):
    written = [transaction(number + 1, insert(*row)) for number, row in enumerate(rows)]
    for made in (
        MemoryChangeLog(),
        LocalChangeLog(tmp_path_factory.mktemp("any") / "log", segment_bytes=100),
    ):
        for start in range(0, len(written), splits):
            made.append(written[start : start + splits])
        assert list(made.read(0)) == written
        made.close()
