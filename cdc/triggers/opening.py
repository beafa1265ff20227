"""How a link opens a source that is captured by triggers: its URL says `postgresql+triggers://`."""

from typing import Final

from cdc.link import LinkSpec
from cdc.lsn import Lsn
from cdc.source_port import ChangeSource, OpenSource
from cdc.triggers.source import TriggerSource
from strangler.clock import Clock

SCHEME: Final = "postgresql+triggers://"


def is_by_triggers(dsn: str) -> bool:
    """Whether the URL asks for trigger capture."""
    return dsn.startswith(SCHEME)


def plain_url(dsn: str) -> str:
    """The URL that the database driver understands."""
    return "postgresql://" + dsn.removeprefix(SCHEME) if is_by_triggers(dsn) else dsn


def trigger_opener(link: LinkSpec, clock: Clock) -> OpenSource:
    """The changes that the stream's triggers wrote."""

    def open_triggers(*, position: Lsn, resume_from: Lsn) -> ChangeSource:
        return TriggerSource(
            plain_url(link.source_dsn), stream=link.stream, position=position, resume_from=resume_from, clock=clock
        )

    return open_triggers
