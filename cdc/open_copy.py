"""Which source a link's copy reads: its URL says so."""

from contextlib import AbstractContextManager

from cdc.copy_source import CopySource
from cdc.link import LinkSpec
from cdc.postgres_copy import open_postgres_copy
from cdc.server_kinds import is_mysql


def open_copy(link: LinkSpec) -> AbstractContextManager[CopySource]:
    """A session for one run. Raises `DatabaseUnreachable`, `SourceUnfit`."""
    if is_mysql(link.source_dsn):
        from cdc.mysql.copy_reader import open_mysql_copy

        return open_mysql_copy(link.source_dsn, link.stream)
    return open_postgres_copy(link)
