"""Parked source events ⇄ bytes: lossless, each with its own relation. Pure."""

from collections.abc import Sequence

import msgpack

from cdc.changelog.codec import (
    RelationTable,
    decode_relation,
    decode_transaction,
    encode_relation,
    encode_transaction,
    new_relations,
)
from cdc.events import RowChange, Transaction, Truncate
from cdc.lsn import ZERO


def encode_events(events: Sequence[RowChange | Truncate]) -> bytes:
    """What `decode_events` gives back equal."""
    carrier = Transaction(xid=0, commit_lsn=ZERO, end_lsn=ZERO, commit_time_us=0, changes=tuple(events))
    table = RelationTable()
    relations = new_relations(carrier, table)
    for relation in relations:
        table.add(relation)
    packed: bytes = msgpack.packb(
        ([encode_relation(relation) for relation in relations], encode_transaction(carrier, table))
    )
    return packed


def decode_events(payload: bytes) -> tuple[RowChange | Truncate, ...]:
    """Raises `LogDamaged` when a newer version wrote it."""
    relations, carrier = msgpack.unpackb(payload)
    table = RelationTable()
    for relation in relations:
        table.add(decode_relation(relation))
    changes = decode_transaction(carrier, table).changes
    return tuple(change for change in changes if isinstance(change, RowChange | Truncate))
