"""How far a stream is behind its source, by the source's clock alone (O2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from psycopg.rows import DictRow

from cdc.connections import CatalogConnection, open_database
from cdc.lsn import ZERO, Lsn
from cdc.server_kinds import is_mysql, is_postgresql

_SOURCE = """
    SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn AS source_lsn, clock_timestamp() AS source_now,
           slot.wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), slot.restart_lsn)::bigint AS retained_bytes,
           slot.safe_wal_size AS headroom_bytes,
           (SELECT nullif(setting::bigint, -1) << 20 FROM pg_settings WHERE name = 'max_slot_wal_keep_size')
               AS limit_bytes,
           sender.sent_lsn - '0/0'::pg_lsn AS sent, sender.replay_lsn - '0/0'::pg_lsn AS replayed, sender.reply_time
      FROM (SELECT 1) AS one
      LEFT JOIN pg_replication_slots slot ON slot_name = %(stream)s
      LEFT JOIN pg_stat_replication sender ON sender.pid = slot.active_pid
"""

_ESTIMATES = """
    SELECT CASE WHEN published.schemaname = 'public' THEN published.tablename::text
                ELSE published.schemaname || '.' || published.tablename END AS name,
           sum(CASE WHEN leaf.reltuples < 0 THEN pg_stat_get_live_tuples(leaf.oid) ELSE leaf.reltuples END)::bigint
               AS rows
      FROM pg_publication_tables published
      JOIN pg_namespace n ON n.nspname = published.schemaname
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = published.tablename
      LEFT JOIN LATERAL pg_partition_tree(c.oid) AS tree ON tree.isleaf
      JOIN pg_class leaf ON leaf.oid = coalesce(tree.relid, c.oid)
     WHERE published.pubname = %(stream)s AND published.schemaname <> 'strangler'
     GROUP BY 1 ORDER BY 1
"""

_TARGET = """
    SELECT position.commit_lsn - '0/0'::pg_lsn AS applied, position.source_commit_time, position.transactions,
           position.events, status.error, to_jsonb(status) -> 'events_waiting' AS events_waiting,
           to_jsonb(status) -> 'tables' AS tables,
           CASE WHEN status.state <> 'idle' AND status.updated_at < clock_timestamp() - interval '15 seconds'
                THEN 'silent' ELSE status.state END AS state
      FROM (SELECT 1) AS one
      LEFT JOIN strangler.stream_position position ON position.stream = %(stream)s
      LEFT JOIN strangler.stream_status status ON status.stream = %(stream)s
"""

_COPIES = "SELECT source_table, state, rows FROM strangler.copy_progress WHERE stream = %(stream)s"


_PARKED = """
    SELECT source_table, count(DISTINCT key) AS rows FROM strangler.parked_row WHERE stream = %(stream)s GROUP BY 1
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableLag:
    """One source table. `events_waiting`: captured and not applied, None when no worker has said. `last_applied`: when
    its last event was applied. `copied_rows` and `copy_state`: None when no copy was asked for. `estimated_rows`: by
    the source's statistics."""

    table: str
    events_waiting: int | None = None
    last_applied: datetime | None = None
    copy_state: Literal["requested", "copying", "done"] | None = None
    copied_rows: int | None = None
    estimated_rows: int | None = None
    parked_rows: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamLag:
    """`bytes`: source log written but not known to be applied, of this stream or not. `seconds`: age of the oldest
    change that may not be applied yet; 0 when there is none, None when nothing was ever applied.

    `transactions`/`events`: applied in total; `events_waiting`: captured and not applied, None when no worker says so.
    `state`: of the worker, `absent` when the stream is not provisioned, `silent` when the worker has not said anything
    for 15 s: it is gone. `error`: {"thing","reason","mend"} or None.
    `wal_retained_bytes`: log that the source keeps for the slot; `wal_limit_bytes`: the most that it may keep, None
    when nothing limits it; `wal_headroom_bytes`: how much more may be written until the slot is lost, None without a
    limit. `wal_status`: None when there is no slot. `log`: what the source calls its log.
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
    wal_limit_bytes: int | None = None
    wal_headroom_bytes: int | None = None
    events_waiting: int | None = None
    tables: tuple[TableLag, ...] = ()
    log: Literal["wal", "binlog"] = "wal"

    @property
    def parked_rows(self) -> int:
        return sum(table.parked_rows for table in self.tables)


def read_lag(source_dsn: str, target_dsn: str, stream: str) -> StreamLag:
    """Read both ends once. Raises `DatabaseUnreachable`; a stream that does not exist is `absent`, not an error.

    The source is read first, so that what commits in between counts as applied or not at all, never as lag.
    """
    binlog = None
    if is_mysql(source_dsn):
        from cdc.mysql.lag import read_binlog_side

        binlog = read_binlog_side(source_dsn)
    at_source, estimates = (binlog.row, binlog.estimates) if binlog else _source_side(source_dsn, stream)
    at_target, copies, parked = read_target_side(target_dsn, stream)
    if binlog:  # the server does not know which tables are the stream's
        of_stream = {*(at_target.get("tables") or {}), *(row["source_table"] for row in copies), *parked}
        estimates = {name: rows for name, rows in estimates.items() if name in of_stream}
    source_lsn = Lsn(int(at_source["source_lsn"]))
    applied_lsn = _number(at_target, "applied")
    applied_through = max(applied_lsn, _number(at_source, "replayed") if applied_lsn else ZERO)
    return StreamLag(
        stream=stream,
        bytes=binlog.bytes_after(applied_through) if binlog else max(0, source_lsn - applied_through),
        seconds=_seconds(at_source, at_target, source_lsn, applied_through),
        transactions=_number(at_target, "transactions"),
        events=_number(at_target, "events"),
        applied_lsn=applied_lsn,
        source_lsn=source_lsn,
        state=at_target.get("state") or "absent",
        error=at_target.get("error"),
        wal_retained_bytes=at_source["retained_bytes"],
        wal_status="lost" if binlog and binlog.has_purged(applied_lsn) else at_source["wal_status"],
        wal_limit_bytes=at_source["limit_bytes"],
        wal_headroom_bytes=at_source["headroom_bytes"],
        events_waiting=at_target.get("events_waiting"),
        tables=_tables(
            estimates,
            at_target.get("tables") or {},
            {row["source_table"]: row for row in copies},
            parked,
        ),
        log="binlog" if binlog else "wal",
    )


def _source_side(source_dsn: str, stream: str) -> tuple[DictRow, Mapping[str, int]]:
    """(log and slot, estimated rows by table)"""
    with open_database(source_dsn) as source:
        at_source = source.execute(_SOURCE, {"stream": stream}).fetchone()
        estimates = source.execute(_ESTIMATES, {"stream": stream}).fetchall()
    assert at_source is not None
    return at_source, {row["name"]: row["rows"] for row in estimates}


def read_target_side(target_dsn: str, stream: str) -> tuple[DictRow, Sequence[Mapping[str, Any]], dict[str, int]]:
    """(ledger and status, copies, parked rows by source table); empty when the target has none of them. Raises
    `DatabaseUnreachable`."""
    if not is_postgresql(target_dsn):
        from cdc.sql_target import lag as sql_target

        return sql_target.read_target_side(target_dsn, stream, datetime.now(UTC))
    with open_database(target_dsn) as target:
        at_target = _read_target(target, stream)
        copies = target.execute(_COPIES, {"stream": stream}).fetchall() if at_target else []
        return at_target, copies, _read_parked(target, stream)


def _read_target(target: CatalogConnection, stream: str) -> DictRow:
    exists = target.execute("SELECT to_regclass('strangler.stream_position') IS NOT NULL AS it").fetchone()
    if exists is None or not exists["it"]:
        return {}
    return target.execute(_TARGET, {"stream": stream}).fetchone() or {}


def _read_parked(target: CatalogConnection, stream: str) -> dict[str, int]:
    """Rows that wait, by source table; none in a database that was provisioned before there were any."""
    exists = target.execute("SELECT to_regclass('strangler.parked_row') IS NOT NULL AS it").fetchone()
    if exists is None or not exists["it"]:
        return {}
    return {row["source_table"]: row["rows"] for row in target.execute(_PARKED, {"stream": stream})}


def _tables(
    estimates: Mapping[str, int],
    seen: Mapping[str, Mapping[str, Any]],
    copies: Mapping[str, Mapping[str, Any]],
    parked: Mapping[str, int],
) -> tuple[TableLag, ...]:
    """Every table that any of the four knows, in name order."""
    found = []
    for name in sorted(estimates.keys() | seen.keys() | copies.keys() | parked.keys()):
        copy, worker = copies.get(name), seen.get(name)
        applied_s = worker.get("last_applied_s") if worker else None
        found.append(
            TableLag(
                table=name,
                events_waiting=worker.get("waiting") if worker else None,
                last_applied=datetime.fromtimestamp(applied_s, UTC) if applied_s is not None else None,
                copy_state=copy["state"] if copy else None,
                copied_rows=copy["rows"] if copy else None,
                estimated_rows=estimates.get(name),
                parked_rows=parked.get(name, 0),
            )
        )
    return tuple(found)


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
