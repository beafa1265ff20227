"""What becomes of a write transaction that a cut goes through: steps, the pivot, compensations. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from migration_plans.assess.facts import Facts
from migration_plans.assess.service_map import ServiceMap

StepKind = Literal["check", "compensatable", "pivot", "retriable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One local transaction. A `check` only reads; a `compensatable` step needs an action that undoes its writes."""

    service: str
    kind: StepKind
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    @property
    def compensation(self) -> str | None:
        """What has to be written by hand, if anything."""
        return f"undo what was written to {', '.join(self.writes)}" if self.kind == "compensatable" else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Saga:
    """`transaction`: which of the functionality's, from 0. Steps in the order in which the services are first used."""

    functionality: str
    transaction: int
    calls: float
    steps: tuple[Step, ...]


def find_sagas(facts: Facts, services: ServiceMap) -> Iterator[Saga]:
    """One for each transaction that writes in more than one service."""
    service = services.of_table[facts.accesses >> 1].astype(np.int64)
    written = (facts.accesses & 1).astype(bool)
    count = len(services.names)
    pairs = np.unique(facts.transaction_of_access[written] * count + service[written])
    spanning = np.flatnonzero(np.bincount(pairs // count, minlength=1) > 1)
    functionality_of = facts.functionality_of_transaction
    for transaction in spanning.tolist():
        begin, end = facts.transaction_starts[transaction : transaction + 2]
        functionality = int(functionality_of[transaction])
        yield Saga(
            functionality=facts.functionalities[functionality],
            transaction=transaction - int(facts.functionality_starts[functionality]),
            calls=float(facts.calls[functionality]),
            steps=_steps(facts, services, facts.accesses[begin:end].tolist(), service[begin:end].tolist()),
        )


@dataclass(kw_only=True, slots=True)
class _Part:
    """What the transaction does in one service."""

    reads: dict[int, None]
    writes: dict[int, None]
    decides: bool = False
    """It reads before it writes: it may find a reason to refuse."""


def _steps(facts: Facts, services: ServiceMap, codes: list[int], used: list[int]) -> tuple[Step, ...]:
    parts: dict[int, _Part] = {}
    for code, service in zip(codes, used, strict=True):
        part = parts.setdefault(service, _Part(reads={}, writes={}))
        if code & 1:
            part.decides = part.decides or bool(part.reads)
            part.writes[code >> 1] = None
        else:
            part.reads[code >> 1] = None
    writing = [service for service, part in parts.items() if part.writes]
    deciding = [position for position, service in enumerate(writing) if parts[service].decides]
    pivot = deciding[-1] if deciding else 0
    kinds: dict[int, StepKind] = {
        service: "compensatable" if position < pivot else "pivot" if position == pivot else "retriable"
        for position, service in enumerate(writing)
    }
    return tuple(
        Step(
            service=services.names[service],
            kind=kinds.get(service, "check"),
            reads=tuple(facts.tables[table] for table in part.reads),
            writes=tuple(facts.tables[table] for table in part.writes),
        )
        for service, part in parts.items()
    )
