"""A stream that belongs to no move: one source, one target, tables of the same columns; copied, then followed."""

import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from cdc import copy_requests, positions
from cdc.errors import MappingInvalid, NotProvisioned, SlotInUse, StreamBusy
from cdc.events import TableName
from cdc.lag import StreamLag, read_lag
from cdc.link import LinkSpec, stream_name
from cdc.lsn import Lsn
from cdc.mapping.check import check_mapping
from cdc.mapping.compiled import compile_mapping
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from cdc.mysql.memory import FileMemory
from cdc.one_table import refuse_one_table
from cdc.provision import (
    deprovision_source,
    deprovision_target,
    provision_source,
    provision_target,
    published_tables,
    refuse_unfit_source,
)
from cdc.schema import reflect
from cdc.schema_changes.standing import StandingTables
from cdc.server_kinds import is_mysql, is_postgresql
from cdc.sql_target.value_types import value_types
from cdc.tables import Schema
from commands.mapping import typed_table
from strangler.clock import SystemClock
from strangler.errors import BadInput

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_WAY_BACK: Final = "on the way back"
_LET_GO_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class OwnStream:
    """`tables`: each `TABLE`, `SCHEMA.TABLE` (the schema of MySQL being its database) or `SOURCE=TARGET`. `state`: the
    folder below which its change log lies. `copies`: rows that are there already are copied first."""

    name: str
    source_dsn: str = field(repr=False)
    target_dsn: str = field(repr=False)
    tables: tuple[str, ...] = ()
    state: Path
    copies: bool = True

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BadInput(
                thing=f"stream name {self.name!r}",
                reason="is not made of lower-case letters, digits and _",
                mend="choose one like `orders`; slot, position and status carry it",
            )

    @property
    def stream(self) -> str:
        return stream_name(self.name, "forward")

    @property
    def _folder(self) -> Path:
        return self.state / "streams" / self.name

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    @cached_property
    def _pairs(self) -> dict[TableName, TableName]:
        if not self.tables:
            raise BadInput(thing="cdc stream --source", reason="no table is named", mend="add --table NAME")
        pairs = [self._pair(text) for text in self.tables]
        for table, target in pairs:
            if sum(table == other or target == into for other, into in pairs) > 1:
                raise BadInput(
                    thing=f"table {table}",
                    reason="is named twice, or another goes into the same table",
                    mend="name each table once, and a target of its own for each",
                )
        return dict(pairs)

    def _pair(self, text: str) -> tuple[TableName, TableName]:
        source, _, target = text.partition("=")
        database = "public"
        if is_mysql(self.source_dsn):
            from cdc.mysql.connections import parse_url

            database = parse_url(self.source_dsn).database
        table = typed_table(source, database)
        if not table.schema:
            raise BadInput(
                thing=f"table {text!r}", reason="is of no database", mend="name it in the URL, or write database.table"
            )
        return table, typed_table(target) if target else TableName(name=table.name)

    def link(self) -> LinkSpec:
        """Bound to the databases as they are. Raises `MappingInvalid` with the first thing that does not fit."""
        source = self._source_schema()
        mapping = _same_columns(self._pairs, source)
        refuse_one_table(self.source_dsn, self.target_dsn, self._pairs)
        target = self._target_schema(mapping, source)
        _refuse_misfits(mapping, source, target)
        return LinkSpec(
            move=self.name,
            direction="forward",
            source_dsn=self.source_dsn,
            target_dsn=self.target_dsn,
            log_folder=self._log,
            mapper=compile_mapping(mapping, source, target),
            source_keys={table: source.tables[table].primary_key for table in self._pairs},
            follows_copy=self.copies,
            value_types={} if is_postgresql(self.target_dsn) else value_types(mapping, source),
            evolution=None if is_mysql(self.source_dsn) else self._standing,
        )

    @cached_property
    def _standing(self) -> StandingTables:
        return StandingTables(
            source_dsn=self.source_dsn, stream=self.stream, tables=tuple(self._pairs), folder=self._folder
        )

    def _source_schema(self) -> Schema:
        tables = tuple(self._pairs)
        if is_mysql(self.source_dsn):
            from cdc.mysql.schema import reflect_mysql

            return reflect_mysql(self.source_dsn, tables)
        return reflect(self.source_dsn, tables)

    def _target_schema(self, mapping: MoveMapping, source: Schema) -> Schema:
        if is_postgresql(self.target_dsn):
            return reflect(self.target_dsn, mapping.target_tables)
        from cdc.sql_target.schema import reflect_target

        return reflect_target(self.target_dsn, mapping, source)

    def provision(self) -> None:
        """All that is missing, in an order in which it may be killed anywhere: the copy is asked for last, and the
        ledger begins where the source was prepared. A source that is refused leaves nothing in the target."""
        if not self._has_begun():
            self._make_folder()
            self._refuse_unfit_source()
        provision_target(self.target_dsn, self.stream)
        try:
            positions.applied_position(self.target_dsn, self.stream)
            self._refuse_other_tables()
            if not is_mysql(self.source_dsn):
                self._standing.remember()
        except NotProvisioned:
            positions.start_ledger(self.target_dsn, self.stream, self._provision_source())
        if self.copies:
            copy_requests.request_copy(self.target_dsn, self.stream, list(self._pairs))

    def _has_begun(self) -> bool:
        try:
            positions.applied_position(self.target_dsn, self.stream)
        except NotProvisioned:
            return False
        return True

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                thing=f"folder {self._folder}",
                reason=f"cannot be made: {error.strerror or error}",
                mend="name a folder with --state that this account may write to",
            ) from None

    def _refuse_unfit_source(self) -> None:
        tables = list(self._pairs)
        if not is_mysql(self.source_dsn):
            return refuse_unfit_source(self.source_dsn, self.stream, tables)
        from cdc.mysql.provision import refuse_unfit_mysql_source

        return refuse_unfit_mysql_source(self.source_dsn, tables)

    def _refuse_other_tables(self) -> None:
        """What a table changed while it was not followed would be missing for good, and nobody would say so."""
        wanted = {str(table) for table in self._pairs}
        if is_mysql(self.source_dsn):
            # Its log has every table: one that comes later is copied, then followed.
            followed = {each.table for each in copy_requests.copy_progress(self.target_dsn, self.stream)}
            wanted &= followed
        else:
            followed = {str(table) for table in published_tables(self.source_dsn, self.stream)}
        if followed and (other := sorted(followed ^ wanted)):
            raise BadInput(
                thing=f"stream {self.name}",
                reason=f"was begun with tables {', '.join(sorted(followed))}; {', '.join(other)} would not be followed "
                "without a gap",
                mend="name the same tables; give others a stream of their own (--name), or end this one with --remove "
                "and begin it anew with empty target tables",
            )

    def _provision_source(self) -> Lsn:
        tables = list(self._pairs)
        if not is_mysql(self.source_dsn):
            begins = provision_source(self.source_dsn, self.stream, tables)
            self._standing.remember()
            return begins
        from cdc.mysql.provision import provision_mysql_source

        return provision_mysql_source(self.source_dsn, self.stream, tables, memory=FileMemory(self._log))

    def remove(self) -> None:
        """Everything of ours in both databases and on disk; the rows that were copied stay."""
        _once_let_go(self._deprovision_source)
        _once_let_go(lambda: deprovision_target(self.target_dsn, self.stream))
        with suppress(FileNotFoundError):
            shutil.rmtree(self._folder)

    def _deprovision_source(self) -> None:
        if is_mysql(self.source_dsn):
            from cdc.mysql.provision import deprovision_mysql_source

            deprovision_mysql_source(self.source_dsn, self.stream)
        else:
            deprovision_source(self.source_dsn, self.stream)

    def lag(self) -> StreamLag:
        return read_lag(self.source_dsn, self.target_dsn, self.stream)


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnEnds:
    """What `--source`, `--target`, `--name` and `--state` said."""

    source_dsn: str = field(repr=False)
    target_dsn: str = field(repr=False)
    name: str
    state: Path

    def stream(self, *, tables: tuple[str, ...] = (), copies: bool = True) -> OwnStream:
        return OwnStream(
            name=self.name,
            source_dsn=self.source_dsn,
            target_dsn=self.target_dsn,
            tables=tables,
            state=self.state,
            copies=copies,
        )


_Command = TypeVar("_Command", bound=Callable[..., Any])


def own_stream_options(command: _Command) -> _Command:
    """Options that name a stream of its own; the command gets `own`, None when it is about a move."""

    @click.option("--source", metavar="URL", envvar="STRANGLER_SOURCE", help="A stream of its own: where it reads.")
    @click.option("--target", metavar="URL", envvar="STRANGLER_TARGET", help="Where it writes.")
    @click.option("--name", default="own", show_default=True, metavar="NAME", help="What it is called.")
    @click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(".strangler"),
        show_default=True,
        help="The folder of its change log.",
    )
    @wraps(command)
    def with_ends(*args: Any, source: str | None, target: str | None, name: str, state: Path, **options: Any) -> Any:
        if (source is None) != (target is None) or (source is not None and options.get("service") is not None):
            raise BadInput(
                thing="cdc --source, --target",
                reason="a stream of its own has both, and no SERVICE",
                mend="give both URLs (or STRANGLER_SOURCE and STRANGLER_TARGET), or a SERVICE alone",
            )
        ends = None
        if source is not None and target is not None:
            ends = OwnEnds(source_dsn=source, target_dsn=target, name=name, state=state)
        return command(*args, own=ends, **options)

    return cast(_Command, with_ends)


def _once_let_go(drop: Callable[[], object]) -> None:
    """A server sees only after a moment that a worker is gone; one that stays is running, and the error names it."""
    clock = SystemClock()
    deadline = clock.monotonic() + _LET_GO_S
    while True:
        try:
            drop()
            return
        except (SlotInUse, StreamBusy):
            if clock.monotonic() > deadline:
                raise
            clock.sleep(0.1)


def _same_columns(pairs: dict[TableName, TableName], source: Schema) -> MoveMapping:
    for table in pairs:
        if table not in source.tables:
            raise BadInput(
                thing=f"source table {table.schema}.{table.name}",
                reason="does not exist, or this account may not see it",
                mend="correct --table, or grant the account SELECT on it",
            )
    return MoveMapping(
        tables=tuple(
            TableMapping(
                source=table,
                targets=(
                    TargetMapping(
                        table=target,
                        columns=tuple(
                            ColumnRule(target=column.name, source=column.name)
                            for column in source.tables[table].columns
                            if not column.generated
                        ),
                    ),
                ),
            )
            for table, target in pairs.items()
        )
    )


def _refuse_misfits(mapping: MoveMapping, source: Schema, target: Schema) -> None:
    """There is no way back in a stream of its own, so what would hinder one is left out."""
    problems = [each for each in check_mapping(mapping, source, target) if _WAY_BACK not in each.reason]
    if problems:
        first, more = problems[0], _more(problems)
        raise MappingInvalid(thing=first.thing, reason=first.reason + more, mend=first.mend)


def _more(problems: Sequence[object]) -> str:
    return f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
