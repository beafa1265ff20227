"""2018: invoices and a double-entry ledger."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TYPE invoice_status AS ENUM ('draft', 'open', 'paid', 'void')")
    op.execute("""
        CREATE TABLE invoices (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            order_id bigint NOT NULL UNIQUE REFERENCES orders (id),
            status invoice_status NOT NULL DEFAULT 'draft',
            total numeric(12, 2) NOT NULL,
            issued_on date NULL,
            lines jsonb NOT NULL DEFAULT '[]',
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        CREATE TABLE ledger_entries (
            id bigserial PRIMARY KEY,
            invoice_id bigint NOT NULL REFERENCES invoices (id),
            customer_id bigint NOT NULL REFERENCES customers (id),
            account varchar(24) NOT NULL,
            debit numeric(14, 2) NOT NULL DEFAULT 0,
            credit numeric(14, 2) NOT NULL DEFAULT 0,
            booked_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX ledger_entries_invoice_id_idx ON ledger_entries (invoice_id)")
    op.execute("CREATE INDEX ledger_entries_customer_id_idx ON ledger_entries (customer_id, id)")


def downgrade() -> None:
    op.execute("DROP TABLE ledger_entries, invoices")
    op.execute("DROP TYPE invoice_status")
