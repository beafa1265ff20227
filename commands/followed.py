"""Columns of moved tables that came, or got another name, while the stream ran: what a plan may be behind of."""

from collections.abc import Iterator, Sequence

from cdc.schema_changes.store import Met, accepted
from migration_plans.drift.running import FollowedColumn
from migration_plans.plan import Plan
from migration_plans.table_names import plain


def followed_columns(plan: Plan, met: Sequence[Met]) -> Iterator[FollowedColumn]:
    """`met`: the forms of the source's tables, as the stream keeps them in its target."""
    planned = {plain(name) for name in plan.tables}
    for table, versions in accepted(met).items():
        for column in versions[-1].columns if str(table) in planned else ():
            came, renamed = versions[0].column(column.attnum) is None, column.known_as != column.name
            if came or renamed:
                yield FollowedColumn(
                    table=str(table),
                    column=column.name,
                    target=column.known_as if column.mapped else None,
                    came=came,
                    was=column.known_as if renamed else None,
                )
