"""The stream's own tables in a target that is not PostgreSQL: beside the service's tables, prefixed `strangler_`.

Same tables and columns as schema `strangler` has (`cdc.bookkeeping`); moments are UTC without a zone.
"""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Connection

_NAME = sa.String(190).with_variant(mysql.VARCHAR(190, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
_TOPIC = sa.String(249).with_variant(mysql.VARCHAR(249, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
_LONG = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
_BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
_MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LSN = sa.String(20)

METADATA: Final = sa.MetaData()

_INNODB: Final[dict[str, Any]] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mariadb_engine": "InnoDB"}

CANARY: Final = sa.Table(
    "strangler_canary",
    METADATA,
    sa.Column("stream", _NAME, primary_key=True),
    sa.Column("token", _NAME, nullable=False),
    sa.Column("at", _MOMENT, nullable=False),
    **_INNODB,
)

STREAM_POSITION: Final = sa.Table(
    "strangler_stream_position",
    METADATA,
    sa.Column("stream", _NAME, primary_key=True),
    sa.Column("commit_lsn", _LSN, nullable=False),
    sa.Column("source_commit_time", _MOMENT),
    sa.Column("applied_at", _MOMENT, nullable=False),
    sa.Column("transactions", _NUMBER, nullable=False, server_default="0"),
    sa.Column("events", _NUMBER, nullable=False, server_default="0"),
    **_INNODB,
)

STREAM_STATUS: Final = sa.Table(
    "strangler_stream_status",
    METADATA,
    sa.Column("stream", _NAME, primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("error", _LONG),
    sa.Column("updated_at", _MOMENT, nullable=False),
    sa.Column("worker_pid", sa.Integer),
    sa.Column("lag_bytes", _NUMBER),
    sa.Column("lag_seconds", sa.Double),
    sa.Column("events_waiting", _NUMBER),
    sa.Column("tables", _LONG),
    sa.Column("progress_events", _NUMBER),
    sa.Column("progress_total", _NUMBER),
    **_INNODB,
)

COPY_PROGRESS: Final = sa.Table(
    "strangler_copy_progress",
    METADATA,
    sa.Column("stream", _NAME, primary_key=True),
    sa.Column("source_table", _NAME, primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("last_key", _LONG),
    sa.Column("rows", _NUMBER, nullable=False, server_default="0"),
    sa.Column("started_at", _MOMENT),
    sa.Column("finished_at", _MOMENT),
    **_INNODB,
)


def _parked(name: str, id_: "sa.Column[int]", *own: "sa.Column[Any]", **options: Any) -> sa.Table:
    """A table of refused events: what each was, and why it was refused."""
    return sa.Table(
        name,
        METADATA,
        id_,
        sa.Column("stream", _NAME, nullable=False),
        sa.Column("source_table", _NAME, nullable=False),
        sa.Column("key", _LONG, nullable=False),
        sa.Column("commit_lsn", _LSN, nullable=False),
        sa.Column("event_index", _NUMBER, nullable=False),
        sa.Column("operation", sa.String(1), nullable=False),
        sa.Column("event", _BYTES, nullable=False),
        sa.Column("reason", _LONG, nullable=False),
        sa.Column("code", sa.String(20), nullable=False),
        sa.Column("parked_at", _MOMENT, nullable=False),
        *own,
        **options,
        **_INNODB,
    )


PARKED_ROW: Final = _parked(
    "strangler_parked_row",
    sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("whole_table", sa.Boolean, nullable=False),
    sa.Column("lenient", sa.Boolean, nullable=False),
    sa.Column("thing", _LONG, nullable=False),
    sa.Column("mend", _LONG, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
    sa.Column("request", sa.String(10)),
    sa.Column("requested_by", _LONG),
    sa.Column("request_reason", _LONG),
    sqlite_autoincrement=True,
)

PARKED_AUDIT: Final = _parked(
    "strangler_parked_audit",
    sa.Column("id", _NUMBER, primary_key=True, autoincrement=False),
    sa.Column("skipped_at", _MOMENT, nullable=False),
    sa.Column("skipped_by", _LONG, nullable=False),
    sa.Column("skip_reason", _LONG, nullable=False),
)

TOPIC_POSITION: Final = sa.Table(
    "strangler_topic_position",
    METADATA,
    sa.Column("stream", _NAME, primary_key=True),
    sa.Column("topic", _TOPIC, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("next_offset", _NUMBER, nullable=False),
    sa.Column("newest", _LONG),
    sa.Column("topic_id", sa.String(40)),
    **_INNODB,
)

OWNERSHIP: Final = sa.table("strangler_ownership", sa.column("move"), sa.column("owner"))
"""Whoever keeps ownership beside these tables makes it; the applier reads it where it exists."""

_STREAM_TABLES: Final = (STREAM_POSITION, STREAM_STATUS, COPY_PROGRESS, PARKED_ROW, PARKED_AUDIT, TOPIC_POSITION)


def create_tables(connection: Connection) -> None:
    """Make those that are missing. MySQL commits each by itself."""
    METADATA.create_all(connection, checkfirst=True)


def forget_stream(connection: Connection, stream: str) -> None:
    """Delete the stream's rows from whichever of the tables exist."""
    for table in existing_tables(connection):
        connection.execute(sa.delete(table).where(table.c.stream == stream))


def unused(connection: Connection) -> bool:
    """No stream has a row in them."""
    existing = existing_tables(connection)
    return not any(
        connection.execute(sa.select(sa.literal_column("1")).select_from(table).limit(1)).first()
        for table in _STREAM_TABLES
        if table in existing
    )


def existing_tables(connection: Connection) -> list[sa.Table]:
    inspector = sa.inspect(connection)
    return [table for table in METADATA.sorted_tables if inspector.has_table(table.name)]
