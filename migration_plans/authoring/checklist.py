"""What is left for a person, in the order in which to do it: what, why, where. Pure."""

from collections.abc import Iterator

from migration_plans.authoring.draft import UNKNOWN, Draft
from migration_plans.authoring.next_steps import next_steps
from migration_plans.authoring.todo import Item, Part
from migration_plans.authoring.todo_schema import left_out, legacy_changes
from migration_plans.authoring.todo_traffic import blocking, handlers, moving_reads, staying_reads

_NO_FACTS = """
**No facts were given**: nobody knows which endpoints use these tables. Gather facts (docs/gathering-facts.md) and run
`strangler plan new` again with `--facts`, or list the endpoints in plan.yaml by hand.
"""


def checklist(draft: Draft) -> str:
    """Markdown."""
    shown = [part for part in _parts(draft) if part.items]
    tables = ", ".join(f"`{table.name}`" for table in draft.schema.tables)
    head = f"# To do before {draft.service} can move\n\nTables: {tables}.\n{'' if draft.traffic else _NO_FACTS}"
    body = "\n".join(_section(number, part) for number, part in enumerate(shown, 1))
    return f"{head}\n{body}\n{next_steps(draft, len(shown) + 1)}"


def _parts(draft: Draft) -> Iterator[Part]:
    yield Part(
        heading="Blocking: what breaks at the cutover",
        note="After the cutover the legacy database refuses every write of the monolith to a moved table, in any "
        "transaction. Write the saga of each of these first, or move the tables that it writes together.",
        items=tuple(blocking(draft)),
    )
    yield Part(heading="Decide in plan.yaml", note="Each of these is a TODO there.", items=tuple(_decisions(draft)))
    yield Part(
        heading="Write the handlers",
        note=f"In {draft.package}/routes.py. Each answers 501 until it is written.",
        items=tuple(handlers(draft)),
    )
    yield Part(
        heading="Answers of the service that need what stays",
        note="Where the handler gets what is not in its database.",
        items=tuple(moving_reads(draft)),
    )
    yield Part(
        heading="Foreign keys that the cut crosses",
        note="Decided in plan.yaml; the runner does nothing for them: this is the work behind each decision.",
        items=tuple(_keys(draft)),
    )
    yield Part(
        heading="What the migration leaves out",
        note=f"In {draft.package}/migrations/versions/0001_{draft.package}.py these are missing, on purpose.",
        items=tuple(left_out(draft)),
    )
    yield Part(heading="In the legacy database", note="Before the copy starts.", items=tuple(legacy_changes(draft)))
    yield Part(
        heading="Before `strangler complete`: what in the monolith reads the moved tables",
        note="It goes on: the moved tables stay there as a live copy. `complete` ends the copy; by then each of these "
        "needs the service's API, or data of its own.",
        items=tuple(staying_reads(draft)),
    )


def _section(number: int, part: Part) -> str:
    lines = [f"## {number}. {part.heading}", "", part.note, ""]
    for item in part.items:
        lines.append(f"- [ ] {item.what}" + (f" — {item.why}" if item.why else ""))
        lines += [f"  - {line}" for line in item.inside if line]
    return "\n".join(lines) + "\n"


def _decisions(draft: Draft) -> Iterator[Item]:
    yield Item(what="`why`", why="one sentence that a reviewer agrees with")
    if not draft.routes:
        yield Item(
            what="`routes`", why="list the endpoints that read and write the moved tables, and write their handlers"
        )
    if draft.guessed:
        yield Item(
            what=f"`routes`: {len(draft.guessed)} of {len(draft.routes)} were never seen to be asked for",
            why="the code alone says that they are there, and what they use: see that clients know them and that it is "
            "true (record them, docs/gathering-facts.md), or take them out",
            inside=tuple(f"`{route.method} {route.asked_path}` — {route.footprint.guessed}" for route in draft.guessed),
        )
    if draft.sticky.name == UNKNOWN:
        yield Item(
            what="`sticky`",
            why="the header or cookie that tells one client from another (a session or user id); until then every read "
            "stays on legacy",
        )
    for key in draft.keys:
        if UNKNOWN in key.because:
            yield Item(what=f"`foreign_keys`: {key.key.name}", why=key.because.removeprefix(f"{UNKNOWN}: "))
    for waiver in draft.waivers:
        if UNKNOWN in waiver.because:
            yield Item(
                what=f"`waivers`: {waiver.kind} `{waiver.object}`", why=waiver.because.removeprefix(f"{UNKNOWN}: ")
            )


def _keys(draft: Draft) -> Iterator[Item]:
    for decided in draft.keys:
        what = f"`{decided.key.name}` ({decided.key.table} → {decided.key.ref_table}): {decided.decision}"
        yield Item(what=what, why=decided.because.removeprefix(f"{UNKNOWN}: "), inside=(decided.todo,))
