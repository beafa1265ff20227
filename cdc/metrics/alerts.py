"""What about a stream somebody must be told. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from cdc.lag import StreamLag

AlertName = Literal["slot_lost", "wal_headroom", "wal_retained", "lag_seconds", "stopped", "silent", "parked"]

ALERT_NAMES: Final[Sequence[AlertName]] = get_args(AlertName)

_LITTLE_HEADROOM: Final = 0.2
"""Share of the limit below which a slot is near its loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Above which a stream is an alert; 0: never. `wal_bytes`: log retained for the slot. `lag_seconds`: age of the
    oldest change that is not applied."""

    wal_bytes: int = 0
    lag_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """`thing`, `reason` and `mend` as in an error."""

    name: AlertName
    thing: str
    reason: str
    mend: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Commands:
    """What a person types about a stream: `start` its worker, see what is `parked`, `end` it, and begin it `anew`."""

    start: str
    parked: str
    end: str
    anew: str


OF_A_MOVE: Final = Commands(
    start="`strangler up`, or `strangler cdc stream`",
    parked="`strangler parked list`",
    end="`strangler rollback`",
    anew="`strangler rollback` the move to `planned` and copy again",
)
OF_ITS_OWN: Final = Commands(
    start="`strangler cdc stream` with its --source, --target and --name",
    parked="`strangler parked list` with its --source, --target and --name",
    end="`strangler cdc stream --remove`",
    anew="end it with `strangler cdc stream --remove`, empty the target's tables and begin it anew",
)


def alerts(lag: StreamLag, thresholds: Thresholds, commands: Commands = OF_A_MOVE) -> list[Alert]:
    """Everything that is wrong now, the worst first."""
    found = [*_retention(lag, thresholds, commands)]
    stream = f"stream {lag.stream}"
    if thresholds.lag_seconds and lag.seconds is not None and lag.seconds >= thresholds.lag_seconds:
        found.append(
            Alert(
                name="lag_seconds",
                thing=stream,
                reason=f"is {lag.seconds:.0f} s behind, allowed are {thresholds.lag_seconds:.0f} s",
                mend="see whether the worker runs and the target keeps up; reads of the target are stale meanwhile",
            )
        )
    if lag.state == "stopped":
        error = lag.error or {}
        found.append(
            Alert(
                name="stopped",
                thing=stream,
                reason=f"has stopped: {error.get('thing', 'unknown')}: {error.get('reason', 'no reason was recorded')}",
                mend=str(error.get("mend", "see the worker's log")),
            )
        )
    if lag.state == "silent":
        found.append(
            Alert(
                name="silent",
                thing=stream,
                reason="its worker has said nothing for 15 s",
                mend=f"start it: {commands.start}",
            )
        )
    if lag.parked_rows:
        tables = ", ".join(f"{table.table} ({table.parked_rows})" for table in lag.tables if table.parked_rows)
        found.append(
            Alert(
                name="parked",
                thing=stream,
                reason=f"{lag.parked_rows} rows are parked: {tables}; the two sides differ while they are",
                mend=f"look at them with {commands.parked}, then retry or skip them",
            )
        )
    return found


def _retention(lag: StreamLag, thresholds: Thresholds, commands: Commands) -> list[Alert]:
    slot = f"replication slot {lag.stream}"
    retained = lag.wal_retained_bytes or 0
    if lag.wal_status == "lost" and lag.log == "binlog":
        return [
            Alert(
                name="slot_lost",
                thing=f"binlog of stream {lag.stream}",
                reason="is purged: the source removed binlog that the stream had not read",
                mend=f"{commands.anew}; raise binlog_expire_logs_seconds above the longest outage first",
            )
        ]
    if lag.wal_status == "lost":
        return [
            Alert(
                name="slot_lost",
                thing=slot,
                reason="is lost: the source removed log that the stream had not read",
                mend=f"{commands.anew}; raise max_slot_wal_keep_size first",
            )
        ]
    mend = f"bring the worker and the target back, or drop the stream ({commands.end}) to free the disk"
    limit, headroom = lag.wal_limit_bytes, lag.wal_headroom_bytes
    found = []
    if limit is not None and headroom is not None and headroom < limit * _LITTLE_HEADROOM:
        found.append(
            Alert(
                name="wal_headroom",
                thing=slot,
                reason=f"retains {retained} bytes of log; {max(0, headroom)} more and the source drops the slot "
                f"(max_slot_wal_keep_size is {limit >> 20} MB): the stream is then lost, every table is copied again",
                mend=f"{mend}; raising max_slot_wal_keep_size and reloading gives time",
            )
        )
    if thresholds.wal_bytes and retained >= thresholds.wal_bytes:
        end = (
            "nothing limits it (max_slot_wal_keep_size is -1): it grows until the source's disk is full, and then "
            "the monolith stops"
            if limit is None
            else f"at {limit} bytes the source drops the slot and the stream is lost"
        )
        found.append(
            Alert(
                name="wal_retained",
                thing=slot,
                reason=f"retains {retained} bytes of log, allowed are {thresholds.wal_bytes}; {end}",
                mend=mend,
            )
        )
    return found
