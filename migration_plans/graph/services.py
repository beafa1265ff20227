"""Proposed or decided services: what ties them together, and in which order to extract them. Pure."""

from collections import Counter
from itertools import pairwise

from migration_plans.assess.assessment import Assessment
from migration_plans.assess.join_treatments import treat_joins
from migration_plans.assess.key_treatments import treat_keys
from migration_plans.graph.drawing import Drawing, Group, Line, Node

_TABLES_SHOWN = 8


def services(assessment: Assessment) -> Drawing:
    """Boxes in the order of extraction; a line for each pair, with what is cut between them."""
    order = [
        Node(
            id=step.service,
            kind="service",
            lines=_described(assessment, number, step.service, step.worthwhile, is_last=step is assessment.order[-1]),
        )
        for number, step in enumerate(assessment.order, 1)
    ]
    return Drawing(
        title=f"{len(order)} services, in the order of extraction",
        groups=(Group(title="services, in the order in which to extract them", nodes=tuple(order)),),
        lines=_ties(assessment),
    )


def _described(
    assessment: Assessment, number: int, service: str, worthwhile: bool, *, is_last: bool
) -> tuple[str, ...]:
    services = assessment.chosen.services
    tables = [assessment.facts.tables[table] for table in services.tables(services.names.index(service))]
    more = len(tables) - _TABLES_SHOWN
    advice = [] if is_last or worthwhile else ["costs more than it gains: share the database for now"]
    shown = ", ".join(tables[:_TABLES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    step = "is what remains" if is_last else f"extraction {number}"
    return service, step, shown, *advice


def _ties(assessment: Assessment) -> tuple[Line, ...]:
    cut = assessment.chosen.services
    service = [cut.names[number] for number in cut.of_table.tolist()]
    counts: dict[tuple[str, str], Counter[str]] = {}

    def tie(one: str, other: str, what: str) -> None:
        if one != other:
            counts.setdefault((one, other), Counter())[what] += 1

    for treated in treat_keys(assessment.usage):
        tie(service[treated.key.source], service[treated.key.target], "key")
    for saga in assessment.sagas():
        if saga.functionality not in assessment.bulk_jobs:
            for step, following in pairwise(saga.steps):
                tie(step.service, following.service, "saga")
    for read in treat_joins(assessment.usage):
        for other in sorted({service[table] for table in read.tables}):
            tie(cut.names[read.home], other, "read")
    ranked = sorted(counts.items(), key=lambda tie: (-tie[1]["saga"], -tie[1].total(), tie[0]))
    return tuple(
        Line(start=one, end=other, kind="writes" if count["saga"] else "ties", label=_said(count))
        for (one, other), count in ranked
    )


def _said(count: Counter[str]) -> str:
    kinds = ("saga", "key", "read")
    return ", ".join(f"{count[kind]} {kind}{'' if count[kind] == 1 else 's'}" for kind in kinds if count[kind])
