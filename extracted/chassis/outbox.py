"""The transactional outbox: what a service tells others is written in the transaction that makes it true.

`write` inserts into the table `outbox`; a relay reads the database's log and delivers each row after its commit, at
least once, in commit order, with the row's `id` for the receiver to recognise it (`extracted.chassis.inbox`). The
column names are those that Debezium's outbox event router expects by default.

Prune policy: rows are only insurance, since the relay reads the log, not the table. Keep them as long as you may want
to publish again by hand, then `prune`; deleting them is never an event.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from extracted.chassis.database import Connection
from extracted.chassis.errors import OutsideTransaction
from extracted.chassis.request_context import current_request

CREATE: Final = (
    """
    CREATE TABLE outbox (
        id            uuid PRIMARY KEY,
        aggregatetype varchar(200) NOT NULL,
        aggregateid   varchar(255) NOT NULL,
        type          varchar(200) NOT NULL,
        payload       jsonb NULL,
        at            timestamptz NOT NULL DEFAULT clock_timestamp(),
        request_id    varchar(200) NULL,
        traceparent   varchar(200) NULL
    )""",
    "CREATE INDEX outbox_by_age ON outbox (at)",
)
"""For a migration of the service: `for statement in CREATE: op.execute(statement)`."""

DROP: Final = ("DROP TABLE outbox",)

_INSERT: Final = """
    INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, request_id, traceparent)
    VALUES (%(id)s, %(aggregate_type)s, %(aggregate_id)s, %(type)s, %(payload)s::jsonb, %(request_id)s, %(traceparent)s)
"""

_PRUNE: Final = """
    DELETE FROM outbox WHERE id IN (
        SELECT id FROM outbox WHERE at < clock_timestamp() - %(keep)s
         ORDER BY at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingEvent:
    """`aggregate_type` names the topic, `aggregate_id` the thing it happened to: events of one thing keep their order.

    `payload` is anything JSON can hold; None is a tombstone: the thing is gone.
    """

    aggregate_type: str
    aggregate_id: str
    type: str
    payload: Mapping[str, Any] | None


async def write(
    connection: Connection, event: OutgoingEvent, *, new_id: Callable[[], uuid.UUID] = uuid.uuid4
) -> uuid.UUID:
    """Add the event to the transaction that is open on `connection`; returns its id.

    The ids of the request that is being answered travel with it. Raises `OutsideTransaction` when none is open: the
    event would be told even if what it tells were rolled back.
    """
    if not connection.info.transaction_status:
        raise OutsideTransaction("an event needs an open transaction: use `async with connection.transaction()`")
    context = current_request.get()
    event_id = new_id()
    await connection.execute(
        _INSERT,
        {
            "id": event_id,
            "aggregate_type": event.aggregate_type,
            "aggregate_id": event.aggregate_id,
            "type": event.type,
            "payload": None if event.payload is None else json.dumps(event.payload, ensure_ascii=False),
            "request_id": context.request_id if context else None,
            "traceparent": context.traceparent if context else None,
        },
    )
    return event_id


async def prune(connection: Connection, *, keep: timedelta, limit: int = 1000) -> int:
    """Delete up to `limit` rows older than `keep`; returns how many. Call again until it is 0. Several may do it at
    once, and none waits for a writer."""
    return (await connection.execute(_PRUNE, {"keep": keep, "limit": limit})).rowcount
