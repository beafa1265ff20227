"""2019: a product may be shown in more than one category; updates leave a time."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE product_category (
            product_id bigint NOT NULL REFERENCES product (id),
            category_id bigint NOT NULL REFERENCES category (id),
            rank int NOT NULL DEFAULT 0,
            PRIMARY KEY (product_id, category_id)
        )
    """)
    op.execute("CREATE INDEX product_category_category_id_idx ON product_category (category_id, product_id)")
    op.execute("""
        CREATE FUNCTION product_touch() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.updated_at := now();
            RETURN NEW;
        END
        $$
    """)
    op.execute("CREATE TRIGGER product_touch BEFORE UPDATE ON product FOR EACH ROW EXECUTE FUNCTION product_touch()")


def downgrade() -> None:
    op.execute("DROP TRIGGER product_touch ON product")
    op.execute("DROP FUNCTION product_touch()")
    op.execute("DROP TABLE product_category")
