"""2016: customers with a credit limit, their regions and addresses."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE regions (code varchar(8) PRIMARY KEY, name varchar(80) NOT NULL, currency char(3) NOT NULL)"
    )
    op.execute("""
        CREATE TABLE customers (
            id bigserial PRIMARY KEY,
            email varchar(200) NOT NULL UNIQUE,
            name varchar(120) NOT NULL,
            region_code varchar(8) NOT NULL REFERENCES regions (code),
            credit_limit numeric(12, 2) NOT NULL DEFAULT 0,
            labels text[] NOT NULL DEFAULT '{}',
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT customers_credit_limit_check CHECK (credit_limit >= 0)
        )
    """)
    op.execute("CREATE INDEX customers_region_code_idx ON customers (region_code)")
    op.execute("""
        CREATE TABLE addresses (
            id bigserial PRIMARY KEY,
            customer_id bigint NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
            kind varchar(16) NOT NULL DEFAULT 'shipping',
            line1 varchar(200) NOT NULL,
            city varchar(80) NOT NULL,
            postcode varchar(16) NOT NULL,
            country char(2) NOT NULL
        )
    """)
    op.execute("CREATE INDEX addresses_customer_id_idx ON addresses (customer_id)")


def downgrade() -> None:
    op.execute("DROP TABLE addresses, customers, regions")
