"""Our record batches against kafka-python's own reader and writer, which are the oracle."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.errors import KafkaTimeoutError, NotLeaderForPartitionError
from kafka.record import MemoryRecords, MemoryRecordsBuilder

from cdc.changelog.kafka.producing import _Batch, _WrittenRecords
from cdc.changelog.kafka.record_batch import BATCH_HEADER_BYTES, RecordWriter, read_records, varint
from cdc.changelog.kafka.records import (
    POSITION_HEADER,
    RowForm,
    RowPositions,
    decode_change,
    decode_inserts,
    is_as_sent,
    same_table,
)
from cdc.errors import LogDamaged
from cdc.events import Column, Relation, RowChange
from cdc.insert_run import SHORTEST_RUN, InsertRun

TEXTS = st.one_of(st.none(), st.binary(max_size=300))
HEADERS = st.lists(
    st.tuples(st.one_of(st.just(POSITION_HEADER), st.text(st.characters(exclude_categories=["Cs"]))), st.binary()),
    max_size=3,
)
RECORDS = st.lists(st.tuples(TEXTS, TEXTS, HEADERS), min_size=1, max_size=6)
RELATION = Relation(
    oid=70_000,
    schema="public",
    name="it%em",
    columns=(
        Column(name='i"d%', type_oid=20, in_key=True),
        Column(name="part", type_oid=25, in_key=True),
        Column(name="note", type_oid=25),
    ),
)
CELLS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))


def sealed(writer, compression=0):
    written = _WrittenRecords(writer, 1234, compression)
    written.set_producer_state(7, 1, 40, False)
    written.close()
    return written


def seen(records):
    return [(record.offset, record.key, record.value, record.headers) for record in records]


@given(records=RECORDS, compression=st.sampled_from([0, 1]))
def test_the_library_reads_what_we_write(records, compression):
    writer = RecordWriter(1 << 20)
    for key, value, headers in records:
        assert writer.add(key, value, headers)
    written = sealed(writer, compression)
    (batch,) = list(MemoryRecords(bytes(written.buffer())))
    assert batch.validate_crc()
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (7, 1, 40)
    assert (batch.first_timestamp, batch.max_timestamp, batch.last_offset) == (1234, 1234, len(records) - 1)
    assert seen(batch) == [(number, *record) for number, record in enumerate(records)]
    assert compression or len(written.buffer()) == writer.size


@given(records=RECORDS)
def test_we_read_what_the_library_writes(records):
    builder = MemoryRecordsBuilder(2, 0, 1 << 20)
    for number, (key, value, headers) in enumerate(records):
        builder.append(1000 + 7000 * number, key, value, headers)
    builder.close()
    data = bytes(builder.buffer())[BATCH_HEADER_BYTES:]
    found = [
        (
            record.offset,
            record.key,
            record.value,
            [*([] if record.position is None else [(POSITION_HEADER, record.position)]), *record.headers],
        )
        for record in read_records(data, 500, len(records))
    ]
    assert found == [(500 + number, *record) for number, record in enumerate(records)]
    with pytest.raises(LogDamaged):
        list(read_records(data + b"\0", 0, len(records)))


@given(data=st.binary(max_size=60), count=st.integers(0, 4))
@settings(max_examples=300)
def test_bytes_that_are_no_records_are_damage_and_nothing_else(data, count):
    with contextlib.suppress(LogDamaged):
        list(read_records(data, 0, count))


@given(number=st.integers(-(1 << 40), 1 << 40))
def test_numbers_are_zigzag_varints(number):
    rest, shift, encoded = 0, 0, varint(number)
    for byte in encoded:
        rest |= (byte & 127) << shift
        shift += 7
    assert (rest >> 1) ^ -(rest & 1) == number
    assert all(byte & 128 for byte in encoded[:-1])
    assert not encoded[-1] & 128


@given(rows=st.lists(st.tuples(st.one_of(st.none(), st.binary(max_size=70)), st.binary(max_size=9000)), min_size=1),
       first=st.integers(0, 10_000), limit=st.integers(100, 30_000))  # fmt: skip
def test_rows_written_together_are_the_records_written_singly(rows, first, limit):
    """Whatever the limit cuts: batches of both ways hold the same, and only one of a single record is longer."""
    keys, values = [key for key, _ in rows], [value for _, value in rows]
    positions = RowPositions(99, range(first, first + len(rows)), 3)
    together, at = [], 0
    while at < len(rows):
        writer = RecordWriter(limit)
        after = writer.add_rows(keys, values, positions.events, at, positions.before, positions.after)
        assert after > at
        single = RecordWriter(limit)
        for row in range(at, after):
            assert single.add(keys[row], values[row], [(POSITION_HEADER, positions[row])])
        if after < len(rows):
            assert not single.add(keys[after], values[after], [(POSITION_HEADER, positions[after])])
        assert (writer.records(), writer.size, writer.count) == (single.records(), single.size, single.count)
        assert writer.size <= limit or writer.count == 1
        together += list(read_records(writer.records(), at, writer.count))
        at = after
    assert [(each.offset, each.key, each.value, each.position) for each in together] == [
        (row, keys[row], values[row], b"99:%d:3" % (first + row)) for row in range(len(rows))
    ]


def message(values, *, streamed=False):
    cells = [b"n" if v is None else b"t" + len(v.encode()).to_bytes(4) + v.encode() for v in values]
    xid = (5).to_bytes(4) if streamed else b""
    return b"I" + xid + RELATION.oid.to_bytes(4) + b"N" + len(values).to_bytes(2) + b"".join(cells)


@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5), streamed=st.booleans())
def test_a_row_of_a_run_has_the_key_of_a_single_row_and_reads_back_the_same(rows, streamed):
    form = RowForm(RELATION, ('i"d%', "part"), "topic")
    run = InsertRun.of(RELATION, [message(row, streamed=streamed) for row in rows], streamed=streamed)
    changes = [RowChange(relation=RELATION, op="c", new=row) for row in rows]
    assert form.run_keys(run) == [form.keys(change)[0] for change in changes]
    values = form.run_values(run)
    assert all(is_as_sent(value) and not is_as_sent(form.value(changes[0])) for value in values)
    assert [decode_change(value, lambda _: RELATION) for value in values] == changes
    assert decode_inserts(values, lambda _: RELATION) == changes
    again = decode_inserts(values * SHORTEST_RUN, lambda _: RELATION)
    assert isinstance(again, InsertRun)
    assert list(again) == changes * SHORTEST_RUN
    assert again.copy_text(range(3)).text == run.copy_text(range(3)).text * SHORTEST_RUN


def test_rows_of_another_version_of_the_table_are_no_part_of_a_run():
    other = Relation(oid=RELATION.oid, schema="public", name="it%em", columns=RELATION.columns[:2])
    value = RowForm(RELATION, None, "t").run_values(InsertRun.of(RELATION, [message(("1", "2", "3"))]))[0]
    older = RowForm(other, None, "t").run_values(InsertRun.of(other, [message(("1", "2"))]))[0]
    assert same_table(value, value)
    assert not same_table(value, older)


def test_a_row_cut_short_is_damage():
    value = RowForm(RELATION, None, "t").run_values(InsertRun.of(RELATION, [message(("1", "2", "3"))]))[0]
    with pytest.raises(LogDamaged):
        decode_change(value[:-1], lambda _: RELATION)


def test_a_table_without_a_key_has_records_without_one():
    keyless = Relation(oid=3, schema="public", name="k", columns=(Column(name="a", type_oid=25),))
    run = InsertRun.of(keyless, [message(("x",)), message(("y",))])
    assert RowForm(keyless, None, "t").run_keys(run) == [None, None]


def test_a_batch_counts_only_when_it_is_known_where_it_lies():
    for offset, failure, error in [
        (40, None, None),
        (-1, None, KafkaTimeoutError),
        (-1, lambda _: NotLeaderForPartitionError(), NotLeaderForPartitionError),
    ]:
        batch = _Batch(("topic", 0), 1000)
        assert batch.writer.add(b"k", b"v", [])
        batch.seal(0).produce_future.success((offset, -1, failure))
        if error is None:
            batch.wait(time.monotonic() + 1)
            assert batch.offset(0) == 40
        else:
            with pytest.raises(error):
                batch.wait(time.monotonic() + 1)


def test_a_batch_that_nobody_acknowledges_is_not_waited_for_without_end():
    batch = _Batch(("topic", 0), 1000)
    batch.writer.add(b"k", b"v", [])
    batch.seal(0)
    with pytest.raises(KafkaTimeoutError):
        batch.wait(time.monotonic() - 1)
