"""Pieces that events are made of: lengths, names, compressed records. Pure."""

import zlib

from cdc.errors import DecodeError


def malformed(reason: str) -> DecodeError:
    return DecodeError(
        thing="binlog event",
        reason=reason,
        mend="check the network and the server's version; the stream has passed nothing",
    )


def length_encoded(data: bytes, at: int) -> tuple[int, int]:
    """An integer of 1, 3, 4 or 9 bytes → (value, offset after it)."""
    first = data[at]
    if first < 251:
        return first, at + 1
    size = {252: 2, 253: 3, 254: 8}.get(first)
    if size is None or at + 1 + size > len(data):
        raise malformed("a length is cut short")
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


def table_name(body: bytes) -> tuple[str, str]:
    """(database, table) of a table map, without reading the rest."""
    end = 9 + body[8]
    return body[9:end].decode(), body[end + 2 : end + 2 + body[end + 1]].decode()


def inflate(data: bytes) -> bytes:
    """MariaDB's compressed records: a byte (size of the length, algorithm), the length (big-endian), a zlib stream."""
    length_size = data[0] & 0x07
    length = int.from_bytes(data[1 : 1 + length_size], "big")
    if data[0] & 0x70:
        raise malformed("compressed by an algorithm other than zlib")
    inflater = zlib.decompressobj()
    inflated = inflater.decompress(data[1 + length_size :], max(1, length))
    if len(inflated) != length:
        raise malformed(f"a compressed record of {length} bytes holds {len(inflated)}")
    return inflated
