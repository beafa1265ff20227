"""Transactions that do the same, as one shape. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migration_plans.gather.log_transactions import LoggedTransaction
from migration_plans.gather.requests import MARKER, OURS, trace_id
from migration_plans.gather.sql import SqlReader
from migration_plans.gather.statement import Access, StatementFacts
from migration_plans.gather.statement_text import comment_tags

_ROUTE_TAGS = ("route", "endpoint", "http_route")
_METHOD_TAGS = ("method", "http_method", "http.method")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shape:
    """What a transaction does: its different statements in the order in which they first appear."""

    statements: tuple[StatementFacts, ...]
    accesses: tuple[Access, ...]
    """First read and first write of each table, in order."""

    @property
    def writes(self) -> bool:
        """Is any table written?"""
        return any(access.mode == "W" for access in self.accesses)

    @property
    def holds(self) -> bool:
        """Does it keep locks until it ends that others wait for?"""
        return self.writes or any(statement.locks for statement in self.statements)


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenTransaction:
    """One transaction of a log, reduced to what attribution needs."""

    shape: Shape
    first_entry: int
    last_entry: int
    started: float | None
    ended: float | None
    application: str
    route: str | None
    """The endpoint that its comments name."""
    trace: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A recorded request begins or ends here."""

    marker: str
    entry: int
    begins: bool


class Shapes:
    """Reads transactions; those that do the same share one `Shape`."""

    def __init__(self, reader: SqlReader) -> None:
        self._reader = reader
        self._by_statements: dict[tuple[int, ...], Shape] = {}

    def see(self, transaction: LoggedTransaction) -> SeenTransaction | Mark | None:
        """The transaction's shape and origin; None when it touches no table, changes the schema, or is our own."""
        mark = _mark(transaction)
        if mark is not None:
            return mark
        if transaction.statements[0].startswith(OURS):
            return None
        shape = self.shape(self._reader.read(text) for text in transaction.statements)
        if not shape.accesses and all(one.not_understood is None for one in shape.statements):
            return None
        if any(one.changes_schema for one in shape.statements):
            # A migration is no functionality: it would tie together whatever it happens to touch.
            return None
        route, trace = _origin(transaction.statements)
        return SeenTransaction(
            shape=shape,
            first_entry=transaction.first_entry,
            last_entry=transaction.last_entry,
            started=transaction.started,
            ended=transaction.ended,
            application=transaction.application,
            route=route,
            trace=trace,
        )

    def shape(self, statements: Iterable[StatementFacts]) -> Shape:
        """The one shape of transactions that run these statements, repetitions left out."""
        different = {id(statement): statement for statement in statements}
        key = tuple(different)
        shape = self._by_statements.get(key)
        if shape is None:
            accesses = {access: None for one in different.values() for access in one.accesses}
            shape = Shape(statements=tuple(different.values()), accesses=tuple(accesses))
            self._by_statements[key] = shape
        return shape


def _mark(transaction: LoggedTransaction) -> Mark | None:
    first = transaction.statements[0]
    if not first.startswith(f"/* {MARKER} "):
        return None
    words = first.split("*/", 1)[0].split()
    return Mark(marker=words[3], entry=transaction.first_entry, begins=words[4:5] == ["begin"])


def _origin(statements: Iterable[str]) -> tuple[str | None, str | None]:
    route = trace = None
    for text in statements:
        tags = comment_tags(text)
        if not tags:
            continue
        trace = trace or trace_id(tags.get("traceparent"))
        route = route or route_of(tags)
    return route, trace


def route_of(tags: Mapping[str, str]) -> str | None:
    """The endpoint that a comment's tags name: a route with its method, else controller and action, else a job."""
    named = next((tags[tag] for tag in _ROUTE_TAGS if tags.get(tag)), None)
    if named is not None:
        method = next((tags[tag] for tag in _METHOD_TAGS if tags.get(tag)), None)
        return f"{method.upper()} {named}" if method else str(named)
    controller, action = tags.get("controller"), tags.get("action")
    if controller or action:
        return "#".join(part for part in (controller, action) if part)
    job = tags.get("job")
    return f"job {job}" if job else None
