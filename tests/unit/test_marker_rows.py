"""Rows of the markers' table on the wire, read as messages; whatever they hold, only a DecodeError comes of it."""

import contextlib
import random

import pytest

from cdc.assembly import Assembler
from cdc.errors import DecodeError
from cdc.events import UNCHANGED, Column, Message, Relation, RowChange
from cdc.marker_rows import MarkerRows
from tests import pgoutput_wire as wire


def relation(oid, name="message", schema="strangler"):
    columns = tuple(Column(name=each, type_oid=25, in_key=each == "sole") for each in ("sole", "prefix", "content"))
    return Relation(oid=oid, schema=schema, name=name, columns=columns)


def read(payloads):
    """As the stream does: the transactions of what a server sends."""
    markers, assembler, found = MarkerRows(), Assembler(), []
    for payload in payloads:
        transaction = assembler.feed(markers.read(payload), sent_at_us=0)
        if transaction is not None:
            found.append(transaction)
    return found


def told(transactions):
    return [
        (each.prefix, each.content) if isinstance(each, Message) else (each.relation.name, each.op)
        for transaction in transactions
        for each in transaction.changes
    ]


SENT = [
    wire.begin(100),
    wire.relation(relation(1)),
    wire.insert(1, "t", "barrier", "é"),
    wire.relation(relation(2, "other")),
    wire.insert(2, "t", "barrier", "a"),
    wire.relation(relation(3, "message", "public")),
    wire.insert(3, "t", "barrier", "a"),
    wire.update(1, ("t", "watermark", "")),
    wire.update(1, ("t", "watermark", "x"), old=("t", "a", "b"), kind=b"O"),
    wire.commit(100, 148),
]
MEANT = [
    ("barrier", "é".encode()),
    ("other", "c"),
    ("message", "c"),
    ("watermark", b""),
    ("watermark", b"x"),
]


def test_rows_of_that_table_alone_are_messages():
    assert told(read(SENT)) == MEANT


def test_short_messages_by_the_many_are_read_alike():
    markers, assembler = MarkerRows(), Assembler()
    for payload in SENT:
        assembler.feed(markers.read(payload), sent_at_us=0)
    again = [wire.begin(200), wire.insert(2, "t", "q", "b"), wire.insert(1, "t", "barrier", "b"), wire.commit(200, 248)]
    assert told(assembler.feed_short(markers.read_all(again))) == [("other", "c"), ("barrier", b"b")]


def test_in_a_streamed_transaction_too():
    whole = [wire.streamed(9, payload) for payload in SENT[1:-1]]
    sent = [wire.stream_start(9, True), *whole, wire.stream_stop(), wire.stream_commit(9, 300, 348)]
    assert told(read([*sent, wire.begin(400), wire.insert(1, "t", "p", "c"), wire.commit(400, 448)])) == [
        *MEANT,
        ("p", b"c"),
    ]


def test_a_table_that_was_made_anew_has_another_number():
    sent = [
        *SENT,
        wire.begin(200),
        wire.relation(relation(1, "reused")),
        wire.relation(relation(7)),
        wire.insert(1, "t", "a", "b"),
        wire.insert(7, "t", "a", "b"),
        wire.commit(200, 248),
    ]
    assert told(read(sent))[len(MEANT) :] == [("reused", "c"), ("a", b"b")]


@pytest.mark.parametrize("row", [("t", None, "c"), ("t", "p", UNCHANGED), ("t", "p\0q", "c"), ("t",), ("t", "p")])
def test_a_row_that_is_no_marker_is_refused(row):
    with pytest.raises(DecodeError):
        read([wire.begin(1), wire.relation(relation(1)), wire.insert(1, *row), wire.commit(1, 9)])


def test_damaged_bytes_give_a_decode_error_and_nothing_else():
    chance = random.Random(5)
    for _ in range(3000):
        number = chance.randrange(len(SENT))
        damaged = bytearray(SENT[number])
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        cut = bytes(damaged[: chance.choice((len(damaged), chance.randrange(len(damaged) + 1)))])
        with contextlib.suppress(DecodeError):
            for transaction in read([*SENT[:number], cut, *SENT[number + 1 :]]):
                assert all(isinstance(each, Message | RowChange) for each in transaction.changes)
