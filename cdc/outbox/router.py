"""Outbox row → domain event. Pure.

Only inserts (and rows read by a copy) are events. A delete keeps the table small and means nothing; so does a truncate.
An update means that somebody takes the outbox for a table of state: the options say how loud that is.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from cdc.errors import OutboxInvalid
from cdc.events import Change, Relation, RowChange, Transaction
from cdc.outbox.events import DomainEvent
from cdc.outbox.options import OutboxOptions, compile_topic

_BYTEA: Final = 17
_JSON_OIDS: Final = frozenset({114, 3802})
_NUMBER_OIDS: Final = frozenset({20, 21, 23})
_BOOL: Final = 16
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Complaint:
    """Something that is not an event and should not have happened. Nothing is delivered for it."""

    level: Literal["warn", "error"]
    text: str


class OutboxRouter:
    """Routes the rows of one outbox table; every other table's are passed over."""

    def __init__(self, options: OutboxOptions) -> None:
        self._options = options
        self._pattern, self._template = compile_topic(options)
        self._relation: Relation | None = None
        self._positions: dict[str, int] = {}

    def route(self, transaction: Transaction, index: int, change: Change) -> DomainEvent | Complaint | None:
        """The event of one change; None when it is none. Raises `OutboxInvalid` for a row that cannot be routed, and
        for an update where that is fatal."""
        if not isinstance(change, RowChange) or change.relation.table != self._options.table:
            return None
        match change.op:
            case "d":
                return None
            case "u":
                return self._updated(change)
            case "c" | "r":
                return self._event(transaction, index, change)

    def _updated(self, change: RowChange) -> Complaint:
        told = f"a row of outbox {self._options.table} was updated; only inserts are events"
        level = self._options.invalid_operation
        if level == "fatal":
            raise OutboxInvalid(
                thing=f"outbox {self._options.table}",
                reason="a row was updated; only inserts are events",
                mend="insert a new row for each event; or set invalid_operation to warn, which passes over updates",
            )
        return Complaint(level=level, text=told)

    def _event(self, transaction: Transaction, index: int, change: RowChange) -> DomainEvent:
        row = _Row(change, self._columns(change.relation))
        options = self._options
        event_id = row.text(options.id)
        if event_id is None:
            raise self._invalid(row, f"its {options.id} is null: consumers could not recognise it")
        value, is_json = self._value(row)
        headers: dict[str, str | None] = {"id": event_id}
        partition = None
        for placement in options.place:
            if placement.place == "header":
                headers[placement.name] = row.text(placement.column)
            elif placement.place == "partition":
                partition = self._partition(row, placement.column)
        key = row.text(options.key)
        return DomainEvent(
            id=event_id,
            topic=self._topic(row),
            key=event_id if key is None else key,
            value=value,
            is_json=is_json,
            headers=headers,
            timestamp_us=self._timestamp(row, transaction.commit_time_us),
            partition=partition,
            commit_lsn=transaction.commit_lsn,
            index=index,
        )

    def _columns(self, relation: Relation) -> dict[str, int]:
        if relation is not self._relation:
            found = {column.name: position for position, column in enumerate(relation.columns)}
            missing = [name for name in self._options.columns() if name not in found]
            if missing:
                raise OutboxInvalid(
                    thing=f"outbox {self._options.table}",
                    reason=f"has no column {', '.join(missing)}",
                    mend="name its columns in [outbox] as the table has them",
                )
            self._relation, self._positions = relation, found
        return self._positions

    def _topic(self, row: "_Row") -> str:
        routed = row.text(self._options.route_by)
        if routed is None:
            raise self._invalid(row, f"its {self._options.route_by} is null: no topic follows from it")
        match = self._pattern.fullmatch(routed)
        topic = match.expand(self._template) if match else routed
        if not _TOPIC.fullmatch(topic) or topic in {".", ".."}:
            raise self._invalid(row, f"{topic[:100]!r} cannot be the name of a topic")
        return topic

    def _value(self, row: "_Row") -> tuple[bytes | None, bool]:
        options = self._options
        payload = row.text(options.payload)
        if payload is None or (payload == "" and options.tombstone_on_empty):
            return None, False
        is_bytes = row.oid(options.payload) == _BYTEA
        is_json = not is_bytes and options.expand_json and _is_json(payload)
        envelope = [placement for placement in options.place if placement.place == "envelope"]
        if not envelope:
            return (bytes.fromhex(payload[2:]) if is_bytes else payload.encode()), is_json
        parts = {placement.name: row.json(placement.column) for placement in envelope}
        parts = {"payload": payload if is_json else json.dumps(payload, ensure_ascii=False)} | parts
        inner = ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {text}" for name, text in parts.items())
        return f"{{{inner}}}".encode(), True

    def _partition(self, row: "_Row", column: str) -> int | None:
        text = row.text(column)
        if text is None:
            return None
        if not text.isdigit():
            raise self._invalid(row, f"its {column} is not the number of a partition")
        return int(text)

    def _timestamp(self, row: "_Row", commit_time_us: int) -> int:
        column = self._options.timestamp
        text = row.text(column) if column else None
        if text is None:
            return commit_time_us
        if row.oid(column or "") in _NUMBER_OIDS:
            return int(text) * 1000
        try:
            return _microseconds(text)
        except ValueError:
            raise self._invalid(row, f"its {column} is not a time between the years 1 and 9999") from None

    def _invalid(self, row: "_Row", reason: str) -> OutboxInvalid:
        return OutboxInvalid(
            thing=f"row {row.text(self._options.id)} of outbox {self._options.table}",
            reason=reason,
            mend="correct what writes such rows, and the options in [outbox]; events behind it wait, none is dropped",
        )


@dataclass(frozen=True, slots=True)
class _Row:
    change: RowChange
    positions: dict[str, int]

    def text(self, column: str) -> str | None:
        assert self.change.new is not None
        value = self.change.new[self.positions[column]]
        return value if isinstance(value, str) else None

    def oid(self, column: str) -> int:
        return self.change.relation.columns[self.positions[column]].type_oid

    def json(self, column: str) -> str:
        """As it stands in an envelope: numbers, truth and JSON bare, everything else a string."""
        text, oid = self.text(column), self.oid(column)
        if text is None:
            return "null"
        if oid in _NUMBER_OIDS or oid in _JSON_OIDS:
            return text
        if oid == _BOOL:
            return "true" if text == "t" else "false"
        return json.dumps(text, ensure_ascii=False)


def _is_json(text: str) -> bool:
    """A payload that claims to be JSON and is not stays a string, as Debezium has it."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _microseconds(text: str) -> int:
    """A timestamp in PostgreSQL's ISO form; without a zone it is UTC."""
    at = datetime.fromisoformat(text)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (at - _EPOCH) // timedelta(microseconds=1)
