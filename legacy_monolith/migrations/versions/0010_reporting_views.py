"""2022: the office reads through views."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE VIEW product_listing AS
        SELECT p.id, p.sku, p.name, p.status, p.version, c.name AS category_name, o.currency, o.amount, p.updated_at
        FROM product p
        JOIN category c ON c.id = p.category_id
        LEFT JOIN LATERAL (
            SELECT r.currency, r.amount
            FROM price r
            WHERE r.product_id = p.id AND r.valid_to IS NULL
            ORDER BY r.valid_from DESC, r.id DESC
            LIMIT 1
        ) o ON true
    """)
    op.execute("""
        CREATE VIEW revenue_by_day AS
        SELECT (o.placed_at AT TIME ZONE 'UTC')::date AS day, c.id AS category_id, c.name AS category_name, o.currency,
               sum(l.quantity) AS units, sum(l.quantity * l.unit_price) AS revenue
        FROM orders o
        JOIN order_lines l ON l.order_id = o.id
        JOIN product p ON p.id = l.product_id
        JOIN category c ON c.id = p.category_id
        WHERE o.status <> 'cancelled'
        GROUP BY 1, 2, 3, 4
    """)


def downgrade() -> None:
    op.execute("DROP VIEW revenue_by_day")
    op.execute("DROP VIEW product_listing")
