"""The general log and the slow log of a MySQL or MariaDB server as entries, as PostgreSQL's are. Pure.

MySQL says where a transaction begins only where the application does. What follows from `autocommit`, and from
statements that commit by themselves, is put in here as BEGIN and COMMIT, so that entries become transactions the same
way.
"""

import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from migration_plans.gather.server_log import LogEntry
from migration_plans.gather.statement_text import split_statements, without_comments

_GENERAL: Final = re.compile(
    r"(?:(?P<second>\d{6} [ \d]\d:\d\d:\d\d)|(?P<at>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)))?"
    r"\t+ *(?P<session>\d+) (?P<command>[A-Z][A-Za-z_ ]*?)(?:\t(?P<argument>.*))?$",
    re.DOTALL,
)
_BANNER: Final = re.compile(r"\S.*, Version: .* started with:|Tcp port: |Time\s+Id Command\s+Argument")
_CONNECTED: Final = re.compile(r".*? on (?P<database>\S*)")
_SLOW_SESSION: Final = re.compile(
    r"# (?:Thread_id|User@Host: .*?\bId): +(?P<session>\d+)(?: +Schema: (?P<database>\S*))?"
)
_SLOW_TIME: Final = re.compile(r"# Time: (?P<at>\d{4}-\d\d-\d\dT\S+)")
_SLOW_LASTED: Final = re.compile(r"# Query_time: (?P<seconds>\d+(?:\.\d+)?)")
_SLOW_HEAD: Final = re.compile(
    r"# (?:Time|User@Host|Thread_id|Query_time|Rows_affected|Bytes_sent|Tmp_|Full_|Filesort)"
)
_USE: Final = re.compile(r"use\s+`?(?P<database>[^`;\s]+)`?\s*;?\s*", re.IGNORECASE)
_TIMESTAMP: Final = re.compile(r"SET timestamp=[\d.]+;\s*$", re.IGNORECASE)
_AUTOCOMMIT: Final = re.compile(
    r"(?i)\bset\b.*?\bautocommit\b`?\s*:?=\s*(?:(?P<off>0|off|false)|1|on|true)\b", re.DOTALL
)
_WORDS: Final = re.compile(r"[\s(]*(?P<words>[A-Za-z]+(?:\s+[A-Za-z]+)?)")
_COMMITS_ITSELF: Final = frozenset(
    {"CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "GRANT", "REVOKE", "LOCK", "ANALYZE", "OPTIMIZE"}
)
_TELLS_NOTHING: Final = frozenset({"SET", "USE", "SHOW", "PREPARE", "EXECUTE", "DEALLOCATE", "SAVEPOINT", "RELEASE"})
"""SQL-level EXECUTE is logged once more with the statement behind it."""


class _Said(NamedTuple):
    """What one line of the log, with those that go on with it, says. No `text`: the session ends."""

    session: str
    database: str
    text: str | None
    at: float | None
    is_new: bool = False
    """The session begins."""


def is_mysql_log(first_lines: Iterable[str]) -> bool:
    """Whether a log begins as these do."""
    for line in first_lines:
        if _BANNER.match(line) or _GENERAL.match(line.rstrip("\r\n")) or _SLOW_HEAD.match(line):
            return True
        if line.strip():
            return False
    return False


def sessions_without_begin(lines: Iterable[str]) -> frozenset[str]:
    """Sessions that were there before the log began and commit what they never began: autocommit is off in them."""
    known: set[str] = set()
    begun: set[str] = set()
    found: set[str] = set()
    for said in _said(lines):
        if said.is_new:
            known.add(said.session)
        if said.text is None or said.session in known:
            continue
        for statement in split_statements(said.text, backslashes=True):
            plain = without_comments(statement, backslashes=True).strip()
            first, _ = _first_words(plain)
            if _AUTOCOMMIT.match(plain):
                known.add(said.session)
            elif first in {"BEGIN", "START"}:
                begun.add(said.session)
            elif first in {"COMMIT", "ROLLBACK"}:
                (begun.discard if said.session in begun else found.add)(said.session)
    return frozenset(found)


def mysql_entries(lines: Iterable[str], *, without_begin: Set[str] = frozenset()) -> Iterator[LogEntry]:
    """Entries of a general log, or of a slow log that has everything (`long_query_time = 0`).

    `without_begin`: sessions that are in the middle of their work when the log begins, with autocommit off. Times are
    left out where the log has whole seconds only (MariaDB). Statements that failed are there as if they had not.
    """
    sessions: dict[str, _Session] = {}
    for said in _said(lines):
        if said.is_new or said.session not in sessions:
            sessions[said.session] = _Session(is_automatic=said.is_new or said.session not in without_begin)
        if said.text is None:
            sessions.pop(said.session)
            yield _entry(said, "disconnection: ")
            continue
        for statement in split_statements(said.text, backslashes=True):
            for text in sessions[said.session].run(statement):
                yield _entry(said, f"execute mysql: {text}")


@dataclass(kw_only=True, slots=True)
class _Session:
    is_automatic: bool
    is_open: bool = False
    """A transaction is."""

    def run(self, statement: str) -> Iterator[str]:
        """The statement, with BEGIN or COMMIT before it where the server does so without saying."""
        plain = without_comments(statement, backslashes=True).strip()
        first, second = _first_words(plain)
        if switch := _AUTOCOMMIT.match(plain):
            self.is_automatic = switch["off"] is None
            if self.is_automatic:
                yield from self._commit()
        elif first in {"BEGIN", "START"} or (first, second) in {("XA", "START"), ("XA", "BEGIN")}:
            yield from self._commit()
            self.is_open = True
            yield "BEGIN"
        elif first in {"COMMIT", "ROLLBACK"} or (first, second) in {("XA", "COMMIT"), ("XA", "ROLLBACK")}:
            if first == "ROLLBACK" and re.search(r"\bTO\b", plain, re.IGNORECASE):
                return
            self.is_open = re.search(r"(?<!NO )\bCHAIN\b", plain, re.IGNORECASE) is not None
            yield plain if first != "XA" else second
        elif first in _TELLS_NOTHING or first == "XA":
            return
        else:
            if first in _COMMITS_ITSELF and second != "TEMPORARY":
                yield from self._commit()
            elif not self.is_automatic and not self.is_open:
                self.is_open = True
                yield "BEGIN"
            yield statement

    def _commit(self) -> Iterator[str]:
        if self.is_open:
            self.is_open = False
            yield "COMMIT"


def _said(lines: Iterable[str]) -> Iterator[_Said]:
    """Both forms; a line that begins nothing goes on with the one before. A last line that is not whole is left out."""
    databases: dict[str, str] = {}
    current: _Said | None = None
    more: list[str] = []
    slow = _SlowHead()
    for line in lines:
        if not line.endswith("\n"):
            # The server may be writing it.
            break
        begun = _GENERAL.match(line.rstrip("\r\n"))
        is_head = _SLOW_HEAD.match(line) is not None
        if begun is None and not is_head and not _BANNER.match(line):
            if slow.is_open and current is None:
                current = slow.begin(line)
            if current is not None and not slow.leaves_out(line):
                more.append(line)
            continue
        if current is not None and (text := "".join(more).rstrip().removesuffix(";")):
            yield current._replace(text=text)
        current, more = None, []
        if is_head:
            slow.read(line)
        elif begun is not None:
            slow.is_open = False
            current, more = _general(begun, databases)
            if current is not None and (current.is_new or current.text is None):
                yield current
                current = None
    if current is not None and (text := "".join(more).rstrip().removesuffix(";")):
        yield current._replace(text=text)


def _general(begun: re.Match[str], databases: dict[str, str]) -> tuple[_Said | None, list[str]]:
    session, command, argument = begun["session"], begun["command"], begun["argument"] or ""
    at = None if begun["at"] is None else _moment(begun["at"])
    if command in {"Connect", "Change user"}:
        connected = _CONNECTED.match(argument)
        databases[session] = "" if connected is None else connected["database"]
        return _Said(session, databases[session], "", at, is_new=True), []
    if command == "Init DB":
        databases[session] = argument.strip()
    if command in {"Quit", "Reset connection"}:
        return _Said(session, databases.get(session, ""), None, at), []
    if command not in {"Query", "Execute"}:
        return None, []
    used = _USE.fullmatch(argument)
    if used is not None:
        databases[session] = used["database"]
    return _Said(session, databases.get(session, ""), "", at), [argument + "\n"]


class _SlowHead:
    """Lines with `#` before a statement of a slow log."""

    def __init__(self) -> None:
        self.is_open = False
        self._session = ""
        self._database = ""
        self._ended: float | None = None
        self._lasted_s = 0.0

    def read(self, line: str) -> None:
        self.is_open = True
        if match := _SLOW_TIME.match(line):
            self._ended = _moment(match["at"])
        if match := _SLOW_SESSION.match(line):
            self._session = match["session"]
            self._database = match["database"] if match["database"] is not None else self._database
        if match := _SLOW_LASTED.match(line):
            self._lasted_s = float(match["seconds"])

    def begin(self, line: str) -> _Said | None:
        if line.startswith("# administrator command"):
            return None
        if used := _USE.fullmatch(line.strip()):
            self._database = used["database"]
        at = None if self._ended is None else self._ended - self._lasted_s
        return _Said(self._session, self._database, "", at)

    def leaves_out(self, line: str) -> bool:
        """What the server puts before each statement, so that the log can be run."""
        return self.is_open and (_TIMESTAMP.match(line) is not None or line.startswith("# administrator command"))


def _moment(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _entry(said: _Said, message: str) -> LogEntry:
    return LogEntry(severity="LOG", message=message, session=said.session, database=said.database, at=said.at)


def _first_words(statement: str) -> tuple[str, str]:
    match = _WORDS.match(statement)
    words = match["words"].upper().split() if match is not None else []
    return (words[0] if words else "", words[1] if len(words) > 1 else "")
