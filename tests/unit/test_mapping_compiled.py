import dataclasses

import pytest

from cdc.errors import MappingInvalid, SchemaChanged
from cdc.events import UNCHANGED, Column, Message, Relation, RowChange, Truncate
from cdc.mapping.compiled import compile_mapping
from cdc.mapping.errors import RowUnmappable
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from tests.catalog_mapping import CATALOG, LEGACY, SERVICE, name, same, schema, table

FORWARD = compile_mapping(CATALOG, LEGACY, SERVICE)
BACK = compile_mapping(CATALOG.inverse(), SERVICE, LEGACY)


def relation_of(side, table_name, **changed):
    described = side.tables[name(table_name)]
    columns = tuple(Column(name=c.name, type_oid=0) for c in described.columns)
    return Relation(**{"oid": 1, "schema": "public", "name": table_name, "columns": columns, **changed})


def change(side, table_name, op, new=None, old=None, old_is_key=False):
    relation = relation_of(side, table_name)

    def image(values):
        return None if values is None else tuple(values.get(c.name) for c in relation.columns)

    return RowChange(relation=relation, op=op, new=image(new), old=image(old), old_is_key=old_is_key)


PRODUCT = {"id": "1", "sku": "s", "name": "n", "descr": "d", "category_id": "2", "status": "active"}
PRICE = {"id": "1", "product_id": "2", "currency": "EUR", "amount": "12.34"}


def test_an_insert_reaches_every_target_in_order():
    first, second = FORWARD.map(change(LEGACY, "product", "c", PRODUCT))
    assert (first.kind, first.table, first.key) == ("upsert", name("products"), {"product_id": "1"})
    assert first.values["lifecycle"] == "live"
    assert first.values["title"] == "n"
    assert first.values["weight_grams"] is None
    assert (second.kind, second.values) == ("upsert", {"product_id": "1", "body": "d"})


def test_a_delete_removes_children_first():
    deletes = FORWARD.map(change(LEGACY, "product", "d", old={"id": "1"}, old_is_key=True))
    assert [(c.kind, c.table.name, c.key) for c in deletes] == [
        ("delete", "product_descriptions", {"product_id": "1"}),
        ("delete", "products", {"product_id": "1"}),
    ]


def test_D06_an_unchanged_toast_value_is_left_out_and_leaves_no_change_behind():
    changes = FORWARD.map(change(LEGACY, "product", "u", {**PRODUCT, "descr": UNCHANGED}))
    assert [c.table.name for c in changes] == ["products"]
    assert "product_id" not in changes[0].values
    assert changes[0].missing == "error"


def test_D09_an_unchanged_toast_value_survives_a_key_change():
    moved = change(LEGACY, "product", "u", {**PRODUCT, "id": "9", "descr": UNCHANGED}, {"id": "1"}, old_is_key=True)
    _, part = FORWARD.map(moved)
    assert (part.kind, part.old_key, part.values) == ("update", {"product_id": "1"}, {"product_id": "9"})


def test_replica_identity_full_fills_in_what_the_update_did_not_send():
    full = change(LEGACY, "product", "u", {**PRODUCT, "descr": UNCHANGED}, {**PRODUCT, "descr": "kept"})
    assert FORWARD.map(full)[1].values == {"body": "kept"}


def test_D10_text_that_looks_like_a_marker_is_text():
    changes = FORWARD.map(change(LEGACY, "product", "c", {**PRODUCT, "descr": "UNCHANGED"}))
    assert changes[1].values["body"] == "UNCHANGED"


def test_money_scales_and_comes_back():
    (forward,) = FORWARD.map(change(LEGACY, "price", "c", PRICE))
    assert forward.values["amount_minor"] == "1234"
    (back,) = BACK.map(change(SERVICE, "prices", "c", dict(forward.values)))
    assert back.values["amount"] == "12.34"


@pytest.mark.parametrize("amount", ["12.345", "NaN", "Infinity"])
def test_an_inexact_value_names_table_column_and_key(amount):
    with pytest.raises(RowUnmappable) as caught:
        FORWARD.map(change(LEGACY, "price", "c", {**PRICE, "amount": amount}))
    assert caught.value.thing == "price row id=1, column price.amount → prices.amount_minor"


def test_a_label_outside_the_lookup_is_refused():
    with pytest.raises(RowUnmappable, match="'sold' is not in the lookup"):
        FORWARD.map(change(LEGACY, "product", "c", {**PRODUCT, "status": "sold"}))


def test_the_owner_of_a_row_does_not_touch_the_columns_of_its_parts():
    (owner,) = BACK.map(change(SERVICE, "products", "c", {"product_id": "1", "lifecycle": "live"}))
    assert owner.kind == "upsert"
    assert "descr" not in owner.values
    (part,) = BACK.map(change(SERVICE, "product_descriptions", "c", {"product_id": "1", "body": "d"}))
    assert (part.kind, part.missing, part.values) == ("update", "ignore", {"descr": "d"})
    (gone,) = BACK.map(change(SERVICE, "product_descriptions", "d", old={"product_id": "1"}, old_is_key=True))
    assert (gone.kind, gone.missing, gone.values) == ("update", "ignore", {"descr": None})


def test_a_part_that_moves_alone_with_an_unknown_value_is_refused():
    moved = change(
        SERVICE, "product_descriptions", "u", {"product_id": "2", "body": UNCHANGED}, {"product_id": "1"}, True
    )
    with pytest.raises(RowUnmappable, match="REPLICA IDENTITY FULL"):
        BACK.map_transaction([moved])


def test_D32_truncate_reaches_all_targets_children_first():
    event = Truncate(relations=(relation_of(LEGACY, "product"), relation_of(LEGACY, "price")))
    assert [c.table.name for c in FORWARD.map(event)] == ["prices", "product_descriptions", "products"]


def test_truncating_a_part_alone_is_refused_and_with_its_owner_is_not():
    part, owner = relation_of(SERVICE, "product_descriptions"), relation_of(SERVICE, "products")
    with pytest.raises(RowUnmappable, match="TRUNCATE of product_descriptions"):
        BACK.map(Truncate(relations=(part,)))
    together = BACK.map(Truncate(relations=(part, owner)))
    later = BACK.map_transaction([Truncate(relations=(part,)), Truncate(relations=(owner, part))])
    assert [c.kind for c in together] == [c.kind for c in later] == ["truncate"]


def test_messages_and_unmapped_tables_in_a_transaction_are_passed_over():
    other = Relation(oid=2, schema="public", name="other", columns=())
    changes = [
        Message(prefix="p", content=b"", transactional=True, lsn=1),
        RowChange(relation=other, op="c", new=()),
        Truncate(relations=(other,)),
        change(LEGACY, "price", "c", PRICE),
    ]
    assert [c.table.name for c in FORWARD.map_transaction(changes)] == ["prices"]


def test_as_upsert_only_when_every_column_is_known():
    known, part = FORWARD.map(change(LEGACY, "product", "u", PRODUCT))
    upsert = FORWARD.as_upsert(known)
    assert upsert.kind == "upsert"
    assert upsert.values == {**known.values, "product_id": "1"}
    assert FORWARD.as_upsert(part).values == {"product_id": "1", "body": "d"}
    partly = FORWARD.map(change(LEGACY, "product", "u", {**PRODUCT, "attrs": UNCHANGED}))[0]
    assert FORWARD.as_upsert(partly) is None


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (("id", "product_id", "currency", "reference", "valid_from", "valid_to"), "lost or renamed: amount"),
        (("id", "product_id", "currency", "amount", "reference", "valid_from", "valid_to", "vat"), "new: vat"),
    ],
)
def test_S1_S2_S3_a_relation_with_other_columns_is_refused(columns, said):
    relation = relation_of(LEGACY, "price", columns=tuple(Column(name=c, type_oid=0) for c in columns))
    with pytest.raises(SchemaChanged, match=said):
        FORWARD.map(RowChange(relation=relation, op="c", new=("1",) * len(columns)))


def test_S4_a_column_of_another_type_is_refused():
    price = LEGACY.tables[name("price")]
    typed = dataclasses.replace(price, columns=tuple(dataclasses.replace(c, type_oid=20) for c in price.columns))
    mapper = compile_mapping(CATALOG, dataclasses.replace(LEGACY, tables={**LEGACY.tables, price.name: typed}), SERVICE)
    relation = relation_of(LEGACY, "price", columns=tuple(Column(name=c, type_oid=23) for c in price.column_names))
    with pytest.raises(SchemaChanged, match="of another type"):
        mapper.map(RowChange(relation=relation, op="c", new=("1",) * len(price.columns)))


def test_a_delete_without_the_key_in_its_old_image_is_refused():
    with pytest.raises(SchemaChanged, match="REPLICA IDENTITY"):
        FORWARD.map(change(LEGACY, "price", "d", old={"reference": "r"}, old_is_key=True))


def test_a_constant_and_a_composite_key():
    source = schema(table("a", "x y", "x bigint!", "y bigint!"))
    target = schema(table("b", "x y kind", "x bigint!", "y bigint!", "kind text!"))
    mapper = compile_mapping(
        MoveMapping(
            tables=(
                TableMapping(
                    source=name("a"),
                    targets=(
                        TargetMapping(
                            table=name("b"), columns=(*same("x", "y"), ColumnRule(target="kind", constant="k"))
                        ),
                    ),
                ),
            )
        ),
        source,
        target,
    )
    (moved,) = mapper.map(change(source, "a", "u", {"x": "1", "y": "3"}, {"x": "1", "y": "2"}, old_is_key=True))
    assert moved.key == {"x": "1", "y": "3", "kind": "k"}
    assert moved.old_key == {"x": "1", "y": "2", "kind": "k"}


@pytest.mark.parametrize(
    "rule",
    [
        {"target": "a"},
        {"target": "a", "source": "b", "constant": "c"},
        {"target": "a", "source": "b", "scale": 100, "lookup": {"x": "y"}},
        {"target": "a", "source": "b", "scale": 60},
        {"target": "a", "source": "b", "scale": 1},
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(rule):
    with pytest.raises(MappingInvalid):
        ColumnRule(**rule)


def test_the_inverse_names_every_column_that_cannot_be_reversed():
    lossy = TableMapping(
        source=name("a"),
        targets=(
            TargetMapping(
                table=name("b"),
                columns=(*same("id"), ColumnRule(source="s", target="t", lookup={"x": "1", "y": "1", "z": "1"})),
            ),
        ),
    )
    second = TableMapping(source=name("c"), targets=(TargetMapping(table=name("b"), columns=same("id")),))
    mapping = MoveMapping(tables=(lossy, second))
    assert mapping.inverse_problems() == [
        "a.s → b.t: lookup maps both 'x' and 'y' to '1'",
        "a.s → b.t: lookup maps both 'x' and 'z' to '1'",
        "b: rows of a and c can not be told apart on the way back",
    ]
    with pytest.raises(MappingInvalid, match="lookup maps both 'x' and 'y'"):
        mapping.inverse()


def test_dropped_and_added_columns_change_places_in_the_inverse():
    mapping = MoveMapping(
        tables=(
            TableMapping(
                source=name("a"),
                targets=(
                    TargetMapping(
                        table=name("b"),
                        columns=(*same("id", "x>y", "x>z"), ColumnRule(target="k", constant="1")),
                        added={"rank": "the service computes it"},
                    ),
                ),
                dropped={"old": "unused"},
            ),
        )
    )
    (back,) = mapping.inverse().tables
    assert back.targets[0].added == {"old": "unused"}
    assert set(back.dropped) == {"rank", "k", "z"}
