"""What is left for a person, in the order in which to do it: what, why, where. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from migration_plans.assess.sagas import Saga
from migration_plans.authoring.draft import UNKNOWN, Draft
from migration_plans.authoring.footprints import Footprint
from migration_plans.authoring.legacy_schema import Table
from migration_plans.authoring.skeleton import times, todo_of

_READS_SHOWN = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing to do. `inside`: further lines."""

    what: str
    why: str = ""
    inside: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Items under one heading."""

    heading: str
    note: str
    items: tuple[Item, ...]


def checklist(draft: Draft) -> str:
    """Markdown."""
    parts = [
        Part(
            heading="Blocking: what breaks at the cutover",
            note="After the cutover the legacy database refuses every write of the monolith to a moved table, in any "
            "transaction. Write the saga of each of these first, or move the tables that it writes together.",
            items=tuple(_blocking(draft)),
        ),
        Part(heading="Decide in plan.yaml", note="Each of these is a TODO there.", items=tuple(_decisions(draft))),
        Part(
            heading="Write the handlers",
            note=f"In {draft.package}/routes.py. Each answers 501 until it is written.",
            items=tuple(_handlers(draft)),
        ),
        Part(
            heading="Reads over both sides",
            note="What the service answers needs tables that stay, or what the monolith answers needs tables that "
            "move. The monolith's reads go on: the moved tables stay there as a live copy, until `strangler complete`.",
            items=tuple(_reads(draft)),
        ),
        Part(
            heading="Foreign keys that the cut crosses",
            note="Decided in plan.yaml; the runner does nothing for them: this is the work behind each decision.",
            items=tuple(
                Item(
                    what=f"`{k.key.name}` ({k.key.table} → {k.key.ref_table}): {k.decision}",
                    why=k.because,
                    inside=(k.todo,),
                )
                for k in draft.keys
            ),
        ),
        Part(
            heading="What the migration leaves out",
            note=f"In {draft.package}/migrations/versions/0001_{draft.package}.py these are missing, on purpose.",
            items=tuple(_left_out(draft)),
        ),
        Part(heading="In the legacy database", note="Before the copy starts.", items=tuple(_legacy(draft))),
    ]
    shown = [part for part in parts if part.items]
    body = "\n".join(_section(number, part) for number, part in enumerate(shown, 1))
    return f"{_head(draft)}\n{body}\n{_commands(draft, len(shown) + 1)}"


def _head(draft: Draft) -> str:
    tables = ", ".join(f"`{table.name}`" for table in draft.schema.tables)
    seen = (
        ""
        if draft.traffic
        else (
            "\n**No facts were given**: nobody knows which endpoints use these tables. Gather facts "
            "(docs/gathering-facts.md) and run `strangler plan new` again with `--facts`, or list the endpoints in "
            "plan.yaml by hand.\n"
        )
    )
    return f"# To do before {draft.service} can move\n\nTables: {tables}.\n{seen}"


def _section(number: int, part: Part) -> str:
    lines = [f"## {number}. {part.heading}", "", part.note, ""]
    for item in part.items:
        lines.append(f"- [ ] {item.what}" + (f" — {item.why}" if item.why else ""))
        lines += [f"  - {line}" for line in item.inside if line]
    return "\n".join(lines) + "\n"


def _blocking(draft: Draft) -> Iterator[Item]:
    for name, route in draft.caught:
        yield Item(
            what=f"**{name}** stays, but the route `{route.method} {route.path}` matches its requests",
            why="the service would be asked for it: move it as well, or give it another path in the monolith first",
        )
    for footprint in draft.traffic.footprints if draft.traffic else ():
        if footprint.writes_both:
            where = "moves" if footprint.moves else "stays in the monolith"
            yield Item(
                what=f"**{footprint.name}** ({where}, {times(footprint.calls)})",
                why=f"writes {', '.join(footprint.writes)}, which move, and {', '.join(footprint.writes_elsewhere)}, "
                f"which stay{', in a bulk job: rebuild it rather than move it' if footprint.is_bulk else ''}",
                inside=tuple(line for saga in footprint.sagas for line in _saga(saga))
                or ("in transactions of their own: no saga, but the monolith has to call the service for its part",),
            )
        elif footprint.writes and not footprint.moves:
            yield Item(
                what=f"**{footprint.name}** (stays in the monolith, {times(footprint.calls)})",
                why=f"writes {', '.join(footprint.writes)}: {_instead(footprint)}",
            )


def _instead(footprint: Footprint) -> str:
    if footprint.is_bulk:
        return "a bulk job, which uses half of all tables: rebuild it on the service's API"
    if footprint.name.partition(" ")[2].startswith("/") and footprint.endpoint is None:
        return "no route can match its path: give it another one, or call the service instead"
    if footprint.endpoint is None:
        return "no endpoint: a job or command, which has to run in the service, or to call it"
    return "call the service instead"


def _saga(saga: Saga) -> Iterator[str]:
    yield f"{saga.coordination}: {saga.reason}" + (f"; semantic lock on `{saga.locked}`" if saga.locked else "")
    for step in saga.steps:
        does = ", ".join([*(f"writes {table}" for table in step.writes)] or [f"reads {t}" for t in step.reads])
        undo = f"; undone by `{'`, `'.join(step.compensations)}`" if step.compensations else ""
        yield f"{step.kind} in {step.service}: {does}{undo}"


def _decisions(draft: Draft) -> Iterator[Item]:
    yield Item(what="`why`", why="one sentence that a reviewer agrees with")
    if not draft.routes:
        yield Item(
            what="`routes`", why="list the endpoints that read and write the moved tables, and write their handlers"
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


def _handlers(draft: Draft) -> Iterator[Item]:
    for route in draft.routes:
        yield Item(
            what=f"`{route.method} {route.path}` ({route.kind}, {times(route.footprint.calls)})", why=todo_of(route)
        )


def _reads(draft: Draft) -> Iterator[Item]:
    if draft.traffic is None:
        return
    known = set()
    for read in draft.traffic.reads[:_READS_SHOWN]:
        known.add(read.name)
        yield Item(
            what=f"{read.kind} **{read.name or '(unnamed)'}** ({times(read.calls)}), answered by {read.home}: "
            f"{read.treatment}",
            why=read.reason,
            inside=(f"moved: {', '.join(read.moved)}; staying: {', '.join(read.staying)}",),
        )
    if (more := len(draft.traffic.reads) - _READS_SHOWN) > 0:
        yield Item(what=f"{more} more of fewer calls: `strangler assess --json` has them under `joins` and `queries`")
    for route in draft.routes:
        footprint = route.footprint
        if footprint.reads_elsewhere and footprint.name not in known:
            yield Item(
                what=f"**{footprint.name}** ({times(footprint.calls)}), answered by the service",
                why=f"asks for {', '.join(footprint.reads_elsewhere)}, which stay: call the monolith, or keep a copy",
            )
    gets = [f.name for f in draft.staying if not f.writes and f.name not in known]
    if gets:
        yield Item(
            what=f"{len(gets)} more read moved tables and stay in the monolith: {_some(gets)}",
            why="they read the live copy; each needs the service's API or a read model before `strangler complete`",
        )


def _left_out(draft: Draft) -> Iterator[Item]:
    for found in draft.ddl.left_out:
        yield Item(what=found.thing, why=found.why, inside=(found.todo,))
    for sequence in draft.schema.sequences:
        if sequence.stays_with:
            yield Item(
                what=f"sequence {sequence.sql}: made anew",
                why=f"{', '.join(sequence.stays_with)} stay and draw from it, too",
                inside=(
                    "two sequences now give the same numbers: if they must differ over these tables, give each side "
                    "its own range",
                ),
            )
        if sequence.options.cycles:
            yield Item(
                what=f"sequence {sequence.sql} cycles",
                why="no number of it is ever safely past: NO CYCLE on both sides",
            )
    for table in draft.schema.tables:
        yield from _table_left_out(table)


def _table_left_out(table: Table) -> Iterator[Item]:
    for trigger in table.triggers:
        yield Item(
            what=f"trigger {trigger} of {table.name}",
            why="once the service writes, its code has to do what the trigger does; on applied rows it does not fire",
        )
    for rule in table.rules:
        yield Item(
            what=f"rule {rule} of {table.name}", why="rules are not carried over: write it into the service's code"
        )
    if table.row_security:
        policies = f": {', '.join(table.policies)}" if table.policies else ""
        yield Item(
            what=f"row-level security of {table.name}{policies}",
            why="who may see which row has to be decided by the service, or by policies in a further migration",
        )
    for grant in table.grants:
        yield Item(what=f"`{grant}`", why="whoever that is needs the service's API, or a role in its database")
    if table.parents:
        yield Item(
            what=f"{table.name} inherits from {', '.join(table.parents)}",
            why="it becomes a table of its own; a query of the parent in the monolith still sees the live copy's rows",
        )


def _legacy(draft: Draft) -> Iterator[Item]:
    for table in draft.schema.tables:
        if table.primary_key is None and table.replica_identity != "f":
            yield Item(
                what=f"`ALTER TABLE {table.sql} REPLICA IDENTITY FULL`, or give it a primary key",
                why=f"rows of {table.name} cannot be told apart (docs/tables-without-a-key.md)",
                inside=tuple(f"`ALTER TABLE {part.sql} REPLICA IDENTITY FULL`" for part in table.partitions),
            )
        if not table.is_logged:
            yield Item(
                what=f"`ALTER TABLE {table.sql} SET LOGGED`", why="changes of an unlogged table are not in the log"
            )
        for constraint in table.constraints:
            if not constraint.validated:
                yield Item(
                    what=f"`ALTER TABLE {table.sql} VALIDATE CONSTRAINT {constraint.sql}`",
                    why="it was never checked for older rows: those that break it would be parked by the copy",
                )


def _commands(draft: Draft, number: int) -> str:
    name = draft.package
    return f"""## {number}. Go on

1. Make the service's database, sorted as the monolith's is:
   `CREATE DATABASE {draft.move} TEMPLATE template0 {draft.schema.locale}`
2. Add to strangler.toml:

```toml
{toml_block(draft)}```

3. In this folder, where the package lies:
   `DATABASE_URL=… python -m {name}.migrate` makes the tables (`--down-to base` takes them away),
   `DATABASE_URL=… uvicorn {name}.app:app --port 8001` starts the service.
4. Where strangler.toml lies:

```console
$ strangler plan check {_shell(draft.service)}            # until nothing is left
$ strangler up                            # proxy, gate and stream
$ strangler run {_shell(draft.service)} --until following  # copy, stream, full verification
$ strangler run {_shell(draft.service)} --until shadowing  # parallel run of the reads; strangler diff report
$ strangler run {_shell(draft.service)}                    # ramp the reads
$ strangler cutover {_shell(draft.service)}                # writes move
$ strangler rollback {_shell(draft.service)}               # the way back, at any moment before `complete`
```
"""


def toml_block(draft: Draft) -> str:
    """What strangler.toml lacks for this service."""
    key = (
        draft.service if draft.service.replace("-", "").replace("_", "").isalnum() and draft.service.isascii() else None
    )
    heading = f"[services.{key}]" if key else f"[services.{_toml(draft.service)}]"
    return (
        f"{heading}\n"
        f'database = "postgresql://USER:PASSWORD@HOST:5432/{draft.move}"\n'
        f'url = "http://127.0.0.1:8001"\n'
        f"plan = {_toml(f'{draft.folder}/plan.yaml')}\n"
    )


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shell(text: str) -> str:
    return text if text.replace("-", "").replace("_", "").isalnum() else "'" + text.replace("'", "'\\''") + "'"


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")
