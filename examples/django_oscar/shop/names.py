"""What the tables are called: the name that Django would give, without the app in front of it.

Whoever reads the schema then learns nothing of the apps. Names that meet (three apps have a `line`) are numbered.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.db.models.signals import class_prepared

KEPT: Final = frozenset({"django_migrations"})
"""Tables of Django's tool for migrations, which is no part of the shop."""

NUMBERED: Final[Mapping[str, str]] = {
    "basket_line": "line_2",
    "order_line": "line_3",
    "wishlists_line": "line_1",
    "basket_lineattribute": "lineattribute_2",
    "order_lineattribute": "lineattribute_1",
}


def hidden(table: str) -> str:
    """`catalogue_product` → `product`."""
    if table in KEPT:
        return table
    return NUMBERED.get(table) or table.partition("_")[2]


def hidden_names(tables: Iterable[str]) -> dict[str, str]:
    """Name → hidden name of all tables. Raises `ValueError` when two become one."""
    found: dict[str, list[str]] = defaultdict(list)
    for table in tables:
        found[hidden(table)].append(table)
    meeting = {name: sorted(tables) for name, tables in found.items() if len(tables) > 1}
    if meeting:
        raise ValueError(f"number these tables: {meeting}")
    return {tables[0]: name for name, tables in found.items()}


def hide() -> None:
    """From now on every model is given its hidden table. To be called before the models are imported."""
    class_prepared.connect(_rename, weak=False)


def _rename(sender: Any, **_: Any) -> None:
    if not sender._meta.abstract and not sender._meta.proxy:
        sender._meta.db_table = hidden(sender._meta.db_table)
