"""2019: the warehouse picks and ships."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TYPE shipment_status AS ENUM ('picking', 'shipped')")
    op.execute("""
        CREATE TABLE shipments (
            id bigserial PRIMARY KEY,
            order_id bigint NOT NULL UNIQUE REFERENCES orders (id),
            status shipment_status NOT NULL DEFAULT 'picking',
            carrier varchar(40) NULL,
            tracking varchar(64) NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            shipped_at timestamptz NULL
        )
    """)
    op.execute("""
        CREATE TABLE pick_items (
            shipment_id bigint NOT NULL REFERENCES shipments (id),
            order_id bigint NOT NULL,
            line_no int NOT NULL,
            quantity int NOT NULL,
            picked_by varchar(80) NULL,
            PRIMARY KEY (shipment_id, order_id, line_no),
            CONSTRAINT pick_items_order_line_fkey
                FOREIGN KEY (order_id, line_no) REFERENCES order_lines (order_id, line_no)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE pick_items, shipments")
    op.execute("DROP TYPE shipment_status")
