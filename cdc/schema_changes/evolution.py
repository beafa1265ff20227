"""Follows schema changes of one stream's source tables: `cdc.schema_port.SchemaEvolution` for PostgreSQL targets."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import psycopg

from cdc.bookkeeping import create_source_schema
from cdc.connections import CatalogConnection, open_database, place
from cdc.errors import ApplyFailed, NotProvisioned, SchemaChanged
from cdc.events import Relation, TableName
from cdc.link import Direction
from cdc.mapping.compiled import CompiledMapping
from cdc.mapping.model import MoveMapping, TableMapping
from cdc.mapping.port import Mapper
from cdc.schema import reflect
from cdc.schema_changes.actions import AddColumn, TargetAction, alembic, statements
from cdc.schema_changes.catalog import distinct_values, read_table, type_names
from cdc.schema_changes.decide import Check, Outcome, Situation, Stop, decide
from cdc.schema_changes.difference import Change, difference
from cdc.schema_changes.evolved import Forms, compile_evolved, evolve
from cdc.schema_changes.forms import CatalogTable, FormColumn, TableForm, identify
from cdc.schema_changes.policy import STOP_AT_EVERYTHING, Kind, SchemaPolicy
from cdc.schema_changes.store import Met, accepted, has_source_schema, load_met, read_met, write_met
from cdc.sessions import is_transient, source_error, target_error, target_reason
from cdc.verify.statements import literal, quoted
from strangler import failpoints

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('strangler source_schema ' || %s, 0))"


class StreamSchema:
    """The forms of one stream's source tables, and the mapping carried through them.

    `plan` gives the mapping as people wrote it, in this stream's direction. The way back follows nothing by itself: the
    monolith's tables are not ours to alter. Any thread may call it, also from several processes at once.
    """

    def __init__(
        self,
        *,
        stream: str,
        direction: Direction,
        source_dsn: str,
        target_dsn: str,
        plan: Callable[[], MoveMapping],
        policy: SchemaPolicy,
        lock_timeout_s: float = 10.0,
    ) -> None:
        self.stream, self.source_dsn, self.target_dsn = stream, source_dsn, target_dsn
        self._plan = plan
        self._direction = direction
        self._policy = policy if direction == "forward" else STOP_AT_EVERYTHING
        self._lock_timeout_s = lock_timeout_s
        self._remembered = False

    def forms(self) -> Forms:
        """What the stream has met and follows. Raises `DatabaseUnreachable`."""
        return accepted(load_met(self.target_dsn, self.stream))

    def mapping(self) -> MoveMapping:
        """The plan's mapping in the names of the latest forms: what is applied, verified and carried back."""
        return evolve(self._plan(), self.forms())

    def mapper(self) -> CompiledMapping:
        """For events of every form that was met. Raises `MappingInvalid`, `DatabaseUnreachable`."""
        plan = self._plan()
        return compile_evolved(
            plan,
            self.forms(),
            reflect(self.source_dsn, plan.source_tables),
            reflect(self.target_dsn, plan.target_tables),
        )

    def remember(self) -> None:
        """Take the source's tables as they are for those that no form is known of: at provisioning."""
        if self._remembered:
            return
        with open_database(self.target_dsn) as target:
            self._refuse_unprovisioned(target)
            if not has_source_schema(target):
                create_source_schema(target)
            with self._locked(target), open_database(self.source_dsn) as source:
                known = accepted(read_met(target, self.stream))
                for table in self._plan().source_tables:
                    if table not in known and (found := read_table(source, table)) is not None:
                        write_met(target, self.stream, version=1, state="met", form=found.form)
                known = accepted(read_met(target, self.stream))
        self._remembered = known.keys() >= set(self._plan().source_tables)

    def _refuse_unprovisioned(self, target: CatalogConnection) -> None:
        row = target.execute("SELECT to_regclass('strangler.stream_position') IS NULL AS it").fetchone()
        if row is not None and row["it"]:
            raise NotProvisioned(
                thing=f"stream {self.stream}",
                reason=f"was never provisioned in {place(self.target_dsn)}",
                mend="provision the move first: `strangler run` does it in its phase `prepared`",
            )

    def follow(self, relation: Relation, mapper: Mapper) -> Mapper:
        """See `SchemaEvolution`. Raises `SchemaChanged`, `ApplyFailed` (a lock), `DatabaseUnreachable`."""
        self.remember()
        catalog = self._catalog(relation.table, relation.oid)
        if catalog is None:
            raise _gone(relation)
        self.take(relation.table, relation, catalog)
        failpoints.reach("cdc.schema.followed")
        return self.mapper()

    def take(self, table: TableName, relation: Relation | None, catalog: CatalogTable) -> None:
        """Bring the target to the form of `relation`, or (None) to the catalog's, and keep it; both or neither."""
        try:
            with open_database(self.target_dsn) as target:
                try:
                    with self._locked(target):
                        self._take(target, table, relation, catalog)
                except _Stopped as stopped:
                    with self._locked(target):
                        self._keep_stopped(target, stopped)
                    raise self._refusal(stopped, relation) from None
        except psycopg.Error as error:
            if is_transient(error):
                raise _busy(table) from error
            raise target_error(self.target_dsn, f"table of {table}", error) from error

    def accept(self, table: TableName) -> TableForm:
        """A person has reconciled the target with the table as the source has it now; nothing is altered.

        Raises `SchemaChanged` when the source has no such table.
        """
        self.remember()
        catalog = self._catalog(table)
        if catalog is None:
            raise SchemaChanged(
                thing=f"source table {table}", reason="does not exist", mend="restore it, or take it out of the plan"
            )
        with open_database(self.target_dsn) as target, self._locked(target):
            forms = self._known_forms(read_met(target, self.stream), table)
            form = self._with_what_target_has(carried(catalog.form, forms[-1]), forms[-1])
            write_met(
                target, self.stream, version=len(forms) + 1, state="met", form=form, changes=["accepted by a person"]
            )
        return form

    def _with_what_target_has(self, form: TableForm, last: TableForm) -> TableForm:
        """Of the columns that came, only those feed the target that it has a column for."""
        targets = self._table_plan(form.table).targets
        table = reflect(self.target_dsn, [targets[0].table]).tables.get(targets[0].table)
        has = set(table.column_names) if table else set[str]()
        columns = (
            replace(each, mapped=each.known_as in has) if last.column(each.attnum) is None else each
            for each in form.columns
        )
        return replace(form, columns=tuple(columns))

    def _take(
        self, target: CatalogConnection, table: TableName, relation: Relation | None, catalog: CatalogTable
    ) -> None:
        forms = self._forms_of(target, table, relation)
        form = catalog.form if relation is None else identify(relation, forms, catalog)
        if form is None:
            raise _Stopped(table, (), len(forms) + 1, catalog.form, _UNTOLD)
        last = forms[-1]
        if form.same_shape(last):
            form = catalog.form if catalog.form.same_shape(last) else last
        elif last.same_shape(catalog.form):
            self._keep_passing(target, forms, form)
            return
        form = self._completed(carried(catalog.form if form.same_shape(catalog.form) else form, last))
        changes, form = self._looked_up(difference(last, form, catalog), form)
        if not changes:
            return
        plan = self._table_plan(table)
        targets = reflect(target, [each.table for each in plan.targets])
        situation = Situation(plan=plan, forms=forms, catalog=catalog, target=targets, policy=self._policy)
        outcome = decide(situation, form, changes)
        self._carry_out(target, table, outcome, len(forms) + 1)

    def _carry_out(self, target: CatalogConnection, table: TableName, outcome: Outcome, version: int) -> None:
        if outcome.stops:
            raise _Stopped(table, outcome.stops, version, outcome.form)
        for check in outcome.checks:
            if not _holds(target, check):
                raise _Stopped(table, (check.stop,), version, outcome.form)
        if outcome.actions and (owner := self._other_owner(target)):
            stop = Stop(why=f"the target's tables are owned by {owner} now", mend=tuple(map(alembic, outcome.actions)))
            raise _Stopped(table, (stop,), version, outcome.form)
        for action in outcome.actions:
            try:
                _execute(target, action)
            except (
                psycopg.errors.ProgrammingError,
                psycopg.errors.NotSupportedError,
                psycopg.errors.DataError,
            ) as error:
                stop = _refused(action, target_reason(error))
                raise _Stopped(table, (stop,), version, outcome.form) from error
        write_met(target, self.stream, version=version, state="met", form=outcome.form, changes=outcome.done)

    def _other_owner(self, target: CatalogConnection) -> str | None:
        """Who owns the move's tables when it is not this stream's source; they are then not this stream's to alter."""
        found = target.execute("SELECT to_regclass('strangler.ownership') IS NOT NULL AS found").fetchone()
        if found is None or not found["found"]:
            return None
        move = self.stream.removeprefix("strangler_").removesuffix(f"_{self._direction}")
        row = target.execute("SELECT owner FROM strangler.ownership WHERE move = %s FOR SHARE", [move]).fetchone()
        giver = "legacy" if self._direction == "forward" else "service"
        return None if row is None or row["owner"] == giver else str(row["owner"])

    def _keep_passing(self, target: CatalogConnection, forms: Sequence[TableForm], form: TableForm) -> None:
        """The source is past this form already, and so is the target: only its events are still to come."""
        if any(form.same_shape(each) for each in forms):
            return
        last = forms[-1]
        passing = self._completed(carried(form, last))
        write_met(
            target, self.stream, version=len(forms) + 1, state="met", form=passing, changes=["an earlier form, passing"]
        )
        write_met(target, self.stream, version=len(forms) + 2, state="met", form=last)

    def _keep_stopped(self, target: CatalogConnection, stopped: "_Stopped") -> None:
        write_met(
            target,
            self.stream,
            version=stopped.version,
            state="stopped",
            form=replace(stopped.form, table=stopped.table),
            changes=[line for stop in stopped.stops for line in _lines(stop)] or [stopped.why],
            mend="; ".join(dict.fromkeys(line for stop in stopped.stops for line in stop.mend)),
        )

    def _refusal(self, stopped: "_Stopped", relation: Relation | None) -> SchemaChanged:
        lines = [line for stop in stopped.stops for line in _lines(stop)] or [stopped.why]
        mends = [line for stop in stopped.stops for line in stop.mend]
        return SchemaChanged(
            thing=f"table {stopped.table}",
            reason=self.lead + "; ".join(lines),
            mend="; ".join(dict.fromkeys([*mends, f"then `{self.accept_command(stopped.table)}`"])),
            relation=relation,
        )

    def accept_command(self, table: TableName) -> str:
        """How a person says that a table was dealt with."""
        way = "" if self._direction == "forward" else " --direction reverse"
        return f"strangler cdc schema --accept {table}{way}"

    @property
    def lead(self) -> str:
        """How a stop begins: on the way back it is the rollback that is at stake (S9)."""
        if self._direction == "forward":
            return "its schema changed in the source: "
        return "rolling back is not safe any more, the service changed its table: "

    def _completed(self, form: TableForm) -> TableForm:
        """With the names of types that only this form has."""
        unnamed = [column for column in form.columns if not column.type and column.type_oid]
        if not unnamed:
            return form
        with open_database(self.source_dsn) as source:
            names = type_names(source, [(column.type_oid, column.type_modifier) for column in unnamed])
        named = {column.attnum: name for column, name in zip(unnamed, names, strict=True)}
        columns = tuple(replace(column, type=named.get(column.attnum, column.type)) for column in form.columns)
        return replace(form, columns=columns)

    def _looked_up(self, changes: Sequence[Change], form: TableForm) -> tuple[list[Change], TableForm]:
        """Where a rewrite hid what old rows have in a new column: one value in all rows of the source says it."""
        found: list[Change] = []
        for change in changes:
            column = change.after
            if change.kind is Kind.ADDED_COMPUTED and column is not None and form.named(column.name) is not None:
                with open_database(self.source_dsn) as source:
                    values = distinct_values(source, form.oid, column.name)
                if values is not None and len(values) <= 1:
                    known = replace(column, missing=values[0] if values else None)
                    kind = Kind.ADDED_NULLABLE if known.missing is None else Kind.ADDED_CONSTANT
                    found.append(
                        Change(kind=kind, after=known, detail=f"all rows of the source have {known.missing!r}")
                    )
                    form = replace(form, columns=tuple(known if each is column else each for each in form.columns))
                    continue
            found.append(change)
        return found, form

    def _forms_of(
        self, target: CatalogConnection, table: TableName, relation: Relation | None
    ) -> tuple[TableForm, ...]:
        """Refuses to go on from a form whose changes were not all sent."""
        met = read_met(target, self.stream)
        for each in met:
            if each.state == "broken" and each.form.table == table:
                reason = self.lead + "; ".join(each.changes)
                raise SchemaChanged(thing=f"table {table}", reason=reason, mend=each.mend, relation=relation)
        return self._known_forms(met, table)

    def _known_forms(self, met: Sequence[Met], table: TableName) -> tuple[TableForm, ...]:
        forms = tuple(accepted(met).get(table, ()))
        if not forms:
            raise NotProvisioned(
                thing=f"stream {self.stream}",
                reason=f"does not know {table}: it was never provisioned, or not with this table",
                mend="provision the move first: `strangler run` does it in its phase `prepared`",
            )
        return forms

    def _table_plan(self, table: TableName) -> TableMapping:
        return next(each for each in self._plan().tables if each.source == table)

    def _catalog(self, table: TableName, oid: int = 0) -> CatalogTable | None:
        try:
            with open_database(self.source_dsn) as source:
                return read_table(source, table, oid)
        except psycopg.Error as error:
            raise source_error(self.source_dsn, f"catalog of {table}", error) from error

    @contextmanager
    def _locked(self, target: CatalogConnection) -> Iterator[None]:
        """One transaction, one follower at a time."""
        with target.transaction():
            target.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(self._lock_timeout_s * 1000)}ms"])
            target.execute("SET LOCAL standard_conforming_strings = on")
            target.execute(_LOCK, [self.stream])
            yield


_UNTOLD = "which of its columns is which cannot be told: some were renamed, others dropped"


class _Stopped(Exception):
    """Leaves the transaction that would have followed. Never leaves this module."""

    def __init__(self, table: TableName, stops: Sequence[Stop], version: int, form: TableForm, why: str = "") -> None:
        super().__init__(table)
        self.table, self.stops, self.version, self.form, self.why = table, tuple(stops), version, form, why


def carried(form: TableForm, last: TableForm) -> TableForm:
    """What was decided about the columns of the last form, in the next one."""
    return replace(form, table=last.table, columns=tuple(_carried(column, last) for column in form.columns))


def _carried(column: FormColumn, last: TableForm) -> FormColumn:
    was = last.column(column.attnum)
    if was is None:
        return replace(column, plan_name=column.known_as)
    return replace(column, plan_name=was.known_as, mapped=was.mapped, missing=was.missing)


def _execute(target: CatalogConnection, action: TargetAction) -> None:
    """A default that the target cannot evaluate is left out: it matters only once the target owns the table."""
    first, *rest = statements(action)
    target.execute(first.encode())
    for statement in rest:
        try:
            with target.transaction():
                target.execute(statement.encode())
        except psycopg.errors.ProgrammingError:
            if not isinstance(action, AddColumn) or action.default is None:
                raise
            for plain in statements(replace(action, default=None))[1:]:
                target.execute(plain.encode())


def _holds(target: CatalogConnection, check: Check) -> bool:
    """No row of the target has another value."""
    value = "NULL" if check.value is None else literal(check.value)
    table = f"{quoted(check.table.schema)}.{quoted(check.table.name)}"
    query = f"SELECT EXISTS (SELECT FROM {table} WHERE {quoted(check.column)}::text IS DISTINCT FROM {value}) AS found"
    row = target.execute(query.encode()).fetchone()
    return row is not None and not row["found"]


def _refused(action: TargetAction, reason: str) -> Stop:
    return Stop(why=f"the target refused {statements(action)[0]}: {reason}", mend=(alembic(action),))


def _lines(stop: Stop) -> list[str]:
    line = stop.change.line if stop.change else ""
    return [": ".join(filter(None, (line, stop.why)))]


def _gone(relation: Relation) -> SchemaChanged:
    return SchemaChanged(
        thing=f"table {relation.table}",
        reason="changed its columns and was dropped since, so what the change was cannot be read any more",
        mend="take it out of the plan, or make it anew and copy it again",
        relation=relation,
    )


def _busy(table: TableName) -> ApplyFailed:
    return ApplyFailed(
        thing=f"target table of {table}",
        reason="is locked by another session, so the schema change of the source could not be followed yet",
        mend="end the sessions that lock it (pg_stat_activity, pg_locks); the stream tries again by itself",
    )
