"""2021: an audit trail that refers to everything by plain id, and settings in a table."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE audit_log (
            id bigserial PRIMARY KEY,
            entity varchar(32) NOT NULL,
            entity_id bigint NOT NULL,
            action varchar(32) NOT NULL,
            actor varchar(80) NULL,
            detail jsonb NOT NULL DEFAULT '{}',
            at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX audit_log_entity_idx ON audit_log (entity, entity_id)")
    op.execute("""
        CREATE TABLE settings (
            key varchar(64) PRIMARY KEY,
            value jsonb NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        INSERT INTO settings (key, value) VALUES
            ('shop.name', '"Corner Store"'), ('shop.currency', '"EUR"'), ('orders.max_lines', '50')
    """)


def downgrade() -> None:
    op.execute("DROP TABLE settings, audit_log")
