"""2020: marketing asks for reviews and promotions."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE reviews (
            id bigserial PRIMARY KEY,
            product_id bigint NOT NULL REFERENCES product (id),
            customer_id bigint NOT NULL REFERENCES customers (id),
            rating smallint NOT NULL,
            body text NOT NULL DEFAULT '',
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT reviews_rating_check CHECK (rating BETWEEN 1 AND 5)
        )
    """)
    op.execute("CREATE INDEX reviews_product_id_idx ON reviews (product_id, id)")
    op.execute("CREATE INDEX reviews_customer_id_idx ON reviews (customer_id)")
    op.execute("""
        CREATE TABLE promotions (
            id bigserial PRIMARY KEY,
            code varchar(32) NOT NULL UNIQUE,
            category_id bigint NULL REFERENCES category (id),
            percent numeric(5, 2) NOT NULL,
            region_codes text[] NOT NULL DEFAULT '{}',
            valid_from timestamptz NOT NULL,
            valid_to timestamptz NULL
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE promotions, reviews")
