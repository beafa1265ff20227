"""pgoutput messages, written from the protocol's documentation independently of the decoder."""

import struct

from cdc.events import UNCHANGED
from cdc.pgoutput import POSTGRES_EPOCH_US


def text(value):
    return value.encode() + b"\0"


def row(*values):
    parts = [struct.pack(">H", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif value is UNCHANGED:
            parts.append(b"u")
        else:
            data = value.encode()
            parts.append(b"t" + struct.pack(">I", len(data)) + data)
    return b"".join(parts)


def begin(lsn, xid=7, time_us=POSTGRES_EPOCH_US):
    return b"B" + struct.pack(">QqI", lsn, time_us - POSTGRES_EPOCH_US, xid)


def commit(lsn, end, time_us=POSTGRES_EPOCH_US):
    return b"C" + struct.pack(">BQQq", 0, lsn, end, time_us - POSTGRES_EPOCH_US)


def relation(value):
    columns = b"".join(
        bytes([column.in_key]) + text(column.name) + struct.pack(">Ii", column.type_oid, column.type_modifier)
        for column in value.columns
    )
    head = struct.pack(">I", value.oid) + text(value.schema) + text(value.name)
    return b"R" + head + value.replica_identity.encode() + struct.pack(">H", len(value.columns)) + columns


def insert(oid, *values):
    return b"I" + struct.pack(">I", oid) + b"N" + row(*values)


def update(oid, new, old=None, kind=b"K"):
    return b"U" + struct.pack(">I", oid) + (b"" if old is None else kind + row(*old)) + b"N" + row(*new)


def delete(oid, old, kind=b"K"):
    return b"D" + struct.pack(">I", oid) + kind + row(*old)


def message(lsn, prefix, content, transactional):
    return b"M" + struct.pack(">BQ", transactional, lsn) + text(prefix) + struct.pack(">I", len(content)) + content


def origin(name):
    return b"O" + bytes(8) + text(name)


def truncate(*oids, options=0):
    return b"T" + struct.pack(f">IB{len(oids)}I", len(oids), options, *oids)


def stream_start(xid, first):
    return b"S" + struct.pack(">IB", xid, first)


def stream_stop():
    return b"E"


def stream_commit(xid, lsn, end, time_us=POSTGRES_EPOCH_US):
    return b"c" + struct.pack(">IBQQq", xid, 0, lsn, end, time_us - POSTGRES_EPOCH_US)


def stream_abort(xid, subxid):
    return b"A" + struct.pack(">II", xid, subxid)


def streamed(xid, payload):
    """A message as it looks between `stream_start` and `stream_stop`."""
    return payload[:1] + struct.pack(">I", xid) + payload[1:]


def piece(xid, *payloads, first=False, subxid=None):
    """One piece of an open transaction."""
    inside = [streamed(subxid or xid, payload) for payload in payloads]
    return [stream_start(xid, first), *inside, stream_stop()]
