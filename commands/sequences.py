"""Keeping the sequences of the side that does not own ahead, every second, while the worker runs."""

from types import TracebackType
from typing import Self

import psycopg

from cdc.sequences import push_sequences
from cdc.sessions import Connection, connect, source_error
from commands.streams import MoveStreams
from migration_plans.ports import Side

_OWNER = "SELECT owner, epoch FROM strangler.ownership WHERE move = %s"


class SequencePusher:
    """Callable for the worker. Keeps two connections; opens them again after an error.

    Raises what `push_sequences` raises; the next call begins afresh.
    """

    def __init__(self, streams: MoveStreams) -> None:
        self._streams = streams
        self._pairs = streams.sequence_pairs
        self._connections: dict[Side, Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def __call__(self) -> None:
        try:
            legacy, service = self._connection("legacy"), self._connection("service")
            owner = self._owner()
            if owner == "legacy":
                push_sequences(legacy, service, self._pairs, self._streams.sequence_headroom)
            elif owner == "service":
                swapped = tuple(pair.swapped() for pair in self._pairs)
                push_sequences(service, legacy, swapped, self._streams.sequence_headroom)
        except BaseException:
            self._close()
            raise

    def _owner(self) -> Side | None:
        """As the newer of both rows says; None before ownership is installed."""
        rows = []
        for side, connection in self._connections.items():
            try:
                rows.append(connection.execute(_OWNER, (self._streams.move,)).fetchone())
            except psycopg.errors.UndefinedTable:
                return None
            except psycopg.Error as error:
                raise source_error(self._streams.dsn(side), "strangler.ownership", error) from error
        known = [(int(str(row[1])), str(row[0])) for row in rows if row is not None]
        if not known:
            return None
        return "service" if max(known)[1] == "service" else "legacy"

    def _connection(self, side: Side) -> Connection:
        if side not in self._connections:
            self._connections[side] = connect(self._streams.dsn(side), "strangler sequences")
        return self._connections[side]

    def _close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
