"""Where a stream stands in the topics: rows of its target, written by the applier together with the tables' rows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from cdc.bookkeeping import create_topic_positions
from cdc.changelog.debezium_topics.options import Place
from cdc.changelog.debezium_topics.place_queue import Progress
from cdc.changelog.debezium_topics.topic_events import newest_from_json
from cdc.connections import open_database
from cdc.errors import NotProvisioned
from cdc.lsn import ZERO, Lsn, parse_lsn
from cdc.positions import start_ledger
from cdc.provision import deprovision_target, provision_target
from cdc.server_kinds import is_postgresql

_LOAD = """
    SELECT topic, partition, next_offset, newest, topic_id FROM strangler.topic_position WHERE stream = %s
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicPositions:
    """`position`: the ledger; `places`: of every partition that anything was applied of; `topic_ids`: of its topic,
    where the brokers said it."""

    position: Lsn
    places: Mapping[Place, Progress]
    topic_ids: Mapping[str, str]


class PositionStore:
    """One stream's positions in its target."""

    def __init__(self, target_dsn: str, stream: str) -> None:
        self._dsn, self._stream = target_dsn, stream

    def provision(self) -> None:
        """The stream's tables and rows in the target; those that exist stay. Raises `TargetUnfit`."""
        provision_target(self._dsn, self._stream)
        if is_postgresql(self._dsn):
            with open_database(self._dsn) as connection:
                create_topic_positions(connection)
        start_ledger(self._dsn, self._stream, ZERO)

    def forget(self) -> None:
        """The stream will begin anew. Raises `StreamBusy` while it runs."""
        deprovision_target(self._dsn, self._stream)

    def load(self) -> TopicPositions:
        """As of now, both from one moment. Raises `NotProvisioned`, `DatabaseUnreachable`."""
        found = self._from_postgresql() if is_postgresql(self._dsn) else self._from_sql()
        if found is None:
            raise NotProvisioned(
                thing=f"stream {self._stream}",
                reason="has no position in its target",
                mend="start `strangler cdc consume` anew, which makes it",
            )
        return found

    def _from_postgresql(self) -> TopicPositions | None:
        with open_database(self._dsn) as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            try:
                row = connection.execute(
                    "SELECT commit_lsn::text AS position FROM strangler.stream_position WHERE stream = %s",
                    [self._stream],
                ).fetchone()
                rows = connection.execute(_LOAD, [self._stream]).fetchall()
            except psycopg.errors.UndefinedTable:
                return None
        if row is None:
            return None
        return TopicPositions(
            position=parse_lsn(str(row["position"])),
            places={
                (str(each["topic"]), int(each["partition"])): (
                    int(each["next_offset"]),
                    newest_from_json(each["newest"]),
                )
                for each in rows
            },
            topic_ids={str(each["topic"]): str(each["topic_id"]) for each in rows if each["topic_id"]},
        )

    def _from_sql(self) -> TopicPositions | None:
        from cdc.sql_target.topic_positions import load_topic_positions

        found = load_topic_positions(self._dsn, self._stream)
        if found is None:
            return None
        position, rows = found
        places = {
            (row.topic, row.partition): (
                row.next_offset,
                None if row.newest is None else newest_from_json(json.loads(row.newest)),
            )
            for row in rows
        }
        topic_ids = {row.topic: row.topic_id for row in rows if row.topic_id}
        return TopicPositions(position=parse_lsn(position), places=places, topic_ids=topic_ids)
