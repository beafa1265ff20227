"""2023: the credit check and the product page had become slow."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE INDEX orders_open_idx ON orders (customer_id) INCLUDE (total)
        WHERE paid_at IS NULL AND status <> 'cancelled'
    """)
    op.execute("CREATE INDEX price_open_idx ON price (product_id, valid_from DESC, id DESC) WHERE valid_to IS NULL")


def downgrade() -> None:
    op.execute("DROP INDEX price_open_idx")
    op.execute("DROP INDEX orders_open_idx")
