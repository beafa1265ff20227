"""The catalog's SQL, one constant or builder a query. Pure: text in, text out; every value is a parameter."""

from collections.abc import Collection

_COLUMNS = (
    "p.product_id, p.sku, p.title, {body}, p.category_id, p.lifecycle, p.tags, p.attributes, p.weight_grams, "
    "p.revision, p.created_at, p.updated_at"
)
_AROUND = """
LEFT JOIN product_descriptions d ON d.product_id = p.product_id
LEFT JOIN LATERAL (
    SELECT price_id, currency, amount_minor, reference, effective_from FROM prices
    WHERE product_id = p.product_id AND effective_to IS NULL
    ORDER BY effective_from DESC, price_id DESC LIMIT 1
) o ON true"""
_SHOWN = (
    _COLUMNS.format(body="d.body")
    + ", o.price_id, o.currency, o.amount_minor, o.reference, o.effective_from, ARRAY(SELECT a.category_id "
    "FROM product_categories a WHERE a.product_id = p.product_id ORDER BY a.sort_order, a.category_id)"
)
_CATEGORY = "category_id, parent_id, title, slug, sort_order"
_PRICE = "price_id, product_id, currency, amount_minor, reference, effective_from, effective_to"

PRODUCT_BY_ID = f"SELECT {_SHOWN} FROM products p {_AROUND} WHERE p.product_id = %(product_id)s"
PRODUCT_BY_SKU = f"SELECT {_SHOWN} FROM products p {_AROUND} WHERE p.sku = %(sku)s"
PRODUCT_EXISTS = "SELECT 1 FROM products WHERE product_id = %(product_id)s"
CATEGORY_EXISTS = "SELECT 1 FROM categories WHERE category_id = %(category_id)s"

_FILTERS = {
    "category_id": "category_id = %(category_id)s",
    "lifecycle": "lifecycle = %(lifecycle)s",
    "text": "(title ILIKE %(text)s OR sku ILIKE %(text)s)",
}


def product_list(filters: Collection[str]) -> str:
    """Products by id after `after_id`, at most `limit`; `filters` names the used of category_id, lifecycle, text."""
    conditions = "".join(f" AND {text}" for name, text in _FILTERS.items() if name in filters)
    page = f"SELECT * FROM products WHERE product_id > %(after_id)s{conditions} ORDER BY product_id LIMIT %(limit)s"
    return f"SELECT {_SHOWN} FROM ({page}) p {_AROUND} ORDER BY p.product_id"


PRODUCTS_ASSIGNED = f"""
SELECT {_SHOWN} FROM (
    SELECT q.* FROM product_categories m JOIN products q ON q.product_id = m.product_id
    WHERE m.category_id = %(category_id)s AND m.product_id > %(after_id)s ORDER BY m.product_id LIMIT %(limit)s
) p {_AROUND} ORDER BY p.product_id"""

ADD_PRODUCT = f"""
WITH added AS (
    INSERT INTO products AS p (sku, title, category_id, lifecycle, tags, attributes, weight_grams)
    SELECT %(sku)s::text, %(title)s::text, c.category_id, %(lifecycle)s::text, %(tags)s::text[], %(attributes)s::jsonb,
        %(weight_grams)s::int
    FROM categories c WHERE c.category_id = %(category_id)s
    RETURNING {_COLUMNS.format(body="%(description)s::text AS body")}
), described AS (
    INSERT INTO product_descriptions (product_id, body) SELECT product_id, body FROM added
)
SELECT p.*, NULL, NULL, NULL, NULL, NULL, ARRAY[]::bigint[] FROM added p"""
"""Returns no row when the category does not exist. A new product has neither price nor assignments."""

_PRODUCT_FIELDS = {
    "title": "title = %(title)s",
    "category_id": "category_id = %(category_id)s",
    "lifecycle": "lifecycle = %(lifecycle)s",
    "tags": "tags = %(tags)s",
    "attributes": "attributes = %(attributes)s",
    "weight_grams": "weight_grams = %(weight_grams)s",
}


def change_product(fields: Collection[str]) -> str:
    """Set `fields` of one product and count its revision up. No row: the product, or a new category, does not exist."""
    sets = ", ".join(
        [text for name, text in _PRODUCT_FIELDS.items() if name in fields]
        + ["revision = revision + 1", "updated_at = now()"]
    )
    guard = f" AND EXISTS ({CATEGORY_EXISTS})" if "category_id" in fields else ""
    described = (
        """, described AS (
    INSERT INTO product_descriptions (product_id, body) SELECT product_id, %(description)s::text FROM changed
    ON CONFLICT (product_id) DO UPDATE SET body = EXCLUDED.body
)"""
        if "description" in fields
        else ""
    )
    return f"""
WITH changed AS (
    UPDATE products SET {sets} WHERE product_id = %(product_id)s{guard} RETURNING product_id
){described}
SELECT product_id FROM changed"""


LOCK_PRODUCT = f"{PRODUCT_EXISTS} FOR NO KEY UPDATE"
"""One price change of a product at a time: the next statement's snapshot then sees what the one before left."""

REPLACE_OPEN_PRICE = f"""
WITH moment AS MATERIALIZED (
    SELECT GREATEST(clock_timestamp(), max(effective_from) + interval '1 microsecond') AS at FROM prices
    WHERE product_id = %(product_id)s AND currency = %(currency)s AND effective_to IS NULL
), closed AS (
    UPDATE prices SET effective_to = moment.at FROM moment
    WHERE product_id = %(product_id)s AND currency = %(currency)s AND effective_to IS NULL
)
INSERT INTO prices (product_id, currency, amount_minor, reference, effective_from)
SELECT product_id, %(currency)s, %(amount_minor)s::bigint, %(reference)s, moment.at FROM products, moment
WHERE product_id = %(product_id)s
RETURNING {_PRICE}"""
"""Later than every open price even where this server's clock is behind the one that dated them."""

PRICES_OF_PRODUCT = f"""
SELECT {_PRICE} FROM prices WHERE product_id = %(product_id)s ORDER BY effective_from DESC, price_id DESC"""
DELETE_PRICE = "DELETE FROM prices WHERE price_id = %(price_id)s RETURNING price_id"

CATEGORIES = f"SELECT {_CATEGORY} FROM categories ORDER BY category_id"
CATEGORY_BY_ID = f"SELECT {_CATEGORY} FROM categories WHERE category_id = %(category_id)s"
ADD_CATEGORY = f"""
INSERT INTO categories (parent_id, title, slug, sort_order)
SELECT %(parent_id)s::bigint, %(title)s::text, %(slug)s::text, %(sort_order)s::int
WHERE %(parent_id)s::bigint IS NULL OR EXISTS (SELECT 1 FROM categories WHERE category_id = %(parent_id)s::bigint)
RETURNING {_CATEGORY}"""
"""Returns no row when the parent does not exist."""

_CATEGORY_FIELDS = {
    "title": "title = %(title)s",
    "slug": "slug = %(slug)s",
    "parent_id": "parent_id = %(parent_id)s::bigint",
    "sort_order": "sort_order = %(sort_order)s",
}


def change_category(fields: Collection[str]) -> str:
    """Set `fields` (not empty) of one category. No row: the category, or a new parent, does not exist."""
    sets = ", ".join(text for name, text in _CATEGORY_FIELDS.items() if name in fields)
    guard = (
        " AND (%(parent_id)s::bigint IS NULL OR EXISTS ("
        "SELECT 1 FROM categories WHERE category_id = %(parent_id)s::bigint))"
        if "parent_id" in fields
        else ""
    )
    return f"UPDATE categories SET {sets} WHERE category_id = %(category_id)s{guard} RETURNING {_CATEGORY}"


ASSIGN = """
INSERT INTO product_categories (product_id, category_id, sort_order)
VALUES (%(product_id)s, %(category_id)s, %(sort_order)s)
ON CONFLICT (product_id, category_id) DO UPDATE SET sort_order = EXCLUDED.sort_order
RETURNING product_id, category_id, sort_order"""
UNASSIGN = """
DELETE FROM product_categories WHERE product_id = %(product_id)s AND category_id = %(category_id)s
RETURNING product_id"""


def literal_part(text: str) -> str:
    """An ILIKE pattern that matches `text` anywhere, its own `%`, `_` and backslash taken literally."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
