"""Which tables a new plan is about: of a service of the cut, or named. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from migration_plans.assess.assessment import Assessment, assess
from migration_plans.assess.decisions import Decisions, as_decisions, known
from migration_plans.assess.facts import Facts


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """`assessment`: of the cut in which `tables` are the service's. Names as the facts have them."""

    tables: tuple[str, ...]
    assessment: Assessment


def select_tables(
    facts: Facts, decisions: Decisions, service: str, tables: Sequence[str] = (), *, seed: int = 0
) -> Selection:
    """The service's tables in the decided cut, else in the proposal; or `tables`, out of whatever service has them.

    Raises `BoundariesInvalid` for a name that does not exist, and for tables that a pin or hint holds elsewhere.
    """
    if not tables:
        assessment = assess(facts, seed=seed, decisions=decisions)
        known(service, assessment.chosen.services.names, "service", "; or name its tables with --tables")
        number = assessment.chosen.services.names.index(service)
        return Selection(
            tables=tuple(facts.tables[table] for table in assessment.chosen.services.tables(number)),
            assessment=assessment,
        )
    for table in tables:
        known(table, facts.tables, "table")
    decisions.check(facts)
    # A cut that is decided need not be proposed first.
    proposed = None if decisions.services else assess(facts, seed=seed, decisions=decisions).chosen.services
    cut = as_decisions(facts, proposed or decisions.service_map(facts), decisions.pins)
    rest = {name: tuple(one for one in held if one not in tables) for name, held in cut.services.items()}
    # What the service would have had besides stays, under a name of its own.
    left = rest.pop(service, ())
    named = {f"{service} (what stays)": left} if left else {}
    services = {service: tuple(dict.fromkeys(tables)), **named, **{name: held for name, held in rest.items() if held}}
    chosen = assess(facts, seed=seed, decisions=Decisions(services=services, pins=decisions.pins))
    return Selection(tables=services[service], assessment=chosen)
