"""Many small transactions ⇄ one record, their changes as the server sent them. Pure.

A pack is one msgpack array of columns: transaction ids, commit positions, ends, commit times, how many changes each
has, the relation number of every change, and its message.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgpack

from cdc.changelog.codec import RelationTable, foreign_content, unpack
from cdc.events import Relation, Transaction
from cdc.lsn import Lsn
from cdc.sent_changes import SentChanges

PACK_BYTES: Final = 256 << 10
"""A pack ends with the transaction that reaches it."""


class Pack(NamedTuple):
    """Neighbours of which each has changes as they were sent."""

    transactions: list[Transaction]
    changes: list[SentChanges]

    @property
    def first_lsn(self) -> Lsn:
        return self.transactions[0].commit_lsn

    @property
    def last_lsn(self) -> Lsn:
        return self.transactions[-1].commit_lsn


def in_packs(transactions: Iterable[Transaction], most_bytes: int = PACK_BYTES) -> Iterator[Transaction | Pack]:
    """Small neighbours together, the others one by one; a pack ends with the transaction that reaches `most_bytes`."""
    pack, size = Pack([], []), 0
    for transaction in transactions:
        changes = transaction.changes
        if type(changes) is SentChanges and transaction.origin is None:
            pack.transactions.append(transaction)
            pack.changes.append(changes)
            size += sum(map(len, changes.messages))
            if size < most_bytes:
                continue
            yield pack
        else:
            if pack.transactions:
                yield pack
            yield transaction
        pack, size = Pack([], []), 0
    if pack.transactions:
        yield pack


def new_in_pack(pack: Pack, table: RelationTable) -> list[Relation]:
    """Relations that `table` lacks, in order of first use, each once."""
    seen = {id(relation): relation for changes in pack.changes for relation in changes.relations}
    return list(dict.fromkeys(relation for relation in seen.values() if table.number(relation) is None))


def encode_pack(pack: Pack, table: RelationTable) -> bytes:
    """`table` must hold every relation of it."""
    numbers: dict[int, int | None] = {}
    found: list[int | None] = []
    for changes in pack.changes:
        for relation in changes.relations:
            number = numbers.get(id(relation))
            if number is None:
                number = numbers[id(relation)] = table.number(relation)
            found.append(number)
    packed: bytes = msgpack.packb(
        (
            [each.xid for each in pack.transactions],
            [each.commit_lsn for each in pack.transactions],
            [each.end_lsn for each in pack.transactions],
            [each.commit_time_us for each in pack.transactions],
            [len(changes.messages) for changes in pack.changes],
            found,
            [message for changes in pack.changes for message in changes.messages],
        )
    )
    return packed


def decode_pack(data: bytes | memoryview, table: RelationTable, after: Lsn) -> Iterator[Transaction]:
    """Its transactions that are later than `after`. Raises `LogDamaged`."""
    try:
        xids, commit_lsns, end_lsns, times, counts, numbers, messages = unpack(data)
        relations = [table[number] for number in numbers]
    except (TypeError, ValueError, IndexError) as error:
        raise foreign_content(error) from None
    at = 0
    for xid, commit_lsn, end_lsn, time_us, count in zip(xids, commit_lsns, end_lsns, times, counts, strict=True):
        start, at = at, at + count
        if commit_lsn > after:
            yield Transaction(
                xid=xid,
                commit_lsn=commit_lsn,
                end_lsn=end_lsn,
                commit_time_us=time_us,
                changes=SentChanges(messages[start:at], relations[start:at]),
            )
