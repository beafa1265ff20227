"""2017: logins. Roles are rows, not code."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE roles (name varchar(16) PRIMARY KEY, description text NOT NULL)")
    op.execute("""
        INSERT INTO roles (name, description) VALUES
            ('customer', 'buys'), ('merchant', 'keeps the catalog and the stock'), ('admin', 'sees everything')
    """)
    op.execute("""
        CREATE TABLE users (
            id bigserial PRIMARY KEY,
            login varchar(80) NOT NULL UNIQUE,
            role_name varchar(16) NOT NULL REFERENCES roles (name),
            customer_id bigint NULL REFERENCES customers (id),
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX users_customer_id_idx ON users (customer_id)")
    op.execute("""
        CREATE TABLE sessions (
            token uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL DEFAULT now() + interval '8 hours'
        )
    """)
    op.execute("CREATE INDEX sessions_user_id_idx ON sessions (user_id)")


def downgrade() -> None:
    op.execute("DROP TABLE sessions, users, roles")
