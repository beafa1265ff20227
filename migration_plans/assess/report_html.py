"""The assessment as one page that a browser shows without a network."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from migration_plans.assess.assessment import Assessment
from migration_plans.assess.layout import lay_out

_TEMPLATES = Path(__file__).parent
_ROWS_MOST = 500
"""Of each list; `--json` has all."""
_TIES_MOST = 3000
"""Drawn lines between tables, the strongest first."""


def render_html(assessment: Assessment) -> str:
    """The whole page; names are escaped wherever they stand."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda value: f"{value:,g}"
    shown: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for key, value in assessment.document():
        if isinstance(value, Iterator):
            shown[key] = list(islice(value, _ROWS_MOST))
            counts[key] = len(shown[key]) + sum(1 for _ in value)
        else:
            shown[key] = value
    return environment.get_template("report_template.html").render(
        shown=shown, counts=counts, rows_most=_ROWS_MOST, picture=_script_json(picture(assessment))
    )


def picture(assessment: Assessment) -> dict[str, Any]:
    """What the page's script draws: services, tables by place, and ties between tables by kind."""
    use, facts = assessment.usage, assessment.facts
    layout = lay_out(use)
    names = use.services.names
    return {
        "width": round(layout.width),
        "height": round(layout.height),
        "services": [
            {"name": name, "x": round(x, 1), "y": round(y, 1), "r": round(float(radius), 1)}
            for name, (x, y), radius in zip(names, layout.centers.tolist(), layout.radii, strict=True)
        ],
        "tables": [
            {
                "name": name,
                "service": use.service_of(table),
                "x": round(x, 1),
                "y": round(y, 1),
                "reads": use.reads_of(table),
                "writes": use.writes_of(table),
                "rows": facts.described[name].rows if name in facts.described else None,
                "contested": assessment.standings[name].contested,
                "stability": round(assessment.standings[name].stability, 2),
            }
            for table, (name, (x, y)) in enumerate(zip(facts.tables, layout.places.tolist(), strict=True))
        ],
        "ties": _ties(assessment),
        "costs": asdict(assessment.chosen.costs),
    }


def _ties(assessment: Assessment) -> list[list[Any]]:
    """`[kind, table, table, weight]`: kind is `key`, `read`, or `saga` for tables written together across a cut."""
    use, facts = assessment.usage, assessment.facts
    weights: dict[tuple[str, int, int], float] = {}

    def add(kind: str, one: int, other: int, weight: float) -> None:
        pair = (kind, min(one, other), max(one, other))
        weights[pair] = weights.get(pair, 0.0) + weight

    for key in facts.foreign_keys:
        if key.source != key.target:
            add("key", key.source, key.target, 1.0)
    for bond in facts.bonds:
        tables = sorted(bond.tables)
        for one, other in pairwise(tables):
            add("read", one, other, bond.calls)
    index = {table: number for number, table in enumerate(facts.tables)}
    for saga in islice(assessment.sagas(), _TIES_MOST):
        if use.is_bulk[use.number_of[saga.functionality]]:
            continue
        first = [step.writes[0] for step in saga.steps if step.writes]
        for one_name, other_name in pairwise(first):
            add("saga", index[one_name], index[other_name], saga.calls)
    strongest = sorted(weights.items(), key=lambda tie: (tie[0][0] != "saga", -tie[1], tie[0]))[:_TIES_MOST]
    return [[kind, one, other, round(weight, 2)] for (kind, one, other), weight in strongest]


def _script_json(value: Any) -> Markup:
    """JSON that may stand inside a script element: no name can end the element."""
    text = json.dumps(value, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)
