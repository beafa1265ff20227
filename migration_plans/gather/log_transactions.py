"""Entries of a server's log → transactions, each with its statements in order. Pure.

Statements are joined per session: by BEGIN … COMMIT, and by the virtual transaction where the log has it, so that a log
which begins or breaks off in the middle is read right. Memory holds the open transaction of each session, no more.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from migration_plans.gather.server_log import LogEntry
from migration_plans.gather.statement_text import split_statements

Ending = Literal["committed", "rolled back", "unknown"]

_LOGGED: Final = re.compile(
    r"(?:duration: [\d.]+ ms  )?(?:(?P<how>statement)|(?P<execute>execute) (?P<name>[^\n]*?)): (?P<text>.*)", re.DOTALL
)
_FETCH: Final = re.compile(r"(?:duration: [\d.]+ ms  )?execute fetch from ")
_PREPARED: Final = re.compile(r"prepare: PREPARE\s+\S+\s*(?:\([^)]*\)\s*)?AS\s+(?P<text>.*)", re.DOTALL | re.IGNORECASE)
_FIRST: Final = re.compile(r"(?:\s+|/\*.*?\*/|--[^\n]*\n)*(?P<words>[A-Za-z]+(?:\s+[A-Za-z]+)?)", re.DOTALL)
_BEGIN: Final = frozenset({"BEGIN", "START"})
_END: Final = frozenset({"COMMIT", "END"})
_UNDO: Final = frozenset({"ROLLBACK", "ABORT"})
_FAILURES: Final = frozenset({"ERROR", "FATAL", "PANIC"})
_LONGEST: Final = 100_000
"""Statements of one transaction that are kept; what follows is not: its tables are known by then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedTransaction:
    """One transaction as the log has it."""

    statements: tuple[str, ...]
    """Their texts, in order, without BEGIN, COMMIT and savepoints."""
    first_entry: int
    """Place of its first statement among the log's entries."""
    last_entry: int
    session: str = ""
    application: str = ""
    database: str = ""
    started: float | None = None
    """Seconds since 1970."""
    ended: float | None = None
    ending: Ending = "unknown"


@dataclass(kw_only=True, slots=True)
class _Open:
    entry: int
    last: int
    transaction: str
    explicit: bool
    session: str
    application: str
    database: str
    started: float | None
    ended: float | None
    failed: bool = False
    statements: list[str] = field(default_factory=list)


def transactions_of(entries: Iterable[LogEntry], *, database: str | None = None) -> Iterator[LoggedTransaction]:
    """Transactions in the order in which they end; only those of `database` when it is given."""
    sessions = _Sessions()
    for number, entry in enumerate(entries):
        if database is not None and entry.database and entry.database != database:
            continue
        yield from sessions.take(number, entry)
    yield from sessions.close_all()


class _Sessions:
    """The open transaction of each session."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def take(self, number: int, entry: LogEntry) -> Iterator[LoggedTransaction]:
        """One entry; what it ends is returned."""
        if entry.severity in _FAILURES:
            yield from self._fail(entry)
            return
        if entry.severity != "LOG":
            return
        if entry.message.startswith("disconnection: "):
            yield from self._close(entry.session, "rolled back")
            return
        if _FETCH.match(entry.message):
            return
        logged = _LOGGED.match(entry.message)
        if logged is None:
            return
        text = logged["text"]
        prepared = _PREPARED.match(entry.detail) if entry.detail else None
        if prepared is not None:
            # SQL-level EXECUTE: the statement behind the name is in the detail.
            text = prepared["text"]
        if logged["execute"] is not None or ";" not in text:
            yield from self._statement(number, entry, text)
            return
        for statement in split_statements(text):
            yield from self._statement(number, entry, statement)

    def close_all(self) -> Iterator[LoggedTransaction]:
        """The log ends here."""
        for session in list(self._open):
            yield from self._close(session, "unknown")

    def _statement(self, number: int, entry: LogEntry, text: str) -> Iterator[LoggedTransaction]:
        first, second = _first_words(text)
        known = _known(entry.transaction)
        current = self._open.get(entry.session)
        if current is not None and known and current.transaction and current.transaction != known:
            # Its end is missing from the log, or it was a statement of its own.
            yield from self._close(entry.session, "unknown" if current.explicit else "committed")
            current = None
        if first in _BEGIN:
            if current is not None and not current.explicit:
                yield from self._close(entry.session, "committed")
                current = None
            if current is None:
                self._begin(number, entry, known, explicit=True)
            return
        if first in _END | _UNDO or (first, second) == ("PREPARE", "TRANSACTION"):
            yield from self._end(number, entry, text, first, second)
            return
        if first in {"SAVEPOINT", "RELEASE", "PREPARE", "DEALLOCATE"}:
            return
        if current is None:
            current = self._begin(number, entry, known, explicit=False)
        elif not current.explicit and not known:
            yield from self._close(entry.session, "committed")
            current = self._begin(number, entry, known, explicit=False)
        current.transaction = current.transaction or known
        current.last, current.ended = number, entry.at
        current.application = entry.application or current.application
        if len(current.statements) < _LONGEST:
            current.statements.append(text)

    def _end(self, number: int, entry: LogEntry, text: str, first: str, second: str) -> Iterator[LoggedTransaction]:
        if first == "ROLLBACK" and (second == "TO" or re.match(r"\s*ROLLBACK\s+\w+\s+TO\b", text, re.IGNORECASE)):
            if (current := self._open.get(entry.session)) is not None:
                current.failed = False
            return
        if second == "PREPARED":
            return
        current = self._open.get(entry.session)
        if current is not None:
            current.ended, current.last = entry.at, number
            undone = first in _UNDO or current.failed
            yield from self._close(entry.session, "rolled back" if undone else "committed")
        if re.search(r"\bAND\s+CHAIN\b", text, re.IGNORECASE):
            self._begin(number, entry, "", explicit=True)

    def _begin(self, number: int, entry: LogEntry, known: str, *, explicit: bool) -> _Open:
        opened = _Open(
            entry=number,
            last=number,
            transaction=known,
            explicit=explicit,
            session=entry.session,
            application=entry.application,
            database=entry.database,
            started=entry.at,
            ended=entry.at,
        )
        self._open[entry.session] = opened
        return opened

    def _fail(self, entry: LogEntry) -> Iterator[LoggedTransaction]:
        current = self._open.get(entry.session)
        if current is None:
            return
        if current.explicit and entry.severity == "ERROR":
            current.failed = True
            return
        yield from self._close(entry.session, "rolled back")

    def _close(self, session: str, ending: Ending) -> Iterator[LoggedTransaction]:
        current = self._open.pop(session, None)
        if current is None or not current.statements:
            return
        yield LoggedTransaction(
            statements=tuple(current.statements),
            first_entry=current.entry,
            last_entry=current.last,
            session=session,
            application="" if current.application == "[unknown]" else current.application,
            database=current.database,
            started=current.started,
            ended=current.ended,
            ending=ending,
        )


def _known(transaction: str) -> str:
    """The virtual transaction, or nothing where it says that there is none."""
    return "" if transaction.endswith("/0") else transaction


def _first_words(text: str) -> tuple[str, str]:
    match = _FIRST.match(text)
    words = match["words"].upper().split() if match is not None else []
    return (words[0] if words else "", words[1] if len(words) > 1 else "")
