"""Is a database fit to be captured or written to? Facts in, findings out. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cdc.events import TableName
from cdc.server_versions import DECODING_ON_STANDBY, OLDEST, degraded


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One check. `reason` says what was seen, `mend` what to do; `mend` is empty when `ok`."""

    check: str
    ok: bool
    thing: str
    reason: str
    mend: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerFacts:
    """What decides whether this server can be read by logical decoding. `version`: major number."""

    place: str
    role: str
    version: int
    encoding: str
    in_recovery: bool
    wal_level: str
    may_replicate: bool
    may_create_in_database: bool
    slots_used: int
    slots_limit: int
    senders_used: int
    senders_limit: int
    may_emit_messages: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotFacts:
    """A stream's slot. `failover`: whether standbys may keep it; None on servers that know no such thing."""

    plugin: str
    wal_status: str
    retained_bytes: int
    failover: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFacts:
    """One table, or one partition of it. `kind`/`persistence`/`replica_identity`: catalog letters.

    `has_primary_key`: one whose check is immediate; `has_deferrable_key`: another one. `identity_index_usable`: for
    identity `i`, the index still exists. `identity_is_generated`: a generated column is part of the identity, on a
    server that refuses to change rows of such a table while it is published.
    """

    name: TableName
    kind: str = "r"
    persistence: str = "p"
    replica_identity: str = "d"
    has_primary_key: bool = True
    has_deferrable_key: bool = False
    identity_index_usable: bool = True
    identity_is_generated: bool = False
    is_owned: bool = True
    is_readable: bool = True
    has_heirs: bool = False
    hides_rows: bool = False
    is_subscribed: bool = False
    partitions: tuple["TableFacts", ...] = ()


def judge_source_server(facts: ServerFacts, *, needs_slot: bool) -> list[Finding]:
    """Every server-wide need of capture. `needs_slot`: the stream's slot does not exist yet."""
    free_slots = facts.slots_limit - facts.slots_used
    free_senders = facts.senders_limit - facts.senders_used
    findings = [
        *judge_any_server(facts),
        _decoding(facts),
        _finding(
            "wal_level",
            facts.wal_level == "logical",
            f"server of {facts.place}",
            f"wal_level is {facts.wal_level}",
            "run ALTER SYSTEM SET wal_level = logical and restart PostgreSQL (managed services: set "
            "rds.logical_replication, cloudsql.logical_decoding or the like)",
        ),
        _finding(
            "replication_privilege",
            facts.may_replicate,
            f"role {facts.role} at {facts.place}",
            "has REPLICATION" if facts.may_replicate else "lacks the REPLICATION attribute",
            f"run ALTER ROLE {_quoted(facts.role)} WITH REPLICATION (managed services: grant their replication role)",
        ),
        _finding(
            "free_senders",
            free_senders > 0,
            f"server of {facts.place}",
            f"{facts.senders_used} of max_wal_senders {facts.senders_limit} in use",
            f"run ALTER SYSTEM SET max_wal_senders = {facts.senders_limit + 10} and restart PostgreSQL",
        ),
    ]
    if needs_slot:
        findings.append(
            _finding(
                "free_slots",
                free_slots > 0,
                f"server of {facts.place}",
                f"{facts.slots_used} of max_replication_slots {facts.slots_limit} in use",
                "drop a slot that nobody needs (SELECT slot_name, active FROM pg_replication_slots), or run "
                f"ALTER SYSTEM SET max_replication_slots = {facts.slots_limit + 10} and restart PostgreSQL",
            )
        )
    return findings


def _decoding(facts: ServerFacts) -> Finding:
    lacking = degraded(facts.version, may_emit_messages=facts.may_emit_messages)
    reason = "; ".join(lacking) if lacking else "nothing is done in a second-best way"
    return Finding(check="decoding", ok=True, thing=f"logical decoding at {facts.place}", reason=reason)


def judge_any_server(facts: ServerFacts) -> list[Finding]:
    """What both ends of a stream need."""
    return [
        _finding(
            "version",
            facts.version >= OLDEST,
            f"server of {facts.place}",
            f"PostgreSQL {facts.version}",
            f"upgrade to PostgreSQL {OLDEST} or later: logical replication of older ones cannot publish partitioned "
            "tables by their root",
        ),
        _finding(
            "encoding",
            facts.encoding != "SQL_ASCII",
            f"database {facts.place}",
            f"encoding {facts.encoding}",
            "dump and restore it into a database with a real encoding, such as UTF8: SQL_ASCII bytes have no meaning",
        ),
        _judge_role(facts),
        _finding(
            "create_privilege",
            facts.may_create_in_database,
            f"role {facts.role} at {facts.place}",
            "may create in the database" if facts.may_create_in_database else "may not create schemas or publications",
            f"run GRANT CREATE ON DATABASE … TO {_quoted(facts.role)}",
        ),
    ]


def _judge_role(facts: ServerFacts) -> Finding:
    """Preparing a stream and copying write marks into the source, which a standby refuses."""
    reason, mend = "is a primary", ""
    if facts.in_recovery:
        reason, mend = "is a standby, which cannot be written to", "use the URL of the primary"
        if facts.version >= DECODING_ON_STANDBY:
            mend += (
                ". To only follow changes from here (`cdc tail`, a slot of your own): make the publication on the "
                "primary, set hot_standby_feedback = on here and wal_level = logical on both, make the slot here while "
                "the primary runs SELECT pg_log_standby_snapshot()"
            )
    return _finding("primary_server", not facts.in_recovery, f"server of {facts.place}", reason, mend)


def judge_slot(stream: str, slot: SlotFacts) -> Finding:
    """May the stream go on from its slot?"""
    thing = f"replication slot {stream}"
    retained = f"{slot.retained_bytes} bytes of log retained, wal_status {slot.wal_status}"
    if slot.plugin != "pgoutput" or slot.wal_status == "lost":
        return Finding(
            check="slot",
            ok=False,
            thing=thing,
            reason=f"plugin {slot.plugin}, {retained}",
            mend="what was missed cannot be read again: deprovision the stream, then provision and copy anew",
        )
    if slot.wal_status == "unreserved":
        return Finding(
            check="slot",
            ok=False,
            thing=thing,
            reason=f"{retained}: the server is about to remove log that the stream needs",
            mend="start the stream worker now, or raise max_slot_wal_keep_size",
        )
    return Finding(check="slot", ok=True, thing=thing, reason=f"{retained}, {_after_failover(slot)}")


def _after_failover(slot: SlotFacts) -> str:
    if slot.failover is None:
        return "not kept on standbys (this server cannot): after a failover the stream is refused"
    if not slot.failover:
        return "not kept on standbys: after a failover the stream is refused"
    return "kept on the standbys that have sync_replication_slots on"


def judge_source_tables(tables: Iterable[TableName], facts: Mapping[TableName, TableFacts]) -> list[Finding]:
    """One finding a table: the first thing that keeps it from being captured, or that nothing does."""
    return [_judge_table(name, facts.get(name)) for name in tables]


def _judge_table(name: TableName, facts: TableFacts | None) -> Finding:
    if facts is None:
        return Finding(
            check="table",
            ok=False,
            thing=f"table {name}",
            reason="does not exist, or this role may not see it",
            mend="correct its name, or grant the role USAGE on its schema",
        )
    for part in (facts, *facts.partitions):
        if problem := _table_problem(part, is_partition=part is not facts):
            reason, mend = problem
            return Finding(check="table", ok=False, thing=f"table {part.name}", reason=reason, mend=mend)
    return Finding(check="table", ok=True, thing=f"table {name}", reason="can be captured")


def _table_problem(facts: TableFacts, *, is_partition: bool) -> tuple[str, str] | None:
    sql_name = f"{_quoted(facts.name.schema)}.{_quoted(facts.name.name)}"
    if facts.kind not in "rp":
        return "is not an ordinary or partitioned table", "name the table itself, not a view or a foreign table"
    if facts.persistence != "p":
        return "is unlogged or temporary, so its changes are not in the log", f"run ALTER TABLE {sql_name} SET LOGGED"
    if facts.has_heirs:
        return (
            "has tables that inherit from it, whose rows arrive under their own names",
            "name the heirs as tables of their own, or make it a partitioned table",
        )
    if not facts.has_primary_key and (facts.has_deferrable_key or facts.replica_identity != "f"):
        if facts.has_deferrable_key:
            return (
                "has a primary key that is deferrable, by which its rows cannot be told apart at every moment",
                f"run ALTER TABLE {sql_name} DROP CONSTRAINT … and ADD PRIMARY KEY (…)",
            )
        return (
            "has no primary key, and its log does not carry whole rows, so its rows cannot be told apart",
            f"run ALTER TABLE {sql_name} ADD PRIMARY KEY (…), or ALTER TABLE {sql_name} REPLICA IDENTITY FULL",
        )
    if facts.identity_is_generated:
        return (
            "has a generated column in its replica identity: published, the application's own UPDATEs would fail",
            f"run ALTER TABLE {sql_name} REPLICA IDENTITY DEFAULT"
            if facts.has_primary_key
            else f"run ALTER TABLE {sql_name} ADD PRIMARY KEY (…) and REPLICA IDENTITY DEFAULT, or drop the column",
        )
    if facts.replica_identity == "n" or (facts.replica_identity == "i" and not facts.identity_index_usable):
        return (
            "has no replica identity: publishing it would make the application's own UPDATEs fail",
            f"run ALTER TABLE {sql_name} REPLICA IDENTITY DEFAULT",
        )
    if facts.is_subscribed:
        return (
            "is filled by a PostgreSQL subscription, whose changes the stream would take for its own and leave out",
            "end the subscription, or leave the table out of the move",
        )
    if is_partition:
        return None
    if not facts.is_owned:
        return "is not owned by this role, so it cannot be published", f"grant the role that owns {sql_name}"
    if not facts.is_readable:
        return "may not be read by this role", f"run GRANT SELECT ON {sql_name} TO …"
    if facts.hides_rows:
        return (
            "hides rows from this role by row-level security, so a copy would miss them",
            "use a role with BYPASSRLS",
        )
    return None


def _finding(check: str, ok: bool, thing: str, reason: str, mend: str) -> Finding:
    return Finding(check=check, ok=ok, thing=thing, reason=reason, mend="" if ok else mend)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
