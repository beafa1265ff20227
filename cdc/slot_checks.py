"""May this slot be read on from this position, or would that lose data? (T12, T13, T14, H12)"""

from typing import Final

from psycopg.rows import DictRow

from cdc.connections import CatalogConnection
from cdc.errors import SlotInUse, SlotMismatch
from cdc.lsn import Lsn, before_boundary, format_lsn

PLUGIN: Final = "pgoutput"
START_OVER: Final = (
    "end the stream (`strangler rollback`, `cdc stream --remove` or `cdc outbox --drop`), then begin it anew"
)

_SLOT = """
    SELECT slot_name, plugin, database, active_pid, wal_status, confirmed_flush_lsn - '0/0'::pg_lsn AS confirmed,
           current_database() AS here, {position} - '0/0'::pg_lsn AS server_lsn,
           EXISTS (SELECT FROM pg_publication WHERE pubname = %(publication)s) AS published
      FROM (SELECT 1) AS one LEFT JOIN pg_replication_slots ON slot_name = %(slot)s
"""

LOG_END: Final = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
"""Where a server's log ends: on a standby, how far it has replayed its primary's."""


def check_slot(connection: CatalogConnection, *, slot: str, publication: str, position: Lsn, resume_from: Lsn) -> None:
    """Raise `SlotMismatch` or `SlotInUse` unless reading on loses nothing.

    `position`: the caller's durable ledger; `resume_from`: where it wants the next transaction after.
    """
    query = _SLOT.format(position=LOG_END)
    row = connection.execute(query.encode(), {"slot": slot, "publication": publication}).fetchone()
    assert row is not None
    thing = f"replication slot {slot}"
    reason = _identity_problem(row) or _position_problem(row, position, resume_from)
    if reason is None and not row["published"]:
        thing, reason = f"publication {publication}", "does not exist, so changes would be left out without a word"
    if reason is not None:
        raise SlotMismatch(thing=thing, reason=reason, mend=START_OVER)
    if row["active_pid"] is not None:
        raise SlotInUse(
            thing=thing,
            reason=f"is being read by server process {row['active_pid']}",
            mend="stop the other stream worker; if it is gone, wait for the server's wal_sender_timeout or run "
            f"SELECT pg_terminate_backend({row['active_pid']})",
        )


def _identity_problem(row: DictRow) -> str | None:
    if row["slot_name"] is None:
        return "does not exist"
    if row["plugin"] is None:
        return "is one for physical replication"
    if row["plugin"] != PLUGIN:
        return f"uses plugin {row['plugin']}, not {PLUGIN}"
    if row["database"] != row["here"]:
        return f"belongs to database {row['database']}, not {row['here']}"
    if row["active_pid"] and row["confirmed"] is None:
        return f"is only being made, by server process {row['active_pid']}"
    if row["wal_status"] == "lost":
        return "is lost: the server removed log that it still needed (max_slot_wal_keep_size)"
    return None


def _position_problem(row: DictRow, position: Lsn, resume_from: Lsn) -> str | None:
    confirmed = Lsn(int(row["confirmed"]))
    if before_boundary(confirmed) > position:
        return (
            f"was confirmed to {format_lsn(confirmed)}, ahead of the ledger at {format_lsn(position)}: it was "
            "recreated or read by somebody else, and what lies between is gone"
        )
    server_lsn = Lsn(int(row["server_lsn"]))
    if resume_from > server_lsn:
        return (
            f"is on a server at {format_lsn(server_lsn)}, behind the ledger at {format_lsn(resume_from)}: "
            "another server, or one restored from a backup"
        )
    return None
