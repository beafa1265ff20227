"""Transactions → pieces: bounded, and in effect the same as mapping each transaction as a whole."""

import random

import pytest

from cdc.batch_mapping import BatchMapper, BatchWork
from cdc.chunk_handover import ChunkHandover
from cdc.copy_tracker import CopyTracker
from cdc.events import TableName, Transaction
from cdc.link import LinkLimits, LinkSpec
from cdc.parking.units import woven_tables
from tests.catalog_mapping import name
from tests.unit.test_mapping_compiled import BACK, FORWARD, SERVICE, change

PRODUCTS, BODIES = name("products"), name("product_descriptions")


def mapper_for(tmp_path, mapper, batch_events):
    link = LinkSpec(
        move="m", direction="reverse", source_dsn="", target_dsn="", log_folder=tmp_path, mapper=mapper,
        source_keys={table: mapper.source_key(table) for table in mapper.source_tables},
        limits=LinkLimits(batch_events=batch_events),
    )  # fmt: skip
    tracker = CopyTracker(source_keys=link.source_keys, follows_copy=False)
    return BatchMapper(link, ChunkHandover(in_flight=1)), tracker


def transaction(changes):
    return Transaction(xid=1, commit_lsn=10, end_lsn=11, commit_time_us=0, changes=tuple(changes))


def insert_product(number, **values):
    row = {"product_id": str(number), "sku": f"s{number}", "title": "t", "lifecycle": "live", **values}
    return change(SERVICE, "products", "c", row)


def insert_body(number, body="b"):
    return change(SERVICE, "product_descriptions", "c", {"product_id": str(number), "body": body})


def effect(changes):
    """Rows by (table, key) after the changes, on an empty target. What meets no row and may, changes nothing."""
    rows = {}
    for each in changes:
        key = (each.table, tuple(each.key.values()))
        if each.kind == "upsert":
            rows[key] = {**rows.get(key, {}), **each.values}
        elif each.kind == "delete":
            rows.pop(key, None)
        elif key in rows:
            rows[key] |= each.values
    return rows


def test_tables_that_fill_one_row_together_know_each_other():
    assert woven_tables(FORWARD) == {}
    assert woven_tables(BACK) == {PRODUCTS: frozenset({BODIES}), BODIES: frozenset({PRODUCTS})}


@pytest.mark.parametrize("insert", [insert_product, insert_body])
def test_T01_a_long_transaction_of_one_table_comes_in_pieces(tmp_path, insert):
    mapper, tracker = mapper_for(tmp_path, BACK, batch_events=10)
    pieces = [list(piece) for piece in mapper.changes([transaction(map(insert, range(95)))], tracker, BatchWork())]
    assert [len(piece) for piece in pieces] == [10] * 9 + [5]


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("kind", ["changes", "units"])
def test_T01_pieces_have_the_effect_of_the_whole(tmp_path, seed, kind):
    chance = random.Random(seed)
    inserts = [insert(number) for number in range(30) for insert in (insert_product, insert_body)]
    price = {"currency": "EUR", "amount_minor": "1234", "external_ref": "r"}
    inserts += [
        change(SERVICE, "prices", "c", {"price_id": str(number), "product_id": str(number), **price})
        for number in range(30)
    ]
    chance.shuffle(inserts)
    cut = chance.randrange(len(inserts))
    transactions = [transaction(inserts[:cut]), transaction(inserts[cut:])]
    whole = [each for one in transactions for each in BACK.map_transaction(one.changes)]
    mapper, tracker = mapper_for(tmp_path, BACK, batch_events=chance.choice([1, 7, 1000]))
    work = BatchWork()
    if kind == "changes":
        changes = [each for piece in mapper.changes(transactions, tracker, work) for each in piece]
    else:
        units = [unit for piece in mapper.units(transactions, tracker, work) for unit in piece]
        assert sum(len(unit.events) for unit in units) == len(inserts)
        changes = [each for unit in units for each in unit.changes]
    assert effect(changes) == effect(whole)
    assert work.events == len(inserts)


def test_T19_events_of_one_row_from_several_tables_are_one_unit(tmp_path):
    mapper, tracker = mapper_for(tmp_path, BACK, batch_events=1000)
    changes = [insert_body(1), insert_product(2), insert_product(1), insert_body(3)]
    (units,) = mapper.units([transaction(changes)], tracker, BatchWork())
    assert [[changes.index(event) for event in unit.events] for unit in units] == [[1], [0, 2], [3]]
    assert [unit.order for unit in units] == [(10, 1), (10, 0), (10, 3)]
    (merged,) = (unit for unit in units if len(unit.events) == 2)
    assert effect(merged.changes)[TableName(name="product"), ("1",)]["descr"] == "b"
