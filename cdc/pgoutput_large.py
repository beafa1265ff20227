"""Messages too large to be held as bytes: decoded from a reader that gives text piece by piece. Pure.

A value of 100 MB exists once, as the text it becomes; `cdc.pgoutput` would need the message's bytes beside it.
"""

import struct
from typing import Final, Protocol

from cdc.events import UNCHANGED, Row, Value
from cdc.pgoutput import not_the_protocol
from cdc.pgoutput_messages import Delete, Insert, LogicalMessage, Update

_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_MESSAGE: Final = struct.Struct(">BQ")


class MessageReader(Protocol):
    """One message's bytes, from the first to the last. Reading past the end raises ValueError."""

    @property
    def size(self) -> int: ...

    @property
    def left(self) -> int: ...

    @property
    def head(self) -> bytes:
        """Its first five bytes, wherever the reader stands."""
        ...

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        ...

    def text(self, size: int) -> str:
        """The next `size` bytes as UTF-8. Raises ValueError when they are not."""
        ...


def decode_large(reader: MessageReader, *, streamed: bool) -> Insert | Update | Delete | LogicalMessage:
    """See `cdc.pgoutput.decode`; only the messages that can be large."""
    tag = reader.head[:1]
    try:
        reader.take(5 if streamed else 1)
        message = _decode(tag, reader)
        if reader.left:
            raise ValueError(f"{reader.left} bytes after its end")
    except (ValueError, struct.error) as error:
        raise not_the_protocol(tag, reader.size, error) from None
    return message


def _decode(tag: bytes, reader: MessageReader) -> Insert | Update | Delete | LogicalMessage:
    if tag == b"M":
        return _message(reader)
    oid = _u32(reader)
    kind = reader.take(1)
    if tag == b"I" and kind == b"N":
        return Insert(oid, _row(reader))
    if tag == b"D" and kind in (b"K", b"O"):
        return Delete(oid, _row(reader), kind == b"K")
    if tag == b"U":
        old = None
        if kind in (b"K", b"O"):
            old = _row(reader)
            if reader.take(1) != b"N":
                raise ValueError("update without a new row")
        elif kind != b"N":
            raise ValueError("update without a new row")
        return Update(oid, _row(reader), old, kind == b"K")
    raise ValueError(f"row of kind {kind!r}")


def _message(reader: MessageReader) -> LogicalMessage:
    flags, lsn = _MESSAGE.unpack(reader.take(_MESSAGE.size))
    prefix = bytearray()
    while (byte := reader.take(1)) != b"\0":
        prefix += byte
    return LogicalMessage(flags & 1 == 1, lsn, prefix.decode(), reader.take(_u32(reader)))


def _row(reader: MessageReader) -> Row:
    (count,) = _U16.unpack(reader.take(2))
    return tuple([_value(reader) for _ in range(count)])


def _value(reader: MessageReader) -> Value:
    kind = reader.take(1)
    if kind == b"t":
        return reader.text(_u32(reader))
    if kind == b"n":
        return None
    if kind == b"u":
        return UNCHANGED
    raise ValueError(f"column value of kind {kind!r}")


def _u32(reader: MessageReader) -> int:
    number: int = _U32.unpack(reader.take(4))[0]
    return number
