"""A session that receives the binlog: registers, asks for it from a place, and reads events without blocking.

The driver connects, authenticates and speaks TLS; once the server has been asked for its binlog the socket carries
nothing but events, which are read here, so that waiting has a limit and a half-open connection is noticed.
"""

import contextlib
import hashlib
import select
import ssl
import struct
import uuid
import zlib
from collections import deque
from typing import Any, Final

import pymysql
from pymysql.constants import COMMAND

from cdc.errors import DatabaseUnreachable, SlotInUse, SlotMismatch, SourceUnfit
from cdc.mysql.checks import START_OVER
from cdc.mysql.connections import MysqlPlace, connect, query, translated, unreachable
from cdc.mysql.gtid import Gtids, MysqlGtids
from strangler.errors import StranglerError

HEARTBEAT_S: Final = 1.0

_RECEIVE_BYTES: Final = 1 << 18
_LARGEST_PACKET: Final = 0xFFFFFF
_OK, _END, _ERROR = 0x00, 0xFE, 0xFF
_DUMP_GTID: Final = 0x1E
_ANNOTATED: Final = 2
_BY_GTID: Final = 4
_GONE: Final = 1236
_LOCK_NAME_BYTES: Final = 60
_GOODBYE_S: Final = 2


class BinlogDump:
    """One stream of events. One thread. Holds the stream's lock for as long as the session lives."""

    def __init__(self, place: MysqlPlace, *, stream: str, is_mariadb: bool, own_server_id: int) -> None:
        """Connect and take the stream's lock. Raises `SlotInUse` when another consumer has it."""
        self._place, self._stream, self._is_mariadb = place, stream, is_mariadb
        self._server_id = replica_id(stream, own_server_id)
        self._connection = connect(place)
        self._buffer = bytearray()
        self._partial = bytearray()
        self._events: deque[bytes] = deque()
        self.checksummed = False
        try:
            with translated(place):
                self._prepare()
        except BaseException:
            self.close()
            raise

    def start(self, file: str, offset: int, gtids: Gtids | None) -> None:
        """Ask for everything from a place, or from after a set of transactions where `gtids` are given."""
        with translated(self._place):
            if gtids is not None and self._is_mariadb:
                query(self._connection, "SET @slave_connect_state = %s", [str(gtids)])
                query(self._connection, "SET @slave_gtid_strict_mode = 0")
                query(self._connection, "SET @slave_gtid_ignore_duplicates = 0")
                file, offset = "", 4
            command, payload = self._command(file, offset, gtids)
            connection: Any = self._connection
            connection._execute_command(command, payload)
            self._socket = connection._sock
            self._socket.setblocking(False)

    def receive(self) -> bytes | None:
        """The next event, without waiting; None when nothing has arrived.

        Raises `DatabaseUnreachable`, `SlotMismatch` when the server no longer has what was asked for.
        """
        if not self._events:
            self._read()
        return self._events.popleft() if self._events else None

    def wait(self, timeout_s: float) -> None:
        """Until something arrives, or the time is over."""
        with translated(self._place):
            if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                return
            select.select([self._socket], [], [], timeout_s)

    def close(self) -> None:
        """End the session, and with it the lock. The server is told, else its next heartbeat would have to notice."""
        connection: Any = self._connection
        connection._force_close()
        with (
            contextlib.suppress(StranglerError, pymysql.MySQLError, OSError),
            contextlib.closing(connect(self._place, timeout_s=_GOODBYE_S)) as control,
        ):
            query(control, f"KILL CONNECTION {connection.thread_id()}")

    def _prepare(self) -> None:
        (row,) = query(self._connection, "SELECT GET_LOCK(%s, 0) AS locked", [_lock_name(self._stream)])
        if row["locked"] != 1:
            raise SlotInUse(
                thing=f"stream {self._stream} of {self._place}",
                reason="is being read by another session",
                mend="stop the other stream worker; if it is gone, wait a few seconds until the server has noticed",
            )
        rows = query(self._connection, "SHOW GLOBAL VARIABLES LIKE 'binlog_checksum'")
        self.checksummed = bool(rows) and str(rows[0]["Value"]).upper() != "NONE"
        query(self._connection, "SET @master_binlog_checksum = @@global.binlog_checksum")
        query(self._connection, "SET @source_binlog_checksum = @@global.binlog_checksum")
        period_ns = int(HEARTBEAT_S * 1_000_000_000)
        query(self._connection, f"SET @master_heartbeat_period = {period_ns}, @source_heartbeat_period = {period_ns}")
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, self._stream))
        query(self._connection, "SET @slave_uuid = %s, @replica_uuid = %s", [name, name])
        if self._is_mariadb:
            query(self._connection, "SET @mariadb_slave_capability = 4")

    def _command(self, file: str, offset: int, gtids: Gtids | None) -> tuple[int, bytes]:
        if isinstance(gtids, MysqlGtids):
            encoded = gtids.encoded()
            head = struct.pack("<HII", _BY_GTID, self._server_id, 0)
            return _DUMP_GTID, head + struct.pack("<QI", 4, len(encoded)) + encoded
        flags = _ANNOTATED if self._is_mariadb else 0
        return COMMAND.COM_BINLOG_DUMP, struct.pack("<IHI", offset, flags, self._server_id) + file.encode()

    def _read(self) -> None:
        with translated(self._place):
            try:
                received = self._socket.recv(_RECEIVE_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
        if not received:
            raise unreachable(self._place, "the server closed the connection")
        self._buffer += received
        self._split()

    def _split(self) -> None:
        """Packets: 3 bytes of length, a number, the payload; one of the largest size is continued in the next."""
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 4:
            size = int.from_bytes(buffer[at : at + 3], "little")
            if len(buffer) - at - 4 < size:
                break
            self._partial += buffer[at + 4 : at + 4 + size]
            at += 4 + size
            if size < _LARGEST_PACKET:
                payload, self._partial = bytes(self._partial), bytearray()
                self._take(payload)
        del buffer[:at]

    def _take(self, payload: bytes) -> None:
        if payload[:1] == bytes([_OK]):
            self._events.append(payload[1:])
        elif payload[:1] == bytes([_ERROR]):
            raise self._refused(payload)
        else:
            raise unreachable(self._place, "the server ended the stream")

    def _refused(self, payload: bytes) -> DatabaseUnreachable | SlotMismatch | SourceUnfit:
        code = int.from_bytes(payload[1:3], "little")
        text = payload[3:].decode(errors="replace")
        text = text[6:] if text.startswith("#") else text
        if code != _GONE:
            return unreachable(self._place, f"{text} ({code})")
        if "same server_uuid" in text or "same server_id" in text:
            return SlotInUse(
                thing=f"stream {self._stream} of {self._place}",
                reason=text,
                mend=f"give every replica its own server_id; this stream is {self._server_id}",
            )
        return SlotMismatch(thing=f"binlog of {self._place}", reason=text, mend=START_OVER)


def replica_id(stream: str, own_server_id: int) -> int:
    """The stream's number among the server's replicas: the same each time, and not the server's own."""
    number = zlib.crc32(stream.encode()) | 1 << 31
    return number if number != own_server_id else number ^ 1


def _lock_name(stream: str) -> str:
    name = f"strangler:{stream}"
    if len(name) > _LOCK_NAME_BYTES:
        name = f"strangler:{hashlib.sha1(stream.encode(), usedforsecurity=False).hexdigest()}"
    return name
