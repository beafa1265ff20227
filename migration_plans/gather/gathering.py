"""Gather facts from whatever there is: a database, its log, recorded requests, counted statements, code."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, tzinfo
from itertools import islice
from pathlib import Path
from typing import TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection, make_url, text

from migration_plans.errors import FactsInvalid, LogUnreadable
from migration_plans.gather.attribution import Attributed, Ran, attribute, shape_name
from migration_plans.gather.code_facts import CodeFunctionality
from migration_plans.gather.code_scan import scan_code
from migration_plans.gather.document import GatheredDocument, Gathering, NotUnderstood
from migration_plans.gather.inferred_keys import InferredKey, inferred_keys
from migration_plans.gather.key_proof import proven
from migration_plans.gather.log_transactions import transactions_of
from migration_plans.gather.merge import merged
from migration_plans.gather.mysql_log import is_mysql_log, mysql_entries, sessions_without_begin
from migration_plans.gather.paths import Templates
from migration_plans.gather.requests import RecordedRequest, requests_of
from migration_plans.gather.schema import read_schema, reading
from migration_plans.gather.schema_facts import SchemaFacts
from migration_plans.gather.server_log import DEFAULT_PREFIX, LogEntry, entries_of, form_of
from migration_plans.gather.shapes import Mark, SeenTransaction, Shapes, route_of
from migration_plans.gather.sql import Dialect, SqlReader
from migration_plans.gather.statement_text import comment_tags
from migration_plans.gather.statistics import HIDDEN, CountedStatement, counted_statements
from strangler.redaction import redact

_FIRST_LINES = 20
"""Of a log, by which its server is told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GatherSettings:
    """Where facts come from. At least one source is needed; every further one makes them better."""

    source: str | None = None
    """URL of the monolith's database; its catalogs are read, and its data to prove inferred keys."""
    statements: bool = True
    """Read `pg_stat_statements` there, if it is installed."""
    logs: tuple[Path, ...] = ()
    """Log files of its PostgreSQL, in order of time."""
    log_prefix: str = DEFAULT_PREFIX
    """`log_line_prefix` of the server, for logs of the stderr form."""
    log_timezone: str | None = None
    """The server's `log_timezone`; by default asked of `source`, else UTC."""
    log_database: str | None = None
    """Only this database's entries; by default that of `source`."""
    requests: tuple[Path, ...] = ()
    """Recorded requests: HAR, or JSON lines."""
    code: tuple[Path, ...] = ()
    """Folders of Python code."""
    dialect: Dialect = "postgres"
    """Of the statements, when there is no `source`."""


def gather(settings: GatherSettings, *, say: Callable[[str], None] = lambda text: None) -> GatheredDocument:
    """Read all that is given and merge it. Raises `FactsInvalid` when nothing is given or nothing was found."""
    if settings.source is None and not settings.logs and not settings.code:
        raise FactsInvalid(
            thing="what to gather from", reason="nothing is given", mend="name a database, a log file or a code folder"
        )
    with ExitStack() as stack:
        connection = schema = None
        if settings.source is not None:
            connection = stack.enter_context(reading(settings.source))
            schema = read_schema(connection)
            say(f"schema: {len(schema.tables)} tables, {len(schema.foreign_keys)} foreign keys")
        return _gather(settings, connection, schema, say)


def _gather(
    settings: GatherSettings,
    connection: Connection | None,
    schema: SchemaFacts | None,
    say: Callable[[str], None],
) -> GatheredDocument:
    reader = SqlReader(dialect=_dialect(settings)) if schema is None else schema.reader()
    code: list[CodeFunctionality] = []
    problems: list[NotUnderstood] = []
    notices: list[str] = []
    for folder in settings.code:
        scanned = scan_code(folder, reader=reader)
        code += scanned.functionalities
        problems += [NotUnderstood(what=what, why=why) for what, why in scanned.not_understood]
        say(f"{folder}: {len(scanned.functionalities)} ways in")
    shapes = Shapes(reader)
    templates = Templates(one.name for one in code)
    logged = _logged(settings, _zone(settings, connection), shapes, templates, notices.append)
    ran = dict(logged.functionalities)
    if settings.logs:
        say(f"logs: {len(ran)} functionalities, {logged.ambiguous} transactions that could be of several")
    if settings.logs and not ran:
        notices.append("the log holds no statement on a table: log_statement = 'all' has to be set while it is written")
    if connection is not None and connection.dialect.name == "postgresql" and settings.statements:
        counted = counted_statements(connection)
        if counted is None:
            notices.append(
                "pg_stat_statements is not installed, or not in shared_preload_libraries: statements that ran before "
                "the log began are missing"
            )
        else:
            told = _counted(counted, reader, shapes, known=ran)
            problems += told.not_understood
            if any(one.text == HIDDEN for one in counted):
                notices.append("pg_stat_statements hides other accounts' statements: GRANT pg_read_all_stats")
            say(f"pg_stat_statements: {len(told.functionalities)} functionalities besides")
            ran |= told.functionalities
    keys = _keys(ran.values(), schema, connection)
    document = merged(
        schema=schema,
        ran=ran.values(),
        code=code,
        inferred=keys,
        gathering=Gathering(
            sources=_sources(settings),
            not_understood=tuple(problems),
            ambiguous_transactions=logged.ambiguous,
            stray_transactions=logged.strays,
            notices=tuple(notices),
        ),
    )
    if not document.functionalities and not document.tables:
        raise FactsInvalid(
            thing=", ".join(_sources(settings)),
            reason="holds no table and no statement",
            mend="log statements (log_statement = all) while the monolith works, and give that log",
        )
    return document


def _logged(
    settings: GatherSettings, zone: tzinfo, shapes: Shapes, templates: Templates, note: Callable[[str], None]
) -> Attributed:
    requests = [request for path in settings.requests for request in _requests(path, note)]
    database = settings.log_database
    if database is None and settings.source is not None:
        database = make_url(settings.source).database
    transactions: list[SeenTransaction] = []
    marks: list[Mark] = []
    without_time = 0
    for one in transactions_of(_entries(settings, zone), database=database):
        seen = shapes.see(one)
        if isinstance(seen, Mark):
            marks.append(seen)
        elif seen is not None:
            transactions.append(seen)
            without_time += seen.started is None
    if requests and without_time and not marks:
        note(f"{without_time} transactions have no time finer than a second: requests are not told apart by time there")
    return attribute(transactions, marks=marks, requests=requests, templates=templates)


def _zone(settings: GatherSettings, connection: Connection | None) -> tzinfo:
    name = settings.log_timezone
    if name is None and connection is not None and connection.dialect.name == "postgresql":
        name = connection.execute(text("SELECT current_setting('log_timezone')")).scalar_one()
    try:
        return UTC if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise LogUnreadable(
            thing=f"time zone {name!r}", reason="is not known", mend="give the server's log_timezone, as Europe/Berlin"
        ) from None


def _entries(settings: GatherSettings, zone: tzinfo) -> Iterator[LogEntry]:
    for path in settings.logs:
        with _opened(path) as file:
            is_mysql = is_mysql_log(islice(file, _FIRST_LINES))
            file.seek(0)
            if is_mysql:
                without_begin = sessions_without_begin(file)
                file.seek(0)
                yield from mysql_entries(file, without_begin=without_begin)
            else:
                form = form_of(path.name, file.readline())
                file.seek(0)
                yield from entries_of(file, form, settings.log_prefix, zone)


def _dialect(settings: GatherSettings) -> Dialect:
    """Of the statements, where no schema says it: a log of MySQL says it, too."""
    for path in settings.logs:
        with _opened(path) as file:
            if is_mysql_log(islice(file, _FIRST_LINES)):
                return "mysql"
    return settings.dialect


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            yield file
    except OSError as error:
        raise LogUnreadable(
            thing=str(path), reason=f"not readable: {error.strerror}", mend="name a log file that can be read"
        ) from None


def _requests(path: Path, note: Callable[[str], None]) -> list[RecordedRequest]:
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as lines:
            return requests_of(lines, thing=str(path), torn=note)
    except (OSError, UnicodeDecodeError) as error:
        raise LogUnreadable(
            thing=str(path), reason=f"not readable: {error}", mend="name a HAR document or JSON lines"
        ) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counted:
    functionalities: dict[str, Ran]
    not_understood: list[NotUnderstood]


def _counted(
    counted: Iterable[CountedStatement], reader: SqlReader, shapes: Shapes, *, known: dict[str, Ran]
) -> _Counted:
    """Statements that tell what no logged transaction does, each as a functionality of its own.

    Where there is a log, a statement on one table that others use, too, tells nothing new: it binds nothing.
    """
    logged = {one.accesses for ran in known.values() for shape in ran.shapes for one in shape.statements}
    used = {access.table for accesses in logged for access in accesses}
    found: dict[str, Ran] = {}
    problems: list[NotUnderstood] = []
    for statement in counted:
        if statement.text == HIDDEN:
            continue
        facts = reader.read(statement.text)
        if facts.not_understood is not None:
            problems.append(NotUnderstood(what=facts.text, why=facts.not_understood, times=statement.calls))
        if not facts.accesses or facts.accesses in logged or facts.changes_schema:
            continue
        if len(facts.tables) == 1 and facts.tables[0] in used:
            continue
        shape = shapes.shape([facts])
        route = route_of(comment_tags(statement.text))
        seen = SeenTransaction(
            shape=shape, first_entry=0, last_entry=0, started=None, ended=None, application="", route=route, trace=None
        )
        name = route or shape_name(seen)
        if name not in known:
            found.setdefault(name, Ran(name=name, evidence="statements")).shapes[shape] += statement.calls
    return _Counted(functionalities=found, not_understood=problems)


def _keys(ran: Iterable[Ran], schema: SchemaFacts | None, connection: Connection | None) -> Sequence[InferredKey]:
    if schema is None:
        return ()
    joins = {join for one in ran for shape in one.shapes for statement in shape.statements for join in statement.joins}
    keys = inferred_keys(joins, schema)
    return keys if connection is None else [proven(key, connection) for key in keys]


def _sources(settings: GatherSettings) -> tuple[str, ...]:
    named = [redact(settings.source)] if settings.source is not None else []
    return (*named, *(path.name for path in (*settings.logs, *settings.requests, *settings.code)))
