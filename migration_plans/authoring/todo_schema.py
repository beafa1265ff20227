"""What is left to do because of what the tables are. Pure."""

from collections.abc import Iterator

from migration_plans.authoring.draft import Draft
from migration_plans.authoring.legacy_schema import Table
from migration_plans.authoring.todo import Item


def left_out(draft: Draft) -> Iterator[Item]:
    """What the migration does not make."""
    for found in draft.ddl.left_out:
        yield Item(what=found.thing, why=found.why, inside=(found.todo,))
    for sequence in draft.schema.sequences:
        if sequence.stays_with:
            yield Item(
                what=f"sequence {sequence.sql}: made anew",
                why=f"{', '.join(sequence.stays_with)} stay and draw from it, too",
                inside=(
                    "two sequences now give the same numbers: if they must differ over these tables, give each side "
                    "its own range",
                ),
            )
        if sequence.options.cycles:
            yield Item(
                what=f"sequence {sequence.sql} cycles",
                why="no number of it is ever safely past: NO CYCLE on both sides",
            )
    for table in draft.schema.tables:
        yield from _table_left_out(table)


def _table_left_out(table: Table) -> Iterator[Item]:
    for trigger in table.triggers:
        yield Item(
            what=f"trigger {trigger} of {table.name}",
            why="once the service writes, its code has to do what the trigger does; on applied rows it does not fire",
        )
    for rule in table.rules:
        yield Item(
            what=f"rule {rule} of {table.name}", why="rules are not carried over: write it into the service's code"
        )
    if table.row_security:
        policies = f": {', '.join(table.policies)}" if table.policies else ""
        yield Item(
            what=f"row-level security of {table.name}{policies}",
            why="who may see which row has to be decided by the service, or by policies in a further migration",
        )
    for grant in table.grants:
        yield Item(what=f"`{grant}`", why="whoever that is needs the service's API, or a role in its database")
    if table.parents:
        yield Item(
            what=f"{table.name} inherits from {', '.join(table.parents)}",
            why="it becomes a table of its own; a query of the parent in the monolith still sees the live copy's rows",
        )


def legacy_changes(draft: Draft) -> Iterator[Item]:
    """What has to be changed in the monolith's database."""
    for table in draft.schema.tables:
        if table.primary_key is None and table.replica_identity != "f":
            yield Item(
                what=f"`ALTER TABLE {table.sql} REPLICA IDENTITY FULL`, or give it a primary key",
                why=f"rows of {table.name} cannot be told apart (docs/tables-without-a-key.md)",
                inside=tuple(f"`ALTER TABLE {part.sql} REPLICA IDENTITY FULL`" for part in table.partitions),
            )
        logged = [(table.sql, table.is_logged), *((part.sql, part.is_logged) for part in table.partitions)]
        for sql in (sql for sql, is_logged in logged if not is_logged):
            yield Item(what=f"`ALTER TABLE {sql} SET LOGGED`", why="changes of an unlogged table are not in the log")
        for constraint in table.constraints:
            if not constraint.validated:
                yield Item(
                    what=f"`ALTER TABLE {table.sql} VALIDATE CONSTRAINT {constraint.sql}`",
                    why="it was never checked for older rows: those that break it would be parked by the copy",
                )
