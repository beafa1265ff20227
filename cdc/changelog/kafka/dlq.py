"""Parked rows as messages of `<prefix>.dlq`, for whoever watches topics rather than tables.

The table in the target stays the truth: this only publishes, each row once it is parked, again after a crash. How far
it has come is the newest message of the topic itself.
"""

import base64
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any, Final

import psycopg
from kafka import TopicPartition

from cdc.changelog.kafka.connection import (
    DEFAULT_MESSAGE_BYTES,
    ensure_topics,
    kafka_errors_of,
    open_consumer,
    open_producer,
)
from cdc.changelog.kafka.names import Topics
from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.kafka.records import POSITION_HEADER
from cdc.lsn import parse_lsn
from cdc.sessions import connect, target_error
from strangler.errors import StranglerError

_log = logging.getLogger(__name__)

ID_HEADER: Final = "strangler.parked"
_POLL_S: Final = 2.0
_TAIL: Final = 64
_PAGE: Final = 200
_LARGEST_EVENT: Final = 500_000
_ROWS: Final = f"""
    SELECT id, source_table, key, commit_lsn::text, event_index, operation, state, thing, reason, mend, code,
           parked_at, event
      FROM strangler.parked_row WHERE stream = %s AND id > %s ORDER BY id LIMIT {_PAGE}
"""


class DlqExporter:
    """For one stream. Belongs to one thread."""

    def __init__(self, options: KafkaOptions, *, target_dsn: str, stream: str) -> None:
        self._options, self._target_dsn, self._stream = options, target_dsn, stream
        self._topic = Topics(prefix=options.prefix).dlq
        self._last: int | None = None

    def run(self, stop: threading.Event) -> None:
        """Export until `stop`; what fails is said once and tried again."""
        trouble = ""
        while not stop.wait(_POLL_S):
            try:
                self.export()
                trouble = ""
            except StranglerError as error:
                if str(error) != trouble:
                    _log.warning("parked rows of %s are not published: %s", self._stream, error)
                trouble = str(error)

    def export(self) -> int:
        """Publish what was parked since the last message; returns how many. Durable on return.

        Raises `BrokerUnreachable`, `BrokerRefused`, `DatabaseUnreachable`.
        """
        if self._last is None:
            self._last = self._newest()
        count = 0
        while rows := self._parked(self._last):
            self._publish(rows)
            self._last = rows[-1][0]
            count += len(rows)
        return count

    def _parked(self, after: int) -> list[tuple[Any, ...]]:
        try:
            with connect(self._target_dsn, f"{self._stream} dlq") as connection:
                if connection.execute("SELECT to_regclass('strangler.parked_row')").fetchone() == (None,):
                    return []
                return connection.execute(_ROWS, (self._stream, after)).fetchall()
        except psycopg.Error as error:
            raise target_error(self._target_dsn, "strangler.parked_row", error) from error

    def _publish(self, rows: list[tuple[Any, ...]]) -> None:
        ensure_topics(self._options, {self._topic: 1})
        producer = open_producer(self._options, DEFAULT_MESSAGE_BYTES)
        try:
            with kafka_errors_of(self._options, f"topic {self._topic}"):
                futures = [producer.send(self._topic, *message, 0) for message in map(_message, rows)]
                producer.flush(timeout=self._options.timeout_s)
                for future in futures:
                    future.get(timeout=self._options.timeout_s)
        finally:
            producer.close(timeout=1)

    def _newest(self) -> int:
        """Id of the newest row that was published; 0 when none was."""
        ensure_topics(self._options, {self._topic: 1})
        return max(self._published(), default=0)

    def _published(self) -> Iterator[int]:
        where = TopicPartition(self._topic, 0)
        consumer = open_consumer(self._options)
        try:
            consumer.assign([where])
            with kafka_errors_of(self._options, f"topic {self._topic}"):
                begin, end = consumer.beginning_offsets([where])[where], consumer.end_offsets([where])[where]
                consumer.seek(where, max(begin, end - _TAIL))
                while consumer.position(where) < end:
                    for record in consumer.poll(timeout_ms=250).get(where, []):
                        found = dict(record.headers).get(ID_HEADER, b"")
                        if found.isdigit():
                            yield int(found)
        finally:
            consumer.close(timeout_ms=1000)


def _message(row: tuple[Any, ...]) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """(value, key, headers). An event that is too large for a message stays in the table."""
    number, table, key, lsn, index, operation, state, thing, reason, mend, code, parked_at, event = row
    value = {
        "id": number,
        "table": table,
        "key": key,
        "commit_lsn": lsn,
        "event_index": index,
        "operation": operation,
        "state": state,
        "thing": thing,
        "reason": reason,
        "mend": mend,
        "code": code,
        "parked_at": parked_at.isoformat(),
        "event": base64.b64encode(event).decode() if len(event) <= _LARGEST_EVENT else None,
    }
    headers = [(POSITION_HEADER, f"{parse_lsn(lsn)}:{index}:0".encode()), (ID_HEADER, str(number).encode())]
    identity = json.dumps({"table": table, "key": key}, ensure_ascii=False, sort_keys=True)
    return json.dumps(value, ensure_ascii=False).encode(), identity.encode(), headers
