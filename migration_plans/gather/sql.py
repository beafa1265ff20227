"""One SQL statement → the tables and columns that it reads and writes, its joins, predicates and locks. Pure.

sqlglot parses; a statement that it does not know is reported in `StatementFacts.not_understood`, never raised.
Statements that differ only in values are read once.
"""

import logging
import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError, TokenError

from migration_plans.gather.sql_found import Found
from migration_plans.gather.sql_names import Names
from migration_plans.gather.sql_walk import Walk
from migration_plans.gather.statement import Access, Catalog, ColumnName, ColumnUse, RowLock, StatementFacts, View
from migration_plans.gather.statement_text import normalised, with_parted_parameters, without_comments

Dialect = Literal["postgres", "mysql", "sqlite", "oracle", "tsql"]

_KEPT_FORMS: Final = 50_000
"""Statements remembered; the oldest goes first."""
_KEPT_TEXTS: Final = 10_000
_SHORT_TEXT: Final = 2_000
"""Characters up to which a text is remembered as it stands, besides its form."""
_LONG_TEXT: Final = 20_000
"""Characters from which on the form without values is parsed instead: it is the same statement."""
_REASON: Final = 160
_KEPT_TEXT: Final = 500
_GAPS: Final = (SqlglotError, RecursionError, ValueError, KeyError, IndexError, AttributeError, TypeError)
"""What a parser of a language this large raises where it has gaps; one statement must not end the gathering."""
_FIRST_WORD: Final = re.compile(r"[\s(]*([A-Za-z_]+)")
_SILENT: Final = frozenset(
    {
        *("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "SET", "RESET", "SHOW", "XA"),
        *("DISCARD", "DEALLOCATE", "LISTEN", "NOTIFY", "UNLISTEN", "FETCH", "MOVE", "CLOSE", "VACUUM", "ANALYZE"),
        *("CHECKPOINT", "REINDEX", "CLUSTER", "ALTER", "DROP", "GRANT", "REVOKE", "COMMENT", "USE", "KILL", "FLUSH"),
        *("UNLOCK", "EXECUTE", "DO", "REASSIGN", "SECURITY", "IMPORT", "OPTIMIZE", "DESCRIBE", "DESC"),
        *("IDENTIFY_SYSTEM", "READ_REPLICATION_SLOT", "CREATE_REPLICATION_SLOT", "DROP_REPLICATION_SLOT"),
        *("START_REPLICATION", "TIMELINE_HISTORY", "BASE_BACKUP"),
    }
)
"""Commands that read and write no rows of tables, or that cannot be read for themselves."""
_REWRITES: Final = (
    (re.compile(r"^\s*EXPLAIN\s+(?:\([^)]*\)\s*|(?:ANALYZE|VERBOSE)\s+)*", re.IGNORECASE), ""),
    (re.compile(r"^\s*DECLARE\s+\S+\s+(?:\w+\s+)*?CURSOR\s+(?:WITH(?:OUT)?\s+HOLD\s+)?FOR\s+", re.IGNORECASE), ""),
    (re.compile(r"^\s*PREPARE\s+\S+\s*(?:\([^)]*\)\s*)?AS\s+", re.IGNORECASE), ""),
    (re.compile(r"^\s*TABLE\s+(?=[\w\"])", re.IGNORECASE), "SELECT * FROM "),
    (re.compile(r"^\s*REPLACE\s+(?:LOW_PRIORITY\s+|DELAYED\s+)?(?:INTO\s+)?", re.IGNORECASE), "INSERT INTO "),
    (re.compile(r"\bWHERE\s+CURRENT\s+OF\s+\S+", re.IGNORECASE), ""),
    (re.compile(r"\bOVERRIDING\s+(?:SYSTEM|USER)\s+VALUE\b", re.IGNORECASE), ""),
    (re.compile(r"\bON\s+COMMIT\s+(?:DROP|(?:DELETE|PRESERVE)\s+ROWS)\s+(?=AS\b)", re.IGNORECASE), ""),
)
_TEMPORARY: Final = re.compile(r"\w+\s+(?:(?:GLOBAL|LOCAL)\s+)?TEMP(?:ORARY)?\b", re.IGNORECASE)
_CREATED_BY_QUERY: Final = re.compile(r"CREATE\s+(?:\w+\s+)*TABLE\b.*\bAS\b", re.IGNORECASE | re.DOTALL)
_MANGLED_CAST: Final = re.compile(r"\$(\d+)\(\$\1 AS ", re.IGNORECASE)
"""What `pg_stat_statements` makes of `CAST('…' AS type)`."""
_OBJECT_IDS: Final = re.compile(r"::\s*(?:oid|reg[a-z]+)\s*(?=\[)", re.IGNORECASE)
"""sqlglot knows no arrays of these types."""
_LOCK_TABLES: Final = re.compile(
    r"^\s*LOCK\s+(?:TABLES?\s+)?(?P<names>.+?)(?:\s+IN\s+(?P<mode>[\w\s]+?)\s+MODE)?(?:\s+NOWAIT)?\s*;?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_CALL: Final = re.compile(r"^\s*CALL\s+(?P<name>[\w.\"`]+)", re.IGNORECASE)
_LOAD: Final = re.compile(r"^\s*LOAD\s+DATA\b.*?\bINTO\s+TABLE\s+(?P<name>[\w.`]+)", re.IGNORECASE | re.DOTALL)
_REFRESH: Final = re.compile(
    r"^\s*REFRESH\s+MATERIALIZED\s+VIEW\s+(?:CONCURRENTLY\s+)?(?P<name>[\w.\"]+)", re.IGNORECASE
)


def _is_news(record: logging.LogRecord) -> bool:
    """Commands that stay text are in the facts as not understood; the parser need not say it on stderr besides."""
    return "Falling back to parsing" not in record.getMessage()


class SqlReader:
    """Reads statements of one dialect against one schema; remembers those it has read. Not thread-safe."""

    def __init__(self, *, dialect: Dialect = "postgres", catalog: Catalog | None = None) -> None:
        self.dialect: Dialect = dialect
        self.catalog = Catalog() if catalog is None else catalog
        self._names = Names(catalog=self.catalog, folds=dialect in {"postgres", "oracle"})
        self._backslashes = dialect == "mysql"
        logging.getLogger("sqlglot").addFilter(_is_news)
        self._by_text: OrderedDict[str, StatementFacts] = OrderedDict()
        self._by_form: OrderedDict[str, StatementFacts] = OrderedDict()

    def form(self, text: str) -> str:
        """The statement without its values and comments: equal for statements that differ in nothing else."""
        return normalised(text, backslashes=self._backslashes)

    def read(self, text: str) -> StatementFacts:
        """The facts of one statement. Never raises for what the text holds."""
        known = self._by_text.get(text)
        if known is None:
            form = self.form(text)
            known = self._by_form.get(form)
            if known is None:
                known = self._read(text, form)
                _remember(self._by_form, form, known, most=_KEPT_FORMS)
            if len(text) <= _SHORT_TEXT:
                _remember(self._by_text, text, known, most=_KEPT_TEXTS)
        return known

    def read_view(self, definition: str) -> tuple[View, StatementFacts]:
        """A view by its query, and the facts of the query: it may not be understood, or name views not yet known."""
        walk = Walk(self._names)
        columns = {}
        try:
            for tree in sqlglot.parse(definition, read=self.dialect):
                if tree is not None:
                    body = tree.expression if isinstance(tree, exp.Create) else tree
                    columns = {name: column for name, column in walk.statement(body).items() if column is not None}
        except _GAPS as error:
            walk.found.problem = _why(error)
        facts = _facts("SELECT", walk.found)
        return View(tables=tuple(sorted(facts.tables)), columns=columns), facts

    def _read(self, text: str, form: str) -> StatementFacts:
        first = _FIRST_WORD.match(form)
        kind = first[1].upper() if first else ""
        if kind in {"CREATE", "DROP"} and _TEMPORARY.match(form):
            kind = f"{kind} TEMPORARY"
        if not form or kind.split(" ")[0] in _SILENT:
            return StatementFacts(kind=kind)
        special = self._special(kind, form)
        if special is not None:
            return special
        plain = form if len(text) > _LONG_TEXT else without_comments(text, backslashes=self._backslashes)
        for pattern, replacement in _REWRITES:
            plain = pattern.sub(replacement, plain, count=1)
        plain = _OBJECT_IDS.sub("::int", plain)
        plain = with_parted_parameters(_MANGLED_CAST.sub("CAST(NULL AS ", plain), backslashes=self._backslashes)
        walk = Walk(self._names)
        try:
            trees = [tree for tree in sqlglot.parse(plain, read=self.dialect) if tree is not None]
            for tree in trees:
                walk.statement(tree)
        except _GAPS as error:
            walk.found.problem = _why(error)
        if (
            kind in {"WITH", "EXPLAIN", "DECLARE", "PREPARE", "TABLE", "REPLACE"}
            and walk.found.problem is None
            and trees
        ):
            kind = _kind(trees[0])
        return _facts(kind, walk.found, form)

    def _special(self, kind: str, form: str) -> StatementFacts | None:
        """Commands that sqlglot keeps as text."""
        if kind == "LOCK" and (lock := _LOCK_TABLES.match(form)):
            strength = f"TABLE {(lock['mode'] or 'ACCESS EXCLUSIVE').upper()}"
            locks = [RowLock(name, strength) for name in self._named(lock["names"])]
            return StatementFacts(kind="LOCK", locks=tuple(locks))
        if kind == "CALL" and (call := _CALL.match(form)):
            name = self._bare(call["name"])
            routine = self.catalog.routines.get(name)
            return StatementFacts(
                kind="CALL", functions=(name,), accesses=routine.accesses if routine is not None else ()
            )
        if kind == "LOAD" and (load := _LOAD.match(form)):
            return StatementFacts(kind="LOAD", accesses=tuple(Access(n, "W") for n in self._named(load["name"])))
        if kind == "REFRESH" and (refresh := _REFRESH.match(form)):
            view = self.catalog.views.get(self._bare(refresh["name"]))
            tables = view.tables if view is not None else ()
            return StatementFacts(kind="REFRESH", accesses=tuple(Access(table, "R") for table in tables))
        if kind.startswith("CREATE") and not _CREATED_BY_QUERY.match(form):
            return StatementFacts(kind=kind)
        return None

    def _named(self, names: str) -> list[str]:
        """Tables of a list such as `only a, b write`."""
        found = []
        for name in names.split(","):
            words = [word for word in name.split() if word.upper() not in {"ONLY", "TABLE", "TABLES"}]
            if words:
                schema, _, table = words[0].rpartition(".")
                known = self._names.table(schema, self._bare(table))
                if known is not None and self._names.is_known(known):
                    found.append(known)
        return found

    def _bare(self, name: str) -> str:
        quoted = name[:1] in {'"', "`"}
        return self._names.identifier(name.strip('"`'), quoted=quoted)


def _facts(kind: str, found: Found, form: str = "") -> StatementFacts:
    used: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for place, columns in enumerate((found.read, found.written)):
        for column in columns:
            used[column.table][place].add(column.column)
    return StatementFacts(
        kind=kind,
        accesses=tuple(found.accesses),
        columns={
            table: ColumnUse(read=tuple(sorted(read)), written=tuple(sorted(written)))
            for table, (read, written) in sorted(used.items())
        },
        joins=tuple(found.joins),
        predicates=tuple(found.predicates),
        locks=tuple(found.locks),
        changes=tuple(found.changes),
        views=tuple(found.views),
        functions=tuple(found.functions),
        unknown_tables=tuple(found.unknown_tables),
        not_understood=found.problem,
        text=form[:_KEPT_TEXT] if found.problem is not None else "",
    )


def _kind(tree: exp.Expr) -> str:
    return "SELECT" if isinstance(tree, exp.Query) else type(tree).__name__.upper()


def _why(error: Exception) -> str:
    """The reason without a word of the statement: its values must not reach the facts."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, TokenError):
        return "cannot be split into tokens"
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        return f"{str(first.get('description', ''))[:_REASON]} (column {first.get('col')})"
    return f"the parser fails: {type(error).__name__}"


def _remember(cache: "OrderedDict[str, StatementFacts]", key: str, facts: StatementFacts, *, most: int) -> None:
    cache[key] = facts
    if len(cache) > most:
        cache.popitem(last=False)


def catalog_of(columns: Mapping[str, Iterable[str]]) -> Catalog:
    """A catalog of tables alone."""
    return Catalog(columns={table: tuple(names) for table, names in columns.items()})


__all__ = ["Catalog", "ColumnName", "Dialect", "SqlReader", "catalog_of"]
