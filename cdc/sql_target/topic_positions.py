"""Where a stream stands in the topics of others, in a target that is not PostgreSQL."""

from typing import NamedTuple

import sqlalchemy as sa

from cdc.sql_target import bookkeeping as tables
from cdc.sql_target.provision import looking


class TopicRow(NamedTuple):
    """One partition. `newest`: a JSON text, None when nothing of it was applied. `topic_id`: None when unknown."""

    topic: str
    partition: int
    next_offset: int
    newest: str | None
    topic_id: str | None


def load_topic_positions(dsn: str, stream: str) -> tuple[str, list[TopicRow]] | None:
    """(ledger, partitions), both from one moment; None without a ledger. Raises `DatabaseUnreachable`."""
    ledger, topics = tables.STREAM_POSITION, tables.TOPIC_POSITION
    query = (
        sa.select(ledger.c.commit_lsn, *(topics.c[name] for name in TopicRow._fields))
        .select_from(ledger.outerjoin(topics, topics.c.stream == ledger.c.stream))
        .where(ledger.c.stream == stream)
    )
    with looking(dsn, topics.name) as connection:
        existing = tables.existing_tables(connection)
        found = connection.execute(query).all() if ledger in existing and topics in existing else []
    if not found:
        return None
    return str(found[0][0]), [TopicRow(*row[1:]) for row in found if row[1] is not None]
