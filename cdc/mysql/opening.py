"""How a link opens its MySQL or MariaDB source."""

from cdc.link import LinkSpec
from cdc.lsn import Lsn
from cdc.mysql.memory import FileMemory
from cdc.mysql.source import BinlogLimits, BinlogSource
from cdc.source_port import ChangeSource, OpenSource
from strangler.clock import Clock


def mysql_opener(link: LinkSpec, clock: Clock) -> OpenSource:
    """The binlog, read under the stream's name; what it remembers lies beside the change log."""

    def open_mysql_source(*, position: Lsn, resume_from: Lsn) -> ChangeSource:
        return BinlogSource(
            link.source_dsn,
            stream=link.stream,
            tables=tuple(link.source_keys),
            position=position,
            resume_from=resume_from,
            memory=FileMemory(link.log_folder),
            clock=clock,
            limits=BinlogLimits(spill_folder=link.log_folder),
        )

    return open_mysql_source
