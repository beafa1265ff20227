"""Kafka's record batches, format 2: many records ⇄ bytes at once. Pure.

The client library makes several objects for each record, writes it byte by byte and reads it in the same way. Here a
record is a few joins. Timestamps inside a batch are all the same, and every record has the header that names it first.

A record: length, attributes, timestamp delta, offset delta, key length, key, value length, value, number of headers,
then each header's name and value with their lengths. Numbers are zigzag varints, -1 a null. See "Record Batch" in
Kafka's protocol guide; the header before the records is written by whoever sends the batch.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from cdc.changelog.kafka.records import POSITION_HEADER, Header
from cdc.errors import LogDamaged

BATCH_HEADER_BYTES: Final = 61
RECORD_OVERHEAD_BYTES: Final = 64
"""At most so much besides key, value and further headers."""

_NO_ATTRIBUTES_NO_DELTA: Final = b"\0\0"
_NULL: Final = b"\1"
_ONE_HEADER: Final = 2
_POSITION: Final = bytes([2 * len(POSITION_HEADER)]) + POSITION_HEADER.encode()
_POSITION_TAIL: Final = bytes([_ONE_HEADER]) + _POSITION


class Record(NamedTuple):
    """`position`: of the header that names it, if that is its first one; `headers`: the others."""

    offset: int
    key: bytes | None
    value: bytes | None
    position: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def varint(number: int) -> bytes:
    """Zigzag, 7 bits a byte, the lowest first."""
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    if rest < 128:
        return bytes((rest,))
    found = bytearray()
    while rest > 127:
        found.append(rest & 127 | 128)
        rest >>= 7
    found.append(rest)
    return bytes(found)


_VARINTS: Final = [varint(number) for number in range(4096)]
_FEW: Final = len(_VARINTS)


class RecordWriter:
    """The records of one batch of at most `limit` bytes; the first may be longer."""

    __slots__ = ("_limit", "_parts", "count", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self.count, self.size = 0, BATCH_HEADER_BYTES

    def add(self, key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> bool:
        """False when there is no room for it."""
        parts = [_NO_ATTRIBUTES_NO_DELTA, varint(self.count)]
        for each in (key, value):
            parts += (_NULL,) if each is None else (varint(len(each)), each)
        parts.append(varint(len(headers)))
        for name, text in headers:
            encoded = name.encode()
            parts += (varint(len(encoded)), encoded, varint(len(text)), text)
        record = b"".join(parts)
        length = varint(len(record))
        size = self.size + len(length) + len(record)
        if size > self._limit and self.count:
            return False
        self._parts += (length, record)
        self.count, self.size = self.count + 1, size
        return True

    def add_rows(
        self,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        events: Sequence[int],
        start: int,
        before: bytes,
        after: bytes,
    ) -> int:
        """Records with one header, the position `before` + event + `after`, from number `start` on until there is no
        room; returns the number after the last one."""
        count, size, limit, add = self.count, self.size, self._limit, self._parts.append
        numbers, few, join, tail, plain = _VARINTS, _FEW, b"".join, _POSITION_TAIL, _NO_ATTRIBUTES_NO_DELTA
        at, end = start, len(values)
        while at < end:
            key, value = keys[at], values[at]
            mark = b"%b%d%b" % (before, events[at], after)
            key_size, value_size = -1 if key is None else len(key), len(value)
            record = join(
                (
                    plain,
                    numbers[count] if count < few else varint(count),
                    numbers[key_size] if 0 <= key_size < few else varint(key_size),
                    key or b"",
                    numbers[value_size] if value_size < few else varint(value_size),
                    value,
                    tail,
                    numbers[len(mark)],
                    mark,
                )
            )
            length = len(record)
            encoded = numbers[length] if length < few else varint(length)
            if size + len(encoded) + length > limit and count:
                break
            add(encoded)
            add(record)
            size += len(encoded) + length
            count += 1
            at += 1
        self.count, self.size = count, size
        return at

    def records(self) -> bytes:
        return b"".join(self._parts)

    def take(self) -> bytes:
        """The records, which this no longer keeps; their `count` and `size` it does."""
        records = self.records()
        self._parts.clear()
        return records


def read_records(data: bytes, base_offset: int, count: int) -> Iterator[Record]:
    """The records of a batch, uncompressed and without the batch's header. Raises `LogDamaged`."""
    at = 0
    position_size = len(_POSITION)
    try:
        for _ in range(count):
            length = data[at]
            at += 1
            if length & 128:
                length, at = _number(data, at - 1)
            else:
                length = (length >> 1) ^ -(length & 1)
            end = at + length
            at += 1
            if data[at]:
                _, at = _number(data, at)
            else:
                at += 1
            delta, at = _number(data, at)
            size, at = _number(data, at)
            key = None
            if size >= 0:
                key = data[at : at + size]
                at += size
            size, at = _number(data, at)
            value = None
            if size >= 0:
                value = data[at : at + size]
                at += size
            if data[at] == _ONE_HEADER and data.startswith(_POSITION, at + 1):
                size, at = _number(data, at + 1 + position_size)
                position: bytes | None = data[at : at + size]
                at += size
                headers: tuple[tuple[str, bytes | None], ...] = ()
            else:
                position, headers, at = _headers(data, at)
            if at != end:
                raise ValueError("a record ends elsewhere than it says")
            yield Record(base_offset + delta, key, value, position, headers)
        if at != len(data):
            raise ValueError("something follows the last record")
    except (IndexError, ValueError) as error:
        raise LogDamaged(
            thing="Kafka record batch",
            reason=f"cannot be read: {error}",
            mend="if it happens again, report it with the broker's version",
        ) from None


def _number(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), at + 1
    found, shift = byte & 127, 7
    while True:
        at += 1
        byte = data[at]
        found |= (byte & 127) << shift
        if byte < 128:
            return (found >> 1) ^ -(found & 1), at + 1
        shift += 7


def _headers(data: bytes, at: int) -> tuple[bytes | None, tuple[tuple[str, bytes | None], ...], int]:
    count, at = _number(data, at)
    found: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        size, at = _number(data, at)
        name = data[at : at + size].decode()
        at += size
        size, at = _number(data, at)
        value = data[at : at + size] if size >= 0 else None
        at += max(size, 0)
        found.append((name, value))
    if found and found[0][0] == POSITION_HEADER:
        return found[0][1], tuple(found[1:]), at
    return None, tuple(found), at
