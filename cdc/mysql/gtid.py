"""Sets of global transaction ids, MySQL's and MariaDB's. Pure.

MySQL: `uuid:1-5:7,uuid:1` names every transaction. MariaDB: `0-1-57,1-2-9` names the last one of each domain.
"""

import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from strangler.errors import BadInput


@dataclass(frozen=True, kw_only=True, slots=True)
class MariadbGtids:
    """The last transaction of each domain."""

    last: Mapping[int, str] = field(default_factory=dict)

    def plus(self, gtid: str) -> "MariadbGtids":
        return MariadbGtids(last={**self.last, int(gtid.split("-", 1)[0]): gtid})

    def __str__(self) -> str:
        return ",".join(self.last[domain] for domain in sorted(self.last))


@dataclass(frozen=True, kw_only=True, slots=True)
class MysqlGtids:
    """Server uuid → closed intervals, in order and apart from one another."""

    intervals: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def plus(self, gtid: str) -> "MysqlGtids":
        server, _, number = gtid.lower().partition(":")
        joined = _joined([*self.intervals.get(server, ()), (int(number), int(number))])
        return MysqlGtids(intervals={**self.intervals, server: joined})

    def covers(self, other: "MysqlGtids") -> bool:
        """Whether every transaction of `other` is in this set."""
        return all(
            any(low <= first and last <= high for low, high in self.intervals.get(server, ()))
            for server, spans in other.intervals.items()
            for first, last in spans
        )

    def encoded(self) -> bytes:
        """As COM_BINLOG_DUMP_GTID wants it: intervals end before their second number."""
        parts = [struct.pack("<Q", len(self.intervals))]
        for server, spans in self.intervals.items():
            parts.append(uuid.UUID(server).bytes + struct.pack("<Q", len(spans)))
            parts += [struct.pack("<QQ", first, last + 1) for first, last in spans]
        return b"".join(parts)

    def __str__(self) -> str:
        return ",".join(
            ":".join([server, *(str(first) if first == last else f"{first}-{last}" for first, last in spans)])
            for server, spans in sorted(self.intervals.items())
        )


Gtids = MariadbGtids | MysqlGtids


def parse_mariadb(text: str) -> MariadbGtids:
    """`''` is the empty set. Raises `BadInput`."""
    last = {}
    for gtid in filter(None, (part.strip() for part in text.split(","))):
        parts = gtid.split("-")
        if len(parts) != 3 or not all(part.isdecimal() for part in parts):
            raise _bad(text)
        last[int(parts[0])] = gtid
    return MariadbGtids(last=last)


def parse_mysql(text: str) -> MysqlGtids:
    """`''` is the empty set; newlines are allowed, as the server prints them. Raises `BadInput`."""
    intervals: dict[str, tuple[tuple[int, int], ...]] = {}
    try:
        for part in filter(None, (part.strip() for part in text.split(","))):
            server, *spans = part.split(":")
            pairs = [tuple(int(number) for number in span.split("-")) for span in spans]
            if not pairs or any(len(pair) not in (1, 2) for pair in pairs):
                raise ValueError
            name = str(uuid.UUID(server))
            intervals[name] = _joined([*intervals.get(name, ()), *((pair[0], pair[-1]) for pair in pairs)])
    except ValueError:
        raise _bad(text) from None
    return MysqlGtids(intervals=intervals)


def _joined(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)


def _bad(text: str) -> BadInput:
    return BadInput(
        thing=f"GTID set {text[:80]!r}",
        reason="is neither uuid:first-last nor domain-server-sequence",
        mend="copy it from the server: SELECT @@gtid_executed, or @@gtid_binlog_pos on MariaDB",
    )
