"""The plan's mapping carried through the forms that its source tables have had. Pure.

Rules name source columns as the plan does; a form says which column (attnum) that is and what it is called there. So
events of every form that may still be in the log are read with their own schema, and what is applied, verified and
carried back is one mapping.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from cdc.events import TableName
from cdc.mapping.compiled import CompiledMapping, compile_mapping
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from cdc.mapping.rows import SourceShape, TargetShape
from cdc.schema_changes.forms import FormColumn, TableForm
from cdc.tables import Schema, Table, TableColumn

Forms = Mapping[TableName, Sequence[TableForm]]
"""Accepted forms of each source table, oldest first; a table without any is taken as the plan has it."""


def evolve(plan: MoveMapping, forms: Forms) -> MoveMapping:
    """The mapping in the names of each table's latest form: renamed, without what was dropped, with what was added."""
    return MoveMapping(tables=tuple(evolve_table(table, forms.get(table.source, ())) for table in plan.tables))


def evolve_table(table: TableMapping, forms: Sequence[TableForm]) -> TableMapping:
    """One table of it."""
    if not forms:
        return table
    latest = forms[-1]
    targets = [_carried(target, forms) for target in table.targets]
    dropped = {_name_now(name, forms) or name: why for name, why in table.dropped.items()}
    used = {rule.source for target in targets for rule in target.columns}
    first = forms[0]
    for column in latest.columns:
        if column.name in used or column.name in dropped or first.column(column.attnum) is not None:
            continue
        if column.mapped:
            rule = ColumnRule(target=column.known_as, source=column.name)
            targets[0] = replace(
                targets[0], columns=(*targets[0].columns, rule), added=_without(targets[0], rule.target)
            )
        else:
            dropped[column.name] = "came while the stream ran, and stream.on_schema_change ignores it"
    return TableMapping(source=table.source, targets=tuple(targets), dropped=MappingProxyType(dropped))


def resolve(name: str, forms: Sequence[TableForm]) -> int | None:
    """The attnum of the column that the plan calls `name`; None when no form has it (yet)."""
    latest = forms[-1]
    for matches in (_known_as, _called):
        for form in (latest, *reversed(forms[:-1])):
            if (found := matches(form, name)) is not None:
                return found
    return None


def compile_evolved(plan: MoveMapping, forms: Forms, source: Schema, target: Schema) -> CompiledMapping:
    """Bound to the target as it is and to the source as the stream has met it: its latest forms, and the older ones.

    `source`: the source as it is now, for tables that have no form yet. Raises `MappingInvalid`.
    """
    met = {name: _table(source.tables.get(name), each[-1]) for name, each in forms.items() if each}
    as_met = replace(source, tables={**source.tables, **met})
    compiled = compile_mapping(evolve(plan, forms), as_met, target, follows=True)
    older = {
        name: tuple(_older_shape(compiled.shape(name), each[-1], form) for form in reversed(each[:-1]))
        for name, each in forms.items()
        if each
    }
    return compiled.with_older(older)


def _known_as(form: TableForm, name: str) -> int | None:
    return next((column.attnum for column in form.columns if column.known_as == name), None)


def _called(form: TableForm, name: str) -> int | None:
    return next((column.attnum for column in form.columns if column.name == name), None)


def _name_now(name: str, forms: Sequence[TableForm]) -> str | None:
    """What the column is called in the latest form; None when it is gone."""
    number = resolve(name, forms)
    if number is None:
        return name
    column = forms[-1].column(number)
    return column.name if column else None


def _carried(target: TargetMapping, forms: Sequence[TableForm]) -> TargetMapping:
    rules: list[ColumnRule] = []
    added = dict(target.added)
    for rule in target.columns:
        now = None if rule.source is None else _name_now(rule.source, forms)
        if rule.source is None or now is not None:
            rules.append(replace(rule, source=now))
        else:
            added[rule.target] = f"{rule.source} was dropped in the source"
    return replace(target, columns=tuple(rules), added=MappingProxyType(added))


def _without(target: TargetMapping, column: str) -> Mapping[str, str]:
    return MappingProxyType({name: why for name, why in target.added.items() if name != column})


def _table(now: Table | None, form: TableForm) -> Table:
    """The form as a table; what a form does not know is as it is now."""
    columns = tuple(_table_column(now.column(column.name) if now else None, column) for column in form.columns)
    generated = tuple(column for column in now.columns if column.generated) if now else ()
    base = now or Table(name=form.table, columns=())
    return replace(base, columns=(*columns, *generated), primary_key=form.key)


def _table_column(now: TableColumn | None, column: FormColumn) -> TableColumn:
    base = now or TableColumn(name=column.name, type=column.type)
    return replace(
        base,
        type=column.type,
        type_oid=column.type_oid,
        type_modifier=column.type_modifier,
        nullable=column.nullable,
        generated=False,
        enum_labels=column.labels,
    )


def _older_shape(shape: SourceShape, latest: TableForm, form: TableForm) -> SourceShape:
    """The same rules for events of an older form: under its names, without the columns that it does not have."""
    names = {column.name: then.name for column in latest.columns if (then := form.column(column.attnum)) is not None}
    wanted = {rule.source for target in shape.targets for rule in target.rules}
    columns = {column.name: column for column in form.columns}
    passed = {column.name for column in form.columns if column.name not in {names.get(n) for n in wanted if n}}
    return SourceShape(
        table=shape.table,
        columns={name: column.type_oid for name, column in columns.items()},
        modifiers={name: column.type_modifier for name, column in columns.items()},
        ignored=frozenset(passed),
        primary_key=tuple(names.get(name, name) for name in shape.primary_key),
        targets=tuple(_older_target(target, latest, names) for target in shape.targets),
        exact=True,
    )


def _older_target(target: TargetShape, latest: TableForm, names: Mapping[str, str]) -> TargetShape:
    present, absent = [], {}
    for rule in target.rules:
        if rule.source is None or rule.source in names:
            present.append(replace(rule, source=rule.source and names[rule.source]))
        elif (column := latest.named(rule.source)) is not None:
            absent[rule.target] = column.missing
    return replace(target, rules=tuple(present), absent=MappingProxyType(absent))
