import dataclasses

import pytest

from cdc.mapping.check import check_mapping, way_back_risks
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from cdc.mapping.types import misfit, scaled_misfit, unscaled_misfit
from cdc.tables import Schema, TableColumn
from tests.catalog_mapping import CATALOG, LEGACY, SERVICE, STATUS, name, same, schema, table


def move(*rules, target="b", dropped=None, added=None):
    return MoveMapping(
        tables=(
            TableMapping(
                source=name("a"),
                targets=(TargetMapping(table=name(target), columns=rules, added=added or {}),),
                dropped=dropped or {},
            ),
        )
    )


def said(problems):
    return [f"{problem.thing}: {problem.reason}" for problem in problems]


A = schema(table("a", "id", "id bigint!", "title text"))
B = schema(table("b", "id", "id bigint!", "title text"))


def test_the_reference_mapping_has_no_problem():
    assert check_mapping(CATALOG, LEGACY, SERVICE) == []


def test_the_reference_mapping_knows_what_legacy_could_not_take_back():
    assert said(way_back_risks(CATALOG, LEGACY, SERVICE)) == [
        "prices.amount_minor → price.amount: on the way back: numeric(12,2) holds fewer whole digits than bigint"
    ]


def test_unknown_tables_and_columns_come_with_a_suggestion():
    mapping = MoveMapping(
        tables=(
            TableMapping(source=name("aa"), targets=(TargetMapping(table=name("b"), columns=same("id", "title")),)),
            TableMapping(
                source=name("a"), targets=(TargetMapping(table=name("b"), columns=same("id", "titel>title")),)
            ),
        )
    )
    problems = check_mapping(mapping, dataclasses.replace(A, other_tables=(name("aaa"),)), B)
    assert {(p.thing, p.mend) for p in problems} >= {
        ("source table aa", "did you mean 'aaa'?"),
        ("source column a.titel", "did you mean 'title'?"),
    }


@pytest.mark.parametrize(
    ("mapping", "source", "target", "expected"),
    [
        (move(*same("id")), A, B, "source column a.title: is neither mapped nor dropped"),
        (
            move(*same("id", "title"), dropped={"title": "unused"}),
            A,
            B,
            "source column a.title: is both mapped and dropped",
        ),
        (
            move(*same("id"), dropped={"title": "unused"}),
            A,
            schema(table("b", "id", "id bigint!", "title text!")),
            "target column b.title: is not mapped, NOT NULL and has no default",
        ),
        (
            move(*same("id"), dropped={"title": "unused"}),
            A,
            B,
            "target column b.title: is not mapped: on the way back its value would be lost",
        ),
        (
            move(*same("id"), dropped={"title": "unused"}),
            schema(table("a", "id", "id bigint!", "title text!")),
            schema(table("b", "id", "id bigint!")),
            "target column a.title: on the way back: is not mapped, NOT NULL and has no default",
        ),
        (
            move(*same("id", "title")),
            schema(table("a", "", "id bigint!", "title text")),
            B,
            "source table a: has no primary key, and its log does not carry whole rows, so its rows cannot be followed",
        ),
        (
            move(*same("id", "title")),
            A,
            schema(table("b", "", "id bigint!", "title text")),
            "target table b: has no primary key",
        ),
        (
            move(*same("title"), dropped={"id": "no"}),
            A,
            B,
            "key column b.id: is not mapped from a",
        ),
        (
            move(*same("id>title", "title>id")),
            A,
            B,
            "key column b.id: is made from a.title, which is not a key column carried over as it is",
        ),
        (
            move(*same("x", "y")),
            schema(table("a", "x y", "x bigint!", "y bigint!")),
            schema(table("b", "x", "x bigint!", "y bigint!")),
            "key column a.y: is not part of the primary key of b: rows would overwrite each other",
        ),
        (
            move(*same("id", "title")),
            A,
            schema(table("b", "id", "id smallint!", "title text")),
            "a.id → b.id: smallint is narrower than bigint",
        ),
        (
            move(*same("id", "title")),
            A,
            schema(table("b", "id", "id bigint!", "title text!")),
            "a.title → b.title: the source may be NULL, the target may not",
        ),
        (
            move(*same("id", "title", "id>title")),
            A,
            B,
            "target column b.title: is filled 2 times from a",
        ),
        (
            move(*same("id"), ColumnRule(source="title", target="title", lookup={"x": "1", "y": "1"})),
            A,
            B,
            "a.title → b.title: cannot be reversed: lookup maps both 'x' and 'y' to '1'",
        ),
    ],
)
def test_each_problem_is_named(mapping, source, target, expected):
    assert expected in said(check_mapping(mapping, source, target))


def test_tables_are_not_merged_on_the_way_out():
    assert said(check_mapping(CATALOG.inverse(), SERVICE, LEGACY))[0] == (
        "product_descriptions → product: fills columns of rows that another table brings, which a copy cannot do"
    )


def test_a_declared_loss_is_none():
    mapping = move(*same("id"), dropped={"title": "unused"}, added={"title": "written by the service"})
    assert check_mapping(mapping, A, B) == []


def with_column(base, table_name, column):
    known = base.tables[name(table_name)]
    columns = tuple(column if c.name == column.name else c for c in known.columns)
    return Schema(tables={known.name: dataclasses.replace(known, columns=columns)})


def test_enums():
    enum = TableColumn(name="title", type="status", enum_labels=("draft", "active", "retired", "sold"))
    source = with_column(A, "a", enum)
    looked_up = move(*same("id"), ColumnRule(source="title", target="title", lookup=STATUS))
    assert said(check_mapping(looked_up, source, B)) == ["a.title → b.title: the lookup misses the enum label 'sold'"]
    assert check_mapping(move(*same("id", "title")), source, B) == []
    assert said(way_back_risks(move(*same("id", "title")), source, B)) == [
        "b.title → a.title: on the way back: status holds only its labels; give a lookup"
    ]
    fewer = with_column(B, "b", TableColumn(name="title", type="state", enum_labels=("draft", "live")))
    assert said(check_mapping(move(*same("id", "title")), source, fewer)) == [
        "a.title → b.title: the enum state lacks 'active', 'retired', 'sold'"
    ]


def test_generated_columns_are_not_mapped():
    generated = TableColumn(name="title", type="text", generated=True)
    assert "source column a.title: is generated, and its values are not in the log" in said(
        check_mapping(move(*same("id", "title")), with_column(A, "a", generated), B)
    )
    assert said(check_mapping(move(*same("id", "title")), A, with_column(B, "b", generated))) == [
        "target column b.title: is generated by its database"
    ]


def test_the_columns_of_a_part_must_be_nullable():
    legacy = with_column(LEGACY, "product", TableColumn(name="descr", type="text", nullable=False, default="''"))
    problems = check_mapping(CATALOG, Schema(tables={**LEGACY.tables, **legacy.tables}), SERVICE)
    assert said(problems) == [
        "target column product.descr: on the way back: comes by another table's event than its row,"
        " so it is NULL for a moment"
    ]


@pytest.mark.parametrize(
    ("source", "target", "fits"),
    [
        ("integer", "bigint", True),
        ("bigint", "integer", False),
        ("bigint", "numeric", True),
        ("bigint", "numeric(12,2)", False),
        ("character varying(40)", "character varying(80)", True),
        ("character varying(40)", "text", True),
        ("character varying(80)", "character varying(40)", False),
        ("text", "character varying(40)", False),
        ("character(3)", "text", True),
        ("text", "character(3)", False),
        ("numeric(12,2)", "numeric(14,2)", True),
        ("numeric(12,2)", "numeric(12,4)", False),
        ("numeric", "numeric(12,4)", False),
        ("timestamp(3) with time zone", "timestamp with time zone", True),
        ("timestamp with time zone", "timestamp(3) with time zone", False),
        ("timestamp without time zone", "timestamp with time zone", False),
        ("json", "jsonb", False),
        ("text[]", "text[]", True),
        ("text[]", "text", False),
        ("integer[]", "bigint[]", True),
        ("uuid", "text", False),
    ],
)
def test_types_that_hold_each_other(source, target, fits):
    assert (misfit(source, target) is None) == fits


def test_scaled_types():
    assert scaled_misfit("numeric(12,2)", "bigint", 2) is None
    assert "more than 2 decimals" in scaled_misfit("numeric(12,4)", "bigint", 2)
    assert "more than 2 decimals" in scaled_misfit("numeric", "bigint", 2)
    assert "fewer than 12 digits" in scaled_misfit("numeric(12,2)", "integer", 2)
    assert "not an exact number" in scaled_misfit("double precision", "bigint", 2)
    assert unscaled_misfit("bigint", "numeric(12,2)", 2, capacity=False) is None
    assert "does not hold 2 decimals" in unscaled_misfit("bigint", "numeric(12,1)", 2, capacity=False)
