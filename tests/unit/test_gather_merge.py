"""What was seen of a functionality, as the facts document has it."""

from migration_plans.gather.attribution import Ran
from migration_plans.gather.document import Gathering
from migration_plans.gather.merge import merged
from migration_plans.gather.schema_facts import SchemaFacts
from migration_plans.gather.shapes import Shapes
from migration_plans.gather.sql import SqlReader
from migration_plans.gather.statement import Catalog, View

REVENUE = View(tables=("lines", "orders"))


def document_of(*transactions, held=()):
    """Of one functionality, `f`, that ran these transactions of statements."""
    catalog = Catalog(views={"revenue": REVENUE})
    reader = SqlReader(catalog=catalog)
    shapes, ran = Shapes(reader), Ran(name="f", evidence="replay", held=list(held))
    for statements in transactions:
        ran.shapes[shapes.shape(reader.read(text) for text in statements)] += 1
    schema = SchemaFacts(dialect="postgres", default_schema="public", tables={}, views={"revenue": REVENUE})
    return merged(schema=schema, ran=[ran], gathering=Gathering())


def test_who_reads_a_view_joins_what_is_behind_it():
    document = document_of(["SELECT * FROM revenue WHERE day > now()"], ["SELECT 1 FROM customers"])
    assert [(join.tables, join.functionality) for join in document.joins] == [(("lines", "orders"), "f")]


def test_writes_and_locks_are_told_apart_and_reads_say_nothing_of_them():
    place = ["SELECT 1 FROM stock FOR UPDATE", "UPDATE stock SET n = n - 1", "INSERT INTO orders (id) VALUES (1)"]
    facts = document_of(place, ["DELETE FROM drafts"], held=[0.03, 0.01]).functionalities["f"]
    assert (facts.inserts, facts.updates, facts.deletes) == (("orders",), ("stock",), ("drafts",))
    assert [(lock.table, lock.strength) for lock in facts.locks] == [("stock", "UPDATE")]
    assert facts.held_ms == 20
    reading = document_of(["SELECT 1 FROM stock"]).functionalities["f"]
    assert (reading.inserts, reading.updates, reading.deletes, reading.held_ms) == (None, None, None, None)
