"""The plan's tables as the stream's mapping."""

import re
from typing import Final

from cdc.events import TableName
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from migration_plans.plan import ColumnPlan, Plan
from strangler.errors import BadInput

_PART: Final = r'"(?:[^"]|"")+"'
_QUOTED: Final = re.compile(rf'(?=.*")(?:({_PART}|[^".]+)\.)?({_PART}|[^".]+)', re.DOTALL)


def table_name(text: str) -> TableName:
    """`products` → public.products; `shop.products` → shop.products."""
    schema, _, name = text.rpartition(".")
    return TableName(schema=schema or "public", name=name)


def typed_table(text: str, schema: str = "public") -> TableName:
    """As `table_name`, of what a person typed: a name with a dot may stand in SQL's quotes (`"a.b"`, `shop."a.b"`).

    Raises `BadInput` for what no table can be called."""
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        found = TableName(schema=_unquoted(quoted[1] or schema), name=_unquoted(quoted[2]))
    else:
        given, _, name = text.rpartition(".")
        found = TableName(schema=given or schema, name=name)
    if not found.name or any("\ud800" <= each <= "\udfff" for each in text):
        raise BadInput(thing=f"table {text!r}", reason="is no name of a table", mend="write NAME or SCHEMA.NAME")
    return found


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if len(part) > 2 and part[0] == part[-1] == '"' else part


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
