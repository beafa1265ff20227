"""The plan's tables as the stream's mapping."""

from cdc.events import TableName
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from migration_plans.plan import ColumnPlan, Plan


def table_name(text: str) -> TableName:
    """`products` → public.products; `shop.products` → shop.products."""
    schema, _, name = text.rpartition(".")
    return TableName(schema=schema or "public", name=name)


def move_mapping(plan: Plan) -> MoveMapping:
    """Forward mapping of all the plan's tables, in the plan's order. Raises `MappingInvalid`."""
    return MoveMapping(
        tables=tuple(
            TableMapping(
                source=table_name(source),
                targets=tuple(
                    TargetMapping(
                        table=table_name(target),
                        columns=tuple(_rule(column, rule) for column, rule in columns.items()),
                        added=table.added.get(target, {}),
                    )
                    for target, columns in table.targets.items()
                ),
                dropped=table.dropped,
            )
            for source, table in plan.tables.items()
        )
    )


def _rule(target: str, column: ColumnPlan) -> ColumnRule:
    return ColumnRule(
        target=target,
        source=column.source,
        lookup=column.lookup,
        scale=column.scale,
        constant=column.constant,
    )
