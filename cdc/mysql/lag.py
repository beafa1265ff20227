"""How far a MySQL or MariaDB source has come, in the shape that `cdc.lag` reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cdc.events import TableName
from cdc.lsn import ZERO, Lsn
from cdc.mysql import server
from cdc.mysql.connections import open_mysql, parse_url, query
from cdc.mysql.positions import file_number, resume_place

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ESTIMATES = "SELECT TABLE_NAME AS name, TABLE_ROWS AS estimate FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"


@dataclass(frozen=True, kw_only=True, slots=True)
class BinlogSide:
    """`files`: (number, bytes) of all that the server has, oldest first; the last ends where its log does now."""

    end: Lsn
    now: datetime
    files: Sequence[tuple[int, int]]
    estimates: Mapping[str, int]

    @property
    def row(self) -> dict[str, Any]:
        """As `cdc.lag` reads it of a PostgreSQL source. No slot: the server keeps no log for anybody."""
        row: dict[str, Any] = dict.fromkeys(
            ("wal_status", "retained_bytes", "headroom_bytes", "limit_bytes", "reply_time")
        )
        return row | {"source_lsn": self.end, "source_now": self.now, "sent": ZERO, "replayed": ZERO}

    def bytes_after(self, position: Lsn) -> int:
        """Bytes of binlog behind a ledger position: what is left of its file, and all files after it."""
        number, offset = resume_place(position)
        return sum(max(0, size - offset) if each == number else size for each, size in self.files if each >= number)

    def has_purged(self, position: Lsn) -> bool:
        """Whether log that follows a ledger position is gone. An empty ledger follows nothing."""
        return bool(position and self.files) and resume_place(position)[0] < self.files[0][0]


def read_binlog_side(dsn: str) -> BinlogSide:
    """One look. `estimates`: rows by table name, of the URL's database. Raises `DatabaseUnreachable`, `SourceUnfit`."""
    place = parse_url(dsn)
    with open_mysql(dsn) as connection:
        facts = server.read_server_facts(connection, str(place))
        end = server.end_of_log(connection, facts)
        files = [(file.number, file.size) for file in server.binlog_files(connection)]
        rows = query(connection, _ESTIMATES, [place.database])
    return BinlogSide(
        end=end.position,
        now=_EPOCH + timedelta(microseconds=facts.clock_us),
        files=_up_to(files, end),
        estimates={
            str(TableName(schema=place.database, name=str(row["name"]))): int(row["estimate"] or 0) for row in rows
        },
    )


def _up_to(files: Sequence[tuple[int, int]], end: server.EndOfLog) -> list[tuple[int, int]]:
    """What was written between the two looks is left out: it is no lag yet."""
    last = file_number(end.file)
    return [(number, end.offset if number == last else size) for number, size in files if number <= last]
