"""What becomes of a read that a cut goes through: a join, a view, a query of several services. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from migration_plans.assess.usage import Usage, is_reference

JoinTreatment = Literal["composition", "read_model", "replicated_data", "reference_table"]

_COMPOSED_TABLES_MOST = 2
"""More of them are filtered and ordered by columns of either side: composing would fetch rows to throw them away."""
_COMPOSED_SERVICES_MOST = 2
"""A query of more of them is a view of its own, even where each side is a reference table for the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TreatedRead:
    """`kind`: one statement, a view, or all that one functionality reads. `name`: of the functionality or view."""

    kind: Literal["statement", "view", "query"]
    name: str
    tables: tuple[int, ...]
    home: int
    """The service that answers."""
    calls: float
    treatment: JoinTreatment
    reason: str


def treat_joins(use: Usage) -> Iterator[TreatedRead]:
    """Statements and views between services, in the order of the facts."""
    for bond in use.facts.bonds:
        if bond.kind in ("statement", "view") and len({use.service_of(table) for table in bond.tables}) > 1:
            functionality = use.number_of.get(bond.name) if bond.kind == "statement" else None
            home = None if functionality is None else int(use.home[functionality])
            commands = functionality is not None and bool(use.tables_written[functionality])
            kind: Literal["statement", "view"] = "view" if bond.kind == "view" else "statement"
            yield _treat(use, kind, bond.name, tuple(sorted(bond.tables)), home, bond.calls, commands=commands)


def treat_queries(use: Usage) -> Iterator[TreatedRead]:
    """Functionalities that only read, in more than one service, without a statement that does so (see `treat_joins`).

    Bulk jobs are not among them. Where statements are known, these ask each service's tables by themselves.
    """
    statements = [bond for bond in use.facts.bonds if bond.kind == "statement"]
    joining = {bond.name for bond in statements if len({use.service_of(table) for table in bond.tables}) > 1}
    for functionality, read in enumerate(use.tables_read):
        name, calls = use.facts.functionalities[functionality], float(use.facts.calls[functionality])
        if use.tables_written[functionality] or use.is_bulk[functionality] or name in joining:
            continue
        if len({use.service_of(table) for table in read}) > 1:
            treated = _treat(
                use, "query", name, tuple(sorted(read)), int(use.home[functionality]), calls, commands=False
            )
            if statements and treated.treatment == "read_model":
                reason = "no statement of it joins them: it asks for each by itself, as it will ask the services"
                treated = replace(treated, treatment="composition", reason=reason)
            yield treated


def _treat(
    use: Usage,
    kind: Literal["statement", "view", "query"],
    name: str,
    tables: tuple[int, ...],
    home: int | None,
    calls: float,
    *,
    commands: bool,
) -> TreatedRead:
    owners = [use.service_of(table) for table in tables]
    if home is None or home not in owners:
        home = max(sorted(set(owners)), key=owners.count)
    foreign = [table for table in tables if use.service_of(table) != home]
    treatment, reason = _choose(use, tables, foreign, calls, is_view=kind == "view", commands=commands)
    return TreatedRead(kind=kind, name=name, tables=tables, home=home, calls=calls, treatment=treatment, reason=reason)


def _choose(
    use: Usage, tables: tuple[int, ...], foreign: list[int], calls: float, *, is_view: bool, commands: bool
) -> tuple[JoinTreatment, str]:
    names = ", ".join(use.facts.tables[table] for table in foreign)
    changed = sum(use.writes_of(table) for table in foreign)
    services = len({use.service_of(table) for table in tables})
    rates = f"asked {calls:g} times while {names} is written {changed:g} times"
    is_query_of_many = not commands and services > _COMPOSED_SERVICES_MOST
    if all(is_reference(use, table) for table in foreign) and not is_query_of_many:
        return "reference_table", f"{names}: read from several services and hardly written, so each keeps a copy"
    if commands:
        if calls > changed:
            return "replicated_data", f"it decides a write, {rates}: a local copy decides without a call"
        return "composition", f"it decides a write, {rates}: the owner's answer is the fresh one"
    if len(tables) > _COMPOSED_TABLES_MOST or is_query_of_many:
        return (
            "read_model",
            f"a query over {len(tables)} tables of {services} services may filter by any of them: composing it would "
            "fetch rows to throw away",
        )
    if is_view:
        return "read_model", "a view is a stored query: its readers expect one table"
    if calls > changed:
        return "read_model", f"{rates}: a view kept by events costs less than composing every answer"
    return "composition", f"{rates}: composing the few answers costs less than keeping a view"
