"""Views and routines of a database, down to the tables behind them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from migration_plans.gather.routine_body import statements_in
from migration_plans.gather.schema_facts import RoutineText
from migration_plans.gather.sql import Dialect, SqlReader
from migration_plans.gather.statement import Access, Catalog, Routine, View

_Problems = list[tuple[str, str]]


def views_of(definitions: Mapping[str, str], catalog: Catalog, dialect: Dialect) -> tuple[dict[str, View], _Problems]:
    """Each view with its tables; views over views are resolved, in whatever order they come."""
    known: dict[str, View] = {}
    waiting = dict(definitions)
    while waiting:
        reader = SqlReader(dialect=dialect, catalog=replace(catalog, views=known))
        now: dict[str, View] = {}
        for name, definition in waiting.items():
            view, facts = reader.read_view(definition)
            if not any(table in waiting for table in facts.unknown_tables):
                now[name] = view
        if not now:
            break
        known |= now
        waiting = {name: text for name, text in waiting.items() if name not in now}
    reader = SqlReader(dialect=dialect, catalog=replace(catalog, views=known))
    problems = []
    for name, definition in definitions.items():
        view, facts = reader.read_view(definition)
        known.setdefault(name, view)
        if facts.not_understood is not None:
            problems.append((f"view {name}", facts.not_understood))
    return known, problems


def routines_of(
    texts: Iterable[RoutineText], catalog: Catalog, dialect: Dialect
) -> tuple[dict[str, Routine], _Problems]:
    """Each routine with what it and those that it calls do. Overloads of one name are taken together."""
    problems: dict[tuple[str, str], None] = {}
    accesses: dict[str, dict[Access, None]] = {}
    calls: dict[str, set[str]] = {}
    reader = SqlReader(dialect=dialect, catalog=catalog)
    for text in texts:
        found = accesses.setdefault(text.name, {})
        called = calls.setdefault(text.name, set())
        statements, dynamic = statements_in(text.body, text.language)
        if dynamic:
            why = "makes statements at run time" if text.language == "plpgsql" else f"is written in {text.language}"
            problems[f"routine {text.name}", why] = None
        for statement in statements:
            facts = reader.read(statement)
            found |= dict.fromkeys(facts.accesses)
            called.update(facts.functions)
            if facts.not_understood is not None:
                problems[f"routine {text.name}", facts.not_understood] = None
    changed = True
    while changed:
        changed = False
        for name, called in calls.items():
            before = len(accesses[name])
            for other in called & accesses.keys():
                accesses[name] |= dict(accesses[other])
            changed = changed or len(accesses[name]) > before
    return {name: Routine(accesses=tuple(found)) for name, found in accesses.items()}, list(problems)
