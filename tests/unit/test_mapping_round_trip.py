"""Properties: what is mapped forward and back is what it was, whatever the order of events in a transaction."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.events import UNCHANGED, Column, Relation, RowChange, Truncate
from cdc.mapping.compiled import compile_mapping
from cdc.mapping.model import MoveMapping
from tests.catalog_mapping import CATALOG, LEGACY, SERVICE, name

FORWARD = compile_mapping(CATALOG, LEGACY, SERVICE)
BACK = compile_mapping(CATALOG.inverse(), SERVICE, LEGACY)
FILL = {"sku": "s", "category_id": "7", "tags": "{}", "created_at": "2026-01-01 00:00:00+00"}


def relation(schema, table):
    described = schema.tables[name(table)]
    return Relation(
        oid=1,
        schema="public",
        name=table,
        columns=tuple(
            Column(name=c.name, type_oid=0, in_key=c.name in described.primary_key) for c in described.columns
        ),
    )


RELATIONS = {table.name: relation(schema, table.name) for schema in (LEGACY, SERVICE) for table in schema.tables}


def image(table, values):
    return tuple(values.get(c.name) for c in RELATIONS[table].columns)


def row_change(table, op, new=None, old_key=None):
    return RowChange(
        relation=RELATIONS[table],
        op=op,
        new=None if new is None else image(table, new),
        old=None if old_key is None else image(table, old_key),
        old_is_key=old_key is not None,
    )


@dataclass
class Store:
    """Tables as dicts; applies target changes as a database would, refusing what it would refuse."""

    schema: object
    tables: dict = field(default_factory=dict)

    def rows(self, table):
        return self.tables.setdefault(table, {})

    def apply(self, changes):
        for change in changes:
            rows = self.rows(change.table.name)
            key = tuple(change.key.values())
            if change.kind == "truncate":
                rows.clear()
            elif change.kind == "upsert":
                blank = dict.fromkeys(self.schema.tables[change.table].column_names)
                rows[key] = {**blank, **rows.get(key, {}), **change.values}
            elif change.kind == "delete":
                assert key in rows or change.missing == "ignore", change
                rows.pop(key, None)
            else:
                at = tuple((change.old_key or change.key).values())
                assert at in rows or change.missing == "ignore", change
                if at in rows:
                    row = {**rows.pop(at), **change.values}
                    assert key not in rows, "primary key violated"
                    rows[key] = row


def products(store):
    return {int(key): (row["name"], row["descr"]) for (key,), row in store.rows("product").items()}


ids = st.integers(1, 4)
bodies = st.one_of(st.none(), st.sampled_from(["", "a", "b", "BIG1", "BIG2"]))
operations = st.one_of(
    st.tuples(st.just("insert"), ids, st.sampled_from("xy"), bodies),
    st.tuples(st.just("title"), ids, st.sampled_from("xyz")),
    st.tuples(st.just("body"), ids, bodies),
    st.tuples(st.just("move"), ids, ids, st.one_of(st.just("keep"), bodies)),
    st.tuples(st.just("delete"), ids),
    st.tuples(st.just("replace"), ids, st.sampled_from("xy"), bodies),
    st.tuples(st.just("truncate")),
)


def sent(body, touched):
    """A large value that the update left alone is not sent."""
    return UNCHANGED if not touched and body is not None and body.startswith("BIG") else body


def legacy_events(rows, operation):
    """Run one operation on {id: (title, body)}; the events the legacy stream sends for it."""
    kind, *args = operation
    if kind == "truncate":
        rows.clear()
        return [Truncate(relations=(RELATIONS["product"],))]

    def full(key, body):
        return {**FILL, "id": str(key), "status": "active", "name": rows[key][0], "descr": body}

    if kind == "insert" and args[0] not in rows:
        rows[args[0]] = (args[1], args[2])
        return [row_change("product", "c", full(args[0], args[2]))]
    if args[0] not in rows:
        return []
    old = rows[args[0]]
    if kind == "title":
        rows[args[0]] = (args[1], old[1])
        return [row_change("product", "u", full(args[0], sent(old[1], False)))]
    if kind == "body":
        rows[args[0]] = (old[0], args[1])
        return [row_change("product", "u", full(args[0], args[1]))]
    if kind == "move" and args[1] not in rows:
        body = old[1] if args[2] == "keep" else args[2]
        rows[args[1]] = (rows.pop(args[0])[0], body)
        new = full(args[1], sent(body, args[2] != "keep"))
        return [row_change("product", "u", new, {"id": str(args[0])})]
    if kind in ("delete", "replace"):
        events = [row_change("product", "d", old_key={"id": str(args[0])})]
        del rows[args[0]]
        return events + (legacy_events(rows, ("insert", *args)) if kind == "replace" else [])
    return []


def service_events(rows, operation):
    """The same on the service's two tables: (events of products, events of product_descriptions)."""
    kind, *args = operation
    if kind == "truncate":
        rows.clear()
        both = Truncate(relations=(RELATIONS["products"], RELATIONS["product_descriptions"]))
        return [both], []

    def product(key):
        return {
            "product_id": str(key), "title": rows[key][0], "lifecycle": "live", "sku": "s", "category_id": "7",
            "tags": "{}", "created_at": FILL["created_at"],
        }  # fmt: skip

    def part(key, body):
        return {"product_id": str(key), "body": body}

    def old(key):
        return {"product_id": str(key)}

    if kind == "insert" and args[0] not in rows:
        rows[args[0]] = (args[1], args[2])
        return (
            [row_change("products", "c", product(args[0]))],
            [row_change("product_descriptions", "c", part(args[0], args[2]))],
        )
    if args[0] not in rows:
        return [], []
    before = rows[args[0]]
    if kind == "title":
        rows[args[0]] = (args[1], before[1])
        return [row_change("products", "u", product(args[0]))], []
    if kind == "body":
        rows[args[0]] = (before[0], args[1])
        return [], [row_change("product_descriptions", "u", part(args[0], args[1]))]
    if kind == "move" and args[1] not in rows:
        body = before[1] if args[2] == "keep" else args[2]
        rows[args[1]] = (rows.pop(args[0])[0], body)
        return (
            [row_change("products", "u", product(args[1]), old(args[0]))],
            [row_change("product_descriptions", "u", part(args[1], sent(body, args[2] != "keep")), old(args[0]))],
        )
    if kind in ("delete", "replace"):
        del rows[args[0]]
        gone = (
            [row_change("products", "d", old_key=old(args[0]))],
            [row_change("product_descriptions", "d", old_key=old(args[0]))],
        )
        again = service_events(rows, ("insert", *args)) if kind == "replace" else ([], [])
        return gone[0] + again[0], gone[1] + again[1]
    return [], []


@given(st.lists(st.lists(operations, max_size=6), max_size=5))
@settings(max_examples=300, deadline=None)
def test_forward_then_inverse_gives_the_original_rows(transactions):
    rows, service, back = {}, Store(SERVICE), Store(LEGACY)
    for operations in transactions:
        events = [event for operation in operations for event in legacy_events(rows, operation)]
        service.apply(FORWARD.map_transaction(events))
    assert {k for (k,) in service.rows("products")} == {k for (k,) in service.rows("product_descriptions")}
    for table in ("products", "product_descriptions"):
        copies = [row_change(table, "r", row) for row in service.rows(table).values()]
        back.apply(change for copy in copies for change in BACK.map(copy))
    assert products(back) == rows


@given(st.data())
@settings(max_examples=600, deadline=None)
def test_reverse_holds_whatever_the_order_of_the_two_tables_in_a_statement(data):
    rows, legacy = {}, Store(LEGACY)
    for _ in range(data.draw(st.integers(1, 4), label="transactions")):
        events = []
        for operation in data.draw(st.lists(operations, max_size=6), label="statements"):
            owner, part = service_events(rows, operation)
            events += merged(data.draw, owner, part)
        legacy.apply(BACK.map_transaction(events))
        assert products(legacy) == rows


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_reverse_holds_for_multi_row_statements_that_shift_keys(data):
    rows = {key: (f"t{key}", data.draw(bodies)) for key in range(1, 5)}
    legacy = Store(LEGACY)
    for key, (title, body) in rows.items():
        legacy.rows("product")[(str(key),)] = {"id": str(key), "name": title, "descr": body}
    owner, part = [], []
    for key in range(4, 0, -1):
        each = service_events(rows, ("move", key, key + 1, data.draw(st.one_of(st.just("keep"), bodies))))
        owner += each[0]
        part += each[1]
    legacy.apply(BACK.map_transaction(merged(data.draw, owner, part)))
    assert products(legacy) == rows


def merged(draw, first, second):
    """Any interleaving of two event lists that keeps each one's own order."""
    first, second, both = list(first), list(second), []
    while first or second:
        take_first = bool(first) and (not second or draw(st.booleans()))
        both.append((first if take_first else second).pop(0))
    return both


def test_the_inverse_of_the_inverse_is_the_mapping():
    assert CATALOG.inverse().inverse() == MoveMapping(tables=CATALOG.tables)
