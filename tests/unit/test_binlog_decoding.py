"""The pure part of the binlog source: recorded events of a real server, damaged ones, and MySQL's own forms."""

import contextlib
import json
import random
import struct
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc.errors import DecodeError, SchemaChanged, SlotMismatch, SourceUnfit, ValueRefused
from cdc.events import Message, RowChange, TableName, Truncate
from cdc.mysql import binlog
from cdc.mysql.assembly import BinlogAssembler
from cdc.mysql.changes import ChangeBuffer
from cdc.mysql.decimals import decimal_bytes, decimal_text
from cdc.mysql.gtid import parse_mariadb, parse_mysql
from cdc.mysql.json_binary import json_text
from cdc.mysql.positions import boundary, position_of, resume_place
from cdc.mysql.statements import read_statement
from cdc.mysql.table_map import Charsets
from cdc.mysql.values import shortest_float4, shortest_float8
from strangler.errors import BadInput, StranglerError

DATA = Path(__file__).parents[1] / "data"
FACTS = json.loads((DATA / "mariadb_events.json").read_text())
CHARSETS = Charsets(of_collation={int(number): name for number, name in FACTS["collations"].items()})
TABLE = TableName(schema=FACTS["database"], name="t")


def recorded():
    data, at, events = (DATA / "mariadb_events.bin").read_bytes(), 0, []
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        events.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return events


EVENTS = recorded()


class MemorySpill:
    def __init__(self):
        self.kept = []

    def append(self, record):
        self.kept.append(bytes(record))

    def records(self):
        return iter(self.kept)


def assembler(**options):
    made = BinlogAssembler(
        [TABLE], charsets=CHARSETS, describe=lambda table: None, through=0, new_spill=MemorySpill, **options
    )
    made.start(checksummed=True)
    return made


def assembled(events, **options):
    made = assembler(**options)
    return [transaction for event in events if (transaction := made.feed(event)) is not None]


def test_recorded_events_of_a_server():
    first, truncated, last = assembled(EVENTS, keep_places=True)
    insert, empty, update, delete = first.changes
    assert insert.new == (
        "18446744073709551615", "é€", "né😀", "-12345678901234.567890", "0.1", "1.1", "\\x01000000", "\\x00ff", "bé",
        "x,y", "2024-02-29", "2024-01-01 12:34:56.5", "2024-01-01 00:00:00.25+00", "-838:59:59.99", "1000000001",
        "2024",
    )  # fmt: skip
    assert empty.new == ("2", None, "", *[None] * 13)
    assert (update.old[:2], update.new[:2]) == (("2", None), ("3", ""))
    assert (delete.op, delete.new, delete.old[0]) == ("d", None, "3")
    assert [column.type_oid for column in insert.relation.columns] == [
        1700, 1043, 25, 1700, 701, 700, 17, 17, 25, 25, 1082, 1114, 1184, 1186, 1560, 21
    ]  # fmt: skip
    assert [column.name for column in insert.relation.columns if column.in_key] == ["id"]
    assert [type(change) for change in truncated.changes] == [Truncate]
    assert [change.new[0] for change in last.changes] == ["7"]
    assert first.commit_lsn < truncated.commit_lsn < last.commit_lsn
    assert first.end_lsn == first.commit_lsn + 1
    assert [place.row for place in first.places][:2] == [0, 1]


def test_spilled_changes_are_the_same_changes():
    in_memory, spilled = assembled(EVENTS), assembled(EVENTS, memory_bytes=0)
    assert [list(one.changes) for one in spilled] == [list(one.changes) for one in in_memory]
    assert [len(one.changes) for one in spilled] == [4, 1, 1]


def test_what_is_not_above_the_position_is_passed_over():
    first, *rest = assembled(EVENTS)
    made = BinlogAssembler(
        [TABLE], charsets=CHARSETS, describe=lambda table: None, through=first.commit_lsn, new_spill=MemorySpill
    )
    made.start(checksummed=True)
    found = [transaction for event in EVENTS if (transaction := made.feed(event)) is not None]
    assert [one.commit_lsn for one in found] == [one.commit_lsn for one in rest]
    assert made.through >= rest[-1].commit_lsn


def test_one_changed_byte_is_always_noticed():
    chance = random.Random(5)
    for _ in range(300):
        events = list(EVENTS)
        number = chance.randrange(2, len(events))
        damaged = bytearray(events[number])
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        events[number] = bytes(damaged)
        with pytest.raises(DecodeError):
            assembled(events)


@given(st.integers(2, len(EVENTS) - 1), st.data())
def test_damage_under_a_valid_checksum_gives_named_errors_only(number, data):
    """Bytes changed, cut off or put in between; what decodes is fine, anything else has a name."""
    event = bytearray(EVENTS[number][:-4])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(19, max(19, len(event) - 1)))
        event[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    made = assembler()
    for earlier in EVENTS[:number]:
        made.feed(earlier)
    made.start(checksummed=False)
    try:
        made.feed(with_size(bytes(event)))
    except (DecodeError, SourceUnfit, ValueRefused, SchemaChanged, SlotMismatch) as error:
        assert error.mend


@given(st.integers(0, 255), st.binary(max_size=200))
def test_any_bytes_as_any_event(kind, body):
    header = struct.pack("<IBIIIH", 1, kind, 1, 19 + len(body), 500, 0)
    try:
        made = assembler()
        made.start(checksummed=False)
        made.feed(header + body)
    except StranglerError as error:
        assert isinstance(error, DecodeError | SourceUnfit | SlotMismatch | SchemaChanged)


def with_size(event):
    return event[:9] + struct.pack("<I", len(event)) + event[13:]


def test_events_that_are_known_but_not_supported_are_named():
    for kind in (binlog.PAYLOAD, binlog.PARTIAL_UPDATE, binlog.TAGGED_GTID, binlog.EXECUTE_LOAD):
        header = struct.pack("<IBIIIH", 1, kind, 1, 19 + 8, 500, 0)
        made = assembler()
        made.start(checksummed=False)
        with pytest.raises(SourceUnfit):
            made.feed(header + bytes(8))
    ignorable = struct.pack("<IBIIIH", 1, 200, 1, 19 + 8, 500, 0x80)
    unknown = struct.pack("<IBIIIH", 1, 200, 1, 19 + 8, 500, 0)
    made = assembler()
    made.start(checksummed=False)
    made.feed(event_of(binlog.ROTATE, struct.pack("<Q", 4) + b"binlog.000001"))
    assert made.feed(ignorable + bytes(8)) is None
    with pytest.raises(DecodeError):
        made.feed(unknown + bytes(8))


def event_of(kind, body, end=0):
    return struct.pack("<IBIIIH", 1, kind, 1, 19 + len(body), end, 0) + body


def test_a_mysql_group_begins_with_a_uuid_and_a_statement_alone_is_one():
    body = bytes([1]) + bytes(range(16)) + struct.pack("<Q", 57) + b"\x02" + bytes(16)
    body += (1_700_000_000_000_001 | 1 << 55).to_bytes(7, "little")
    gtid = binlog.decode_event(event := event_of(binlog.GTID, body), binlog.decode_header(event), checksummed=False)
    assert gtid == binlog.Gtid(gtid="00010203-0405-0607-0809-0a0b0c0d0e0f:57", commit_time_us=1_700_000_000_000_001)
    made = assembler()
    made.start(checksummed=False)
    query = struct.pack("<IIBHH", 9, 0, 2, 0, 0) + b"db\0CREATE TABLE x (id int)"
    made.feed(event_of(binlog.ROTATE, struct.pack("<Q", 4) + b"binlog.000001"))
    made.feed(event_of(binlog.GTID, body, end=200))
    assert made.in_transaction
    made.feed(event_of(binlog.QUERY, query, end=300))
    assert not made.in_transaction
    assert made.through == position_of("binlog.000001", 300)
    assert made.gtids_seen == [(position_of("binlog.000001", 300), gtid.gtid)]


def test_positions_lie_inside_their_record_and_resume_at_its_end():
    assert position_of("binlog.000012", 500) == (12 << 32 | 500) - 1
    assert resume_place(position_of("binlog.000012", 500)) == (12, 500)
    assert resume_place(position_of("mysql-bin.000001", 4)) == (1, 4)
    assert boundary("binlog.999999", 4) > boundary("binlog.000012", 1 << 31)
    with pytest.raises(SourceUnfit):
        boundary("binlog.000001", 1 << 32)
    with pytest.raises(SourceUnfit):
        boundary("binlog", 4)


def test_gtid_sets_of_both_kinds():
    mariadb = parse_mariadb("0-1-57,1-2-9")
    assert str(mariadb.plus("0-1-58").plus("7-3-1")) == "0-1-58,1-2-9,7-3-1"
    one = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    mysql = parse_mysql(f"{one.upper()}:1-5:7,\n")
    assert str(mysql) == f"{one}:1-5:7"
    assert str(mysql.plus(f"{one}:6")) == f"{one}:1-7"
    assert mysql.plus(f"{one}:9").covers(mysql)
    assert not mysql.covers(parse_mysql(f"{one}:1-6"))
    assert parse_mysql(f"{one}:1-5").encoded() == (
        struct.pack("<Q", 1) + bytes.fromhex(one.replace("-", "")) + struct.pack("<QQQ", 1, 1, 6)
    )
    for text in ("0-1", "x", f"{one}", f"{one}:1-2-3"):
        with pytest.raises(BadInput):
            parse_mysql(text)
        with pytest.raises(BadInput):
            parse_mariadb(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_keep_their_bits(number):
    assert struct.pack("<d", float(shortest_float8(number))) == struct.pack("<d", number)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_floats_keep_their_bits(number):
    assert struct.pack("<f", float(shortest_float4(number))) == struct.pack("<f", number)


@given(st.integers(1, 65), st.data())
def test_decimals_of_every_size(precision, data):
    scale = data.draw(st.integers(0, min(30, precision)))
    unscaled = data.draw(st.integers(-(10**precision) + 1, 10**precision - 1))
    packed = packed_decimal(unscaled, precision, scale)
    assert len(packed) == decimal_bytes(precision, scale)
    text = decimal_text(packed, precision, scale)
    assert Decimal(text) == Decimal(unscaled).scaleb(-scale, context=None) if precision <= 28 else text
    assert text.replace(".", "").replace("-", "").lstrip("0") == str(abs(unscaled)).lstrip("0")
    assert text.startswith("-") == (unscaled < 0)
    assert len(text.partition(".")[2]) == scale


def packed_decimal(unscaled, precision, scale):
    """As the server does it, written from its description."""
    digits = f"{abs(unscaled):0{precision}d}"
    whole, fraction = digits[: precision - scale], digits[precision - scale :]
    head = len(whole) % 9
    groups = [whole[:head], *(whole[at : at + 9] for at in range(head, len(whole), 9))]
    groups += [fraction[at : at + 9] for at in range(0, len(fraction), 9)]
    size = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
    packed = bytearray(b"".join(int(group).to_bytes(size[len(group)], "big") for group in groups if group))
    if unscaled < 0:
        packed = bytearray(byte ^ 0xFF for byte in packed)
    packed[0] ^= 0x80
    return bytes(packed)


def binary_json(value):
    """MySQL's form of a value, large containers only: (type, bytes)."""
    if value is None or isinstance(value, bool):
        return 4, bytes([{None: 0, True: 1, False: 2}[value]])
    if isinstance(value, int):
        return (9, struct.pack("<q", value)) if value < 2**63 else (10, struct.pack("<Q", value))
    if isinstance(value, float):
        return 11, struct.pack("<d", value)
    if isinstance(value, str):
        data, size = value.encode(), b""
        length = len(data)
        while True:
            size += bytes([length & 0x7F | (0x80 if length > 0x7F else 0)])
            length >>= 7
            if not length:
                return 12, size + data
    items = list(value.items()) if isinstance(value, dict) else [(None, one) for one in value]
    keys = [key.encode() for key, _ in items] if isinstance(value, dict) else []
    at = 8 + len(keys) * 6 + len(items) * 5
    key_entries, key_data = b"", b""
    for key in keys:
        key_entries += struct.pack("<IH", at + len(key_data), len(key))
        key_data += key
    entries, body, at = b"", b"", at + len(key_data)
    for _, one in items:
        kind, data = binary_json(one)
        if kind == 4:
            entries += bytes([kind]) + struct.pack("<I", data[0])
        else:
            entries += bytes([kind]) + struct.pack("<I", at + len(body))
            body += data
    total = at + len(body)
    return (1 if isinstance(value, dict) else 3), (
        struct.pack("<II", len(items), total) + key_entries + entries + key_data + body
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("aé😀", max_size=5), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_binary_json_round_trip(value):
    kind, data = binary_json(value)
    assert json.loads(json_text(bytes([kind]) + data)) == value


@given(st.binary(max_size=80))
def test_any_bytes_as_json(data):
    with contextlib.suppress(DecodeError):
        json_text(data)


def test_opaque_json_values():
    decimal = bytes([15, 246, 2 + decimal_bytes(9, 4), 9, 4]) + packed_decimal(-12345, 9, 4)
    assert json_text(decimal) == "-1.2345"
    packed = (((2024 * 13 + 2) << 5 | 29) << 17 | 12 << 12 | 34 << 6 | 56) << 24 | 500_000
    assert json_text(bytes([15, 12, 8]) + struct.pack("<q", packed)) == '"2024-02-29 12:34:56.500000"'
    assert json_text(bytes([15, 16, 1, 7])) == '"base64:type16:Bw=="'


@pytest.mark.parametrize(
    ("sql", "kind", "names"),
    [
        ("BEGIN", "begin", ()),
        ("COMMIT", "commit", ()),
        ("ROLLBACK", "rollback", ()),
        ("SAVEPOINT `a b`", "savepoint", (("db", "a b"),)),
        ("ROLLBACK TO `a b`", "rollback_to", (("", "a b"),)),
        ("/* c */ truncate /*!50000 table */ `x`.`y`", "truncate", (("x", "y"),)),
        ("TRUNCATE t WAIT 5", "truncate", (("db", "t"),)),
        ("DROP TABLE IF EXISTS `a`,b.c /* generated by server */", "gone", (("db", "a"), ("b", "c"))),
        ("DROP TEMPORARY TABLE t", "other", ()),
        ("DROP INDEX i ON t", "other", ()),
        ("DROP DATABASE shop", "gone", (("shop", "*"),)),
        ("RENAME TABLE a TO b, c TO d", "gone", (("db", "a"), ("db", "b"), ("db", "c"), ("db", "d"))),
        ("ALTER TABLE t RENAME u", "gone", (("db", "t"),)),
        ("ALTER TABLE t RENAME COLUMN a TO b", "other", (("db", "t"),)),
        ("ALTER TABLE t ADD COLUMN c text DEFAULT 'RENAME u'", "other", (("db", "t"),)),
        ("CREATE OR REPLACE TABLE t (id int)", "gone", (("db", "t"),)),
        ("CREATE TABLE t (id int)", "other", ()),
        ("# comment\n-- another\nGRANT ALL ON *.* TO x", "other", ()),
        ("", "other", ()),
    ],
)
def test_statements(sql, kind, names):
    statement = read_statement(sql, "db")
    assert (statement.kind, statement.names) == (kind, names)


@given(st.text(max_size=300))
@example("SAVEPOINT")
@example("RELEASE SAVEPOINT")
def test_any_text_as_a_statement(sql):
    read_statement(sql, "db")


def test_a_buffer_rewinds_over_its_spill():
    buffer = ChangeBuffer(memory_bytes=20, new_spill=MemorySpill)
    said = [Message(prefix="p", content=bytes([n]) * 15, transactional=True, lsn=n) for n in range(6)]
    buffer.add(said[0], 15)
    mark = buffer.mark()
    buffer.add(said[1], 15)
    buffer.add(said[2], 15)
    buffer.rewind(mark)
    buffer.add(said[3], 15)
    kept = buffer.finish()
    assert (list(kept), len(kept)) == ([said[0], said[3]], 2)
    assert said[3] in kept
    assert not any(isinstance(change, RowChange) for change in kept)
