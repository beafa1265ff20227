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


def alerts(lag: StreamLag, thresholds: Thresholds) -> list[Alert]:
    """Everything that is wrong now, the worst first."""
    found = [*_retention(lag, thresholds)]
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
                mend="start it: `strangler up`, or `strangler cdc stream`",
            )
        )
    if lag.parked_rows:
        tables = ", ".join(f"{table.table} ({table.parked_rows})" for table in lag.tables if table.parked_rows)
        found.append(
            Alert(
                name="parked",
                thing=stream,
                reason=f"{lag.parked_rows} rows are parked: {tables}; no cutover while they are",
                mend="look at them with `strangler parked list`, then retry or skip them",
            )
        )
    return found


def _retention(lag: StreamLag, thresholds: Thresholds) -> list[Alert]:
    slot = f"replication slot {lag.stream}"
    retained = lag.wal_retained_bytes or 0
    if lag.wal_status == "lost":
        return [
            Alert(
                name="slot_lost",
                thing=slot,
                reason="is lost: the source removed log that the stream had not read",
                mend="`strangler rollback` the move to `planned` and copy again; raise max_slot_wal_keep_size first",
            )
        ]
    mend = "bring the worker and the target back, or drop the stream (`strangler rollback`) to free the disk"
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
