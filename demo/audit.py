"""The independent check: is every write that a client saw acknowledged in both databases, exactly once, as promised?

It shares nothing with the stream: no mapping, no plan, no bookkeeping tables. It reads the traffic ledger and plain
tables, and expects traffic to have ended and both databases to be at rest.
"""

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import IsolationLevel

from demo.audit_judge import Fault, Kind, accepted_states, judge
from demo.audit_ledger import Expectation, Expectations, Key, LedgerFile
from demo.audit_rows import (
    SIDES,
    Connection,
    Row,
    Side,
    has_twin,
    rows_by_key,
    rows_by_natural_key,
    rows_made_since,
)
from demo.audit_tables import PAIRS, RowCount, TableDifference, compare_tables
from strangler.errors import Unreachable
from strangler.redaction import redact

_BATCH_ROWS = 1000
_K = TypeVar("_K", Key, str)


class DatabaseUnreachable(Unreachable):
    """A database that the audit must read does not answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One row that is not as it must be. `side` None: the sides differ and the ledger does not say which is right."""

    kind: Kind
    entity: str
    key: tuple[int | str, ...]
    side: Side | None
    detail: str

    def __str__(self) -> str:
        where = "" if self.side is None else f" in {self.side}"
        key = ", ".join(str(part) for part in self.key)
        return f"{self.kind}: {self.entity} {key}{where}: {self.detail}"


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditResult:
    """`acknowledged` and `unknown` count writes; `lost`, `duplicated` and `diverged` count rows, each row once.

    - lost: an acknowledged row or its last change is missing, a deleted row is there, or a row is on one side only;
    - duplicated: a row or change that is there once more than anybody was told;
    - diverged: a row whose content is not what was acknowledged, or differs between the sides.
    """

    acknowledged: int
    unknown: int
    lost: int
    duplicated: int
    diverged: int
    rows_compared: int
    ledger_complete: bool
    """False when the traffic did not end in order; rows that nobody asked for are then not counted."""
    examples: tuple[Finding, ...] = ()

    @property
    def clean(self) -> bool:
        """Nothing was lost, duplicated or diverged."""
        return not (self.lost or self.duplicated or self.diverged)


@dataclass(kw_only=True, slots=True)
class _Findings:
    """Counts each row once, by what was first found; keeps some examples of each kind."""

    examples_max: int
    kinds: dict[tuple[str, tuple[int | str, ...]], Kind] = field(default_factory=dict)
    examples: list[Finding] = field(default_factory=list)
    shown: Counter[Kind] = field(default_factory=Counter)

    def add(self, finding: Finding) -> None:
        row = (finding.entity, finding.key)
        if row in self.kinds:
            return
        self.kinds[row] = finding.kind
        self.shown[finding.kind] += 1
        if self.shown[finding.kind] <= self.examples_max:
            self.examples.append(finding)

    def count(self, kind: Kind) -> int:
        return self.shown[kind]


def audit(ledger: Path, legacy_url: str, service_url: str, *, examples_max: int = 10) -> AuditResult:
    """Check every acknowledged write, then every row of the moved tables.

    Takes libpq URLs. At most `examples_max` examples of each kind. Memory: one small entry per written row.
    Raises `DamagedLedger` or `DatabaseUnreachable`; whatever is wrong with the data is in the result.
    """
    findings, count = _Findings(examples_max=examples_max), RowCount()
    with LedgerFile(path=ledger) as file, _reading(legacy_url) as legacy, _reading(service_url) as service:
        expected = file.read()
        databases: Mapping[Side, Connection] = {"legacy": legacy, "service": service}
        for finding in itertools.chain(
            _check_writes(expected, file, databases),
            _find_uninvited(expected, databases),
            _check_tables(databases, count),
        ):
            findings.add(finding)
    return AuditResult(
        acknowledged=expected.acknowledged,
        unknown=expected.unknown,
        lost=findings.count("lost"),
        duplicated=findings.count("duplicated"),
        diverged=findings.count("diverged"),
        rows_compared=count.rows,
        ledger_complete=expected.complete,
        examples=tuple(findings.examples),
    )


@contextlib.contextmanager
def _reading(url: str) -> Iterator[Connection]:
    """One read-only snapshot of a database."""
    try:
        connection = psycopg.connect(
            url, options="-c TimeZone=UTC -c DateStyle=ISO -c default_transaction_read_only=on"
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnreachable(
            thing=redact(url), reason=redact(str(error)), mend="start the database, then audit again"
        ) from None
    with connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        yield connection


def _check_writes(expected: Expectations, file: LedgerFile, databases: Mapping[Side, Connection]) -> Iterator[Finding]:
    for entity, rows in expected.rows.items():
        yield from _check_entity(entity, rows, file, databases, rows_by_key)
    for entity, unborn in expected.unborn.items():
        yield from _check_entity(entity, unborn, file, databases, rows_by_natural_key)


def _check_entity(
    entity: str,
    expectations: Mapping[_K, Expectation],
    file: LedgerFile,
    databases: Mapping[Side, Connection],
    fetch: Callable[[Connection, Side, str, Sequence[_K]], Mapping[_K, Row]],
) -> Iterator[Finding]:
    for keys in _batches(sorted(expectations)):
        rows = {side: fetch(databases[side], side, entity, keys) for side in SIDES}
        for key in keys:
            accepted = accepted_states(expectations[key], file.write_at)
            faults = [(side, judge(accepted, rows[side].get(key))) for side in SIDES]
            yield from _worst(entity, (key,) if isinstance(key, str) else key, faults)


def _worst(entity: str, key: tuple[int | str, ...], faults: Iterable[tuple[Side, Fault | None]]) -> Iterator[Finding]:
    """One finding a row: a loss hides a double, which hides a difference."""
    order: Sequence[Kind] = ("lost", "duplicated", "diverged")
    real = [(side, fault) for side, fault in faults if fault is not None]
    if real:
        side, fault = min(real, key=lambda pair: order.index(pair[1].kind))
        yield Finding(kind=fault.kind, entity=entity, key=key, side=side, detail=fault.detail)


def _find_uninvited(expected: Expectations, databases: Mapping[Side, Connection]) -> Iterator[Finding]:
    """Products and prices that were made while the traffic ran, and that no client asked for."""
    if not expected.complete or expected.started_at is None:
        return
    for side, entity in itertools.product(SIDES, ("product", "price")):
        for row_id, natural in rows_made_since(databases[side], side, entity, expected.started_at):
            if (row_id,) not in expected.rows[entity] and natural not in expected.unborn[entity]:
                detail = "made during the run, and no client was told of it"
                yield Finding(kind="duplicated", entity=entity, key=(row_id,), side=side, detail=detail)


def _check_tables(databases: Mapping[Side, Connection], count: RowCount) -> Iterator[Finding]:
    for pair in PAIRS:
        # The streams occupy both connections, so what needs another query waits until they end.
        one_sided: list[TableDifference] = []
        for difference in compare_tables(pair, databases["legacy"], databases["service"], count):
            if difference.only_on is not None and pair.entity == "price":
                one_sided.append(difference)
            else:
                yield _finding(difference, "diverged" if difference.only_on is None else "lost")
        for difference in one_sided:
            side: Side = "legacy" if difference.only_on == "legacy" else "service"
            twin = has_twin(databases[side], side, difference.key[0])
            yield _finding(difference, "duplicated" if twin else "lost")


def _finding(difference: TableDifference, kind: Kind) -> Finding:
    return Finding(kind=kind, entity=difference.pair.entity, key=difference.key, side=None, detail=difference.detail)


def _batches(keys: Sequence[_K]) -> Iterator[Sequence[_K]]:
    for start in range(0, len(keys), _BATCH_ROWS):
        yield keys[start : start + _BATCH_ROWS]


def as_json(result: AuditResult) -> dict[str, Any]:
    """The counts and examples as JSON values."""
    return {
        "acknowledged": result.acknowledged,
        "unknown": result.unknown,
        "lost": result.lost,
        "duplicated": result.duplicated,
        "diverged": result.diverged,
        "rows_compared": result.rows_compared,
        "ledger_complete": result.ledger_complete,
        "examples": [str(example) for example in result.examples],
    }
