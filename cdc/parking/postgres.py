"""Parked rows of one stream in a PostgreSQL target."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import psycopg

from cdc.bookkeeping import PARKED_DDL
from cdc.events import RowChange
from cdc.link import LinkSpec
from cdc.lsn import format_lsn, parse_lsn
from cdc.parking.model import NewParked, ParkedRequest, ParkedRow, Refusal
from cdc.parking.payload import decode_events, encode_events
from cdc.sessions import Connection

COLUMNS = (
    "id, source_table, key, commit_lsn, event_index, event, state, whole_table, lenient, thing, reason, mend, code,"
    " parked_at, attempts"
)

_PAGE = 500

_ADD = """
INSERT INTO strangler.parked_row (stream, source_table, key, commit_lsn, event_index, operation, event, state,
                                  whole_table, lenient, thing, reason, mend, code, parked_at)
VALUES (%s, %s, %s::jsonb, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id
"""

_SKIP = """
WITH gone AS (DELETE FROM strangler.parked_row WHERE stream = %s AND id = %s RETURNING *)
INSERT INTO strangler.parked_audit (id, stream, source_table, key, commit_lsn, event_index, operation, event, reason,
                                    code, parked_at, skipped_at, skipped_by, skip_reason)
SELECT id, stream, source_table, key, commit_lsn, event_index, operation, event, reason, code, parked_at, %s, %s, %s
  FROM gone
"""


class PostgresParkedStore:
    """`cdc.target_port.ParkedStore` in the applier's own session."""

    def __init__(
        self,
        connection: Connection,
        link: LinkSpec,
        translated: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._connection, self._stream, self._translated = connection, link.stream, translated

    def any(self) -> bool:
        found = self._execute(
            "SELECT to_regclass('strangler.parked_row') IS NOT NULL, to_regclass('strangler.stream_position') IS NULL"
        )
        if found != [(True, False)]:
            if found == [(False, False)]:
                for statement in PARKED_DDL:
                    self._execute(statement)
            return False
        return bool(self._execute("SELECT 1 FROM strangler.parked_row WHERE stream = %s LIMIT 1", self._stream))

    def load(self) -> Iterator[ParkedRow]:
        query = f"SELECT {COLUMNS} FROM strangler.parked_row WHERE stream = %s AND id > %s ORDER BY id LIMIT {_PAGE}"
        last = 0
        while page := self._execute(query, self._stream, last):
            for row in page:
                yield read_parked(row)
            last = page[-1][0]

    def add(self, rows: Sequence[NewParked], at: datetime) -> Sequence[int]:
        return [self._add(row, at) for row in rows]

    def _add(self, row: NewParked, at: datetime) -> int:
        lsn, index = row.order
        said = row.refusal
        ((number,),) = self._execute(
            _ADD,
            self._stream,
            str(row.table),
            json.dumps(dict(row.key)),
            format_lsn(lsn),
            index,
            row.operation,
            encode_events(row.events),
            row.state,
            row.whole_table,
            row.lenient,
            said.thing,
            said.reason,
            said.mend,
            said.code,
            at,
        )
        return int(number)

    def refused(self, id: int, refusal: Refusal) -> None:
        self._execute(
            "UPDATE strangler.parked_row SET state = 'refused', attempts = attempts + 1, thing = %s, reason = %s,"
            " mend = %s, code = %s, request = NULL WHERE stream = %s AND id = %s",
            refusal.thing,
            refusal.reason,
            refusal.mend,
            refusal.code,
            self._stream,
            id,
        )

    def remove(self, id: int) -> None:
        self._execute("DELETE FROM strangler.parked_row WHERE stream = %s AND id = %s", self._stream, id)

    def skip(self, request: ParkedRequest, at: datetime) -> None:
        self._execute(_SKIP, self._stream, request.id, at, request.by, request.reason)

    def requests(self) -> Sequence[ParkedRequest]:
        rows = self._execute(
            "SELECT id, request, requested_by, request_reason FROM strangler.parked_row"
            " WHERE stream = %s AND request IS NOT NULL ORDER BY id",
            self._stream,
        )
        return [ParkedRequest(id=number, kind=kind, by=by, reason=reason) for number, kind, by, reason in rows]

    def drop_request(self, id: int) -> None:
        self._execute("UPDATE strangler.parked_row SET request = NULL WHERE stream = %s AND id = %s", self._stream, id)

    def _execute(self, query: str, *parameters: object) -> list[Any]:
        with self._translated("strangler.parked_row"):
            cursor: psycopg.Cursor[Any] = self._connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []


def read_parked(row: Sequence[Any]) -> ParkedRow:
    """A row of `COLUMNS`."""
    number, _, key, lsn, index, event, state, whole_table, lenient, thing, reason, mend, code, at, attempts = row
    events = decode_events(event)
    first = events[0]
    return ParkedRow(
        id=number,
        parked_at=at,
        attempts=attempts,
        parked=NewParked(
            table=(first.relation if isinstance(first, RowChange) else first.relations[0]).table,
            key=key,
            order=(parse_lsn(str(lsn)), index),
            events=events,
            state=state,
            refusal=Refusal(thing=thing, reason=reason, mend=mend, code=code),
            lenient=lenient,
            whole_table=whole_table,
        ),
    )
