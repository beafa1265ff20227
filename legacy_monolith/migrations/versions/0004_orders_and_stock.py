"""2017: stock is counted, orders reserve it."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE stock (
            product_id bigint PRIMARY KEY REFERENCES product (id),
            on_hand int NOT NULL DEFAULT 0,
            reserved int NOT NULL DEFAULT 0,
            reorder_level int NOT NULL DEFAULT 0,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT stock_on_hand_check CHECK (on_hand >= 0),
            CONSTRAINT stock_reserved_check CHECK (reserved >= 0)
        )
    """)
    op.execute("CREATE TYPE order_status AS ENUM ('placed', 'picking', 'shipped', 'cancelled')")
    op.execute("""
        CREATE TABLE orders (
            id bigserial PRIMARY KEY,
            customer_id bigint NOT NULL REFERENCES customers (id),
            address_id bigint NULL REFERENCES addresses (id),
            status order_status NOT NULL DEFAULT 'placed',
            currency char(3) NOT NULL,
            total numeric(12, 2) NOT NULL,
            placed_at timestamptz NOT NULL DEFAULT now(),
            paid_at timestamptz NULL
        )
    """)
    op.execute("CREATE INDEX orders_customer_id_idx ON orders (customer_id, placed_at)")
    op.execute("CREATE INDEX orders_placed_at_idx ON orders (placed_at)")
    op.execute("""
        CREATE TABLE order_lines (
            order_id bigint NOT NULL REFERENCES orders (id),
            line_no int NOT NULL,
            product_id bigint NOT NULL REFERENCES product (id),
            product_name varchar(200) NOT NULL,
            quantity int NOT NULL,
            unit_price numeric(12, 2) NOT NULL,
            PRIMARY KEY (order_id, line_no),
            CONSTRAINT order_lines_quantity_check CHECK (quantity > 0)
        )
    """)
    op.execute("CREATE INDEX order_lines_product_id_idx ON order_lines (product_id)")
    op.execute("""
        CREATE TABLE reservations (
            id bigserial PRIMARY KEY,
            order_id bigint NOT NULL REFERENCES orders (id),
            product_id bigint NOT NULL REFERENCES stock (product_id),
            quantity int NOT NULL,
            released_at timestamptz NULL
        )
    """)
    op.execute("CREATE INDEX reservations_order_id_idx ON reservations (order_id)")
    op.execute("CREATE INDEX reservations_product_id_idx ON reservations (product_id)")


def downgrade() -> None:
    op.execute("DROP TABLE reservations, order_lines, orders, stock")
    op.execute("DROP TYPE order_status")
