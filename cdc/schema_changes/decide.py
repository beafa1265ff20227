"""What to do about the changes of one source table: actions on the target, or what a person has to decide. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from cdc.events import TableName
from cdc.mapping.model import ColumnRule, TableMapping, TargetMapping
from cdc.mapping.types import misfit, scaled_misfit
from cdc.schema_changes.actions import (
    AddColumn,
    AddLabel,
    AllowNull,
    ChangeType,
    TargetAction,
    alembic,
    drop_column,
)
from cdc.schema_changes.difference import Change
from cdc.schema_changes.evolved import evolve_table
from cdc.schema_changes.forms import CatalogTable, FormColumn, TableForm
from cdc.schema_changes.policy import Decision, Kind, SchemaPolicy
from cdc.tables import Schema, TableColumn


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """A change that nobody but a person may follow. `why`: beyond its kind; `mend`: Alembic lines and plan changes."""

    change: Change | None = None
    why: str = ""
    mend: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A column that the target has already is taken only if every row of it has this value (text form)."""

    table: TableName
    column: str
    value: str | None
    stop: Stop


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """`form`: what is kept as the table's latest form if nothing stops. `actions` in order; `done`: one line each."""

    form: TableForm
    actions: tuple[TargetAction, ...] = ()
    checks: tuple[Check, ...] = ()
    stops: tuple[Stop, ...] = ()
    done: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """One source table at the moment of a change. `plan`: as the plan file has it; `forms`: accepted ones, not empty.

    `target`: the structure of its target tables now.
    """

    plan: TableMapping
    forms: Sequence[TableForm]
    catalog: CatalogTable
    target: Schema
    policy: SchemaPolicy

    @property
    def in_force(self) -> TableMapping:
        return evolve_table(self.plan, self.forms)


def decide(situation: Situation, after: TableForm, changes: Sequence[Change]) -> Outcome:
    """Every change is followed, passed over or stops; one stop and nothing is done at all."""
    work = _Work(situation, {column.attnum: column for column in after.columns})
    for change in changes:
        work.take(change)
    columns = tuple(work.columns[column.attnum] for column in after.columns)
    return Outcome(
        form=replace(after, columns=columns),
        actions=tuple(work.actions),
        checks=tuple(work.checks),
        stops=tuple(work.stops),
        done=tuple(work.done),
    )


@dataclass(slots=True)
class _Work:
    situation: Situation
    columns: dict[int, FormColumn]
    actions: list[TargetAction] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def take(self, change: Change) -> None:
        decision = self.situation.policy.decide(change.kind)
        match change.kind:
            case Kind.ADDED_NULLABLE | Kind.ADDED_CONSTANT | Kind.ADDED_COMPUTED | Kind.ADDED_CASE:
                self._added(change, decision)
            case Kind.KEY | Kind.REPLACED:
                self._stop(change, mend=("decide what the rows are told apart by, and copy the table again",))
            case _ if not list(self._fed(change)):
                self._note(change, "not mapped")
            case Kind.DROPPED:
                self._dropped(change, decision)
            case Kind.RENAMED:
                self._renamed(change, decision)
            case Kind.WIDENED | Kind.NARROWED | Kind.RETYPED:
                self._retyped(change, decision)
            case Kind.LABEL_ADDED | Kind.LABEL_LOST:
                self._labels(change, decision)
            case Kind.NULL_ALLOWED | Kind.NULL_REFUSED:
                self._nullability(change, decision)

    def _added(self, change: Change, decision: Decision) -> None:
        column = _after(change)
        target = self.situation.plan.targets[0]
        planned = {rule.source: rule for each in self.situation.plan.targets for rule in each.columns}
        existing = self._target_column(target, column.name)
        if column.name in self.situation.plan.dropped:
            self._note(change, "the plan drops it")
        elif column.name in planned and decision is not Decision.STOP:
            self._note(change, "the plan maps it")
        elif column.name in planned:
            # A person has put it into the plan after the stop, and with it said that the rows are dealt with.
            self._note(change, "the plan maps it now")
        elif self.situation.catalog.column(column.attnum) is None and change.kind is Kind.ADDED_NULLABLE:
            self._leave(change, "it was dropped again")
        elif decision is Decision.IGNORE:
            self._leave(change, "ignored by stream.on_schema_change")
        elif decision is Decision.STOP:
            self._stop(change, mend=(alembic(_add(target.table, column)), _plan_line(self.situation, column)))
        elif target.partial or target.rule(column.known_as) is not None:
            why = f"{target.table} has a column {column.name} that is fed by something else"
            self._stop(change, why, (f"map it under another name under `{target.table}` in the plan",))
        elif existing is not None:
            self._take_existing(change, existing, target)
        else:
            known = self.situation.catalog.column(column.attnum)
            default = known.default if known is not None else None
            self._act(change, _add(target.table, column, default))

    def _take_existing(self, change: Change, existing: TableColumn, target: TargetMapping) -> None:
        column = _after(change)
        if existing.generated or misfit(column.type, existing.type) is not None:
            why = f"{target.table}.{existing.name} exists as {existing.type}"
            mend = alembic(ChangeType(table=target.table, column=existing.name, type=column.type))
            self._stop(change, why, (mend, _plan_line(self.situation, column)))
            return
        why = f"{target.table}.{existing.name} exists and its rows have other values than those of the source"
        stop = Stop(change=change, why=why, mend=(_plan_line(self.situation, column), "copy the table again"))
        self.checks.append(Check(table=target.table, column=existing.name, value=column.missing, stop=stop))
        self._note(change, f"into {target.table}.{existing.name}, which exists")

    def _dropped(self, change: Change, decision: Decision) -> None:
        mend, held = [], []
        for target, rule, column in self._fed(change):
            mend.append(drop_column(target.table, rule.target))
            if column is not None and not column.filled_by_itself:
                held.append(AllowNull(table=target.table, column=rule.target))
        name = _before(change).known_as
        if decision is Decision.IGNORE and not held:
            self._note(change, "no longer fed")
        elif decision is Decision.IGNORE:
            self._stop(change, "the target's column may not be NULL", [alembic(each) for each in held])
        else:
            self._stop(change, mend=(*mend, f"take {name!r} out of {self.situation.plan.source} in the plan"))

    def _renamed(self, change: Change, decision: Decision) -> None:
        old, new = _before(change), _after(change)
        planned = {rule.source for target in self.situation.plan.targets for rule in target.columns}
        in_key = old.name in self.situation.forms[-1].key
        if new.name in planned and old.known_as not in planned:
            self._note(change, "the plan says so")
        elif decision is Decision.FOLLOW and not in_key:
            self._note(change, "the target keeps its name")
        else:
            plan = (
                f"say {new.name!r} for {old.known_as!r} as a source column of {self.situation.plan.source} in the plan"
            )
            self._stop(change, "it is part of the key" if in_key else "", (plan,))

    def _retyped(self, change: Change, decision: Decision) -> None:
        old, new = _before(change), _after(change)
        for target, rule, column in self._fed(change):
            if column is None:
                continue
            act = ChangeType(table=target.table, column=rule.target, type=new.type)
            if column.type == new.type:
                self._note(change, f"{target.table}.{rule.target} is of that type")
            elif decision is not Decision.FOLLOW or not new.type:
                self._stop(change, mend=(alembic(act), "copy the table again if its values changed"))
            elif _holds(rule, new.type, column):
                self._note(change, f"{target.table}.{rule.target} holds it")
            elif rule.plain and column.type == old.type:
                self._act(change, act)
            else:
                self._stop(change, f"{target.table}.{rule.target} is {column.type}", (alembic(act),))

    def _labels(self, change: Change, decision: Decision) -> None:
        for target, rule, column in self._fed(change):
            if column is None or not rule.plain or not column.enum_labels:
                if change.kind is Kind.LABEL_LOST:
                    self._stop(change, mend=(f"change the old label in {target.table}.{rule.target} as well",))
                continue
            acts = _new_labels(_after(change).labels, column)
            lost = set(_before(change).labels) - set(_after(change).labels) & set(column.enum_labels)
            if change.kind is Kind.LABEL_LOST and lost:
                self._stop(change, mend=(f"op.execute('ALTER TYPE {column.type} RENAME VALUE …')",))
            elif acts and decision is Decision.STOP:
                self._stop(change, mend=[alembic(act) for act in acts])
            else:
                self._act(change, *acts)

    def _nullability(self, change: Change, decision: Decision) -> None:
        for target, rule, column in self._fed(change):
            if change.kind is Kind.NULL_REFUSED and decision is Decision.STOP:
                self._stop(change)
            if change.kind is Kind.NULL_REFUSED or column is None or column.nullable:
                continue
            act = AllowNull(table=target.table, column=rule.target)
            key = self.situation.target.tables[target.table].primary_key
            if decision is Decision.STOP or rule.target in key:
                self._stop(change, mend=(alembic(act),))
            else:
                self._act(change, act)

    def _fed(self, change: Change) -> Iterator[tuple[TargetMapping, ColumnRule, TableColumn | None]]:
        """What the changed column feeds, by the mapping in force."""
        name = change.before.name if change.before is not None else None
        for target in self.situation.in_force.targets:
            for rule in target.columns:
                if rule.source is not None and rule.source == name:
                    yield target, rule, self._target_column(target, rule.target)

    def _target_column(self, target: TargetMapping, name: str) -> TableColumn | None:
        table = self.situation.target.tables.get(target.table)
        return None if table is None else table.column(name)

    def _leave(self, change: Change, how: str) -> None:
        column = _after(change)
        self.columns[column.attnum] = replace(self.columns[column.attnum], mapped=False)
        self._note(change, how)

    def _act(self, change: Change, *actions: TargetAction) -> None:
        self.actions += actions
        self._note(change, "followed")

    def _note(self, change: Change, how: str) -> None:
        self.done.append(f"{change.line}: {how}")

    def _stop(self, change: Change, why: str = "", mend: Sequence[str] = ()) -> None:
        self.stops.append(Stop(change=change, why=why, mend=tuple(mend)))


def _holds(rule: ColumnRule, source_type: str, column: TableColumn) -> bool:
    if rule.lookup is not None:
        return True
    if rule.scale is not None:
        return scaled_misfit(source_type, column.type, rule.digits) is None
    return rule.plain and misfit(source_type, column.type) is None


def _new_labels(labels: Sequence[str], column: TableColumn) -> list[AddLabel]:
    """Those that the target's enum lacks, each behind the label that it follows in the source."""
    has = set(column.enum_labels)
    before = [None, *labels[:-1]]
    return [
        AddLabel(type=column.type, label=label, after=after)
        for after, label in zip(before, labels, strict=True)
        if label not in has
    ]


def _add(table: TableName, column: FormColumn, default: str | None = None) -> AddColumn:
    return AddColumn(table=table, column=column.known_as, type=column.type, filled=column.missing, default=default)


def _plan_line(situation: Situation, column: FormColumn) -> str:
    target = situation.plan.targets[0].table
    return (
        f"in the plan: {column.name}: {column.name} under {target}, or {column.name} under `dropped` of "
        f"{situation.plan.source} with the reason"
    )


def _before(change: Change) -> FormColumn:
    assert change.before is not None, "a change of a column that was there"
    return change.before


def _after(change: Change) -> FormColumn:
    assert change.after is not None, "a change of a column that is there"
    return change.after
