"""Forms, differences, policy and decisions as values: every kind of change, and any sequence of them."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.errors import SchemaChanged
from cdc.events import Column, Relation, RowChange
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from cdc.schema_changes.actions import (
    AddColumn,
    AddLabel,
    AllowNull,
    ChangeType,
    alembic,
    literal,
    sqlalchemy_type,
    statements,
)
from cdc.schema_changes.decide import Situation, decide
from cdc.schema_changes.difference import difference, type_change
from cdc.schema_changes.evolution import carried
from cdc.schema_changes.evolved import compile_evolved, evolve
from cdc.schema_changes.forms import CatalogColumn, CatalogTable, FormColumn, TableForm, fits, identify
from cdc.schema_changes.policy import CHOICES, STOP_AT_EVERYTHING, Decision, Kind, SchemaPolicy, policy_of
from cdc.tables import Schema
from strangler.errors import BadInput
from tests.catalog_mapping import name, same, schema, table

OIDS = {"bigint": 20, "integer": 23, "text": 25, "smallint": 21, "mood": 5000}


def column(attnum, label, kind="text", **more):
    return FormColumn(attnum=attnum, name=label, type=kind, type_oid=OIDS.get(kind, 99), **more)


def form(*columns, key=("id",), oid=7, storage=None):
    return TableForm(table=name("t"), oid=oid, columns=columns, key=key, storage=storage or {7: 1})


def catalog(now, *, gone=(), missing=(), default=None):
    columns = tuple(
        CatalogColumn(column=each, has_missing=each.name in missing, default=default) for each in now.columns
    )
    return CatalogTable(form=now, columns=columns, gone=frozenset(gone))


def relation(now, oid=7):
    columns = tuple(Column(name=c.name, type_oid=c.type_oid, type_modifier=c.type_modifier) for c in now.columns)
    return Relation(oid=oid, schema="public", name="t", columns=columns)


FIRST = form(column(1, "id", "bigint", nullable=False), column(2, "a"), column(3, "n", "integer"))
PLAN = TableMapping(source=name("t"), targets=(TargetMapping(table=name("items"), columns=same("id", "a>label", "n")),))
TARGET = schema(table("items", "id", "id bigint!", "label text", "n integer"))


def changed(*columns, **more):
    return replace(FIRST, columns=columns, **more)


ID, A, N = FIRST.columns
KINDS = {
    Kind.ADDED_NULLABLE: (FIRST, changed(ID, A, N, column(4, "x")), {}),
    Kind.ADDED_CONSTANT: (FIRST, changed(ID, A, N, column(4, "x", missing="5")), {"missing": ("x",)}),
    Kind.ADDED_COMPUTED: (FIRST, changed(ID, A, N, column(4, "x"), storage={7: 2}), {}),
    Kind.ADDED_CASE: (FIRST, changed(ID, A, N, column(4, "A")), {}),
    Kind.DROPPED: (FIRST, changed(ID, N), {"gone": (2,)}),
    Kind.RENAMED: (FIRST, changed(ID, replace(A, name="b"), N), {}),
    Kind.WIDENED: (FIRST, changed(ID, A, column(3, "n", "bigint")), {}),
    Kind.NARROWED: (FIRST, changed(ID, A, column(3, "n", "smallint")), {}),
    Kind.RETYPED: (FIRST, changed(ID, A, column(3, "n", "uuid")), {}),
    Kind.LABEL_ADDED: (
        changed(ID, column(2, "a", "mood", labels=("sad",)), N),
        changed(ID, column(2, "a", "mood", labels=("sad", "ok")), N),
        {},
    ),
    Kind.LABEL_LOST: (
        changed(ID, column(2, "a", "mood", labels=("sad", "ok")), N),
        changed(ID, column(2, "a", "mood", labels=("sad", "fine")), N),
        {},
    ),
    Kind.NULL_ALLOWED: (changed(ID, replace(A, nullable=False), N), FIRST, {}),
    Kind.NULL_REFUSED: (FIRST, changed(ID, replace(A, nullable=False), N), {}),
    Kind.KEY: (FIRST, replace(FIRST, key=("id", "n")), {}),
    Kind.REPLACED: (FIRST, replace(FIRST, oid=8), {}),
}


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_told_from_the_others(kind):
    before, after, facts = KINDS[kind]
    [change] = difference(before, after, catalog(after, **facts))
    assert change.kind is kind
    assert change.line.strip()


def outcome(kind, policy=None, plan=PLAN, target=TARGET):
    before, after, facts = KINDS[kind]
    now = catalog(after, **facts)
    situation = Situation(plan=plan, forms=(before,), catalog=now, target=target, policy=policy or SchemaPolicy())
    return decide(situation, carried(after, before), difference(before, after, now))


@pytest.mark.parametrize("kind", Kind)
def test_by_default_only_what_loses_nothing_is_followed(kind):
    harmless = {Kind.ADDED_NULLABLE, Kind.ADDED_CONSTANT, Kind.WIDENED, Kind.NULL_REFUSED}
    passes_by = {Kind.LABEL_ADDED, Kind.NULL_ALLOWED}  # the target is text, and nullable: there is nothing to do
    assert bool(outcome(kind).stops) == (kind not in harmless | passes_by)


@pytest.mark.parametrize("kind", Kind)
def test_the_way_back_stops_at_everything_that_its_target_does_not_have(kind):
    stopped = bool(outcome(kind, STOP_AT_EVERYTHING).stops)
    assert stopped or kind in {Kind.NULL_REFUSED, Kind.NULL_ALLOWED, Kind.LABEL_ADDED}


@pytest.mark.parametrize("kind", Kind)
def test_what_would_lose_data_cannot_be_chosen(kind):
    for decision in Decision:
        if decision in CHOICES[kind]:
            assert policy_of({kind.value: decision.value}).decide(kind) is decision
        else:
            with pytest.raises(BadInput, match=kind.value):
                policy_of({kind.value: decision.value})
    assert Kind(kind) in CHOICES


@pytest.mark.parametrize("chosen", [{"nothing": "stop"}, {"dropped": "maybe"}])
def test_unknown_words_of_the_policy_are_named(chosen):
    with pytest.raises(BadInput, match="is not known"):
        policy_of(chosen)


def test_what_is_done_to_the_target():
    assert outcome(Kind.ADDED_NULLABLE).actions == (AddColumn(table=name("items"), column="x", type="text"),)
    assert outcome(Kind.ADDED_CONSTANT).actions == (
        AddColumn(table=name("items"), column="x", type="text", filled="5"),
    )
    assert outcome(Kind.WIDENED).actions == (ChangeType(table=name("items"), column="n", type="bigint"),)
    strict = schema(table("items", "id", "id bigint!", "label text!", "n integer"))
    assert outcome(Kind.NULL_ALLOWED, target=strict).actions == (AllowNull(table=name("items"), column="label"),)
    ignored = outcome(Kind.ADDED_NULLABLE, policy_of({"added_nullable": "ignore"}))
    assert ignored.actions == ()
    assert ignored.form.columns[-1].mapped is False


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Kind.ADDED_COMPUTED, "op.add_column('items', sa.Column('x', sa.Text()))"),
        (Kind.DROPPED, "op.drop_column('items', 'label')"),
        (Kind.RENAMED, "say 'b' for 'a' as a source column of t in the plan"),
        (Kind.NARROWED, "op.alter_column('items', 'n', type_=sa.SmallInteger())"),
        (Kind.RETYPED, "op.alter_column('items', 'n', type_=sa.Uuid())"),
    ],
)
def test_a_stop_names_the_alembic_operation_in_the_target_s_names(kind, said):
    [stop] = outcome(kind).stops
    assert said in stop.mend


def reconciled(**rules):
    columns = tuple(ColumnRule(target=target, source=source) for target, source in rules.items())
    return replace(PLAN, targets=(replace(PLAN.targets[0], columns=columns),))


@pytest.mark.parametrize(
    ("kind", "plan"),
    [
        (Kind.ADDED_COMPUTED, reconciled(id="id", label="a", n="n", x="x")),
        (Kind.ADDED_COMPUTED, replace(PLAN, dropped={"x": "not needed"})),
        (Kind.DROPPED, reconciled(id="id", n="n")),
        (Kind.RENAMED, reconciled(id="id", label="b", n="n")),
    ],
)
def test_a_plan_that_says_it_lets_the_stream_go_on(kind, plan):
    assert outcome(kind, plan=plan).stops == ()


def test_a_target_of_the_new_type_lets_the_stream_go_on():
    narrow = schema(table("items", "id", "id bigint!", "label text", "n smallint"))
    assert outcome(Kind.NARROWED, target=narrow).stops == ()


def test_a_column_that_the_plan_drops_may_do_what_it_likes():
    plan = replace(reconciled(id="id", n="n"), dropped={"a": "not needed"})
    for kind in (Kind.DROPPED, Kind.RENAMED, Kind.NULL_ALLOWED):
        assert outcome(kind, STOP_AT_EVERYTHING, plan=plan).stops == ()


def test_a_column_that_the_target_has_is_taken_only_with_the_rows_values():
    has = schema(table("items", "id", "id bigint!", "label text", "n integer", "x text"))
    found = outcome(Kind.ADDED_CONSTANT, target=has)
    assert found.actions == ()
    [check] = found.checks
    assert (check.column, check.value) == ("x", "5")


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("integer", "bigint", Kind.WIDENED),
        ("integer", "numeric(12,2)", Kind.WIDENED),
        ("integer", "numeric(8,2)", Kind.NARROWED),
        ("character varying(10)", "character varying(20)", Kind.WIDENED),
        ("character varying(10)", "text", Kind.WIDENED),
        ("text", "character varying(10)", Kind.NARROWED),
        ("numeric(6,2)", "numeric(12,4)", Kind.WIDENED),
        ("numeric(6,2)", "numeric", Kind.WIDENED),
        ("numeric(6,2)", "numeric(6,3)", Kind.NARROWED),
        ("bigint", "integer", Kind.NARROWED),
        ("timestamp(3) without time zone", "timestamp(6) without time zone", Kind.WIDENED),
        ("timestamp without time zone", "timestamp with time zone", Kind.RETYPED),
        ("character(5)", "character(9)", Kind.RETYPED),
        ("character(5)", "text", Kind.RETYPED),
        ("real", "double precision", Kind.RETYPED),
        ("integer", "text", Kind.RETYPED),
        ("integer[]", "bigint[]", Kind.WIDENED),
    ],
)
def test_S4_what_a_change_of_type_means(old, new, kind):
    assert type_change(old, new) is kind


@pytest.mark.parametrize(
    ("action", "sql", "operation"),
    [
        (
            AddColumn(table=name("t"), column="x", type="integer", filled="5", default="7"),
            [
                'ALTER TABLE "public"."t" ADD COLUMN IF NOT EXISTS "x" integer DEFAULT \'5\'::integer',
                'ALTER TABLE "public"."t" ALTER COLUMN "x" SET DEFAULT 7',
            ],
            "op.add_column('t', sa.Column('x', sa.Integer(), server_default='5'))",
        ),
        (
            AddColumn(table=name("t"), column='o"x', type="hstore"),
            ['ALTER TABLE "public"."t" ADD COLUMN IF NOT EXISTS "o""x" hstore'],
            'op.execute(\'ALTER TABLE "public"."t" ADD COLUMN IF NOT EXISTS "o""x" hstore\')',
        ),
        (
            AddLabel(type="mood", label="it's", after="ok"),
            ["ALTER TYPE mood ADD VALUE IF NOT EXISTS 'it''s' AFTER 'ok'"],
            "op.execute(\"ALTER TYPE mood ADD VALUE IF NOT EXISTS 'it''s' AFTER 'ok'\")",
        ),
    ],
)
def test_actions_as_sql_and_as_alembic(action, sql, operation):
    assert statements(action) == sql
    assert alembic(action) == operation


def test_types_in_sqlalchemy_s_words():
    assert sqlalchemy_type("character varying(20)[]") == "postgresql.ARRAY(sa.String(20))"
    assert sqlalchemy_type("timestamp(3) with time zone") == "postgresql.TIMESTAMP(timezone=True, precision=3)"
    assert sqlalchemy_type("geometry(Point,4326)") is None
    assert literal("a\\b'c") == " E'a\\\\b''c'"


def test_S3_a_rename_and_a_drop_at_once_that_cannot_be_told_apart_are_no_guess():
    seen = form(ID, column(3, "c"))
    assert identify(relation(seen), (FIRST,), catalog(form(ID), gone=(2, 3, 4))) is None


# Any history of a table: what the log shows later is always told to be what it was, or not told at all.

_STEPS = st.lists(st.tuples(st.sampled_from(["add", "drop", "rename", "widen"]), st.integers(0, 9)), max_size=12)


def _history(steps):
    forms, number, current = [FIRST], 3, FIRST
    for count, (step, which) in enumerate(steps):
        columns = list(current.columns)
        others = [index for index, each in enumerate(columns) if each.name not in current.key]
        if step == "add":
            number += 1
            columns.append(column(number, f"x{count}"))
        elif others:
            index = others[which % len(others)]
            if step == "drop":
                del columns[index]
            elif step == "rename":
                columns[index] = replace(columns[index], name=f"r{count}")
            else:
                columns[index] = replace(columns[index], type="bigint", type_oid=20)
        current = replace(current, columns=tuple(columns))
        forms.append(current)
    return forms, number


@settings(max_examples=300, deadline=None)
@given(steps=_STEPS, met=st.integers(0, 12))
def test_S6_a_form_in_between_is_recognised_by_its_columns_numbers_or_not_at_all(steps, met):
    forms, number = _history(steps)
    known, now = forms[: met + 1], forms[-1]
    gone = set(range(1, number + 1)) - {each.attnum for each in now.columns}
    for seen in forms:
        found = identify(relation(seen), known, catalog(now, gone=gone))
        if found is not None:
            assert [each.attnum for each in found.columns] == [each.attnum for each in seen.columns]
            assert fits(relation(seen), found)
    assert identify(relation(now), known, catalog(now, gone=gone)) is not None


@settings(max_examples=200, deadline=None)
@given(steps=_STEPS)
def test_S2_S3_events_of_every_form_give_each_column_s_value_to_the_same_target_column(steps):
    forms, _ = _history(steps)
    forms = [replace(each, columns=tuple(_named_by_number(c) for c in each.columns)) for each in forms]
    plan = MoveMapping(tables=(PLAN,))
    target = schema(table("items", "id", "id bigint!", "label text", "n text", *(f"c{n} text" for n in range(4, 20))))
    mapper = compile_evolved(plan, {name("t"): forms}, Schema(), target)
    last = {each.attnum for each in forms[-1].columns}
    fed = {1: "id", 2: "label", 3: "n"}
    for each in forms:
        row = tuple(str(c.attnum) for c in each.columns)
        [change] = mapper.map(RowChange(relation=relation(each), op="c", new=row))
        values = {**change.values, **change.key}
        for c in each.columns:
            if c.attnum in last:
                assert values[fed.get(c.attnum, f"c{c.attnum}")] == str(c.attnum)
    assert evolve(plan, {name("t"): forms}).source_tables == (name("t"),)


def _named_by_number(each):
    return replace(each, plan_name={1: "id", 2: "a", 3: "n"}.get(each.attnum, f"c{each.attnum}"))


def test_rows_of_an_older_form_and_enum_values_do_not_pass_unseen():
    now = changed(ID, A, N, column(4, "x", missing="5"))
    moods = changed(ID, column(2, "a", "mood", labels=("sad",)), N)
    wide = schema(table("items", "id", "id bigint!", "label text", "n integer", "x text"))
    columns = [
        replace(c, enum_labels=("sad",)) if c.name == "label" else c for c in TARGET.tables[name("items")].columns
    ]
    enum = Schema(tables={name("items"): replace(TARGET.tables[name("items")], columns=tuple(columns))})
    plan = MoveMapping(tables=(PLAN,))
    mapper = compile_evolved(plan, {name("t"): [FIRST, now]}, Schema(), wide)
    assert mapper.bulk(relation(FIRST)) is None
    assert mapper.bulk(relation(now)) is not None
    mapper = compile_evolved(plan, {name("t"): [moods]}, Schema(), enum)
    assert mapper.bulk(relation(moods)) is None
    with pytest.raises(SchemaChanged, match="no label of the enum"):
        mapper.map(RowChange(relation=relation(moods), op="c", new=("1", "happy", None)))


def test_an_unknown_form_says_which_relation_it_was():
    mapper = compile_evolved(MoveMapping(tables=(PLAN,)), {name("t"): [FIRST]}, Schema(), TARGET)
    seen = relation(form(ID, A))
    with pytest.raises(SchemaChanged) as raised:
        mapper.map(RowChange(relation=seen, op="c", new=("1", "a")))
    assert raised.value.relation is seen


def test_the_document_lists_every_kind_with_its_default_and_its_choices():
    lines = (Path(__file__).parents[2] / "docs" / "schema-changes.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    told = {kind.strip("`"): (default, rest) for kind, _, default, rest in cells}
    choices = {kind.value: [choice.value for choice in chosen] for kind, chosen in CHOICES.items()}
    assert told == {kind: (each[0], ", ".join(each[1:]) or "–") for kind, each in choices.items()}
