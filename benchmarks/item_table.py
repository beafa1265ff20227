"""The table that capture, copy and verification are measured on: six columns, some 110 bytes a row; two targets."""

import psycopg

from cdc.events import TableName
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping

SOURCE = TableName(name="item")
PIPED = TableName(name="item_piped")
"""Where the reference copies to: the source's own shape."""

_COLUMNS = (
    "(id bigint PRIMARY KEY, sku varchar(40) NOT NULL, name varchar(200) NOT NULL, descr text,"
    " status text NOT NULL, amount numeric(12,2) NOT NULL)"
)
SOURCE_DDL = f"CREATE TABLE item {_COLUMNS}"
TARGET_DDL = f"""
CREATE TABLE item {_COLUMNS};
CREATE TABLE item_piped {_COLUMNS};
CREATE TABLE items (item_id bigint PRIMARY KEY, sku varchar(40) NOT NULL, title varchar(200) NOT NULL,
    lifecycle text NOT NULL, amount_minor bigint NOT NULL);
CREATE TABLE item_descriptions (item_id bigint PRIMARY KEY, body text);
"""
_ROWS = """
INSERT INTO item SELECT g, 'SKU-' || lpad(g::text, 9, '0'), 'Kettle number ' || g,
    CASE WHEN g % 4 > 0 THEN 'Boils a litre in three minutes, and not before: ' || md5(g::text) END,
    (ARRAY['draft','active','retired'])[g % 3 + 1], (g % 100000) / 100.0
FROM generate_series(%(first)s::bigint, %(last)s::bigint) g
"""
_STATUS = {"draft": "draft", "active": "live", "retired": "retired"}


def _same(*columns: str) -> tuple[ColumnRule, ...]:
    return tuple(ColumnRule(source=column.partition(">")[0], target=column.rpartition(">")[2]) for column in columns)


UNMAPPED = MoveMapping(
    tables=(
        TableMapping(
            source=SOURCE,
            targets=(TargetMapping(table=SOURCE, columns=_same("id", "sku", "name", "descr", "status", "amount")),),
        ),
    )
)
MAPPED = MoveMapping(
    tables=(
        TableMapping(
            source=SOURCE,
            targets=(
                TargetMapping(
                    table=TableName(name="items"),
                    columns=(
                        *_same("id>item_id", "sku", "name>title"),
                        ColumnRule(source="status", target="lifecycle", lookup=_STATUS),
                        ColumnRule(source="amount", target="amount_minor", scale=100),
                    ),
                ),
                TargetMapping(table=TableName(name="item_descriptions"), columns=_same("id>item_id", "descr>body")),
            ),
        ),
    )
)
"""Rename, lookup, scale and split, as the catalog's."""


def insert_items(dsn: str, rows: int, *, rows_per_transaction: int) -> None:
    """Fill the source with ids 1 to `rows`."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for first in range(1, rows + 1, rows_per_transaction):
            last = min(rows, first + rows_per_transaction - 1)
            connection.execute(_ROWS.replace("g % ", "g %% "), {"first": first, "last": last})
