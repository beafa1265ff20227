"""Which source a link's copy reads: its URL says so."""

from contextlib import AbstractContextManager

from cdc.copy_source import CopySource
from cdc.link import LinkSpec
from cdc.mysql.connections import is_mysql
from cdc.mysql.copy_reader import open_mysql_copy
from cdc.postgres_copy import open_postgres_copy


def open_copy(link: LinkSpec) -> AbstractContextManager[CopySource]:
    """A session for one run. Raises `DatabaseUnreachable`, `SourceUnfit`."""
    if is_mysql(link.source_dsn):
        return open_mysql_copy(link.source_dsn, link.stream)
    return open_postgres_copy(link)
