"""`strangler plan new`: a plan, a migration, a service skeleton and a checklist, for a person to go on from."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import click

from cdc.boundary import dependents
from commands.boundaries import DECISIONS_NAME
from commands.context import Context
from commands.mapping import table_name
from commands.output import json_option, print_json, print_rows, stderr, stdout
from commands.plan_accept import first_baseline
from migration_plans.assess.decisions_file import load_decisions
from migration_plans.assess.facts_file import load_facts
from migration_plans.authoring.authored import CHECKLIST_NAME, PLAN_NAME, plan_files
from migration_plans.authoring.catalog_reader import read_schema
from migration_plans.authoring.draft import UNKNOWN, Draft, Sticky, User, draft_plan
from migration_plans.authoring.footprints import traffic_of
from migration_plans.authoring.guesses import guesses_in
from migration_plans.authoring.legacy_schema import LegacySchema
from migration_plans.authoring.names import move_name, slug
from migration_plans.authoring.next_steps import toml_block
from migration_plans.authoring.plan_folder import demand_free, write_folder
from migration_plans.authoring.selection import Selection, select_tables
from migration_plans.drift.baseline_file import baseline_path, baseline_text
from migration_plans.drift.seen import functionalities_seen
from strangler.clock import SystemClock
from strangler.errors import BadInput

_STICKY = re.compile(r"(header|cookie):([!#$%&'*+.^_`|~0-9A-Za-z-]+)")


@click.command("new")
@click.argument("service")
@click.option(
    "--facts",
    "facts_path",
    type=click.Path(path_type=Path),
    help="A facts document: which endpoints use the tables, and how (docs/assess.md).",
)
@click.option(
    "--decisions",
    "decisions_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The decided cut; default: {DECISIONS_NAME} beside the facts, else what `strangler assess` proposes.",
)
@click.option("--tables", help="The tables, separated by commas, instead of those of SERVICE in the cut.")
@click.option("--source", help="URL of the legacy database; default: that of strangler.toml. Only catalogs are read.")
@click.option("--name", "move", help="What the move is called; default: after SERVICE.")
@click.option("--sticky", help="What keeps a client on one side: header:NAME or cookie:NAME.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the proposal's ensemble.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write into; default: named after SERVICE.")
@json_option
@click.pass_obj
def new(
    context: Context,
    service: str,
    facts_path: Path | None,
    decisions_path: Path | None,
    tables: str | None,
    source: str | None,
    move: str | None,
    sticky: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write the plan of SERVICE, its database's migration, a service skeleton and a checklist. Overwrites nothing.

    \b
    Example: strangler plan new catalog --facts facts.json --sticky header:x-customer-id
    """
    stick = _sticky(sticky)
    name = _move(service, move)
    folder = out or Path(slug(service))
    demand_free(folder, {PLAN_NAME: "", CHECKLIST_NAME: ""})
    named = [one for one in (part.strip() for part in (tables or "").split(",")) if one]
    selection = _selection(service, facts_path, decisions_path, named, seed)
    facts_names = selection.tables if selection else tuple(dict.fromkeys(named))
    database = _plain(source or _legacy_database(context))
    schema = read_schema(database, facts_names)
    draft = draft_plan(
        service=service,
        move=name,
        folder=_from(context.config_path, folder),
        schema=schema,
        users=_users(database, schema),
        traffic=traffic_of(selection.assessment, service, _guesses(facts_path)) if selection else None,
        facts_names=facts_names,
        sticky=stick,
    )
    names = [table.name for table in schema.tables]
    seen = functionalities_seen(selection.assessment.facts, names) if selection else None
    baseline = first_baseline(database, name, names, SystemClock(), seen=seen)
    files = {**plan_files(draft), baseline_path(Path(PLAN_NAME)).name: baseline_text(baseline)}
    write_folder(folder, files)
    _report(draft, folder, sorted(files), as_json=as_json)


def _legacy_database(context: Context) -> str:
    if not context.config_path.exists():
        raise BadInput(
            thing="legacy database",
            reason=f"nothing says which one it is: there is no {context.config_path}",
            mend="give --source postgresql://…, or run where strangler.toml lies",
        )
    return context.settings.legacy.database


def _selection(
    service: str, facts_path: Path | None, decisions_path: Path | None, tables: list[str], seed: int
) -> Selection | None:
    if facts_path is None:
        if not tables:
            raise BadInput(
                thing=f"service {service!r}",
                reason="neither facts nor tables are given, so nobody knows which tables are its own",
                mend="give --facts facts.json (`strangler gather facts` writes it), or --tables a,b,c",
            )
        return None
    facts = load_facts(facts_path, ignored=lambda key: stderr.print(f"{facts_path}: key {key!r} is not known, ignored"))
    beside = facts_path.parent / DECISIONS_NAME
    decisions = load_decisions(decisions_path or beside, may_be_absent=decisions_path is None)
    return select_tables(facts, decisions, service, tables, seed=seed)


def _guesses(facts_path: Path | None) -> Mapping[str, str]:
    return guesses_in(facts_path.read_text(encoding="utf-8")) if facts_path else {}


def _users(database: str, schema: LegacySchema) -> list[User]:
    """What `plan check` asks for, each name once."""
    found: dict[tuple[str, str], list[str]] = {}
    for dependent in dependents(database, [table_name(table.name) for table in schema.tables]):
        found.setdefault((dependent.kind, dependent.name), []).append(str(dependent.table))
    return [User(kind=kind, name=name, tables=tuple(tables)) for (kind, name), tables in found.items()]


def _sticky(given: str | None) -> Sticky:
    if given is None:
        return Sticky(kind="header", name=UNKNOWN)
    match = _STICKY.fullmatch(given)
    if match is None:
        raise BadInput(
            thing=f"--sticky {given}",
            reason="names neither a header nor a cookie",
            mend="write header:NAME or cookie:NAME, as in header:x-customer-id",
        )
    # The router takes names of headers in lower case, as HTTP/2 has them.
    return Sticky(kind=match[1], name=match[2].lower() if match[1] == "header" else match[2])


def _move(service: str, given: str | None) -> str:
    if not service.strip():
        raise BadInput(thing="SERVICE", reason="is empty", mend="name the service")
    if given is not None and not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", given):
        raise BadInput(
            thing=f"--name {given}",
            reason="is no name of a move",
            mend="use at most 31 lower case letters, digits and underscores, a letter first",
        )
    return given or move_name(service)


def _plain(url: str) -> str:
    """SQLAlchemy's form of a URL, as `strangler gather` takes it, without the driver."""
    return re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", url)


def _from(config: Path, folder: Path) -> str:
    """The folder as strangler.toml names it."""
    return Path(os.path.relpath(folder.resolve(), config.resolve().parent)).as_posix()


def _report(draft: Draft, folder: Path, files: list[str], *, as_json: bool) -> None:
    broken = [footprint for footprint in (draft.traffic.footprints if draft.traffic else ()) if footprint.breaks]
    undeletable = dict.fromkeys(decided.key.ref_table for decided in draft.keys if decided.stops_deletes)
    caught = [(name, f"{route.method} {route.path}") for name, route in draft.caught]
    if as_json:
        print_json(
            {
                "move": draft.move,
                "folder": str(folder),
                "files": files,
                "tables": [table.name for table in draft.schema.tables],
                "routes": [f"{route.method} {route.path}" for route in draft.routes],
                "guessed": [f"{route.method} {route.path}" for route in draft.guessed],
                "foreign_keys": {key.key.name: key.decision for key in draft.keys},
                "left_out": [found.thing for found in draft.ddl.left_out],
                "blocking": [
                    *(f"DELETE FROM {table}" for table in undeletable),
                    *(footprint.name for footprint in broken),
                    *(name for name, _ in caught),
                ],
                "strangler_toml": toml_block(draft),
            }
        )
        return
    print_rows(("file",), [(str(folder / name),) for name in files], title=f"{len(files)} files written")
    if draft.guessed:
        stdout.print(f"{len(draft.guessed)} of {len(draft.routes)} routes are guessed from code alone", markup=False)
    for table in undeletable:
        stdout.print(f"blocking: no row of {table} can be deleted in the monolith after the cutover", markup=False)
    for one in broken:
        written = one.writes_elsewhere if one.moves else one.writes
        does = f"writes {', '.join(written)}" if written else f"locks {', '.join(one.locks_in_vain)}"
        stdout.print(f"blocking: {one.name} {'moves' if one.moves else 'stays'}, but {does}", markup=False)
    for name, route in caught:
        stdout.print(f"blocking: {name} stays, but the route {route} matches its requests", markup=False)
    stdout.print(f"\nAdd to strangler.toml:\n\n{toml_block(draft)}", markup=False)
    stdout.print(f"Then read {folder / CHECKLIST_NAME}, from the top.", markup=False)
