"""What is left to do because of what the traffic does to the tables. Pure."""

from collections import defaultdict
from collections.abc import Iterator

from migration_plans.assess.sagas import Saga
from migration_plans.authoring.draft import Draft
from migration_plans.authoring.footprints import CrossingRead, Footprint
from migration_plans.authoring.skeleton import todo_of
from migration_plans.authoring.todo import Item, some

_SHOWN_MOST = 30
"""Reads that stay in the monolith: they go on, so that the first are enough to see what comes."""
_TREATMENTS_MOST = 5


def blocking(draft: Draft) -> Iterator[Item]:
    """What breaks at the cutover as things are."""
    writers = draft.traffic.parent_writers if draft.traffic else {}
    for decided in (decided for decided in draft.keys if decided.stops_deletes):
        key = decided.key
        written = writers.get(key.ref_table, ())
        yield Item(
            what=f"**every DELETE from `{key.ref_table}`** in the monolith"
            + (f" (by {some(written)})" if written else ""),
            why=f"the key `{key.name}` then writes {key.table} itself (ON DELETE {key.on_delete}), which the fence "
            f"refuses, even when no row of {key.table} is meant",
            inside=(
                f"let the monolith's code see to the rows of {key.table} first, from the cutover on by the service",
                f"and then, before the cutover: `{decided.replacement}`",
            ),
        )
    for decided in (decided for decided in draft.keys if decided.stops_key_changes and not decided.stops_deletes):
        key = decided.key
        yield Item(
            what=f"**every change of `{key.ref_table}`'s {', '.join(key.ref_columns)}** in the monolith",
            why=f"the key `{key.name}` then writes {key.table} itself (ON UPDATE {key.on_update}), which the fence "
            "refuses",
            inside=(
                "when nothing ever changes it, say so in the key's waiver",
                f"else, before the cutover: `{decided.replacement}`",
            ),
        )
    for name, route in draft.caught:
        yield Item(
            what=f"**{name}** stays, but the route `{route.method} {route.path}` matches its requests",
            why="the service would be asked for it: move it as well, or give it another path in the monolith first",
        )
    for footprint in draft.traffic.footprints if draft.traffic else ():
        if footprint.writes_both:
            where = "moves" if footprint.moves else "stays in the monolith"
            yield Item(
                what=f"**{footprint.name}** ({where}, {footprint.seen})",
                why=f"writes {', '.join(footprint.writes)}, which move, and {', '.join(footprint.writes_elsewhere)}, "
                f"which stay{', in a bulk job: rebuild it rather than move it' if footprint.is_bulk else ''}",
                inside=tuple(line for saga in footprint.sagas for line in _saga(saga))
                or ("in transactions of their own: no saga, but the monolith has to call the service for its part",),
            )
        if footprint.locks_in_vain:
            yield Item(
                what=f"**{footprint.name}** locks rows of {', '.join(footprint.locks_in_vain)}",
                why="no lock reaches over two databases: after the cutover it keeps nobody on the other side waiting, "
                "and what it protects (a limit, a stock, a number) is not protected",
                inside=(
                    "let the owner of the rows decide, by a conditional update or a reservation, as a saga's step",
                ),
            )
        if footprint.writes and not footprint.moves and not footprint.writes_both:
            yield Item(
                what=f"**{footprint.name}** (stays in the monolith, {footprint.seen})",
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


def handlers(draft: Draft) -> Iterator[Item]:
    """One for each route."""
    for route in draft.routes:
        what = f"`{route.method} {route.asked_path}` ({route.kind}, {route.footprint.seen})"
        yield Item(what=what, why=todo_of(route, draft.ambient))


def moving_reads(draft: Draft) -> Iterator[Item]:
    """Routes that need what stays."""
    treatments = _treatments(draft)
    if draft.ambient:
        readers = sum(bool(set(route.footprint.reads_elsewhere) & set(draft.ambient)) for route in draft.routes)
        yield Item(
            what=f"**{', '.join(draft.ambient)}**: {readers} of {len(draft.routes)} routes read from them, whatever "
            "they are about",
            why="this is what every request does (who asks?): decide once how the service learns it, from a token or "
            "a header, or by a call; left out below",
        )
    for route in draft.routes:
        footprint = route.footprint
        if needed := [table for table in footprint.reads_elsewhere if table not in draft.ambient]:
            yield Item(
                what=f"**{footprint.name}** ({footprint.seen}) reads {some(needed)}",
                inside=_lines(treatments[footprint.name])
                or ("no statement joins them with what moves: call the monolith for them, or keep a copy",),
            )


def staying_reads(draft: Draft) -> Iterator[Item]:
    """Functionalities and views of the monolith that read what moves."""
    published: defaultdict[str, list[str]] = defaultdict(list)
    for table in draft.schema.tables:
        for publication in table.publications:
            published[publication].append(table.name)
    for publication, tables in published.items():
        yield Item(
            what=f"**publication `{publication}`** sends changes of {some(tables)} to whoever subscribes",
            why="a replica, a warehouse, a change stream: it gets what the copy gets, unless it asks for changes "
            "without an origin, and after `complete` nothing",
        )
    treatments = _treatments(draft)
    moving = {route.footprint.name for route in draft.routes}
    told = {footprint.name: footprint.seen for footprint in draft.staying}
    reads = [footprint.name for footprint in draft.staying if footprint.reads]
    names = [*reads, *(name for name in treatments if name not in moving and name not in reads)]
    for name in names[:_SHOWN_MOST]:
        seen = f" ({told[name]})" if name in told else ""
        yield Item(what=f"**{name or 'an unnamed statement'}**{seen}", inside=_lines(treatments[name]))
    if len(names) > _SHOWN_MOST:
        yield Item(
            what=f"{len(names) - _SHOWN_MOST} more: {some(names[_SHOWN_MOST:], 10)}",
            why="`strangler assess --json` has all, under `joins` and `queries`",
        )


def _treatments(draft: Draft) -> defaultdict[str, list[CrossingRead]]:
    """By name of functionality or view."""
    found: defaultdict[str, list[CrossingRead]] = defaultdict(list)
    for read in draft.traffic.reads if draft.traffic else ():
        found[read.name].append(read)
    return found


def _lines(reads: list[CrossingRead]) -> tuple[str, ...]:
    lines = [
        f"{read.treatment} for {some(read.moved)} with {some(read.staying)} ({read.kind}): {read.reason}"
        for read in reads
    ]
    more = len(lines) - _TREATMENTS_MOST
    return (*lines[:_TREATMENTS_MOST], *([f"{more} more of the kind"] if more > 0 else []))
