"""Debezium's form of the records, for the topics that are to be read by Debezium's consumers. Pure.

Every record carries its schema, so that it can be read back without the source. What Debezium cannot express is marked
in the record and refused when it is read back; the lossless form is the one to apply from.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from cdc.debezium.catalog import TypeCatalog
from cdc.debezium.decoder import DebeziumDecoder, DecoderOptions
from cdc.debezium.encoder import DebeziumEncoder
from cdc.debezium.options import DebeziumOptions
from cdc.debezium.record import DebeziumRecord
from cdc.errors import LogDamaged
from cdc.events import Change, Iterated, Message, Relation, RowChange, Transaction

FIRST_BYTE: Final = ord("{")
"""A value of ours begins with a msgpack array, which never looks like this."""


def is_debezium(value: bytes) -> bool:
    return value[0] == FIRST_BYTE


class DebeziumForm:
    """Writes the changes of chosen tables. Given in commit order; not thread-safe."""

    def __init__(self, prefix: str, database: str, catalog: TypeCatalog, is_chosen: Callable[[Relation], bool]) -> None:
        self._encoder = DebeziumEncoder(_options(prefix, database), catalog)
        self._is_chosen = is_chosen

    def takes(self, change: Change) -> bool:
        """A truncate goes with its first table. Messages stay lossless: barriers are among them."""
        if isinstance(change, Message):
            return False
        relation = change.relation if isinstance(change, RowChange) else change.relations[0]
        return self._is_chosen(relation)

    def records(self, transaction: Transaction) -> Iterator[tuple[int, DebeziumRecord]]:
        """(index of the change, record) for every change that it takes; tombstones among them."""
        watched = _Watched(transaction.changes, self.takes)
        chosen = Transaction(
            xid=transaction.xid,
            commit_lsn=transaction.commit_lsn,
            end_lsn=transaction.end_lsn,
            commit_time_us=transaction.commit_time_us,
            changes=watched,
            origin=transaction.origin,
        )
        for record in self._encoder.records(chosen):
            yield watched.index, record


class DebeziumReading:
    """Reads them back. Raises `UntrustedValues` for a record that holds less than the source sent, `DecodeError`."""

    def __init__(self, prefix: str) -> None:
        self._decoder = DebeziumDecoder(DecoderOptions(written=_options(prefix, ""), losses_marked=True))

    def change(self, topic: str, key: bytes | None, value: bytes, headers: Mapping[str, bytes]) -> Change:
        change = self._decoder.decode(topic, key, value, headers).change
        if change is None:
            raise LogDamaged(
                thing=f"topic {topic}", reason="a record is no change", mend="somebody else writes to this topic"
            )
        return change


class _Watched(Iterated[Change]):
    """The chosen changes; `index`: which one the reader of this has got last."""

    def __init__(self, changes: Collection[Change], takes: Callable[[Change], bool]) -> None:
        self._changes, self._takes = changes, takes
        self.index = -1

    def __iter__(self) -> Iterator[Change]:
        for index, change in enumerate(self._changes):
            if self._takes(change):
                self.index = index
                yield change

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _options(prefix: str, database: str) -> DebeziumOptions:
    return DebeziumOptions(topic_prefix=prefix, database=database, schemas_enable=True)
