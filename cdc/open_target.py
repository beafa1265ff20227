"""A target's URL → the session that applies to it."""

from cdc.apply_session import ApplySession
from cdc.link import LinkSpec
from cdc.server_kinds import is_postgresql
from cdc.target_port import ApplyTarget
from strangler.clock import Clock


def open_target(link: LinkSpec, clock: Clock) -> ApplyTarget:
    """Take the stream in its target. Raises `StreamBusy`, `DatabaseUnreachable`, `TargetUnfit`.

    A target without a scheme is a libpq `key=value` string.
    """
    if is_postgresql(link.target_dsn):
        return ApplySession(link, clock)
    from cdc.sql_target.session import SqlApplySession

    return SqlApplySession(link, clock)
