"""A target's URL → the session that applies to it."""

from urllib.parse import urlsplit

from cdc.apply_session import ApplySession
from cdc.errors import TargetUnfit
from cdc.link import LinkSpec
from cdc.target_port import ApplyTarget
from strangler.clock import Clock

_POSTGRESQL = frozenset({"", "postgresql", "postgres"})


def open_target(link: LinkSpec, clock: Clock) -> ApplyTarget:
    """Take the stream in its target. Raises `StreamBusy`, `DatabaseUnreachable`, `TargetUnfit`.

    A target without a scheme is a libpq `key=value` string.
    """
    scheme = urlsplit(link.target_dsn).scheme if "://" in link.target_dsn else ""
    if scheme in _POSTGRESQL:
        return ApplySession(link, clock)
    raise TargetUnfit(
        thing=f"target database of {link.stream}",
        reason=f"no target is known for URLs that begin with {scheme}://",
        mend="use postgresql://user:password@host/name",
    )
