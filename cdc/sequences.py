"""Sequences of a move: the side that does not own is kept ahead, so a change of owner needs no work (C10, R6).

The owner hands out numbers; the other side's sequence is pushed past them with headroom, all the time and in both
directions, never backwards. In the fence window `sequence_gap` proves that the next number cannot collide.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from cdc.errors import SourceUnfit
from cdc.events import TableName
from cdc.mapping.model import MoveMapping
from cdc.sessions import source_error
from cdc.tables import Schema
from strangler.errors import Refused

_Connection = psycopg.Connection[Any]


class SequenceExhausted(Refused):
    """A sequence has no room left for the numbers it must skip."""


class SequenceUnfit(Refused):
    """A sequence cannot be kept ahead: it is gone, cycles, or runs the other way round than its counterpart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SequencePair:
    """A mapped column that a sequence feeds on both sides. `…_sequence`: qualified and quoted as SQL."""

    source_table: TableName
    source_column: str
    source_sequence: str
    target_table: TableName
    target_column: str
    target_sequence: str

    def swapped(self) -> "SequencePair":
        """The same pair seen from the other side."""
        return SequencePair(
            source_table=self.target_table,
            source_column=self.target_column,
            source_sequence=self.target_sequence,
            target_table=self.source_table,
            target_column=self.source_column,
            target_sequence=self.source_sequence,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PushedSequence:
    """`before`/`after`: the last number that the other side's sequence counts as used. Equal: it was ahead already."""

    pair: SequencePair
    before: int
    after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceGap:
    """How many numbers lie between the last that is used anywhere and the next of the other side.

    `free` ≥ 0: the next number is new. Negative: it would collide.
    """

    pair: SequencePair
    used: int
    next: int
    free: int

    @property
    def safe(self) -> bool:
        return self.free >= 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _State:
    """`used`: the last number handed out or reserved by a session's cache; `start - increment` when none was."""

    used: int
    increment: int
    low: int
    high: int
    cycles: bool

    def ahead(self, one: int, other: int) -> int:
        """Whichever of two numbers lies further along."""
        return max(one, other) if self.increment > 0 else min(one, other)


def sequence_pairs(mapping: MoveMapping, source: Schema, target: Schema) -> tuple[SequencePair, ...]:
    """Mapped columns with a sequence (serial, identity or shared `nextval` default) on both sides, in mapping order."""
    pairs: dict[SequencePair, None] = {}
    for table, to in mapping.pairs():
        if table.source not in source.tables or to.table not in target.tables:
            continue
        for rule in to.columns:
            origin = source.tables[table.source].column(rule.source) if rule.source and rule.plain else None
            column = target.tables[to.table].column(rule.target)
            if origin is None or column is None or origin.sequence is None or column.sequence is None:
                continue
            pair = SequencePair(
                source_table=table.source,
                source_column=origin.name,
                source_sequence=origin.sequence,
                target_table=to.table,
                target_column=column.name,
                target_sequence=column.sequence,
            )
            pairs[pair] = None
    return tuple(pairs)


def push_sequences(
    owner_conn: _Connection, other_conn: _Connection, pairs: Iterable[SequencePair], headroom: int
) -> list[PushedSequence]:
    """Move each target sequence of `pairs` (the other side) at least `headroom` numbers past all that is used.

    Used is what the owner's sequence has handed out or cached, and the furthest value in either table's column.
    Idempotent; never moves a sequence back, not even when what it has read is long out of date. `other_conn` is in
    autocommit mode. Raises `SequenceExhausted` or `SequenceUnfit` before anything is moved, `SourceUnfit` for a missing
    sequence, table or privilege, `DatabaseUnreachable` when a database went away.
    """
    planned: dict[str, tuple[SequencePair, _State, int]] = {}
    for pair in pairs:
        owner, other = _states(owner_conn, other_conn, pair)
        used = _used(owner_conn, other_conn, pair, owner)
        goal = other.ahead(used + headroom * other.increment, other.used)
        if pair.target_sequence in planned:
            goal = other.ahead(goal, planned[pair.target_sequence][2])
        if not other.low <= goal <= other.high or not other.low <= goal + other.increment <= other.high:
            raise SequenceExhausted(
                thing=f"sequence {pair.target_sequence}",
                reason=f"{headroom} numbers past {used} it would leave its range {other.low}…{other.high}",
                mend=f"widen the column and ALTER SEQUENCE {pair.target_sequence} AS bigint NO MAXVALUE",
            )
        planned[pair.target_sequence] = (pair, other, goal)
    for name, (_, other, goal) in planned.items():
        if goal != other.used:
            _push(other_conn, name, other.increment, goal)
    return [PushedSequence(pair=pair, before=other.used, after=goal) for pair, other, goal in planned.values()]


def sequence_gap(owner_conn: _Connection, other_conn: _Connection, pairs: Iterable[SequencePair]) -> list[SequenceGap]:
    """How far ahead each target sequence is. Exact while the owner's tables are fenced."""
    gaps: list[SequenceGap] = []
    for pair in pairs:
        owner, other = _states(owner_conn, other_conn, pair)
        used = _used(owner_conn, other_conn, pair, owner)
        following = other.used + other.increment
        step = 1 if other.increment > 0 else -1
        gaps.append(SequenceGap(pair=pair, used=used, next=following, free=(following - used) * step - 1))
    return gaps


def _push(connection: _Connection, name: str, increment: int, goal: int) -> None:
    """Make `goal` the last used number, unless the sequence has come as far by now.

    One message to the server, so a pusher that stalls can stall only before it; the lock lets one pusher at a time
    compare and set. Numbers drawn in between do no harm: once the owner changes, the transfer's own push has brought
    the sequence past every goal that an earlier pusher can still have in hand.
    """
    statement = sql.SQL(
        "SELECT pg_advisory_xact_lock(hashtextextended('strangler sequence ' || {literal}, 0));"
        " SELECT setval({literal}::regclass, {goal}, true) FROM {sequence}"
        " WHERE CASE WHEN is_called THEN last_value ELSE last_value::numeric - {increment} END {behind} {goal}"
    ).format(
        literal=sql.Literal(name),
        goal=sql.Literal(goal),
        sequence=sql.SQL(name),
        increment=sql.Literal(increment),
        behind=sql.SQL("<" if increment > 0 else ">"),
    )
    with _translated(connection, f"sequence {name}"):
        connection.execute(statement, prepare=False)


def _states(owner_conn: _Connection, other_conn: _Connection, pair: SequencePair) -> tuple[_State, _State]:
    owner, other = _state(owner_conn, pair.source_sequence), _state(other_conn, pair.target_sequence)
    for name, state in ((pair.source_sequence, owner), (pair.target_sequence, other)):
        if state.cycles:
            raise SequenceUnfit(
                thing=f"sequence {name}",
                reason="cycles, so no number of it is ever safely past",
                mend=f"ALTER SEQUENCE {name} NO CYCLE",
            )
    if (owner.increment > 0) != (other.increment > 0):
        raise SequenceUnfit(
            thing=f"sequence {pair.target_sequence}",
            reason=f"runs the other way round than {pair.source_sequence}",
            mend=f"ALTER SEQUENCE {pair.target_sequence} INCREMENT BY {owner.increment}",
        )
    return owner, other


def _used(owner_conn: _Connection, other_conn: _Connection, pair: SequencePair, owner: _State) -> int:
    """The furthest number that exists anywhere: handed out by the owner, or stored on either side."""
    used = owner.used
    for connection, table, column in (
        (owner_conn, pair.source_table, pair.source_column),
        (other_conn, pair.target_table, pair.target_column),
    ):
        stored = _furthest(connection, table, column, up=owner.increment > 0)
        if stored is not None:
            used = owner.ahead(used, stored)
    return used


def _state(connection: _Connection, name: str) -> _State:
    rows = _rows(
        connection,
        sql.SQL(
            "SELECT q.last_value, q.is_called, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle"
            " FROM {} AS q, pg_sequence AS s WHERE s.seqrelid = {}::regclass"
        ).format(sql.SQL(name), sql.Literal(name)),
        thing=f"sequence {name}",
    )
    row = rows[0]
    increment = row["seqincrement"]
    return _State(
        used=row["last_value"] if row["is_called"] else row["last_value"] - increment,
        increment=increment,
        low=row["seqmin"],
        high=row["seqmax"],
        cycles=row["seqcycle"],
    )


def _furthest(connection: _Connection, table: TableName, column: str, *, up: bool) -> int | None:
    query = sql.SQL("SELECT {}({})::bigint AS stored FROM {}").format(
        sql.SQL("max" if up else "min"), sql.Identifier(column), sql.Identifier(table.schema, table.name)
    )
    stored: int | None = _rows(connection, query, thing=f"table {table}")[0]["stored"]
    return stored


def _rows(connection: _Connection, query: sql.Composed, *, thing: str) -> Sequence[Mapping[str, Any]]:
    with _translated(connection, thing), connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()


@contextlib.contextmanager
def _translated(connection: _Connection, thing: str) -> Iterator[None]:
    """Driver errors inside become ours. Class 42: the object is missing or may not be read or set."""
    dsn = connection.info.dsn
    try:
        yield
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] != "42":
            raise source_error(dsn, thing, error) from error
        raise SourceUnfit(
            thing=thing,
            reason=str(error).splitlines()[0],
            mend="restore it, or GRANT SELECT, UPDATE on it to the user of strangler.toml",
        ) from None
