"""How far a stream is behind its source, by the source's clock alone (O2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow

from cdc.connections import CatalogConnection, open_database
from cdc.lsn import ZERO, Lsn

_SOURCE = """
    SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn AS source_lsn, clock_timestamp() AS source_now,
           slot.wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), slot.restart_lsn)::bigint AS retained_bytes,
           sender.sent_lsn - '0/0'::pg_lsn AS sent, sender.replay_lsn - '0/0'::pg_lsn AS replayed, sender.reply_time
      FROM (SELECT 1) AS one
      LEFT JOIN pg_replication_slots slot ON slot_name = %(stream)s
      LEFT JOIN pg_stat_replication sender ON sender.pid = slot.active_pid
"""

_TARGET = """
    SELECT position.commit_lsn - '0/0'::pg_lsn AS applied, position.source_commit_time, position.transactions,
           position.events, status.error,
           CASE WHEN status.state <> 'idle' AND status.updated_at < clock_timestamp() - interval '15 seconds'
                THEN 'silent' ELSE status.state END AS state
      FROM (SELECT 1) AS one
      LEFT JOIN strangler.stream_position position ON position.stream = %(stream)s
      LEFT JOIN strangler.stream_status status ON status.stream = %(stream)s
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamLag:
    """`bytes`: source log written but not known to be applied, of this stream or not. `seconds`: age of the oldest
    change that may not be applied yet; 0 when there is none, None when nothing was ever applied.

    `transactions`/`events`: applied in total. `state`: of the worker, `absent` when the stream is not provisioned,
    `silent` when the worker has not said anything for 15 s: it is gone.
    `error`: {"thing","reason","mend"} or None. `wal_retained_bytes`: log that the source keeps for the slot;
    `wal_status`: None when there is no slot.
    """

    stream: str
    bytes: int
    seconds: float | None
    transactions: int
    events: int
    applied_lsn: Lsn
    source_lsn: Lsn
    state: str
    error: Mapping[str, Any] | None
    wal_retained_bytes: int | None
    wal_status: str | None


def read_lag(source_dsn: str, target_dsn: str, stream: str) -> StreamLag:
    """Read both ends once. Raises `DatabaseUnreachable`; a stream that does not exist is `absent`, not an error.

    The source is read first, so that what commits in between counts as applied or not at all, never as lag.
    """
    with open_database(source_dsn) as source:
        at_source = source.execute(_SOURCE, {"stream": stream}).fetchone()
    assert at_source is not None
    with open_database(target_dsn) as target:
        at_target = _read_target(target, stream)
    source_lsn = Lsn(int(at_source["source_lsn"]))
    applied_lsn = _number(at_target, "applied")
    applied_through = max(applied_lsn, _number(at_source, "replayed") if applied_lsn else ZERO)
    return StreamLag(
        stream=stream,
        bytes=max(0, source_lsn - applied_through),
        seconds=_seconds(at_source, at_target, source_lsn, applied_through),
        transactions=_number(at_target, "transactions"),
        events=_number(at_target, "events"),
        applied_lsn=applied_lsn,
        source_lsn=source_lsn,
        state=at_target.get("state") or "absent",
        error=at_target.get("error"),
        wal_retained_bytes=at_source["retained_bytes"],
        wal_status=at_source["wal_status"],
    )


def _read_target(target: CatalogConnection, stream: str) -> DictRow:
    exists = target.execute("SELECT to_regclass('strangler.stream_position') IS NOT NULL AS it").fetchone()
    if exists is None or not exists["it"]:
        return {}
    return target.execute(_TARGET, {"stream": stream}).fetchone() or {}


def _seconds(at_source: DictRow, at_target: DictRow, source_lsn: Lsn, applied_through: Lsn) -> float | None:
    """Every time here was taken from the source's clock: `reply_time` too, since capture reports that clock."""
    if not applied_through:
        return None
    if applied_through >= source_lsn:
        return 0.0
    known = [at_target["source_commit_time"]]
    if _number(at_source, "replayed") >= _number(at_source, "sent") > ZERO:
        known.append(at_source["reply_time"])
    times: list[datetime] = [time for time in known if time is not None]
    if not times:
        return None
    now: datetime = at_source["source_now"]
    return max(0.0, (now - max(times)).total_seconds())


def _number(row: DictRow, name: str) -> Lsn:
    value = row.get(name)
    return ZERO if value is None else Lsn(int(value))
