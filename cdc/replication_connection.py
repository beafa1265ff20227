"""A walsender connection on psycopg's libpq layer: commands, then the two-way copy of a logical slot."""

import select
import struct
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, PGconn, PollingStatus
from psycopg.pq.abc import PGconn as OpenConnection
from psycopg.pq.abc import PGresult

from cdc.connections import canonical_conninfo, place, reaching, unreachable
from cdc.errors import SlotInUse, SlotMismatch, SourceUnfit, StreamingFailed
from cdc.lsn import Lsn, format_lsn
from cdc.pgoutput import POSTGRES_EPOCH_US
from cdc.spill import LARGE_BYTES
from strangler.errors import StranglerError
from strangler.redaction import redact

_XLOG_DATA: Final = struct.Struct(">QQq")
_KEEPALIVE: Final = struct.Struct(">Qq?")
_STATUS: Final = struct.Struct(">cQQQq?")
_DATA_HEADER_BYTES: Final = 25
_INTERNAL_ERROR: Final = "XX000"
_CONNECT_S: Final = 10.0
_WAITS_FOR: Final = {PollingStatus.READING: select.POLLIN, PollingStatus.WRITING: select.POLLOUT}
_DATA_TAG, _KEEPALIVE_TAG = ord("w"), ord("k")
SHORT_TAGS: Final = frozenset(b"BIUDC")
"""Of the payload (`cdc.pgoutput`): what a transaction without anything special consists of."""
_SHORT_BYTES: Final = 64 << 10
_KEEPALIVE_BYTES: Final = 1 + _KEEPALIVE.size
_SENT_AT: Final = struct.Struct(">q")
_SENT_AT_OFFSET: Final = {_DATA_TAG: 17, _KEEPALIVE_TAG: 9}


class WalData(NamedTuple):
    """One logical message. `sent_at_us`: server clock, microseconds since the Unix epoch.

    `payload` is the driver's own buffer when it has `LARGE_BYTES` or more, so that it exists only once.
    """

    lsn: Lsn
    sent_at_us: int
    payload: bytes | memoryview


class Keepalive(NamedTuple):
    """The server has decoded and sent everything that committed before `lsn`."""

    lsn: Lsn
    sent_at_us: int
    reply_requested: bool


class Arrived(NamedTuple):
    """Payloads that came together. `sent_at_us`: of the newest message, 0 when there was none. `keepalive`: None when
    there was none, too."""

    payloads: list[bytes]
    sent_at_us: int
    keepalive: Keepalive | None


class ReplicationConnection:
    """One walsender. Not thread-safe. Every libpq failure becomes one of `cdc.errors`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._held: WalData | Keepalive | None = None
        self._streaming = False
        with reaching(dsn):
            self._pgconn = _connected(canonical_conninfo(dsn, replication="database"))
        if self._pgconn.status != ConnStatus.OK:
            message = self._pgconn.get_error_message()
            self._pgconn.finish()
            raise _connect_error(dsn, message)

    def command(self, text: str) -> list[dict[str, str | None]]:
        """Run a walsender command or query; rows as name → text."""
        result = self._execute(text)
        names = [(result.fname(index) or b"").decode() for index in range(result.nfields)]
        return [
            {name: _decoded(result.get_value(row, index)) for index, name in enumerate(names)}
            for row in range(result.ntuples)
        ]

    def start_logical(self, slot: str, after: Lsn, options: Mapping[str, str]) -> None:
        """Begin the copy of `slot`; the server skips what committed before `after` or was confirmed earlier."""
        settings = ", ".join(f"\"{name}\" '{_quoted(value)}'" for name, value in options.items())
        self._execute(f'START_REPLICATION SLOT "{slot}" LOGICAL {format_lsn(after)} ({settings})')
        self._pgconn.nonblocking = 1
        self._streaming = "streaming" in options

    def receive_short(self, most_bytes: int, most_messages: int) -> Arrived:
        """Short messages of `SHORT_TAGS` that are already here, some `most_bytes` of them, up to the first other one;
        `receive` goes on with that one.

        Most logs consist of them, and nothing but the payload matters. Keepalives between them count as one that came
        last: what the newest says is true of everything before it.
        """
        payloads: list[bytes] = []
        if self._held is not None:
            return Arrived(payloads, 0, None)
        taken, newest, keepalive, reply_requested = 0, b"", b"", False
        get, consume, take = self._pgconn.get_copy_data, self._pgconn.consume_input, payloads.append
        try:
            while taken < most_bytes and len(payloads) < most_messages:
                size, view = get(1)
                if size == 0:
                    consume()
                    size, view = get(1)
                if 0 < size < _SHORT_BYTES:
                    message = bytes(view)
                    tag = message[0]
                    if tag == _DATA_TAG and size > _DATA_HEADER_BYTES and message[_DATA_HEADER_BYTES] in SHORT_TAGS:
                        take(message[_DATA_HEADER_BYTES:])
                        taken += size
                        newest = message
                        continue
                    if tag == _KEEPALIVE_TAG and size == _KEEPALIVE_BYTES:
                        keepalive = newest = message
                        reply_requested = reply_requested or message[-1] != 0
                        continue
                if size > 0:
                    self._held = self._parse(view)
                elif size < 0:
                    raise self._ended()
                break
        except psycopg.Error as error:
            raise unreachable(self._dsn, str(error)) from None
        (sent_at,) = _SENT_AT.unpack_from(newest, _SENT_AT_OFFSET[newest[0]]) if newest else (0,)
        return Arrived(
            payloads,
            sent_at + POSTGRES_EPOCH_US if newest else 0,
            _keepalive(keepalive)._replace(reply_requested=reply_requested) if keepalive else None,
        )

    def receive(self) -> WalData | Keepalive | None:
        """The next message already here, or None; never waits."""
        if self._held is not None:
            held, self._held = self._held, None
            return held
        try:
            size, view = self._pgconn.get_copy_data(1)
            if size == 0:
                self._pgconn.consume_input()
                size, view = self._pgconn.get_copy_data(1)
        except psycopg.Error as error:
            raise unreachable(self._dsn, str(error)) from None
        if size > 0:
            return self._parse(view)
        if size == 0:
            return None
        raise self._ended()

    def wait(self, timeout_s: float) -> None:
        """Return when bytes may have arrived, or after `timeout_s`."""
        with reaching(self._dsn):
            unsent = self._pgconn.flush()
            poller = select.poll()
            poller.register(self._pgconn.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
            poller.poll(max(0, int(timeout_s * 1000)))

    def send_status(
        self, *, written: Lsn, flushed: Lsn, applied: Lsn, clock_us: int, request_reply: bool = False
    ) -> None:
        """Standby status update. Only `flushed` moves the slot; `clock_us` is microseconds since the Unix epoch."""
        message = _STATUS.pack(b"r", written, flushed, applied, clock_us - POSTGRES_EPOCH_US, request_reply)
        with reaching(self._dsn):
            self._pgconn.put_copy_data(message)
            self._pgconn.flush()

    def close(self) -> None:
        """End the session; the server releases the slot. Safe to call twice."""
        self._pgconn.finish()

    def _parse(self, view: memoryview) -> WalData | Keepalive:
        tag = view[0]
        if tag == _DATA_TAG:
            lsn, _, sent_at = _XLOG_DATA.unpack_from(view, 1)
            payload = view[_DATA_HEADER_BYTES:]
            return WalData(lsn, sent_at + POSTGRES_EPOCH_US, payload if len(payload) >= LARGE_BYTES else bytes(payload))
        if tag == _KEEPALIVE_TAG:
            return _keepalive(view)
        raise SourceUnfit(
            thing=f"replication connection to {place(self._dsn)}",
            reason=f"sent a message with tag {tag}, which is not PostgreSQL's streaming protocol",
            mend="connect to PostgreSQL itself, not through a pooler or proxy",
        )

    def _execute(self, text: str) -> PGresult:
        with reaching(self._dsn):
            result = self._pgconn.exec_(text.encode())
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.COPY_BOTH):
            raise self._refused(result)
        return result

    def _ended(self) -> StranglerError:
        with reaching(self._dsn):
            result = self._pgconn.get_result()
        if result is None or result.status != ExecStatus.FATAL_ERROR:
            return unreachable(self._dsn, "the server ended the replication stream")
        return self._refused(result)

    def _refused(self, result: PGresult) -> StranglerError:
        sqlstate = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
        primary = result.error_field(DiagnosticField.MESSAGE_PRIMARY) or result.error_message
        message = redact(primary.decode(errors="replace")).strip()
        if self._streaming and sqlstate == _INTERNAL_ERROR:
            return _streaming_failed(self._dsn, message)
        return _server_error(self._dsn, sqlstate, message)


def _keepalive(message: bytes | memoryview) -> Keepalive:
    lsn, sent_at, reply_requested = _KEEPALIVE.unpack_from(message, 1)
    return Keepalive(lsn, sent_at + POSTGRES_EPOCH_US, reply_requested)


def _connected(info: str) -> OpenConnection:
    """Connect, or fail, without keeping the other threads of the process waiting as libpq's blocking call does."""
    deadline_s = time.monotonic() + float(conninfo_to_dict(info).get("connect_timeout") or _CONNECT_S)
    pgconn = PGconn.connect_start(info.encode())
    while (wanted := PollingStatus(pgconn.connect_poll())) in _WAITS_FOR:
        poller = select.poll()
        poller.register(pgconn.socket, _WAITS_FOR[wanted])
        if not poller.poll(max(0, int((deadline_s - time.monotonic()) * 1000))):
            pgconn.finish()
            raise psycopg.OperationalError("no answer within the connect_timeout")
    return pgconn


def _streaming_failed(dsn: str, message: str) -> StreamingFailed:
    """After ALTER TABLE in a subtransaction that was rolled back and another ALTER TABLE, all in one transaction, the
    server cannot look the table up before the transaction ends."""
    return StreamingFailed(
        thing=f"replication from {place(dsn)}",
        reason=f"the server could not decode an open transaction: {message}",
        mend="nothing: the stream goes on by itself and takes transactions when they commit until it is started anew",
    )


def _server_error(dsn: str, sqlstate: str, message: str) -> StranglerError:
    thing = f"replication from {place(dsn)}"
    if not sqlstate or sqlstate[:2] in {"08", "57"}:
        return unreachable(dsn, message)
    if sqlstate == "55006":
        return SlotInUse(thing=thing, reason=message, mend="stop the other consumer, or wait until the server drops it")
    if sqlstate in {"42704", "55000"}:
        return SlotMismatch(
            thing=thing,
            reason=message,
            mend="what was missed cannot be read again: deprovision the stream, then provision and copy anew",
        )
    return SourceUnfit(thing=thing, reason=message, mend="run `strangler doctor`, which names each unmet need")


def _connect_error(dsn: str, message: str) -> StranglerError:
    """libpq gives connection failures as text only."""
    if "permission denied to start WAL sender" in message or "must be superuser or replication role" in message:
        return SourceUnfit(
            thing=f"role that connects to {place(dsn)}",
            reason="may not open replication connections",
            mend="ALTER ROLE … WITH REPLICATION (managed services: grant their replication role)",
        )
    return unreachable(dsn, message)


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _quoted(value: str) -> str:
    return value.replace("'", "''")
