"""Log files of a PostgreSQL server as entries: csvlog, jsonlog, and stderr with any `log_line_prefix`. Pure."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final, Literal

from migration_plans.errors import LogUnreadable

LogForm = Literal["csvlog", "jsonlog", "stderr"]

DEFAULT_PREFIX: Final = "%m [%p] "
"""PostgreSQL's own default of `log_line_prefix`."""

csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEntry:
    """One message of one session, with what the log's form tells of it; the empty string for what it does not."""

    severity: str
    """`LOG`, `ERROR`, `FATAL`, … as the server's language has it not: always English in csvlog and jsonlog."""
    message: str
    detail: str = ""
    session: str = ""
    """Distinguishes sessions: `%c` where the log has it, else the process."""
    database: str = ""
    application: str = ""
    transaction: str = ""
    """Virtual transaction: `procNumber/number`; number 0 is none."""
    at: float | None = None
    """Seconds since 1970 when the message was written; None when the log has no time."""


_OFFSET: Final = re.compile(r"[+-]\d\d(?::?\d\d)?")
_ZERO: Final = frozenset({"UTC", "GMT", "Z"})
_CSV_COLUMNS: Final = 23
"""The columns up to `application_name`, which every version has."""


def csvlog_entries(lines: Iterable[str], zone: tzinfo = UTC) -> Iterator[LogEntry]:
    """Entries of a csvlog. `lines` keep their ends, so that statements keep their line breaks.

    A last row that is not whole is passed over: the server may be writing it.
    """
    rows = csv.reader(lines)
    cut: LogUnreadable | None = None
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise _unreadable(f"line {rows.line_num} of the csvlog", str(error)) from None
        if row is None:
            return
        if cut is not None:
            raise cut
        if not row:
            continue
        if len(row) < _CSV_COLUMNS:
            reason = f"has {len(row)} columns, at least {_CSV_COLUMNS} are expected"
            cut = _unreadable(f"line {rows.line_num} of the csvlog", reason)
            continue
        yield LogEntry(
            at=_moment(row[0], zone),
            database=row[2],
            session=row[5],
            transaction=row[9],
            severity=row[11],
            message=row[13],
            detail=row[14],
            application=row[22],
        )


def jsonlog_entries(lines: Iterable[str], zone: tzinfo = UTC) -> Iterator[LogEntry]:
    """Entries of a jsonlog, one object a line. A last line that is not whole is passed over."""
    cut: LogUnreadable | None = None
    for number, line in enumerate(lines, start=1):
        if cut is not None:
            raise cut
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            cut = _unreadable(f"line {number} of the jsonlog", f"is not JSON: {error.msg}")
            continue
        if not isinstance(entry, dict):
            raise _unreadable(f"line {number} of the jsonlog", "is no JSON object")
        yield LogEntry(
            at=_moment(entry.get("timestamp", ""), zone),
            database=entry.get("dbname", ""),
            session=entry.get("session_id", ""),
            transaction=entry.get("vxid", ""),
            severity=entry.get("error_severity", ""),
            message=entry.get("message", ""),
            detail=entry.get("detail", ""),
            application=entry.get("application_name", ""),
        )


def _unreadable(thing: str, reason: str) -> LogUnreadable:
    return LogUnreadable(
        thing=thing, reason=reason, mend="give the file as the server wrote it, from the beginning of a line"
    )


_ESCAPES: Final = {
    "a": r"(?P<application>.*?)",
    "u": r".*?",
    "d": r"(?P<database>.*?)",
    "r": r"\S*?",
    "h": r"\S*?",
    "L": r"\S*?",
    "b": r"[\w ]*?",
    "p": r"(?P<pid>\d*)",
    "P": r"\d*",
    "t": r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+)",
    "m": r"(?P<millis>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+)",
    "n": r"(?P<epoch>\d+\.\d{3})",
    "i": r"[\w ]*?",
    "e": r"[0-9A-Z]{5}",
    "c": r"(?P<session>[0-9a-f]*\.?[0-9a-f]*)",
    "l": r"\d*",
    "s": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+",
    "v": r"(?P<vxid>(?:-?\d+/\d+)?)",
    "x": r"\d*",
    "Q": r"-?\d*",
    "%": "%",
}
_SEVERITY: Final = re.compile(r"(?P<severity>[A-Z]+\d?):  (?P<message>.*)", re.DOTALL)
_BELONGS: Final = frozenset({"DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY", "LOCATION", "BACKTRACE"})
"""Lines that say more about the entry before."""


class StderrForm:
    """Reads a stderr log with the `log_line_prefix` that the server had."""

    def __init__(self, prefix: str = DEFAULT_PREFIX, zone: tzinfo = UTC) -> None:
        if not re.search(r"%-?\d*[pc]", prefix):
            raise LogUnreadable(
                thing=f"log_line_prefix {prefix!r}",
                reason="has neither %p nor %c: sessions cannot be told apart",
                mend="set log_line_prefix = '%m [%p] %v %q%a@%d ' or log_destination = 'jsonlog', and record again",
            )
        self._zone = zone
        self._prefix = prefix
        self._line = re.compile(_prefix_pattern(prefix))

    def entries(self, lines: Iterable[str]) -> Iterator[LogEntry]:
        """Entries in order. Lines that do not begin with the prefix continue the one before (they begin with a tab).

        Raises `LogUnreadable` when no line at all begins with the prefix: it is another one.
        """
        current: dict[str, list[str]] | None = None
        part = "message"
        has_text = has_entries = False
        for line in lines:
            line = line.rstrip("\n").rstrip("\r")
            has_text = has_text or bool(line)
            head = self._line.match(line)
            said = _SEVERITY.match(line, head.end()) if head is not None else None
            if head is None or said is None:
                if current is not None:
                    current.setdefault(part, []).append(line.removeprefix("\t"))
                continue
            if said["severity"] in _BELONGS:
                part = "detail" if said["severity"] == "DETAIL" else "else"
                if current is not None:
                    current[part] = [said["message"]]
                continue
            has_entries = True
            if current is not None:
                yield _entry(current, self._zone)
            current = {name: [value or ""] for name, value in head.groupdict().items()}
            current |= {"severity": [said["severity"]], "message": [said["message"]]}
            part = "message"
        if current is not None:
            yield _entry(current, self._zone)
        if has_text and not has_entries:
            raise LogUnreadable(
                thing="the log",
                reason=f"no line begins with log_line_prefix {self._prefix!r}",
                mend="give the prefix as `SHOW log_line_prefix` prints it, blanks included",
            )


def _prefix_pattern(prefix: str) -> str:
    parts, at, optional = [], 0, 0
    seen: set[str] = set()
    while at < len(prefix):
        if prefix[at] != "%":
            parts.append(re.escape(prefix[at]))
            at += 1
            continue
        escape = re.compile(r"%(?P<padding>-?\d+)?(?P<letter>.)").match(prefix, at)
        if escape is None:
            break
        at = escape.end()
        letter = escape["letter"]
        if letter == "q":
            # Processes that are no session stop here.
            parts.append("(?:")
            optional += 1
            continue
        pattern = _ESCAPES.get(letter)
        if pattern is None:
            raise LogUnreadable(
                thing=f"log_line_prefix {prefix!r}",
                reason=f"%{letter} is not known",
                mend="give the prefix as `SHOW log_line_prefix` prints it",
            )
        if letter in seen:
            pattern = re.sub(r"\?P<\w+>", "?:", pattern)
        seen.add(letter)
        parts.append(rf" *{pattern} *" if escape["padding"] else pattern)
    return "".join(parts) + ")?" * optional


def _entry(lines: dict[str, list[str]], zone: tzinfo) -> LogEntry:
    parts = {name: "\n".join(values) for name, values in lines.items()}
    epoch = parts.get("epoch")
    return LogEntry(
        severity=parts["severity"],
        message=parts["message"],
        detail=parts.get("detail", ""),
        session=parts.get("session") or parts.get("pid", ""),
        database=parts.get("database", ""),
        application=parts.get("application", ""),
        transaction=parts.get("vxid", ""),
        at=float(epoch) if epoch else _moment(parts.get("millis") or parts.get("time", ""), zone),
    )


def _moment(text: str, zone: tzinfo) -> float | None:
    """`2026-01-31 12:00:00.123 CET`, whose abbreviation counts as `zone` unless it is UTC or an offset."""
    if not text:
        return None
    stamp, _, named = text.rpartition(" ")
    try:
        if _OFFSET.fullmatch(named):
            return datetime.fromisoformat(f"{stamp}{named}").timestamp()
        moment = datetime.fromisoformat(stamp if " " in stamp else text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC if named in _ZERO else zone).timestamp()


def form_of(name: str, first_line: str) -> LogForm:
    """Which form a log file has, by its name and its first line."""
    if name.endswith(".csv"):
        return "csvlog"
    if name.endswith(".json") or first_line.lstrip().startswith("{"):
        return "jsonlog"
    if re.match(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [^,]+,(?:"|,)', first_line):
        return "csvlog"
    return "stderr"


def entries_of(
    lines: Iterable[str], form: LogForm, prefix: str = DEFAULT_PREFIX, zone: tzinfo = UTC
) -> Iterator[LogEntry]:
    """Entries of a log in that form; `zone` is the server's `log_timezone`."""
    if form == "csvlog":
        return csvlog_entries(lines, zone)
    if form == "jsonlog":
        return jsonlog_entries(lines, zone)
    return StderrForm(prefix, zone).entries(lines)
