"""Bytes → messages."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc import pgoutput
from cdc.errors import DecodeError
from cdc.events import UNCHANGED, Column, Relation
from cdc.pgoutput import POSTGRES_EPOCH_US, decode
from cdc.pgoutput_large import decode_large
from tests.pgoutput_wire import (
    begin,
    commit,
    delete,
    insert,
    message,
    relation,
    stream_abort,
    stream_commit,
    stream_start,
    stream_stop,
    streamed,
    text,
    truncate,
    update,
)

RELATION = Relation(
    oid=16385,
    schema="public",
    name='odd "Name".with dot',
    columns=(Column(name="id", type_oid=20, in_key=True), Column(name="v", type_oid=1043, type_modifier=204)),
    replica_identity="f",
)

CASES = [
    (begin(2**63 + 5, 9, POSTGRES_EPOCH_US + 11), pgoutput.Begin(2**63 + 5, POSTGRES_EPOCH_US + 11, 9)),
    (commit(10, 20, POSTGRES_EPOCH_US - 3), pgoutput.Commit(10, 20, POSTGRES_EPOCH_US - 3)),
    (b"O" + struct.pack(">Q", 4) + text("strangler_x"), pgoutput.Origin(4, "strangler_x")),
    (relation(RELATION), pgoutput.RelationMessage(RELATION)),
    (b"Y" + struct.pack(">I", 99) + text("public") + text("mood"), pgoutput.TypeMessage(99, "public", "mood")),
    (insert(5, "1", None, "", UNCHANGED), pgoutput.Insert(5, ("1", None, "", UNCHANGED))),
    (update(5, ("1", "é😀")), pgoutput.Update(5, ("1", "é😀"), None, False)),
    (update(5, ("2",), ("1",)), pgoutput.Update(5, ("2",), ("1",), True)),
    (update(5, ("2",), ("1",), b"O"), pgoutput.Update(5, ("2",), ("1",), False)),
    (delete(5, ("1", None)), pgoutput.Delete(5, ("1", None), True)),
    (delete(5, ("1", "x"), b"O"), pgoutput.Delete(5, ("1", "x"), False)),
    (truncate(5, 6, options=3), pgoutput.TruncateMessage((5, 6), True, True)),
    (message(8, "p", b"\0\xff", True), pgoutput.LogicalMessage(True, 8, "p", b"\0\xff")),
    (stream_start(9, True), pgoutput.StreamStart(9, True)),
    (stream_stop(), pgoutput.StreamStop()),
    (stream_commit(9, 10, 20, POSTGRES_EPOCH_US - 3), pgoutput.StreamCommit(9, 10, 20, POSTGRES_EPOCH_US - 3)),
    (stream_abort(9, 11), pgoutput.StreamAbort(9, 11)),
]
INSIDE = [(streamed(77, payload), expected) for payload, expected in CASES if payload[:1] in b"RYIUDTM"]


@pytest.mark.parametrize(("payload", "expected"), CASES, ids=[type(expected).__name__ for _, expected in CASES])
def test_decodes(payload, expected):
    assert decode(payload) == expected


@pytest.mark.parametrize(("payload", "expected"), INSIDE, ids=[type(expected).__name__ for _, expected in INSIDE])
def test_decodes_inside_a_streamed_transaction(payload, expected):
    assert decode(payload, streamed=True) == expected
    assert pgoutput.subtransaction(payload) == 77
    for end in range(len(payload)):
        with pytest.raises(DecodeError):
            decode(payload[:end], streamed=True)


@pytest.mark.parametrize("payload", [payload for payload, _ in CASES])
def test_a_cut_or_longer_message_is_refused(payload):
    for end in range(len(payload)):
        with pytest.raises(DecodeError):
            decode(payload[:end])
    with pytest.raises(DecodeError):
        decode(payload + b"\0")


def test_binary_values_are_refused():
    with pytest.raises(DecodeError, match="'b'"):
        decode(b"I" + struct.pack(">I", 1) + b"N" + struct.pack(">H", 1) + b"b" + struct.pack(">I", 1) + b"x")


def test_text_that_is_no_utf8_is_refused():
    with pytest.raises(DecodeError):
        decode(b"I" + struct.pack(">I", 1) + b"N" + struct.pack(">H", 1) + b"t" + struct.pack(">I", 1) + b"\xff")


class Reader:
    """A message in memory, read as a large one is."""

    def __init__(self, data):
        self.data, self.size, self.left, self.head = data, len(data), len(data), data[:5]

    def take(self, size):
        if size > self.left:
            raise ValueError("past the end")
        at, self.left = self.size - self.left, self.left - size
        return self.data[at : at + size]

    def text(self, size):
        return self.take(size).decode()


def only_decode_error(payload):
    for streamed_piece in (False, True):
        with contextlib.suppress(DecodeError):
            decode(payload, streamed=streamed_piece)
        with contextlib.suppress(DecodeError):
            decode_large(Reader(payload), streamed=streamed_piece)


@pytest.mark.parametrize(("payload", "expected"), [case for case in CASES if case[0][:1] in b"IUDM"])
def test_a_large_message_decodes_like_a_small_one(payload, expected):
    assert decode_large(Reader(payload), streamed=False) == expected
    assert decode_large(Reader(streamed(77, payload)), streamed=True) == expected
    for cut in (*(payload[:end] for end in range(len(payload))), payload + b"\0"):
        with pytest.raises(DecodeError):
            decode_large(Reader(cut), streamed=False)


@given(st.binary())
def test_any_bytes_give_a_message_or_a_decode_error(payload):
    only_decode_error(payload)


@given(st.sampled_from([payload for payload, _ in CASES]), st.data())
def test_any_change_of_a_message_gives_a_message_or_a_decode_error(payload, data):
    changed = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    only_decode_error(bytes(changed[: data.draw(st.integers(0, len(changed)))]))


VALUES = st.one_of(st.none(), st.just(UNCHANGED), st.text(st.characters(exclude_categories=["Cs"])))


@given(st.lists(VALUES, max_size=8), st.lists(VALUES, max_size=8))
def test_any_rows_come_back(new, old):
    assert decode(insert(1, *new)).new == tuple(new)
    decoded = decode(update(1, new, old))
    assert (decoded.new, decoded.old) == (tuple(new), tuple(old))


def test_D24_null_empty_and_the_word_null_are_distinct():
    assert decode(insert(1, None, "", "null", "NULL")).new == (None, "", "null", "NULL")


def test_D10_the_sentinel_text_is_a_text():
    assert decode(insert(1, "__debezium_unavailable_value", UNCHANGED)).new == (
        "__debezium_unavailable_value",
        UNCHANGED,
    )
