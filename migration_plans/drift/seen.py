"""Facts in the form that a plan is held against. Pure."""

from migration_plans.assess.facts import Facts
from migration_plans.drift.traffic import Seen
from migration_plans.table_names import plain


def functionalities_seen(facts: Facts) -> dict[str, Seen]:
    """By name, with the tables that each transaction reads and writes."""
    tables = [plain(name) for name in facts.tables]
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
