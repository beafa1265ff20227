"""Transactions ⇄ bytes, lossless and compact. Pure.

A transaction is one msgpack array. Relations are not repeated in it: a change names its relation by a small number,
and `RelationTable` says which relations a reader must have seen first. UNCHANGED is an extension type, so it can be
confused with no text (D10). A long transaction is a head and parts (`cdc.changelog.long_codec`).
"""

from collections.abc import Callable
from typing import Any, Final

import msgpack

from cdc.errors import LogDamaged
from cdc.events import UNCHANGED, Change, Column, Message, Relation, RowChange, Transaction, Truncate
from cdc.lsn import Lsn

_UNCHANGED_CODE: Final = 1
_UNCHANGED_EXT: Final = msgpack.ExtType(_UNCHANGED_CODE, b"")
_ROW, _TRUNCATE, _MESSAGE = 0, 1, 2


class RelationTable:
    """The relations of one segment, numbered in order of first use."""

    def __init__(self) -> None:
        self._numbers: dict[Relation, int] = {}
        self._by_identity: dict[int, tuple[Relation, int]] = {}
        self._relations: list[Relation] = []

    def number(self, relation: Relation) -> int | None:
        """The number of a relation that is in the table."""
        known = self._by_identity.get(id(relation))
        if known is not None:
            return known[1]
        number = self._numbers.get(relation)
        if number is not None:
            self._by_identity[id(relation)] = (relation, number)
        return number

    def add(self, relation: Relation) -> int:
        """Number a new relation."""
        number = len(self._relations)
        self._relations.append(relation)
        self._numbers[relation] = number
        return number

    def __getitem__(self, number: int) -> Relation:
        return self._relations[number]

    def __len__(self) -> int:
        return len(self._relations)

    def copy(self) -> "RelationTable":
        table = RelationTable()
        # Not by `add`: to hash a relation takes a look at every column, and a reader copies the table for every batch.
        table._numbers, table._relations = self._numbers.copy(), self._relations.copy()
        return table


def new_relations(transaction: Transaction, table: RelationTable) -> list[Relation]:
    """Relations of `transaction` that `table` lacks, in order of first use, each once."""
    found: dict[Relation, None] = {}
    last: Relation | None = None
    for change in transaction.changes:
        if isinstance(change, RowChange):
            if change.relation is not last:
                last = change.relation
                if table.number(last) is None:
                    found[last] = None
        elif isinstance(change, Truncate):
            found.update((relation, None) for relation in change.relations if table.number(relation) is None)
    return list(found)


def encode_relation(relation: Relation) -> bytes:
    columns = [(column.name, column.type_oid, column.type_modifier, column.in_key) for column in relation.columns]
    packed: bytes = msgpack.packb((relation.oid, relation.schema, relation.name, relation.replica_identity, columns))
    return packed


def decode_relation(data: bytes | memoryview) -> Relation:
    oid, schema, name, identity, columns = unpack(data)
    return Relation(
        oid=oid,
        schema=schema,
        name=name,
        replica_identity=identity,
        columns=tuple(
            Column(name=column, type_oid=type_oid, type_modifier=modifier, in_key=in_key)
            for column, type_oid, modifier, in_key in columns
        ),
    )


def encode_transaction(transaction: Transaction, table: RelationTable) -> bytes:
    """`table` must hold every relation of the transaction."""
    packed: bytes = msgpack.packb(
        (
            transaction.xid,
            transaction.commit_lsn,
            transaction.end_lsn,
            transaction.commit_time_us,
            transaction.origin,
            [change_fields(change, table) for change in transaction.changes],
        ),
        default=pack_unchanged,
    )
    return packed


def decode_transaction(data: bytes | memoryview, table: RelationTable) -> Transaction:
    xid, commit_lsn, end_lsn, commit_time_us, origin, changes = unpack(data)
    return Transaction(
        xid=xid,
        commit_lsn=Lsn(commit_lsn),
        end_lsn=Lsn(end_lsn),
        commit_time_us=commit_time_us,
        origin=origin,
        changes=tuple([change_from(fields, table) for fields in changes]),
    )


def change_fields(change: Change, table: RelationTable) -> tuple[Any, ...]:
    if isinstance(change, RowChange):
        return (_ROW, table.number(change.relation), change.op, change.new, change.old, change.old_is_key)
    if isinstance(change, Truncate):
        numbers = [table.number(relation) for relation in change.relations]
        return (_TRUNCATE, numbers, change.cascade, change.restart_identity)
    return (_MESSAGE, change.prefix, change.content, change.transactional, change.lsn)


def change_from(fields: tuple[Any, ...], table: RelationTable) -> Change:
    kind = fields[0]
    if kind == _ROW:
        _, number, op, new, old, old_is_key = fields
        return RowChange(relation=table[number], op=op, new=new, old=old, old_is_key=old_is_key)
    if kind == _TRUNCATE:
        _, numbers, cascade, restart_identity = fields
        relations = tuple(table[number] for number in numbers)
        return Truncate(relations=relations, cascade=cascade, restart_identity=restart_identity)
    _, prefix, content, transactional, lsn = fields
    return Message(prefix=prefix, content=content, transactional=transactional, lsn=Lsn(lsn))


def pack_unchanged(value: object) -> msgpack.ExtType:
    if value is UNCHANGED:
        return _UNCHANGED_EXT
    raise TypeError(f"no column value: {type(value).__name__}")


def unpack_ext(code: int, data: bytes) -> object:
    if code != _UNCHANGED_CODE:
        raise ValueError(f"extension type {code}")
    return UNCHANGED


def unpack(data: bytes | memoryview, ext_hook: Callable[[int, bytes], object] = unpack_ext) -> Any:
    """One msgpack object. Raises `LogDamaged`."""
    try:
        return msgpack.unpackb(data, use_list=False, ext_hook=ext_hook, strict_map_key=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise foreign_content(error) from None


def foreign_content(error: Exception) -> LogDamaged:
    """The error for a record whose bytes are whole and make no sense."""
    return LogDamaged(
        thing="change-log record",
        reason=f"its checksum is right but its content is not ours: {error}",
        mend="it was written by a newer version: upgrade, or deprovision the stream and copy anew",
    )
