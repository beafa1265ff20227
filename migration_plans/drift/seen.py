"""Facts in the form that a plan is held against. Pure."""

from collections import Counter
from collections.abc import Iterable

from migration_plans.assess.facts import Facts
from migration_plans.drift.traffic import Seen
from migration_plans.table_names import plain


def functionalities_seen(facts: Facts, planned: Iterable[str]) -> dict[str, Seen]:
    """By name, with the tables that each transaction reads and writes. `planned`: tables as the plan writes them."""
    tables = _as_planned([plain(name) for name in facts.tables], list(map(plain, planned)))
    codes, starts = facts.accesses.tolist(), facts.transaction_starts.tolist()
    bounds = facts.functionality_starts.tolist()
    return {
        name: Seen(
            calls=float(facts.calls[number]),
            reads=frozenset(
                tables[c // 2] for c in codes[starts[bounds[number]] : starts[bounds[number + 1]]] if c % 2 == 0
            ),
            transactions=tuple(
                frozenset(tables[code // 2] for code in codes[starts[at] : starts[at + 1]] if code % 2)
                for at in range(bounds[number], bounds[number + 1])
            ),
        )
        for number, name in enumerate(facts.functionalities)
    }


def _as_planned(tables: list[str], planned: list[str]) -> list[str]:
    """Facts leave out the schema in which the monolith's sessions look first; a plan leaves out `public` alone."""
    bare = Counter(name.rpartition(".")[2] for name in planned)
    meant = {
        short: name
        for name in planned
        if (short := name.rpartition(".")[2]) != name and bare[short] == 1 and name not in tables
    }
    return [meant.get(table, table) for table in tables]
