"""Log files of a PostgreSQL server as entries: csvlog, jsonlog, and stderr with any `log_line_prefix`. Pure."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
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


_CSV_COLUMNS: Final = 23
"""The columns up to `application_name`, which every version has."""


def csvlog_entries(lines: Iterable[str]) -> Iterator[LogEntry]:
    """Entries of a csvlog. `lines` keep their ends, so that statements keep their line breaks."""
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row:
            continue
        if len(row) < _CSV_COLUMNS:
            raise LogUnreadable(
                thing=f"row {number} of the csvlog",
                reason=f"has {len(row)} columns, at least {_CSV_COLUMNS} are expected",
                mend="give the file as the server wrote it, from the beginning of a line",
            )
        yield LogEntry(
            at=_moment(row[0]),
            database=row[2],
            session=row[5],
            transaction=row[9],
            severity=row[11],
            message=row[13],
            detail=row[14],
            application=row[22],
        )


def jsonlog_entries(lines: Iterable[str]) -> Iterator[LogEntry]:
    """Entries of a jsonlog, one object a line."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise LogUnreadable(
                thing=f"line {number} of the jsonlog",
                reason=f"is not JSON: {error.msg}",
                mend="give the file as the server wrote it; cut off a last line that is not whole",
            ) from None
        yield LogEntry(
            at=_moment(entry.get("timestamp", "")),
            database=entry.get("dbname", ""),
            session=entry.get("session_id", ""),
            transaction=entry.get("vxid", ""),
            severity=entry.get("error_severity", ""),
            message=entry.get("message", ""),
            detail=entry.get("detail", ""),
            application=entry.get("application_name", ""),
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

    def __init__(self, prefix: str = DEFAULT_PREFIX) -> None:
        self._line = re.compile(_prefix_pattern(prefix))

    def entries(self, lines: Iterable[str]) -> Iterator[LogEntry]:
        """Entries in order. Lines that do not begin with the prefix continue the one before (they begin with a tab)."""
        current: dict[str, str] | None = None
        part = "message"
        for line in lines:
            line = line.rstrip("\n").rstrip("\r")
            head = self._line.match(line)
            said = _SEVERITY.match(line, head.end()) if head is not None else None
            if head is None or said is None:
                if current is not None:
                    current[part] += "\n" + line.removeprefix("\t")
                continue
            if said["severity"] in _BELONGS:
                part = "detail" if said["severity"] == "DETAIL" else "else"
                if current is not None:
                    current[part] = said["message"]
                continue
            if current is not None:
                yield _entry(current)
            current, part = {**_groups(head), "severity": said["severity"], "message": said["message"]}, "message"
        if current is not None:
            yield _entry(current)


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


def _groups(match: re.Match[str]) -> dict[str, str]:
    return {name: value or "" for name, value in match.groupdict().items()}


def _entry(parts: dict[str, str]) -> LogEntry:
    epoch = parts.get("epoch")
    return LogEntry(
        severity=parts["severity"],
        message=parts["message"],
        detail=parts.get("detail", ""),
        session=parts.get("session") or parts.get("pid", ""),
        database=parts.get("database", ""),
        application=parts.get("application", ""),
        transaction=parts.get("vxid", ""),
        at=float(epoch) if epoch else _moment(parts.get("millis") or parts.get("time", "")),
    )


def _moment(text: str) -> float | None:
    """`2026-01-31 12:00:00.123 UTC`. Zones other than UTC and numeric offsets count as UTC: only differences matter."""
    if not text:
        return None
    stamp, _, zone = text.rpartition(" ")
    try:
        moment = datetime.fromisoformat(stamp if stamp.count(" ") else text)
        if re.fullmatch(r"[+-]\d\d(?::?\d\d)?", zone):
            moment = datetime.fromisoformat(f"{stamp}{zone}")
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def form_of(name: str, first_line: str) -> LogForm:
    """Which form a log file has, by its name and its first line."""
    if name.endswith(".csv"):
        return "csvlog"
    if name.endswith(".json") or first_line.lstrip().startswith("{"):
        return "jsonlog"
    if re.match(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [^,]+,(?:"|,)', first_line):
        return "csvlog"
    return "stderr"


def entries_of(lines: Iterable[str], form: LogForm, prefix: str = DEFAULT_PREFIX) -> Iterator[LogEntry]:
    """Entries of a log in that form."""
    if form == "csvlog":
        return csvlog_entries(lines)
    if form == "jsonlog":
        return jsonlog_entries(lines)
    return StderrForm(prefix).entries(lines)
