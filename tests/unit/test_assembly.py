"""Messages → transactions."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.assembly import Assembler
from cdc.errors import DecodeError, TransactionTooLarge
from cdc.events import Column, Message, Relation, RowChange, Truncate
from tests import pgoutput_wire as wire

TABLE = Relation(oid=1, schema="public", name="t", columns=(Column(name="id", type_oid=20, in_key=True),))
WIDER = Relation(oid=1, schema="public", name="t", columns=(*TABLE.columns, Column(name="v", type_oid=25)))

WIRE = [
    *(
        wire.begin(100),
        wire.begin(200),
        wire.relation(TABLE),
        wire.relation(WIDER),
        wire.insert(1, "1"),
        wire.origin("o"),
    ),
    *(wire.insert(2, "1"), wire.update(1, ("2",), ("1",)), wire.delete(1, ("2",)), wire.truncate(1)),
    *(wire.message(90, "p", b"c", True), wire.message(90, "p", b"c", False), wire.commit(100, 108), b""),
    *wire.piece(7, wire.relation(TABLE), wire.insert(1, "1"), first=True),
    *wire.piece(7, wire.insert(1, "1"), subxid=8),
    *(wire.stream_abort(7, 8), wire.stream_abort(7, 7), wire.stream_commit(7, 300, 308)),
]
"""Whole messages, in an order that makes no sense."""


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


class MemorySpill:
    """Keeps records in a list; counts how many spills were opened."""

    opened = 0

    def __init__(self):
        MemorySpill.opened += 1
        self.kept = []

    def append(self, record):
        self.kept.append(bytes(record))

    def records(self):
        return iter(list(self.kept))


@pytest.fixture(params=[1 << 20, 0], ids=["in memory", "spilled"])
def streaming(request):
    return Assembler(open_spill=MemorySpill, memory_bytes=request.param)


def values(transaction):
    assert len(transaction.changes) == len(list(transaction.changes))
    return [change.new[0] for change in transaction.changes]


def test_T1_a_spilled_transaction_is_like_one_in_memory():
    payloads = [
        wire.begin(100, 7, 5_000),
        wire.relation(TABLE),
        wire.insert(1, "1"),
        wire.relation(WIDER),
        wire.update(1, ("2", "x"), ("1", None)),
        wire.delete(1, ("2", None)),
        wire.truncate(1),
        wire.message(90, "p", b"c", True),
        wire.commit(100, 108, 5_000),
        *(wire.begin(200), wire.insert(1, "3", "y"), wire.commit(200, 208)),
    ]
    held, after = feed(Assembler(), *payloads)
    spilled, after_spilled = feed(Assembler(open_spill=MemorySpill, memory_bytes=150), *payloads)
    assert not isinstance(spilled.changes, tuple)
    for _ in range(2):
        assert tuple(spilled.changes) == held.changes
    assert (len(spilled.changes), after_spilled) == (len(held.changes), after)


def test_T1_the_largest_of_the_open_transactions_is_spilled():
    MemorySpill.opened = 0
    assembler = Assembler(open_spill=MemorySpill, memory_bytes=1000)
    feed(assembler, *wire.piece(7, wire.relation(TABLE), wire.insert(1, "x" * 700), first=True))
    feed(assembler, *wire.piece(8, wire.relation(TABLE), wire.insert(1, "small"), first=True))
    assert MemorySpill.opened == 1
    feed(assembler, *wire.piece(7, *[wire.insert(1, "x" * 700)] * 10))
    assert MemorySpill.opened == 1


def test_T4_streamed_transactions_interleave_and_come_in_commit_order(streaming):
    found = feed(
        streaming,
        *wire.piece(7, wire.relation(TABLE), wire.insert(1, "7a"), first=True),
        *wire.piece(8, wire.relation(TABLE), wire.insert(1, "8a"), first=True),
        *wire.piece(7, wire.insert(1, "7b")),
        *(wire.begin(100), wire.relation(TABLE), wire.insert(1, "small"), wire.commit(100, 108)),
        *wire.piece(8, wire.insert(1, "8b")),
        wire.stream_commit(8, 200, 208, 5_000),
        *wire.piece(7, wire.insert(1, "7c")),
        wire.stream_commit(7, 300, 308),
    )
    assert [(one.xid, one.commit_lsn, values(one)) for one in found] == [
        (7, 100, ["small"]),
        (8, 200, ["8a", "8b"]),
        (7, 300, ["7a", "7b", "7c"]),
    ]
    assert (found[1].end_lsn, found[1].commit_time_us) == (208, 5_000)


def test_T3_a_rolled_back_subtransaction_takes_exactly_its_changes(streaming):
    (found,) = feed(
        streaming,
        *wire.piece(7, wire.relation(TABLE), wire.insert(1, "top"), first=True),
        *wire.piece(7, wire.relation(TABLE), wire.insert(1, "gone"), subxid=8),
        *wire.piece(7, wire.insert(1, "kept"), subxid=9),
        wire.stream_abort(7, 8),
        *wire.piece(7, wire.insert(1, "gone too"), wire.message(3, "p", b"", True), wire.truncate(1), subxid=10),
        wire.stream_abort(7, 10),
        *wire.piece(7, wire.insert(1, "end")),
        wire.stream_commit(7, 100, 108),
    )
    assert values(found) == ["top", "kept", "end"]


def test_T3_a_rolled_back_streamed_transaction_leaves_nothing(streaming):
    found = feed(
        streaming,
        *wire.piece(7, wire.relation(TABLE), wire.insert(1, "gone"), first=True),
        wire.stream_abort(7, 7),
        *wire.piece(8, wire.relation(TABLE), wire.insert(1, "all of it"), first=True, subxid=9),
        wire.stream_abort(8, 9),
        wire.stream_commit(8, 100, 108),
    )
    assert (found, streaming.empty_transactions_dropped) == ([], 1)


def test_T3_a_rollback_of_what_was_never_sent_is_nothing(streaming):
    found = feed(
        streaming,
        *(wire.stream_abort(7, 8), wire.stream_abort(7, 7)),
        *wire.piece(9, wire.relation(TABLE), wire.insert(1, "kept"), first=True),
        *(wire.stream_abort(7, 10), wire.stream_commit(9, 100, 108)),
    )
    assert values(found[0]) == ["kept"]


def test_S6_a_table_described_in_an_open_transaction_counts_for_others_from_its_commit_on(streaming):
    found = feed(
        streaming,
        *(wire.begin(100), wire.relation(TABLE), wire.insert(1, "1"), wire.commit(100, 108)),
        *wire.piece(8, wire.relation(WIDER), wire.insert(1, "2", "x"), first=True),
        *(wire.begin(200), wire.insert(1, "3"), wire.commit(200, 208)),
        wire.stream_commit(8, 300, 308),
        *(wire.begin(400), wire.insert(1, "4", "y"), wire.commit(400, 408)),
    )
    relations = [[change.relation for change in one.changes] for one in found]
    assert relations == [[TABLE], [TABLE], [WIDER], [WIDER]]


def test_S6_what_is_described_later_is_not_undone_by_an_older_transactions_commit(streaming):
    found = feed(
        streaming,
        *wire.piece(8, wire.relation(TABLE), wire.insert(1, "2"), first=True),
        *(wire.begin(200), wire.relation(WIDER), wire.insert(1, "3", "x"), wire.commit(200, 208)),
        wire.stream_commit(8, 300, 308),
        *(wire.begin(400), wire.insert(1, "4", "y"), wire.commit(400, 408)),
    )
    assert [change.relation for one in found for change in one.changes] == [WIDER, TABLE, WIDER]


def test_R2_our_own_streamed_transaction_does_not_come_back(streaming):
    start, *rest = wire.piece(7, wire.relation(TABLE), wire.insert(1, "1"), first=True)
    found = feed(streaming, start, wire.origin("strangler_m_reverse"), *rest, wire.stream_commit(7, 100, 108))
    assert (found, streaming.own_transactions_dropped) == ([], 1)


@pytest.mark.parametrize(
    "payloads",
    [
        [wire.stream_start(7, False)],
        [wire.stream_start(7, True), wire.stream_start(8, True)],
        [wire.stream_stop()],
        [wire.stream_start(7, True), wire.begin(1)],
        [wire.stream_commit(7, 1, 2)],
        [wire.stream_start(7, True), wire.stream_abort(7, 8)],
        [wire.begin(1), wire.stream_stop()],
        [wire.relation(TABLE)],
    ],
)
def test_pieces_out_of_order_are_refused(payloads):
    with pytest.raises(DecodeError):
        feed(Assembler(), *payloads)


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(WIRE)), max_size=30))
def test_any_order_of_any_bytes_gives_transactions_or_a_decode_error(payloads):
    with contextlib.suppress(DecodeError):
        for found in feed(Assembler(open_spill=MemorySpill, memory_bytes=200), *payloads):
            list(found.changes)


def test_T1_a_transaction_beyond_the_bound_is_refused_by_name():
    assembler = Assembler(transaction_bytes=1000)
    with pytest.raises(TransactionTooLarge) as caught:
        feed(assembler, wire.begin(100, 7), wire.relation(TABLE), *[wire.insert(1, "x" * 100)] * 10)
    assert caught.value.thing == "source transaction 7 at 0/64"
