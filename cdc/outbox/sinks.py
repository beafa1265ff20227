"""Where domain events go, and who remembers how far they went."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import psycopg

from cdc.changelog.kafka.connection import kafka_errors_of, open_producer
from cdc.changelog.kafka.options import KafkaOptions
from cdc.errors import DeliveryFailed, StreamBusy
from cdc.lsn import Lsn, format_lsn, parse_lsn
from cdc.outbox.events import DomainEvent
from cdc.sessions import Connection, connect, target_error
from strangler import failpoints
from strangler.durable_files import replace_file

_IN_FLIGHT: Final = 1000
_MESSAGE_BYTES: Final = 1_000_000


class EventSink(Protocol):
    """The receiver of one outbox's events.

    Ordering: `deliver` is called in commit order, by one thread. Durability: when it returns, the events and `through`
    survive a crash of either side. Idempotency: what was delivered and not covered by `position` comes again, with the
    same ids and in the same order; a sink that keeps both in one transaction therefore never takes an event twice.
    """

    def position(self) -> Lsn | None:
        """Everything through it was delivered; None before the first delivery."""
        ...

    def deliver(self, events: Iterable[DomainEvent], through: Lsn) -> None:
        """Take the events of whole transactions and note `through`. `events` may be read once and is decoded meanwhile.
        Raises `DeliveryFailed` or `DatabaseUnreachable` when it should be tried again."""
        ...

    def close(self) -> None: ...


class PositionFile:
    """How far an at-least-once sink has come, durable."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Lsn | None:
        try:
            return parse_lsn(self._path.read_text().strip())
        except FileNotFoundError:
            return None

    def write(self, position: Lsn) -> None:
        replace_file(self._path, f"{format_lsn(position)}\n")


class CallableSink:
    """At least once into anything: `send` takes one event, `flush` returns when all that were sent are durable there.

    The position is written after `flush`, so a crash in between sends a batch again.
    """

    def __init__(
        self, send: Callable[[DomainEvent], None], position: PositionFile, *, flush: Callable[[], None] | None = None
    ) -> None:
        self._send, self._file, self._flush = send, position, flush

    def position(self) -> Lsn | None:
        return self._file.read()

    def deliver(self, events: Iterable[DomainEvent], through: Lsn) -> None:
        try:
            for event in events:
                self._send(event)
            if self._flush is not None:
                self._flush()
        except OSError as error:
            raise DeliveryFailed(
                thing="receiver of domain events",
                reason=error.strerror or type(error).__name__,
                mend="bring it back; what it has not acknowledged is sent again with the same ids",
            ) from error
        failpoints.reach("cdc.outbox.before_position")
        self._file.write(through)

    def close(self) -> None:
        """Nothing to release."""


class LineSink(CallableSink):
    """At least once, one JSON line each (`DomainEvent.as_json`); a line is whole or not there."""

    def __init__(self, position: PositionFile, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdout.buffer
        super().__init__(self._line, position, flush=self._stream.flush)

    def _line(self, event: DomainEvent) -> None:
        self._stream.write(f"{event.as_json()}\n".encode())
        self._stream.flush()


class KafkaSink:
    """At least once into topics named by the events; an idempotent producer keeps each key's order."""

    def __init__(self, options: KafkaOptions, position: PositionFile) -> None:
        self._options, self._file = options, position
        self._producer: Any = None

    def position(self) -> Lsn | None:
        return self._file.read()

    def deliver(self, events: Iterable[DomainEvent], through: Lsn) -> None:
        with kafka_errors_of(self._options, f"domain events of {self._options.prefix}"):
            if self._producer is None:
                self._producer = open_producer(self._options, _MESSAGE_BYTES)
            sent: list[Any] = []
            for event in events:
                sent.append(self._send(event))
                if len(sent) >= _IN_FLIGHT:
                    self._settle(sent)
            self._settle(sent)
        failpoints.reach("cdc.outbox.before_position")
        self._file.write(through)

    def _send(self, event: DomainEvent) -> Any:
        headers = [(name, None if text is None else text.encode()) for name, text in event.headers.items()]
        return self._producer.send(
            event.topic,
            key=None if event.key is None else event.key.encode(),
            value=event.value,
            headers=headers,
            partition=event.partition,
            timestamp_ms=max(0, event.timestamp_us // 1000),
        )

    def _settle(self, sent: list[Any]) -> None:
        self._producer.flush(timeout=self._options.timeout_s)
        for future in sent:
            future.get(timeout=self._options.timeout_s)
        sent.clear()

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=1)


Write = Callable[[Connection, DomainEvent], None]

_CREATE: Final = """
    CREATE SCHEMA IF NOT EXISTS strangler;
    CREATE TABLE IF NOT EXISTS strangler.outbox_position (
        relay text PRIMARY KEY,
        commit_lsn pg_lsn NOT NULL,
        delivered_at timestamptz NOT NULL DEFAULT now(),
        events bigint NOT NULL DEFAULT 0
    );
    CREATE TABLE IF NOT EXISTS strangler.inbound_event (
        id text PRIMARY KEY,
        topic text NOT NULL,
        key text,
        value bytea,
        headers jsonb NOT NULL,
        at timestamptz NOT NULL,
        number bigint GENERATED ALWAYS AS IDENTITY
    )
"""


def store_inbound(connection: Connection, event: DomainEvent) -> None:
    """Keep the event in `strangler.inbound_event`, for the consumer to read in the order of `number`. One whose id is
    there already came by another way; it is not stored again."""
    connection.execute(
        "INSERT INTO strangler.inbound_event (id, topic, key, value, headers, at)"
        " VALUES (%s, %s, %s, %s, %s::jsonb, to_timestamp(0) + %s * interval '1 microsecond') ON CONFLICT DO NOTHING",
        (event.id, event.topic, event.key, event.value, _headers(event), event.timestamp_us),
        prepare=True,
    )


def _headers(event: DomainEvent) -> str:
    return json.dumps(dict(event.headers))


class DatabaseSink:
    """Exactly once into a consumer's PostgreSQL: what `write` does and the position are one transaction.

    One relay at a time, by an advisory lock. `write` must change nothing but this database.
    """

    def __init__(self, dsn: str, relay: str, *, write: Write = store_inbound) -> None:
        self._dsn, self._relay, self._write = dsn, relay, write
        self._connection = connect(dsn, f"{relay} inbox")
        try:
            self._lock()
            with self._connection.transaction():
                self._connection.execute("SELECT pg_advisory_xact_lock(hashtext('strangler.bookkeeping'))")
                self._connection.execute(_CREATE)
        except psycopg.Error as error:
            self.close()
            raise target_error(dsn, "strangler.outbox_position", error) from error
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        row = self._connection.execute(
            "SELECT pg_try_advisory_lock(hashtextextended('strangler outbox ' || %s, 0))", (self._relay,)
        ).fetchone()
        if row != (True,):
            raise StreamBusy(
                thing=f"outbox relay {self._relay}",
                reason="another one delivers into this database",
                mend="stop the other `strangler cdc outbox` process; after a crash the server lets go by itself",
            )

    def position(self) -> Lsn | None:
        try:
            row = self._connection.execute(
                "SELECT commit_lsn FROM strangler.outbox_position WHERE relay = %s", (self._relay,)
            ).fetchone()
        except psycopg.Error as error:
            raise target_error(self._dsn, "strangler.outbox_position", error) from error
        return None if row is None else parse_lsn(str(row[0]))

    def deliver(self, events: Iterable[DomainEvent], through: Lsn) -> None:
        count = 0
        try:
            with self._connection.transaction():
                for event in events:
                    self._write(self._connection, event)
                    count += 1
                self._connection.execute(
                    "INSERT INTO strangler.outbox_position AS p (relay, commit_lsn, events) VALUES (%s, %s, %s)"
                    " ON CONFLICT (relay) DO UPDATE SET commit_lsn = EXCLUDED.commit_lsn,"
                    " delivered_at = clock_timestamp(), events = p.events + EXCLUDED.events"
                    " WHERE p.commit_lsn < EXCLUDED.commit_lsn",
                    (self._relay, format_lsn(through), count),
                )
                failpoints.reach("cdc.outbox.before_commit")
        except psycopg.Error as error:
            raise target_error(self._dsn, f"events of {self._relay}", error) from error

    def close(self) -> None:
        self._connection.close()


_: tuple[type[EventSink], ...] = (CallableSink, LineSink, KafkaSink, DatabaseSink)
