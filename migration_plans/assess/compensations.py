"""Names for the actions that undo a saga's steps: by what was written, in the words of its domain. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from migration_plans.assess.facts import Facts
from migration_plans.assess.naming import singular, words

_VERBS = {
    "reservation": "release",
    "booking": "cancel",
    "hold": "release",
    "stock": "release",
    "inventory": "release",
    "quota": "release",
    "seat": "release",
    "credit": "restore",
    "balance": "restore",
    "payment": "refund",
    "charge": "refund",
    "invoice": "void",
    "ledger": "reverse",
    "journal": "reverse",
    "entry": "reverse",
    "posting": "reverse",
    "shipment": "cancel",
    "delivery": "cancel",
    "order": "cancel",
    "audit": "amend",
    "subscription": "cancel",
    "user": "deactivate",
    "account": "deactivate",
    "coupon": "restore",
    "voucher": "restore",
}
"""Word of a table → what undoes a write to it. The last word of a name that is here decides, then the one before."""
_AMOUNTS = frozenset({"stock", "inventory", "quota", "seat", "credit", "balance"})
"""Rows that are changed, not made, when something is taken of them: their word names the undoing of a change, too."""
_PART_WORDS = frozenset({"line", "item", "detail", "entry", "note", "row"})
"""A part is undone with what it is a part of: `order_lines` is `cancel_order_line`."""
_WHOLE_SHARE = 0.8
"""Of a table's columns: who writes so many of them inserts."""


WriteKind = Literal["insert", "seems insert", "seems change", "change"]
"""`seems`: concluded from how many of the columns are written."""


class WriteKinds:
    """Whether each write inserts or changes, where the facts say it, or tell which columns it writes."""

    def __init__(self, facts: Facts) -> None:
        self._known: dict[int, dict[str, WriteKind]] = {}
        inserts, others = (
            {(change.functionality, change.table) for change in facts.changes if (change.kind == "insert") is wanted}
            for wanted in (True, False)
        )
        for use in facts.columns:
            table = facts.tables[use.table]
            described = facts.described.get(table)
            if use.written and described and described.columns:
                whole = len(set(use.written) & set(described.columns)) >= _WHOLE_SHARE * len(described.columns)
                self._known.setdefault(use.functionality, {})[table] = "seems insert" if whole else "seems change"
        for functionality, table_number in inserts | others:
            is_changed = (functionality, table_number) in others
            self._known.setdefault(functionality, {})[facts.tables[table_number]] = "change" if is_changed else "insert"

    def of(self, functionality: int) -> Mapping[str, WriteKind]:
        """By table; those of which it is not known are left out."""
        return self._known.get(functionality, {})


@lru_cache(maxsize=4096)
def compensation_name(table: str, kind: WriteKind | None) -> str:
    """`reservations` → `release_reservation`. An update that no domain word names is restored, an insert removed.

    A row that surely was there before is not cancelled, but restored; unless it is an amount, of which some was taken.
    """
    said = [*words(table)[:-1], singular(words(table)[-1])]
    for word in reversed(said):
        if kind == "change" and word not in _AMOUNTS:
            continue
        if (verb := _VERBS.get(word)) and (word not in _PART_WORDS or word == said[-1]):
            return "_".join([verb, *said])
    verb = "undo" if kind is None else "remove" if kind.endswith("insert") else "restore"
    return "_".join([verb, *said])
