"""Messages → transactions."""

import pytest

from cdc.assembly import Assembler
from cdc.errors import DecodeError, TransactionTooLarge
from cdc.events import Column, Message, Relation, RowChange, Truncate
from tests import pgoutput_wire as wire

TABLE = Relation(oid=1, schema="public", name="t", columns=(Column(name="id", type_oid=20, in_key=True),))
WIDER = Relation(oid=1, schema="public", name="t", columns=(*TABLE.columns, Column(name="v", type_oid=25)))


def feed(assembler, *payloads):
    fed = [assembler.feed(payload, sent_at_us=123) for payload in payloads]
    return [transaction for transaction in fed if transaction is not None]


def test_a_transaction_is_its_changes_in_order():
    (found,) = feed(
        Assembler(),
        wire.begin(100, 7, 5_000),
        wire.relation(TABLE),
        wire.insert(1, "1"),
        wire.update(1, ("2",), ("1",)),
        wire.delete(1, ("2",)),
        wire.truncate(1),
        wire.message(90, "p", b"c", True),
        wire.commit(100, 108, 5_000),
    )
    assert (found.xid, found.commit_lsn, found.end_lsn, found.commit_time_us, found.origin) == (
        7,
        100,
        108,
        5_000,
        None,
    )
    assert found.changes == (
        RowChange(relation=TABLE, op="c", new=("1",)),
        RowChange(relation=TABLE, op="u", new=("2",), old=("1",), old_is_key=True),
        RowChange(relation=TABLE, op="d", new=None, old=("2",), old_is_key=True),
        Truncate(relations=(TABLE,)),
        Message(prefix="p", content=b"c", transactional=True, lsn=90),
    )


def test_S2_each_event_keeps_the_table_of_its_time():
    (found,) = feed(
        Assembler(),
        wire.begin(100),
        wire.relation(TABLE),
        wire.insert(1, "1"),
        wire.relation(WIDER),
        wire.insert(1, "2", "x"),
        wire.commit(100, 108),
    )
    assert [change.relation for change in found.changes] == [TABLE, WIDER]


def test_a_table_is_remembered_across_transactions():
    found = feed(
        Assembler(),
        *(wire.begin(100), wire.relation(TABLE), wire.insert(1, "1"), wire.commit(100, 108)),
        *(wire.begin(200), wire.insert(1, "2"), wire.commit(200, 208)),
    )
    assert [transaction.changes[0].relation for transaction in found] == [TABLE, TABLE]


def test_T09_a_message_of_its_own_is_a_transaction_just_before_the_end_of_its_record():
    found = feed(
        Assembler(),
        wire.message(90, "heartbeat", b"", False),
        *(wire.begin(100), wire.relation(TABLE), wire.insert(1, "1"), wire.commit(100, 108)),
        wire.message(150, "other", b"x", False),
    )
    assert [(one.xid, one.commit_lsn, one.end_lsn, one.commit_time_us) for one in found] == [
        (0, 89, 90, 123),
        (7, 100, 108, wire.POSTGRES_EPOCH_US),
        (0, 149, 150, 123),
    ]
    assert found[2].changes == (Message(prefix="other", content=b"x", transactional=False, lsn=150),)


def test_T09_a_commit_record_may_start_where_a_message_ends():
    found = feed(
        Assembler(),
        wire.message(100, "app", b"", False),
        *(wire.begin(100), wire.relation(TABLE), wire.insert(1, "1"), wire.commit(100, 148)),
    )
    assert [(one.xid, one.commit_lsn) for one in found] == [(0, 99), (7, 100)]


def test_T09_a_message_may_start_where_a_commit_or_another_message_ends():
    """Records without a gap: a commit from 100 to 148, messages to 204 and to 260 (no record is under 24 bytes)."""
    found = feed(
        Assembler(),
        *(wire.begin(100), wire.relation(TABLE), wire.insert(1, "1"), wire.commit(100, 148)),
        wire.message(204, "app", b"", False),
        wire.message(260, "app", b"", False),
        *(wire.begin(260), wire.insert(1, "2"), wire.commit(260, 308)),
    )
    assert [one.commit_lsn for one in found] == [100, 203, 259, 260]


def test_empty_transactions_are_counted_and_left_out():
    assembler = Assembler()
    assert feed(assembler, wire.begin(100), wire.relation(TABLE), wire.commit(100, 108)) == []
    assert assembler.empty_transactions_dropped == 1


def test_R2_our_own_transactions_do_not_come_back():
    assembler = Assembler()
    own, other = wire.origin("strangler_m_reverse"), wire.origin("warehouse")
    found = feed(
        assembler,
        *(wire.begin(100), own, wire.relation(TABLE), wire.insert(1, "1"), wire.commit(100, 108)),
        *(wire.begin(200), other, wire.insert(1, "2"), wire.commit(200, 208)),
        *(wire.begin(300), wire.insert(1, "3"), wire.commit(300, 308)),
    )
    assert [(one.commit_lsn, one.origin) for one in found] == [(200, "warehouse"), (300, None)]
    assert assembler.own_transactions_dropped == 1


@pytest.mark.parametrize(
    "payloads",
    [
        [wire.insert(1, "1")],
        [wire.begin(1), wire.begin(2)],
        [wire.begin(1), wire.commit(2, 3)],
        [wire.commit(2, 3)],
        [wire.begin(1), wire.insert(99, "1"), wire.commit(1, 9)],
        [wire.message(5, "", b"", False), wire.message(5, "", b"", False)],
    ],
    ids=["outside", "nested", "other commit", "no begin", "unknown table", "not increasing"],
)
def test_what_cannot_be_is_refused(payloads):
    with pytest.raises(DecodeError):
        feed(Assembler(), *payloads)


def test_T1_a_transaction_beyond_the_bound_is_refused_by_name():
    assembler = Assembler(transaction_bytes=1000)
    with pytest.raises(TransactionTooLarge) as caught:
        feed(assembler, wire.begin(100, 7), wire.relation(TABLE), *[wire.insert(1, "x" * 100)] * 10)
    assert caught.value.thing == "source transaction 7 at 0/64"
