"""The idempotent inbox: an event that is delivered again has its effect once.

The id of an event is kept in the transaction of its effect. Two deliveries at the same moment wait for each other at
the primary key: the second finds that the first has committed, or does the work because it rolled back.

Prune policy: keep ids longer than the longest time after which a sender may still deliver again (a relay that was
down, a topic that is read from its beginning).
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from extracted.chassis.database import Connection

CREATE: Final = (
    """
    CREATE TABLE inbox (
        consumer varchar(100) NOT NULL,
        event_id varchar(200) NOT NULL,
        at       timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (consumer, event_id)
    )""",
    "CREATE INDEX inbox_by_age ON inbox (at)",
)
"""For a migration of the service: `for statement in CREATE: op.execute(statement)`."""

DROP: Final = ("DROP TABLE inbox",)

_TAKE: Final = """
    INSERT INTO inbox (consumer, event_id) VALUES (%(consumer)s, %(event_id)s) ON CONFLICT DO NOTHING
"""

_PRUNE: Final = """
    DELETE FROM inbox WHERE (consumer, event_id) IN (
        SELECT consumer, event_id FROM inbox WHERE at < clock_timestamp() - %(keep)s
         ORDER BY at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""

Handler = Callable[[Connection], Awaitable[None]]
"""The effect of one event, on the connection that it is given and nowhere else."""


async def handle_once(connection: Connection, *, consumer: str, event_id: str, handler: Handler) -> bool:
    """Run `handler` in one transaction with the note that `consumer` has had the event; False when it had it before.

    What the handler raises rolls both back, so the event may come again. `consumer` names what reads the events; two
    consumers in one database each get every event once.
    """
    async with connection.transaction():
        taken = await connection.execute(_TAKE, {"consumer": consumer, "event_id": event_id})
        if taken.rowcount == 0:
            return False
        await handler(connection)
        return True


async def prune(connection: Connection, *, keep: timedelta, limit: int = 1000) -> int:
    """Forget up to `limit` ids older than `keep`; returns how many. Call again until it is 0."""
    return (await connection.execute(_PRUNE, {"keep": keep, "limit": limit})).rowcount
