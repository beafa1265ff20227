"""Records of the topics → events, marks, or nothing. Pure.

A record that cannot be believed is an event with its error: what lies before it in the log is applied first.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from cdc.changelog.debezium_topics.options import Place, TopicsOptions
from cdc.changelog.debezium_topics.refusals import form_of_another, of_another_form
from cdc.changelog.debezium_topics.topic_events import EndMark, Raw, TopicEvent
from cdc.debezium.catalog import TypeCatalog
from cdc.debezium.codec import Loss
from cdc.debezium.decoded import DecodedRecord, TransactionMark
from cdc.debezium.decoder import DebeziumDecoder
from cdc.debezium.record import LOST_HEADER
from cdc.errors import DecodeError, UntrustedValues
from cdc.events import RowChange, TableName, Truncate
from cdc.lsn import Lsn
from strangler.errors import StranglerError

_KNOWN_HEADERS: Final = frozenset({LOST_HEADER})
_NO_SCHEMA: Final = (
    "set key.converter.schemas.enable and value.converter.schemas.enable in the connector, or name the source's "
    "database so that its types are known"
)
_KEEP_VALUES: Final = "choose a handling mode of the connector that keeps them"
_KEEP_NULLS: Final = (
    "set value.converter.replace.null.with.default=false in the connector and say --nulls-kept once no older record is "
    "left"
)
_KEEP_RECORDS: Final = (
    "set cleanup.policy=delete for the topic, since compaction may have removed the record that wrote the value, or "
    "REPLICA IDENTITY FULL for the table"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """A record without an event: tombstone, heartbeat, BEGIN, message. `time_us`: of a heartbeat, else 0."""

    offset: int
    time_us: int = 0


class RecordReader:
    """Reads the topics of one stream. Not thread-safe."""

    def __init__(self, options: TopicsOptions, catalog: TypeCatalog) -> None:
        self._options = options
        self._decoder = DebeziumDecoder(options.decoder, catalog)
        self._doubting = DebeziumDecoder(replace(options.decoder, trusts_placeholder=False), catalog)
        self._tables = options.table_topics
        self._compacted: set[str] = set()

    def distrust_unchanged(self, topics: Iterable[str]) -> None:
        """Of these topics compaction may have removed the record that an unchanged value was last written in."""
        self._compacted |= set(topics)

    def read(self, place: Place, offset: int, raw: Raw) -> TopicEvent | EndMark | Passed:
        """One record. Raises `DecodeError` for one that has no place in the order of the others."""
        if not raw.value:
            return Passed(offset=offset)
        record = self._of_table(place, offset, raw) if raw.topic in self._tables else self._inspected(raw)
        if record.mark is not None:
            return self._mark(offset, record.mark)
        if not isinstance(record.change, RowChange | Truncate) or record.table is None:
            is_heartbeat = raw.topic == self._options.heartbeat_topic
            return Passed(offset=offset, time_us=record.source_time_us if is_heartbeat else 0)
        return self._event(place, offset, raw, record, record.table)

    def again(self, place: Place, offset: int, raw: Raw, *, lsn: int, order: int | None) -> TopicEvent:
        """An event that was kept as its record, at the place that it was given."""
        event = self.read(place, offset, raw)
        assert isinstance(event, TopicEvent)
        return replace(event, lsn=Lsn(lsn), order=order)

    def change(self, event: TopicEvent) -> RowChange | Truncate:
        """What the event does. Raises the event's error."""
        if event.error is not None:
            raise event.error
        assert isinstance(event.change, RowChange | Truncate)
        return event.change

    def _of_table(self, place: Place, offset: int, raw: Raw) -> DecodedRecord:
        try:
            record = self._inspected(raw)
        except DecodeError:
            if (form := form_of_another(raw.key, raw.value)) is None:
                raise
        else:
            form = None if record.connector == "postgresql" else form_of_another(raw.key, raw.value)
            if form is None:
                return record
        raise of_another_form(place, offset, form)

    def _inspected(self, raw: Raw) -> DecodedRecord:
        headers = {name: value for name, value in raw.headers if name in _KNOWN_HEADERS}
        decoder = self._doubting if raw.topic in self._compacted else self._decoder
        return decoder.inspect(raw.topic, raw.key, raw.value, headers)

    def _event(self, place: Place, offset: int, raw: Raw, record: DecodedRecord, table: TableName) -> TopicEvent:
        change = record.change
        assert isinstance(change, RowChange | Truncate)
        return TopicEvent(
            place=place,
            offset=offset,
            table=table,
            op="t" if isinstance(change, Truncate) else change.op,
            xid=record.xid or 0,
            lsn=record.lsn,
            previous=record.previous,
            order=record.total_order,
            time_us=record.source_time_us,
            digest=(_digest(raw.key), _said(change)),
            keyed=raw.key is not None,
            size=len(raw.value) + len(raw.key or b""),
            raw=raw,
            change=change,
            error=self._refusal(place, offset, record, table),
        )

    def _refusal(self, place: Place, offset: int, record: DecodedRecord, table: TableName) -> StranglerError | None:
        thing = f"record {offset} of topic {place[0]}, partition {place[1]}"
        expected = self._tables.get(place[0])
        if table != expected:
            return DecodeError(
                thing=thing,
                reason=f"is an event of table {table}, not of {expected}",
                mend="give every table a topic of its own: no transform may route them to another",
            )
        refused = [doubt for doubt in record.doubts if not self._decoder.accepts(table, doubt)]
        if not refused:
            return None
        named = ", ".join(f"{table}.{doubt.column} ({doubt.loss.value})" for doubt in refused)
        keeping = _KEEP_VALUES
        if refused[0].loss is Loss.NULL_DEFAULT:
            keeping = _KEEP_NULLS
        elif refused[0].loss is Loss.UNCHANGED and place[0] in self._compacted:
            keeping = _KEEP_RECORDS
        return UntrustedValues(
            thing=thing,
            reason=f"these columns do not certainly hold the source's values: {named}",
            mend=f"{keeping}, or accept what is lost by name: --accept {table}.{refused[0].column}",
        )

    def _mark(self, offset: int, mark: TransactionMark) -> EndMark | Passed:
        xid, _, lsn = mark.id.partition(":")
        if mark.status != "END":
            return Passed(offset=offset)
        try:
            return EndMark(
                offset=offset,
                xid=int(xid),
                lsn=Lsn(int(lsn)),
                time_us=mark.time_us,
                counts={table: count for name, count in mark.counts.items() if (table := _table(name)) is not None},
            )
        except ValueError:
            raise DecodeError(
                thing=f"record {offset} of topic {self._options.transaction_topic}",
                reason=f"transaction {mark.id!r} is not of Debezium's PostgreSQL connector (xid:lsn)",
                mend="consume topics of that connector only",
            ) from None


def _table(collection: str) -> TableName | None:
    """`schema.table`; messages are counted under a name of another kind."""
    schema, _, name = collection.partition(".")
    return TableName(schema=schema, name=name) if name else None


def _digest(data: bytes | None) -> int:
    """63 bits."""
    return int.from_bytes(hashlib.blake2b(data or b"", digest_size=8).digest(), "big") >> 1


def _said(change: RowChange | Truncate) -> int:
    if isinstance(change, Truncate):
        return 0
    return _digest(repr((change.op, change.old, change.new)).encode())


def headers_of(record: Any) -> tuple[tuple[str, bytes], ...]:
    """Of a consumer's record; those without a value are left out."""
    return tuple((name, value) for name, value in record.headers or () if value is not None)
