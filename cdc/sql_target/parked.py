"""Parked rows of one stream in a target by SQLAlchemy."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cdc.events import RowChange
from cdc.lsn import format_lsn, parse_lsn
from cdc.parking.model import NewParked, ParkedRequest, ParkedRow, Refusal, RequestKind
from cdc.parking.payload import decode_events, encode_events
from cdc.sql_target.bookkeeping import PARKED_AUDIT, PARKED_ROW

_THING = PARKED_ROW.name
_AUDITED = (
    "id", "stream", "source_table", "key", "commit_lsn", "event_index", "operation", "event", "reason", "code",
    "parked_at",
)  # fmt: skip


class SqlParkedStore:
    """`cdc.target_port.ParkedStore` in the applier's own session. `work`: its connection, inside a transaction."""

    def __init__(
        self, connection: Connection, stream: str, work: Callable[[str], AbstractContextManager[Connection]]
    ) -> None:
        self._connection, self._stream, self._work = connection, stream, work

    def any(self) -> bool:
        with self._work(_THING) as connection:
            if not sa.inspect(connection).has_table(_THING):
                return False
            query = sa.select(PARKED_ROW.c.id).where(PARKED_ROW.c.stream == self._stream).limit(1)
            return connection.execute(query).first() is not None

    def load(self) -> Sequence[ParkedRow]:
        with self._work(_THING) as connection:
            query = sa.select(PARKED_ROW).where(PARKED_ROW.c.stream == self._stream).order_by(PARKED_ROW.c.id)
            return [read_parked(row._mapping) for row in connection.execute(query)]

    def add(self, rows: Sequence[NewParked], at: datetime) -> Sequence[int]:
        with self._work(_THING) as connection:
            return [self._add(connection, row, at) for row in rows]

    def _add(self, connection: Connection, row: NewParked, at: datetime) -> int:
        lsn, index = row.order
        said = row.refusal
        inserted = connection.execute(
            sa.insert(PARKED_ROW).values(
                stream=self._stream,
                source_table=str(row.table),
                key=json.dumps(dict(row.key)),
                commit_lsn=format_lsn(lsn),
                event_index=index,
                operation=row.operation,
                event=encode_events(row.events),
                state=row.state,
                whole_table=row.whole_table,
                lenient=row.lenient,
                thing=said.thing,
                reason=said.reason,
                mend=said.mend,
                code=said.code,
                parked_at=_naive(at),
                requested_by="",
                request_reason="",
            )
        ).inserted_primary_key
        assert inserted is not None
        return int(inserted[0])

    def refused(self, id: int, refusal: Refusal) -> None:
        self._update(
            id,
            state="refused",
            attempts=PARKED_ROW.c.attempts + 1,
            thing=refusal.thing,
            reason=refusal.reason,
            mend=refusal.mend,
            code=refusal.code,
            request=None,
        )

    def remove(self, id: int) -> None:
        with self._work(_THING) as connection:
            connection.execute(sa.delete(PARKED_ROW).where(*self._at(id)))

    def skip(self, request: ParkedRequest, at: datetime) -> None:
        columns = [PARKED_ROW.c[name] for name in _AUDITED]
        said = [sa.literal(_naive(at)), sa.literal(request.by), sa.literal(request.reason)]
        with self._work(_THING) as connection:
            connection.execute(
                sa.insert(PARKED_AUDIT).from_select(
                    [*_AUDITED, "skipped_at", "skipped_by", "skip_reason"],
                    sa.select(*columns, *said).where(*self._at(request.id)),
                )
            )
            connection.execute(sa.delete(PARKED_ROW).where(*self._at(request.id)))

    def requests(self) -> Sequence[ParkedRequest]:
        parked = PARKED_ROW.c
        query = sa.select(parked.id, parked.request, parked.requested_by, parked.request_reason)
        with self._work(_THING) as connection:
            rows = connection.execute(
                query.where(parked.stream == self._stream, parked.request.is_not(None)).order_by(parked.id)
            ).all()
        return [ParkedRequest(id=id, kind=kind, by=by or "", reason=reason or "") for id, kind, by, reason in rows]

    def drop_request(self, id: int) -> None:
        self._update(id, request=None)

    def _update(self, id: int, **values: Any) -> None:
        with self._work(_THING) as connection:
            connection.execute(sa.update(PARKED_ROW).values(**values).where(*self._at(id)))

    def _at(self, id: int) -> tuple[Any, Any]:
        return PARKED_ROW.c.stream == self._stream, PARKED_ROW.c.id == id


def parked_seen(connection: Connection, stream: str, ids: Sequence[int] | None) -> list[tuple[ParkedRow, Any]]:
    """Each parked row with what was asked for it, in order; empty before provisioning."""
    if not sa.inspect(connection).has_table(_THING):
        return []
    query = sa.select(PARKED_ROW).where(PARKED_ROW.c.stream == stream).order_by(PARKED_ROW.c.id)
    if ids is not None:
        query = query.where(PARKED_ROW.c.id.in_(ids))
    return [(read_parked(row._mapping), row.request) for row in connection.execute(query)]


def ask_parked(
    connection: Connection, stream: str, ids: Sequence[int], kind: RequestKind, *, by: str, reason: str
) -> None:
    """Leave a request with each of the rows."""
    asked = {"request": kind, "requested_by": by, "request_reason": reason}
    mine = (PARKED_ROW.c.stream == stream, PARKED_ROW.c.id.in_(ids))
    connection.execute(sa.update(PARKED_ROW).values(**asked).where(*mine))


def read_parked(row: Any) -> ParkedRow:
    """A row of the table as a mapping."""
    events = decode_events(row["event"])
    first = events[0]
    return ParkedRow(
        id=row["id"],
        parked_at=row["parked_at"].replace(tzinfo=UTC),
        attempts=row["attempts"],
        parked=NewParked(
            table=(first.relation if isinstance(first, RowChange) else first.relations[0]).table,
            key=json.loads(row["key"]),
            order=(parse_lsn(row["commit_lsn"]), row["event_index"]),
            events=events,
            state=row["state"],
            refusal=Refusal(thing=row["thing"], reason=row["reason"], mend=row["mend"], code=row["code"]),
            lenient=row["lenient"],
            whole_table=row["whole_table"],
        ),
    )


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)
