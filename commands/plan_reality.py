"""What a plan is held against: both databases, the journal, the route table, the service's migrations."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from cdc.boundary import dependents, foreign_keys_across, partitions_of
from cdc.connections import CatalogConnection, open_database, place
from cdc.events import TableName
from cdc.link import Direction, stream_name
from cdc.schema import reflect
from cdc.schema_changes.store import load_met
from cdc.tables import ForeignKey, Table
from commands.followed import followed_columns
from commands.layout import Layout
from commands.mapping import table_name
from commands.traffic import traffic_settings
from migration_plans.drift.catalog_marks import (
    TableMarks,
    applied_revisions,
    database_mark,
    definition_digests,
    fenced_tables,
    names_of,
    settle_session,
    table_marks,
)
from migration_plans.drift.picture import (
    ColumnPicture,
    DependentPicture,
    ForeignKeyPicture,
    SchemaPicture,
    TablePicture,
)
from migration_plans.drift.running import FollowedColumn, OwnerSeen, PublishedMove, PublishedRoute, StoppedTable
from migration_plans.drift.service_tables import Revisions
from migration_plans.errors import PlanInvalid, SourceUnreadable
from migration_plans.ownership import OwnershipLedger
from migration_plans.phases import Phase
from migration_plans.plan import Plan, StickyPlan
from migration_plans.ports import Side
from migration_plans.progress import fold
from migration_plans.table_names import plain
from router.table_file import RouteTableFile
from strangler.journal import Journal
from strangler.redaction import redact
from strangler.settings import Settings


def picture_of(dsn: str, tables: Sequence[str], before: SchemaPicture | None = None) -> SchemaPicture:
    """These tables (names as in a plan), what crosses their border and what uses them. Missing ones are left out.

    A table that was renamed since `before` was taken is shown under the name that it had; `SchemaPicture.renamed` has
    the new one. Raises `DatabaseUnreachable`, and `SourceUnreadable` when the database refuses.
    """
    names = [plain(each) for each in tables]
    with _reading(dsn) as connection:
        database = database_mark(connection)
        known = before if before and before.database == database else None
        called = _called(connection, names, known)
        wanted = [called.get(name) or table_name(name) for name in names]
        said = {str(now): name for name, now in called.items()}
        # What is a partition's own is shown as its table's.
        said |= {
            str(part): said.get(str(whole), str(whole)) for part, whole in partitions_of(connection, wanted).items()
        }
        marks = table_marks(connection, [(table.schema, table.name) for table in wanted])
        found = reflect(connection, wanted).tables
        return SchemaPicture(
            database=database,
            tables={
                name: _table(found[table], marks[str(table)])
                for name, table in zip(names, wanted, strict=True)
                if table in found
            },
            renamed={name: str(now) for name, now in called.items()},
            foreign_keys=_foreign_keys(connection, wanted, said),
            inner_keys=_inner_keys(found.values(), frozenset(names), said),
            dependents=_dependents(connection, wanted, said),
        )


@contextmanager
def _reading(dsn: str) -> Iterator[CatalogConnection]:
    with _refusals(dsn), open_database(dsn) as connection:
        settle_session(connection)
        yield connection


@contextmanager
def _refusals(dsn: str) -> Iterator[None]:
    """What the database does not let us read is an error of ours; a lost connection has become one already."""
    try:
        yield
    except psycopg.Error as error:
        raise SourceUnreadable(
            thing=f"database {place(dsn)}",
            reason=redact(str(error)).splitlines()[0],
            mend="let the role of strangler.toml read it, or wait for whoever alters the table, and run it again",
        ) from None


def _called(connection: CatalogConnection, names: Sequence[str], before: SchemaPicture | None) -> dict[str, TableName]:
    """Tables that are not there under the name that they had → what they are called now."""
    if before is None:
        return {}
    then = {before.tables[name].oid: name for name in names if name in before.tables}
    there = table_marks(connection, [(table.schema, table.name) for table in map(table_name, names)])
    now = {oid: TableName(schema=schema, name=name) for oid, (schema, name) in names_of(connection, then).items()}
    return {then[oid]: table for oid, table in now.items() if str(table) != then[oid] and then[oid] not in there}


def _table(table: Table, marks: TableMarks) -> TablePicture:
    return TablePicture(
        oid=marks.oid,
        columns=tuple(
            ColumnPicture(
                name=column.name,
                number=marks.numbers.get(column.name, 0),
                type=column.type,
                nullable=column.nullable,
                default=column.default,
                generated=column.generated,
                identity=column.identity,
                labels=column.enum_labels,
            )
            for column in table.columns
        ),
        key=table.primary_key,
        constraints=dict(marks.constraints),
        partitioned=table.partitioned,
        replica_identity=table.replica_identity,
    )


def _foreign_keys(
    connection: CatalogConnection, tables: Sequence[TableName], said: Mapping[str, str]
) -> tuple[ForeignKeyPicture, ...]:
    crossing = foreign_keys_across(connection, tables)
    return tuple(_foreign_key(each.key, each.direction, said) for each in crossing)


def _inner_keys(
    tables: Iterable[Table], moved: frozenset[str], said: Mapping[str, str]
) -> tuple[ForeignKeyPicture, ...]:
    keys = [key for table in tables for key in (*table.foreign_keys_out, *table.foreign_keys_in)]
    pictures = (_foreign_key(key, "inner", said) for key in sorted(keys, key=lambda key: (str(key.table), key.name)))
    found: dict[tuple[object, ...], ForeignKeyPicture] = {}
    for each in pictures:
        if {each.table, each.ref_table} <= moved:
            found.setdefault((each.table, each.columns, each.ref_table, each.ref_columns), each)
    return tuple(found.values())


def _foreign_key(
    key: ForeignKey, direction: Literal["in", "out", "inner"], said: Mapping[str, str]
) -> ForeignKeyPicture:
    return ForeignKeyPicture(
        name=key.name,
        direction=direction,
        table=said.get(str(key.table), str(key.table)),
        columns=key.columns,
        ref_table=said.get(str(key.ref_table), str(key.ref_table)),
        ref_columns=key.ref_columns,
        on_delete=key.on_delete,
        on_update=key.on_update,
    )


def _dependents(
    connection: CatalogConnection, tables: Sequence[TableName], said: Mapping[str, str]
) -> tuple[DependentPicture, ...]:
    used: dict[tuple[str, str], set[str]] = defaultdict(set)
    for dependent in dependents(connection, tables):
        used[dependent.kind, dependent.name].add(said.get(str(dependent.table), str(dependent.table)))
    digests = definition_digests(connection, [name for _, name in used])
    return tuple(
        DependentPicture(kind=kind, name=name, tables=tuple(sorted(each)), digest=digests.get((kind, name), ""))
        for (kind, name), each in sorted(used.items())
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningMove:
    """The move as its journal, both databases and the route table have it."""

    phase: Phase
    owners: tuple[OwnerSeen, ...]
    published: PublishedMove | None
    stopped: tuple[StoppedTable, ...]
    followed: tuple[FollowedColumn, ...]


def running_move(settings: Settings, plan: Plan) -> RunningMove:
    """Read only. Raises when a database does not answer, or the journal or the route table is damaged."""
    service_dsn = settings.service(plan.service).database
    met: dict[Direction, str] = {"forward": service_dsn, "reverse": settings.legacy.database}
    stopped: list[StoppedTable] = []
    followed: list[FollowedColumn] = []
    for direction, dsn in met.items():
        with _refusals(dsn):
            forms = load_met(dsn, stream_name(plan.move, direction))
        stopped += [
            StoppedTable(direction=direction, table=each.table, changes=each.changes, mend=each.mend)
            for each in forms
            if each.state != "met"
        ]
        if direction == "forward":
            followed += (each for each in followed_columns(plan, forms) if each.came)
    return RunningMove(
        phase=fold(Journal(Layout.of(settings).journal(plan.move)).entries()).phase,
        owners=(
            _owner("legacy", settings.legacy.database, plan.move, tuple(plan.tables)),
            _owner("service", service_dsn, plan.move, plan.target_tables),
        ),
        published=_published(settings, plan.move),
        stopped=tuple(stopped),
        followed=tuple(followed),
    )


def _owner(side: Side, dsn: str, move: str, tables: tuple[str, ...]) -> OwnerSeen:
    with _refusals(dsn), closing(OwnershipLedger(side=side, dsn=dsn, move=move, tables=tables)) as ledger:
        row = ledger.read()
    if row is None:
        return OwnerSeen(side=side, owner=None)
    with _reading(dsn) as connection:
        return OwnerSeen(side=side, owner=row.owner, tables=fenced_tables(connection, move))


def _published(settings: Settings, name: str) -> PublishedMove | None:
    file = RouteTableFile(traffic_settings(settings).table_path)
    move = next((each for each in file.load().moves if each.move == name), None) if file.exists() else None
    if move is None:
        return None
    return PublishedMove(
        service=move.service,
        sticky=StickyPlan(header=move.sticky.header, cookie=move.sticky.cookie),
        routes=tuple(
            PublishedRoute(id=rule.id, kind=rule.kind, methods=rule.methods, path=rule.path) for rule in move.rules
        ),
    )


def revisions(dsn: str, plan_path: Path, migrations: Path | None) -> Revisions | None:
    """Where the service's database is and where its migrations lead to; None when either is not to be found.

    `migrations`: Alembic's folder, the one with `env.py`; None: the only one beside the plan. Raises `PlanInvalid`
    when its revisions cannot be read.
    """
    with _reading(dsn) as connection:
        applied = applied_revisions(connection)
    folder = migrations or _migrations_beside(plan_path)
    if applied is None or folder is None:
        return None
    try:
        heads = ScriptDirectory(str(folder)).get_heads()
    except (CommandError, ImportError, SyntaxError) as error:
        raise PlanInvalid(
            thing=str(folder),
            reason=f"its revisions cannot be read: {error}",
            mend="name the folder that holds Alembic's env.py with --migrations",
        ) from None
    return Revisions(applied=applied, heads=tuple(heads))


def _migrations_beside(plan_path: Path) -> Path | None:
    folder = plan_path.parent
    found = [env.parent for pattern in ("migrations/env.py", "*/migrations/env.py") for env in folder.glob(pattern)]
    return found[0] if len(found) == 1 else None
