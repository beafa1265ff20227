"""Alembic's entry: runs on the connection that `legacy_monolith.migrate` hands over."""

from alembic import context

from legacy_monolith.models import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
