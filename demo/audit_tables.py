"""Row for row: what the four legacy tables say, projected by hand, against the five service tables.

Both sides are read in key order and merged, so memory holds one row of each.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from demo.audit_ledger import Key
from demo.audit_rows import Connection

_FIELD_END = b"\t"


@dataclass(frozen=True, kw_only=True, slots=True)
class TablePair:
    """A service table, the legacy rows that it must equal, and the entity that both are about.

    Both queries give the same columns in the same text form, the key first, in key order.
    """

    table: str
    entity: str
    columns: tuple[str, ...]
    legacy: str
    service: str
    key_columns: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TableDifference:
    """One key on which the sides differ. `detail` names the columns, or the side that has no row."""

    pair: TablePair
    key: Key
    only_on: str | None
    detail: str


PAIRS = (
    TablePair(
        table="categories",
        entity="category",
        columns=("id", "parent_id", "name", "slug", "position"),
        legacy="SELECT id, parent_id, name, slug, position FROM category ORDER BY id",
        service="SELECT category_id, parent_id, title, slug, sort_order FROM categories ORDER BY category_id",
    ),
    TablePair(
        table="products",
        entity="product",
        columns=(
            "id", "sku", "name", "category_id", "status", "tags", "attrs", "weight_grams", "version", "created_at",
            "updated_at",
        ),
        legacy="SELECT id, sku, name, category_id, CASE status WHEN 'active' THEN 'live' ELSE status::text END, tags, "
        "attrs, weight_grams, version, created_at, updated_at FROM product ORDER BY id",
        service="SELECT product_id, sku, title, category_id, lifecycle, tags, attributes, weight_grams, revision, "
        "created_at, updated_at FROM products ORDER BY product_id",
    ),
    TablePair(
        table="product_descriptions",
        entity="product",
        columns=("id", "descr"),
        legacy="SELECT id, descr FROM product ORDER BY id",
        service="SELECT product_id, body FROM product_descriptions ORDER BY product_id",
    ),
    TablePair(
        table="prices",
        entity="price",
        columns=("id", "product_id", "currency", "amount × 100", "reference", "valid_from", "valid_to"),
        legacy="SELECT id, product_id, currency, (amount * 100)::numeric(14, 0), reference, valid_from, valid_to "
        "FROM price ORDER BY id",
        service="SELECT price_id, product_id, currency, amount_minor, reference, effective_from, effective_to "
        "FROM prices ORDER BY price_id",
    ),
    TablePair(
        table="product_categories",
        entity="product_category",
        columns=("product_id", "category_id", "rank"),
        legacy="SELECT product_id, category_id, rank FROM product_category ORDER BY product_id, category_id",
        service="SELECT product_id, category_id, sort_order FROM product_categories ORDER BY product_id, category_id",
        key_columns=2,
    ),
)  # fmt: skip


@dataclass(kw_only=True, slots=True)
class RowCount:
    """How many service rows and legacy projections were compared."""

    rows: int = 0


def compare_tables(
    pair: TablePair, legacy: Connection, service: Connection, count: RowCount
) -> Iterator[TableDifference]:
    """Every key on which the two sides of a pair differ. `count` goes up by the keys seen."""
    left_rows, right_rows = _stream(legacy, pair.legacy, pair), _stream(service, pair.service, pair)
    left, right = next(left_rows, None), next(right_rows, None)
    while left is not None or right is not None:
        count.rows += 1
        if right is None or (left is not None and left[0] < right[0]):
            assert left is not None
            yield TableDifference(pair=pair, key=left[0], only_on="legacy", detail=f"not in {pair.table}")
            left = next(left_rows, None)
        elif left is None or right[0] < left[0]:
            yield TableDifference(pair=pair, key=right[0], only_on="service", detail=f"only in {pair.table}")
            right = next(right_rows, None)
        else:
            if left[1] != right[1]:
                yield TableDifference(pair=pair, key=left[0], only_on=None, detail=_columns(pair, left[1], right[1]))
            left, right = next(left_rows, None), next(right_rows, None)


def _stream(connection: Connection, query: str, pair: TablePair) -> Iterator[tuple[Key, bytes]]:
    """(key, line of COPY text) in the order of the query."""
    with connection.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT") as rows:
        for row in rows:
            line = bytes(row)
            yield tuple(int(part) for part in line.split(_FIELD_END, pair.key_columns)[: pair.key_columns]), line


def _columns(pair: TablePair, legacy: bytes, service: bytes) -> str:
    fields = zip(pair.columns, legacy.split(_FIELD_END), service.split(_FIELD_END), strict=True)
    parts = (f"{name}: legacy {_short(one)}, service {_short(other)}" for name, one, other in fields if one != other)
    return "; ".join(parts)


def _short(field: bytes) -> str:
    text = field.rstrip(b"\n").decode()
    return text if len(text) <= 60 else f"{text[:57]}…"
