"""Which source a link reads: its URL says so."""

from cdc.link import LinkSpec
from cdc.lsn import Lsn
from cdc.postgres_source import PostgresSource, StreamLimits
from cdc.server_kinds import is_mysql
from cdc.source_port import ChangeSource, OpenSource
from cdc.triggers.opening import is_by_triggers, trigger_opener
from strangler.clock import Clock


def source_opener(link: LinkSpec, clock: Clock) -> OpenSource:
    """A PostgreSQL slot named like the stream, or the binlog of a `mysql://` or `mariadb://` server, or what
    triggers wrote (`postgresql+triggers://`)."""
    if is_mysql(link.source_dsn):
        from cdc.mysql.opening import mysql_opener

        return mysql_opener(link, clock)
    if is_by_triggers(link.source_dsn):
        return trigger_opener(link, clock)

    streaming = True

    def stop_streaming() -> None:
        nonlocal streaming
        streaming = False

    def open_postgres(*, position: Lsn, resume_from: Lsn) -> ChangeSource:
        return PostgresSource(
            link.source_dsn,
            slot=link.stream,
            publication=link.stream,
            position=position,
            resume_from=resume_from,
            clock=clock,
            limits=StreamLimits(spill_folder=link.log_folder, streaming=streaming),
            streaming_failed=stop_streaming,
        )

    return open_postgres
