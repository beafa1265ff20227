"""The two verifications and the verdict they end in."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cdc.events import TableName
from cdc.lsn import Lsn, format_lsn
from cdc.mapping.model import MoveMapping
from cdc.tables import Schema, schema_hash
from cdc.verify.bags import BagComparison
from cdc.verify.changed import ChangedKeys
from cdc.verify.checksums import NO_ROWS, Checksum, Key, fold, hexadecimal
from cdc.verify.errors import ReadFailed
from cdc.verify.reading import Both, open_both
from cdc.verify.settle import Kind, settle
from cdc.verify.statements import Comparison, comparisons
from cdc.verify.sweep import sweep
from cdc.verify.verdict import MOST_DIFFERENCES_LISTED, Difference, TableVerdict, Verdict
from strangler.clock import Clock

Direction = Literal["forward", "reverse"]
Progress = Callable[[TableName, int], None]
"""Called after each chunk with the target table and the source rows read so far."""

_MOST_SUSPECTS_AT_ONCE = 20_000
_MOST_PROVEN = 10_000
"""So many proven differences in one table end its pass: the answer is no, and the count is a lower bound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Limits:
    chunk_rows: int
    rounds: int


@dataclass(kw_only=True, slots=True)
class _Tally:
    """What is known about one table so far."""

    checksum: Checksum = NO_ROWS
    different: dict[Key, Kind] = field(default_factory=dict)
    moving: set[Key] = field(default_factory=set)
    complete: bool = True


def verify_all(
    source_dsn: str,
    target_dsn: str,
    mapping: MoveMapping,
    *,
    move: str,
    direction: Direction,
    wait_caught_up: Callable[[], None],
    clock: Clock,
    position: Callable[[], Lsn],
    chunk_rows: int = 20_000,
    rounds: int = 10,
    progress: Progress | None = None,
) -> Verdict:
    """Compare every row of the move, while the stream runs.

    `wait_caught_up()` returns once everything committed in the source before the call is applied in the target (emit
    a barrier, wait for it); with both sides at rest it may do nothing. `position()`: the source's log position now.
    For the way back pass the sides swapped and `mapping.inverse()`. Raises `DatabaseUnreachable` or `ReadFailed` when
    a side cannot be read to the end, `MappingInvalid` when a table cannot be verified.
    """
    started_s, at, start = clock.monotonic(), clock.now(), position()
    limits = _Limits(chunk_rows=chunk_rows, rounds=rounds)
    with open_both(source_dsn, target_dsn) as both:
        schemas = _schemas(both, mapping)
        tables = [
            _table_verdict(both, comparison, _whole_table(both, comparison, limits, wait_caught_up, progress))
            for comparison in comparisons(mapping, *schemas)
        ]
        _refuse_ddl_meanwhile(schemas, _schemas(both, mapping), move)
    seconds = clock.monotonic() - started_s
    return _verdict(tables, schemas, move=move, direction=direction, method="full", start=start, at=at, seconds=seconds)


def verify_keys(
    source_dsn: str,
    target_dsn: str,
    mapping: MoveMapping,
    keys: ChangedKeys | Mapping[TableName, Iterable[Key]],
    *,
    move: str,
    direction: Direction,
    clock: Clock,
    position: Callable[[], Lsn],
) -> Verdict:
    """Compare the rows with these source keys (source table → primary keys), with both sides at rest.

    Tables that were truncated meanwhile, and those without a primary key, are compared whole. Raises as `verify_all`.
    """
    changed = keys if isinstance(keys, ChangedKeys) else ChangedKeys(keys={t: frozenset(k) for t, k in keys.items()})
    started_s, at, start = clock.monotonic(), clock.now(), position()
    with open_both(source_dsn, target_dsn) as both:
        schemas = _schemas(both, mapping)
        tables = [
            _table_verdict(both, comparison, _changed_rows(both, comparison, changed))
            for comparison in comparisons(mapping, *schemas)
            if comparison.source_table in changed.keys.keys() | changed.truncated
        ]
    seconds = clock.monotonic() - started_s
    return _verdict(
        tables, schemas, move=move, direction=direction, method="changed", start=start, at=at, seconds=seconds
    )


def _verdict(
    tables: Sequence[TableVerdict],
    schemas: tuple[Schema, Schema],
    *,
    move: str,
    direction: Direction,
    method: Literal["full", "changed"],
    start: Lsn,
    at: datetime,
    seconds: float,
) -> Verdict:
    return Verdict(
        move=move,
        direction=direction,
        equal=not any(table.difference_count for table in tables),
        position=format_lsn(start),
        schema_hash=schema_hash(*schemas),
        rows=sum(table.rows for table in tables),
        tables=tuple(tables),
        method=method,
        at=at,
        seconds=seconds,
    )


def _schemas(both: Both, mapping: MoveMapping) -> tuple[Schema, Schema]:
    return both.ask(lambda side: side.reflect(mapping.source_tables), lambda side: side.reflect(mapping.target_tables))


def _refuse_ddl_meanwhile(before: tuple[Schema, Schema], after: tuple[Schema, Schema], move: str) -> None:
    if schema_hash(*before) != schema_hash(*after):
        raise ReadFailed(
            thing=f"tables of move {move}",
            reason="their structure changed while they were read",
            mend="verify again when the schema change is through",
        )


def _whole_table(
    both: Both,
    comparison: Comparison | BagComparison,
    limits: _Limits,
    wait_caught_up: Callable[[], None],
    progress: Progress | None,
) -> _Tally:
    """Sweep the table; settle the suspects whenever there are many, and at the end."""
    tally, suspects = _Tally(), set[Key]()
    for chunk in sweep(both, comparison, limits.chunk_rows):
        tally.checksum = fold(tally.checksum, chunk.source)
        suspects |= chunk.keys
        if progress is not None:
            progress(comparison.target_table, tally.checksum.count)
        if len(suspects) >= _MOST_SUSPECTS_AT_ONCE:
            _settle_into(tally, both, comparison, suspects, limits.rounds, wait_caught_up)
            suspects = set()
            if len(tally.different) >= _MOST_PROVEN:
                tally.complete = False
                return tally
    _settle_into(tally, both, comparison, suspects, limits.rounds, wait_caught_up)
    return tally


def _settle_into(
    tally: _Tally,
    both: Both,
    comparison: Comparison | BagComparison,
    suspects: set[Key],
    rounds: int,
    wait_caught_up: Callable[[], None],
) -> None:
    settled = settle(both, comparison, suspects, wait_caught_up=wait_caught_up, rounds=rounds)
    tally.different |= settled.different
    tally.moving |= settled.moving


def _changed_rows(both: Both, comparison: Comparison | BagComparison, changed: ChangedKeys) -> _Tally:
    if isinstance(comparison, BagComparison) or comparison.source_table in changed.truncated:
        return _whole_table(both, comparison, _Limits(chunk_rows=20_000, rounds=2), _at_rest, None)
    keys = sorted(comparison.target_key(key) for key in changed.keys[comparison.source_table])
    source, target = both.ask(
        lambda side: side.states(comparison.source, keys), lambda side: side.states(comparison.target, keys)
    )
    tally = _Tally()
    for key in keys:
        one, other = source.get(key), target.get(key)
        if one is not None:
            first, second = map(int, one.hash.split())
            tally.checksum = fold(tally.checksum, Checksum(count=1, sums=(first, second)))
        if (one and one.hash) != (other and other.hash):
            tally.different[key] = "missing" if other is None else "extra" if one is None else "different"
    return tally


def _at_rest() -> None:
    """Nothing is under way."""


def _table_verdict(both: Both, comparison: Comparison | BagComparison, tally: _Tally) -> TableVerdict:
    listed = sorted(tally.different)[:MOST_DIFFERENCES_LISTED]
    columns = _columns_that_differ(both, comparison, [key for key in listed if tally.different[key] == "different"])
    return TableVerdict(
        source=str(comparison.source_table),
        table=str(comparison.target_table),
        rows=tally.checksum.count,
        checksum=hexadecimal(tally.checksum),
        difference_count=len(tally.different),
        complete=tally.complete,
        unsettled=len(tally.moving),
        differences=tuple(
            Difference(
                key=key,
                kind=tally.different[key],
                columns=columns.get(key, ()),
            )
            for key in listed
        ),
    )


def _columns_that_differ(
    both: Both, comparison: Comparison | BagComparison, unequal: Sequence[Key]
) -> dict[Key, tuple[str, ...]]:
    if isinstance(comparison, BagComparison):
        return {}
    ours, theirs = both.ask(
        lambda side: side.column_texts(comparison.source, unequal),
        lambda side: side.column_texts(comparison.target, unequal),
    )
    return {key: _unequal_columns(comparison.columns, ours.get(key), theirs.get(key)) for key in unequal}


def _unequal_columns(names: Sequence[str], ours: Sequence[str] | None, theirs: Sequence[str] | None) -> tuple[str, ...]:
    if ours is None or theirs is None:
        return ()
    return tuple(name for name, one, other in zip(names, ours, theirs, strict=True) if one != other)
