"""The plan as YAML with comments, in the form of migration_plans/catalog.yaml. Pure."""

import io
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from migration_plans.authoring.draft import UNKNOWN, Draft, Route
from migration_plans.authoring.legacy_schema import Table

_Named = TypeVar("_Named")

_WIDTH = 4096
"""Nothing is folded: a line is a thing to review."""


def plan_text(draft: Draft) -> str:
    """Loads as a `Plan`. What only a person knows says TODO."""
    document = CommentedMap()
    document["move"] = draft.move
    document["service"] = draft.service
    document["why"] = f"{UNKNOWN}: why this service, and why now, in one sentence"
    document["tables"] = _tables(draft)
    document["routes"] = _routes(draft.routes)
    document["sticky"] = _flow({draft.sticky.kind: draft.sticky.name})
    document["foreign_keys"] = CommentedSeq(map(_flow, _foreign_keys(draft)))
    document["waivers"] = CommentedSeq(map(_flow, _waivers(draft)))
    document["shadow"] = CommentedMap(
        sample_percent=draft.sample_percent,
        min_compared=draft.min_compared,
        max_upper_bound=draft.max_upper_bound,
        max_confirmed=0,
        max_failed=draft.max_upper_bound,
    )
    document["ramp"] = CommentedMap(reads_percent=_flow_list([5, 25, 100]), hold_s=60)
    document["cutover"] = CommentedMap(
        attempts=3,
        pause_s=5.0,
        hold_budget_s=2.0,
        drain_timeout_s=5.0,
        lock_timeout_s=1.0,
        catch_up_timeout_s=5.0,
        max_lag_s=5.0,
        verdict_max_age_s=600,
    )
    _comment(document, draft)
    yaml = YAML(typ="rt")
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    yaml.dump(document, text)
    return _spaced(text.getvalue())


def _tables(draft: Draft) -> CommentedMap:
    tables = CommentedMap()
    for table in draft.schema.tables:
        columns = CommentedMap({name: name for name in _mapped(table)})
        generated = [column.name for column in table.columns if column.generated]
        tables[table.name] = CommentedMap(targets=CommentedMap({table.name: columns}))
        if generated:
            note = f"not mapped, for they are generated: {', '.join(generated)}"
            columns.yaml_set_start_comment(_one_line(note), indent=8)
    return tables


def _mapped(table: Table) -> Iterable[str]:
    """Generated columns are not in the log; the service's database generates its own."""
    return (column.name for column in table.columns if not column.generated)


def _foreign_keys(draft: Draft) -> Iterator[dict[str, Any]]:
    """Constraints of different tables may have one name, and a plan decides by name."""
    for name, found in _by_name((key.key.name, key) for key in draft.keys).items():
        reasons = [key.because if len(found) == 1 else f"{key.key.table}: {key.because}" for key in found]
        if len({key.decision for key in found}) > 1:
            reasons = [f"{UNKNOWN}: keys of this name differ", *(f"{k.key.table}: {k.decision}" for k in found)]
        yield {"constraint": name, "decision": found[0].decision, "because": _joined(reasons)}


def _waivers(draft: Draft) -> Iterator[dict[str, Any]]:
    """A view and a function may have one name, too."""
    for name, found in _by_name((waiver.object, waiver) for waiver in draft.waivers).items():
        reasons = [one.because if len(found) == 1 else f"{one.kind}: {one.because}" for one in found]
        yield {"object": name, "because": _joined(reasons)}


def _joined(reasons: list[str]) -> str:
    """One TODO among them makes it all a TODO, and that stands first."""
    left = any(UNKNOWN in reason for reason in reasons)
    plain = "; ".join(reason.replace(f"{UNKNOWN}: ", "") for reason in reasons)
    return f"{UNKNOWN}: {plain}" if left else plain


def _by_name(pairs: Iterable[tuple[str, _Named]]) -> dict[str, list[_Named]]:
    found: dict[str, list[_Named]] = {}
    for name, one in pairs:
        found.setdefault(name, []).append(one)
    return found


def _routes(routes: tuple[Route, ...]) -> CommentedSeq:
    if not routes:
        placeholder = {"id": UNKNOWN, "kind": "read", "methods": _flow_list(["GET"]), "path": f"/{UNKNOWN}"}
        return CommentedSeq([_flow(placeholder)])
    listed = CommentedSeq()
    for number, route in enumerate(routes):
        listed.append(
            _flow({"id": route.id, "kind": route.kind, "methods": _flow_list([route.method]), "path": route.path})
        )
        notes = [route.footprint.seen] if route.footprint.guessed else []
        if route.footprint.writes_both:
            notes.append(f"TODO writes {', '.join(route.footprint.writes_elsewhere)}, too: CHECKLIST.md")
        if notes:
            listed.yaml_add_eol_comment(_one_line("; ".join(notes)), number)
    return listed


def _comment(document: CommentedMap, draft: Draft) -> None:
    document.yaml_set_start_comment(
        f"The plan of the move {draft.move}, written by `strangler plan new` for a person to review; CHECKLIST.md\n"
        "says what is left to do. Durations are seconds, shares are percent. Every TODO is a decision of a person."
    )
    notes = {
        "tables": "Source table → target table → target column: source column. To rename one, do it here and in the "
        "migration.",
        "routes": "The endpoints that move. Reads are ramped; writes move together, in one cutover."
        if draft.routes
        else "The endpoints that move: no traffic was given, so nobody knows them. TODO: list them.",
        "sticky": "One client stays on one side while reads are ramped: {header: NAME} or {cookie: NAME}. Requests "
        "without it stay on legacy.",
        "foreign_keys": "Foreign keys that the cut crosses: keep_on_copy, replica, api_check, async_delete, "
        "async_nullify or drop.",
        "waivers": "What in the monolith uses the moved tables and stays, and why it may.",
        "shadow": f"The parallel run of reads. min_compared is 3 / max_upper_bound; {_traffic_note(draft)}",
    }
    for key, note in notes.items():
        document.yaml_set_comment_before_after_key(key, before=note)
    comments = {
        "max_upper_bound": "95 % upper bound of the share of confirmed differences",
        "max_failed": "the same bound, of requests on which only the service failed",
    }
    for key, note in comments.items():
        document["shadow"].yaml_add_eol_comment(note, key)
    document["cutover"].yaml_add_eol_comment(
        "how long a client's write may wait; below your clients' timeout", "hold_budget_s"
    )


def _traffic_note(draft: Draft) -> str:
    if draft.traffic is None:
        return "sample_percent is a guess."
    reads = [route.footprint for route in draft.routes if route.kind == "read"]
    calls = sum(read.calls for read in reads if not read.guessed)
    return f"{calls:g} calls of these reads were recorded."


def _flow(values: dict[str, Any]) -> CommentedMap:
    mapping = CommentedMap({key: _as_it_is(value) for key, value in values.items()})
    mapping.fa.set_flow_style()
    return mapping


def _as_it_is(value: Any) -> Any:
    """ruamel leaves `?x` without quotes, which it cannot read again inside of braces, and reads a NEL as a blank."""
    odd = isinstance(value, str) and (value.startswith("?") or "\x85" in value)
    return DoubleQuotedScalarString(value) if odd else value


def _flow_list(values: list[Any]) -> CommentedSeq:
    sequence = CommentedSeq(values)
    sequence.fa.set_flow_style()
    return sequence


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _spaced(text: str) -> str:
    """A blank line before each part that has a comment."""
    lines = text.splitlines()
    spaced: list[str] = []
    for line in lines:
        if line.startswith("# ") and spaced and not spaced[-1].startswith("#"):
            spaced.append("")
        spaced.append(line)
    return "\n".join(spaced) + "\n"
