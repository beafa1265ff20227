"""Writing where a row was refused or something is parked already: unit by unit where need be, parking what cannot pass.

A piece is tried as a whole; refused, it is halved until the row stands alone. That row parks, and whatever follows is
looked at again, because it may depend on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cdc.apply_batch import plan
from cdc.errors import ApplyFailed, SchemaChanged, TooManyParked
from cdc.events import UNCHANGED, RowChange, TargetChange, Truncate
from cdc.link import LinkSpec
from cdc.lsn import Lsn
from cdc.mapping.port import Mapper
from cdc.parking.footprint import Footprints, Unit, shadow_of, whole_tables_of
from cdc.parking.index import ParkedIndex
from cdc.parking.model import NewParked, ParkedRequest, Refusal
from cdc.parking.units import map_unit
from cdc.target_port import ApplyTarget, RowRefused
from strangler.clock import Clock
from strangler.errors import StranglerError

Numbered = tuple[int, Unit]
LastWord = Callable[[SchemaChanged], SchemaChanged]
"""Why a table cannot follow its schema change; raises it while that is not known."""

_MOST_TOGETHER = 2000
_MOST_SHOWN = 200
"""Characters of a value; the event itself is kept whole."""
_WAITS = "an earlier change of it, or of a row that it depends on, is parked"


@dataclass(slots=True)
class _New:
    number: int
    unit: Unit
    refusal: Refusal
    refused: bool


class Parking:
    """The parked rows of one stream, and the way around them. Belongs to one target session.

    Every method but `active` belongs inside an open target transaction that is not pipelined. When that transaction is
    undone call `forget`.
    """

    def __init__(self, link: LinkSpec, target: ApplyTarget, clock: Clock) -> None:
        self._link, self._target, self._clock = link, target, clock
        self._footprints = Footprints(source_keys=link.source_keys, rules=target.rules, present=target.read_row)
        self._index = ParkedIndex()
        self._known = not target.parked.any()
        self._number = 0
        self._new: list[_New] = []

    @property
    def active(self) -> bool:
        """Something is parked."""
        return not self._known or self._index.events > 0

    def forget(self) -> None:
        """The transaction was undone: ask the target again what is parked."""
        self._known = False
        self._new = []

    def write(self, units: Sequence[Unit], mapper: Mapper, *, last_word: LastWord) -> None:
        """Write the units in order; park what is refused and what depends on something that is parked.

        Raises `ApplyFailed` (a refused row, when the policy is to stop), `TooManyParked`, and what `last_word` raises.
        """
        if not self._known:
            self._replay(mapper, {}, last_word)
        numbered = list(enumerate(units, self._number))
        self._number += len(numbered)
        self._settle(numbered, mapper, last_word)
        self._save(mapper)

    def serve(self, mapper: Mapper, *, last_word: LastWord) -> bool:
        """Do what people asked for (`retry`, `skip`), in order; whether there was anything to do."""
        asked = {request.id: request for request in self._target.parked.requests()}
        if not asked:
            return False
        if all(request.kind == "retry" for request in asked.values()):
            self._retry_together(mapper, asked)
        self._replay(mapper, asked, last_word)
        return True

    def _retry_together(self, mapper: Mapper, asked: Mapping[int, ParkedRequest]) -> None:
        """Some rows can only be applied together: two that swapped a unique value in one transaction."""
        self._index = ParkedIndex()
        together: list[tuple[int, Unit]] = []
        for number, row in enumerate(self._target.parked.load()):
            unit = map_unit(row.parked.events, row.parked.order, row.parked.lenient, mapper)
            wanted = row.id in asked or row.parked.state == "waiting"
            if wanted and unit.error is None and not self._holds(number, unit):
                together.append((row.id, unit))
            else:
                self._index.add(number, self._leaves(unit, mapper, whole_table=row.parked.whole_table), refused=False)
            if len(together) > _MOST_TOGETHER:
                return
        if len(together) > 1 and self._try([unit for _, unit in together]) is None:
            for id, _ in together:
                self._target.parked.remove(id)

    def _settle(self, units: Sequence[Numbered], mapper: Mapper, last_word: LastWord) -> None:
        free: list[Numbered] = []
        for number, unit in units:
            if self._holds(number, unit):
                self._park(number, unit, mapper, Refusal(thing=describe(unit), reason=_WAITS, mend=self._mend), False)
            elif unit.error is not None:
                self._park(number, unit, mapper, _said(unit.error, last_word), True)
            else:
                free.append((number, unit))
        if not free:
            return
        refused = self._try([unit for _, unit in free])
        if refused is None:
            return
        if len(free) == 1:
            number, unit = free[0]
            self._park(number, unit, mapper, self._refusal(unit, refused), True)
            return
        middle = _between_transactions(free) or len(free) // 2
        self._settle(free[:middle], mapper, last_word)
        self._settle(free[middle:], mapper, last_word)

    def _try(self, units: Sequence[Unit]) -> RowRefused | None:
        try:
            with self._target.savepoint():
                changes = (change for unit in units for change in unit.changes)
                self._target.write(plan(changes, self._target.batching))
        except RowRefused as refused:
            return refused
        return None

    def _holds(self, number: int, unit: Unit) -> bool:
        index = self._index
        if not index.events or not unit.events:
            return False
        if index.holds(number, self._footprints.source_asks(unit)):
            return True
        return self._footprints.near(unit, index.tables) and index.holds(number, self._footprints.asks(unit))

    def _park(self, number: int, unit: Unit, mapper: Mapper, refusal: Refusal, refused: bool) -> None:
        if refused and (self._link.on_bad_row == "stop" or not unit.events):
            if unit.error is not None:
                raise unit.error
            raise ApplyFailed(thing=refusal.thing, reason=refusal.reason, mend=self._stop_mend)
        self._index.add(number, self._leaves(unit, mapper), refused=refused)
        self._new.append(_New(number, unit, refusal, refused))
        limits = self._link.limits
        if self._index.refused > limits.parked_rows or self._index.events > limits.parked_events:
            raise TooManyParked(
                thing=f"stream {self._link.stream}",
                reason=f"{self._index.refused} rows are refused and {self._index.events} events parked, newest: "
                f"{refusal.thing}: {refusal.reason}",
                mend=f"see `strangler parked list`; mend the cause, then `strangler parked retry --all`; "
                f"at most {limits.parked_rows} rows and {limits.parked_events} events may be parked",
            )

    def _leaves(self, unit: Unit, mapper: Mapper, *, whole_table: bool = False) -> list[tuple[object, ...]]:
        whole_table = whole_table or isinstance(unit.error, SchemaChanged)
        shadow: Sequence[TargetChange] = ()
        if whole_table or (unit.error is not None and self._keyless(unit)):
            shadow = whole_tables_of(unit, mapper)
        elif unit.error is not None:
            shadow = shadow_of(unit, mapper)
        return list(self._footprints.leaves(unit, whole_table=whole_table, shadow=shadow))

    def _keyless(self, unit: Unit) -> bool:
        """Nothing of a row can be mapped by itself, as a key can."""
        return any(
            isinstance(event, RowChange) and not self._link.source_keys.get(event.relation.table)
            for event in unit.events
        )

    def _save(self, mapper: Mapper) -> None:
        """Park what this piece brought, in stream order, however it was found."""
        if not self._new:
            return
        self._new.sort(key=lambda new: new.number)
        for new in self._new:
            # Rows before it have been written since: what the parked row points to now may be another parent.
            self._index.leave(new.number, self._leaves(new.unit, mapper))
        self._target.parked.add([self._parked(new) for new in self._new], self._clock.now())
        self._new = []

    def _parked(self, new: _New) -> NewParked:
        first = new.unit.events[0]
        lsn, index = new.unit.order
        return NewParked(
            table=first.relation.table if isinstance(first, RowChange) else first.relations[0].table,
            key=self._source_key(first),
            order=(Lsn(lsn), index),
            events=new.unit.events,
            state="refused" if new.refused else "waiting",
            refusal=new.refusal,
            lenient=new.unit.lenient,
            whole_table=isinstance(new.unit.error, SchemaChanged),
        )

    def _source_key(self, event: RowChange | Truncate) -> Mapping[str, str | None]:
        if isinstance(event, Truncate):
            return {}
        image = event.new if event.new is not None else event.old
        assert image is not None
        names = self._link.source_keys.get(event.relation.table, ())
        row = {column.name: value for column, value in zip(event.relation.columns, image, strict=True)}
        if not names:
            return {name: _shown(value) for name, value in row.items() if value is not UNCHANGED}
        return {name: value for name, value in row.items() if name in names and isinstance(value, str)}

    def _replay(self, mapper: Mapper, asked: Mapping[int, ParkedRequest], last_word: LastWord) -> None:
        """Go through everything that is parked, in order: apply what may go on, remember the rest."""
        self._index, self._number = ParkedIndex(), 0
        for row in self._target.parked.load():
            number, self._number = self._number, self._number + 1
            unit = map_unit(row.parked.events, row.parked.order, row.parked.lenient, mapper)
            refused = row.parked.state == "refused"
            request = asked.get(row.id)
            if self._holds(number, unit):
                if request is not None:
                    self._target.parked.drop_request(row.id)
            elif request is not None and request.kind == "skip":
                self._target.parked.skip(request, self._clock.now())
                continue
            elif asked and (request is not None or not refused):
                refusal = self._again(unit, last_word)
                if refusal is None:
                    self._target.parked.remove(row.id)
                    continue
                self._target.parked.refused(row.id, refusal)
                refused = True
            leaves = self._leaves(unit, mapper, whole_table=row.parked.whole_table)
            self._index.add(number, leaves, refused=refused)
        self._known = True

    def _again(self, unit: Unit, last_word: LastWord) -> Refusal | None:
        if unit.error is not None:
            return _said(unit.error, last_word)
        refused = self._try([unit])
        return None if refused is None else self._refusal(unit, refused)

    def _refusal(self, unit: Unit, refused: RowRefused) -> Refusal:
        return Refusal(thing=describe(unit), reason=refused.reason, mend=self._mend, code=refused.code)

    @property
    def _mend(self) -> str:
        return (
            f"make the target accept the row, then `strangler parked retry`; or leave it out with `strangler parked "
            f"skip`, and see with `strangler verify {self._link.move}` what that means"
        )

    @property
    def _stop_mend(self) -> str:
        return (
            f"run `strangler verify {self._link.move}`, put the row back, or copy the table again; "
            "the stream retries by itself and never passes it"
        )


def _between_transactions(units: Sequence[Numbered]) -> int:
    """Where to divide: near the middle, but no transaction as long as there are several, because constraints may hold
    only at its end. 0 when there is one."""
    transactions = [unit.order[0] for _, unit in units]
    borders = [at for at in range(1, len(transactions)) if transactions[at] != transactions[at - 1]]
    return min(borders, key=lambda at: abs(at - len(transactions) // 2), default=0)


def describe(unit: Unit) -> str:
    """The target row that it is about, for a person."""
    if not unit.changes:
        event = unit.events[0]
        tables = [event.relation] if isinstance(event, RowChange) else event.relations
        return f"change of {', '.join(str(each.table) for each in tables)}"
    change = unit.changes[0]
    row = ", ".join(f"{name}={_shown(value)}" for name, value in change.key.items())
    return f"{change.kind} of {change.table} row {row}" if row else f"{change.kind} of {change.table}"


def _shown(value: str | None) -> str | None:
    """A value for a person. Without a key the whole row says which one it is."""
    return value if value is None or len(value) <= _MOST_SHOWN else f"{value[:_MOST_SHOWN]}…"


def _said(error: StranglerError, last_word: LastWord) -> Refusal:
    if isinstance(error, SchemaChanged):
        error = last_word(error)
    return Refusal(thing=error.thing, reason=error.reason, mend=error.mend)
