"""What becomes of a write transaction that a cut goes through: steps, the pivot, compensations. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from migration_plans.assess.compensations import WriteKind, WriteKinds, compensation_name
from migration_plans.assess.facts import Facts
from migration_plans.assess.service_map import ServiceMap

StepKind = Literal["check", "compensatable", "pivot", "retriable"]

_CHOREOGRAPHED_MOST = 2
"""Services that write; with more, no single one knows how far a saga has come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One local transaction. A `check` only reads; a `compensatable` step needs an action that undoes its writes."""

    service: str
    kind: StepKind
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    compensations: tuple[str, ...] = ()
    """Actions that undo the step, the last write first; they have to be written by hand."""

    @property
    def compensation(self) -> str | None:
        """All of them, if any."""
        return ", ".join(self.compensations) or None


@dataclass(frozen=True, kw_only=True, slots=True)
class Saga:
    """`transaction`: which of the functionality's, from 0. Steps in the order in which the services are first used."""

    functionality: str
    transaction: int
    calls: float
    steps: tuple[Step, ...]
    coordination: Literal["choreography", "orchestration"]
    reason: str
    """For the coordination."""
    locked: str | None
    """The table whose rows carry the semantic lock: a state such as PENDING until the pivot has passed."""


def find_sagas(facts: Facts, services: ServiceMap) -> Iterator[Saga]:
    """One for each transaction that writes in more than one service."""
    service = services.of_table[facts.accesses >> 1].astype(np.int64)
    written = (facts.accesses & 1).astype(bool)
    count = len(services.names)
    pairs = np.unique(facts.transaction_of_access[written] * count + service[written])
    spanning = np.flatnonzero(np.bincount(pairs // count, minlength=1) > 1)
    functionality_of = facts.functionality_of_transaction
    kinds = WriteKinds(facts)
    parents = frozenset(facts.tables[key.target] for key in facts.foreign_keys)
    for transaction in spanning.tolist():
        begin, end = facts.transaction_starts[transaction : transaction + 2]
        functionality = int(functionality_of[transaction])
        steps = _steps(
            facts,
            services,
            facts.accesses[begin:end].tolist(),
            service[begin:end].tolist(),
            kinds.of(functionality),
        )
        coordination, reason = _coordination(steps)
        yield Saga(
            functionality=facts.functionalities[functionality],
            transaction=transaction - int(facts.functionality_starts[functionality]),
            calls=float(facts.calls[functionality]),
            steps=steps,
            coordination=coordination,
            reason=reason,
            locked=_locked(steps, parents),
        )


def _coordination(steps: tuple[Step, ...]) -> tuple[Literal["choreography", "orchestration"], str]:
    undone = sum(step.kind == "compensatable" for step in steps)
    writing = sum(bool(step.writes) for step in steps)
    if not undone:
        return "choreography", "nothing has to be undone: the pivot publishes its event and the others follow"
    if writing <= _CHOREOGRAPHED_MOST:
        return "choreography", "two services: one event forth, and one back when the second refuses"
    return (
        "orchestration",
        f"{writing} services write and {undone} may have to be undone: one place has to know how far it came",
    )


def _locked(steps: tuple[Step, ...], parents: frozenset[str]) -> str | None:
    """Of what is written before the pivot: the first table that others point to, else the first."""
    written = [table for step in steps if step.kind == "compensatable" for table in step.writes]
    return next((table for table in written if table in parents), written[0] if written else None)


@dataclass(kw_only=True, slots=True)
class _Part:
    """What the transaction does in one service."""

    reads: dict[int, None]
    writes: dict[int, None]
    decides: bool = False
    """It reads before it writes: it may find a reason to refuse."""


def _steps(
    facts: Facts, services: ServiceMap, codes: list[int], used: list[int], kinds_of_writes: Mapping[str, WriteKind]
) -> tuple[Step, ...]:
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
            compensations=tuple(
                compensation_name(facts.tables[table], kinds_of_writes.get(facts.tables[table]))
                for table in reversed(part.writes if kinds.get(service) == "compensatable" else ())
            ),
        )
        for service, part in parts.items()
    )
