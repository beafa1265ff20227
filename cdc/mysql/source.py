"""Capture from a row binlog: whole transactions in commit order. The `ChangeSource` of MySQL and MariaDB.

Positions are those of `cdc.mysql.positions`. Resumption is by GTID where the server has them and this stream remembers
them, else by file and offset; either way a transaction at or below the position is passed over, by its place.

The server keeps nothing for a stream: no slot holds its binlog back. `acknowledge` moves what the stream remembers, and
`open` refuses when the server has purged what was not read yet. Its `binlog_expire_logs_seconds` must therefore be
longer than the longest outage of the stream.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cdc.errors import LogUnwritable, SourceUnfit
from cdc.events import Relation, TableName, Transaction
from cdc.lsn import ZERO, Lsn
from cdc.mysql import server
from cdc.mysql.assembly import DEFAULT_MEMORY_BYTES, DEFAULT_TRANSACTION_BYTES, BinlogAssembler
from cdc.mysql.checks import check_opened, check_server, find_file
from cdc.mysql.connections import open_mysql, parse_url, unreachable
from cdc.mysql.dump import BinlogDump
from cdc.mysql.fitness import ServerFacts, judge_server
from cdc.mysql.gtid import Gtids
from cdc.mysql.memory import BinlogMemory, MemoryStore, NoMemory
from cdc.source_port import Delivered
from cdc.spill import SpillFile
from strangler.clock import Clock, SystemClock

_SAVE_EVERY_S: Final = 1.0
_FILES_REMEMBERED: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class BinlogLimits:
    """Bounds of one open stream."""

    batch_transactions: int = 10_000
    batch_bytes: int = 16 << 20
    transaction_bytes: int = DEFAULT_TRANSACTION_BYTES
    silence_limit_s: float = 30.0
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    """Of one transaction's row events; what is beyond lies in `spill_folder` (None: the system's temporary one)."""
    spill_folder: Path | None = None


DEFAULT_LIMITS: Final = BinlogLimits()


class BinlogSource:
    """The binlog as one stream sees it. Open it, poll, acknowledge, close; after an error close and make a new one.

    `tables`: what is captured, the database being the schema. `keep_places`: let transactions say where each change
    stands, for showing them. `outlives_tables`: go on where a captured table was dropped or renamed.
    """

    def __init__(
        self,
        dsn: str,
        *,
        stream: str,
        tables: Sequence[TableName],
        position: Lsn,
        resume_from: Lsn = ZERO,
        memory: MemoryStore | None = None,
        clock: Clock | None = None,
        limits: BinlogLimits = DEFAULT_LIMITS,
        keep_places: bool = False,
        outlives_tables: bool = False,
    ) -> None:
        self._dsn, self._place = dsn, parse_url(dsn)
        self._stream, self._tables = stream, tuple(tables)
        self._resume_from = max(position, resume_from)
        self._store: MemoryStore = memory or NoMemory()
        self._clock = clock or SystemClock()
        self._limits, self._keep_places, self._outlives_tables = limits, keep_places, outlives_tables
        self._acknowledged = position
        self._saved_at_s = 0.0
        self._memory: BinlogMemory | None = None
        self._resumed_by: Gtids | None = None
        self._reached: Gtids | None = None
        self._facts: ServerFacts | None = None
        self._dump: BinlogDump | None = None
        self._assembler: BinlogAssembler | None = None
        self._opened_at_s = self._heard_at_s = 0.0

    def open(self) -> None:
        """See `ChangeSource.open`. Raises `SlotMismatch`, `SlotInUse`, `SourceUnfit` or `DatabaseUnreachable`."""
        with open_mysql(self._dsn) as connection:
            facts = self._facts = server.read_server_facts(connection, str(self._place))
            _refuse_unfit(facts)
            memory = self._memory = self._store.load()
            check_server(facts, memory)
            files = [(file.name, file.size) for file in server.binlog_files(connection)]
            file, offset = find_file(facts, files, self._resume_from)
            charsets = server.read_charsets(connection)
            gtids = self._known_gtids(facts, memory)
            self._reached = gtids or server.gtids_at(connection, facts, file, offset)
        self._resumed_by = gtids
        self._assembler = BinlogAssembler(
            self._tables,
            charsets=charsets,
            describe=self._describe,
            through=self._resume_from,
            zero_dates=self._place.zero_dates,
            transaction_bytes=self._limits.transaction_bytes,
            memory_bytes=self._limits.memory_bytes,
            new_spill=partial(SpillFile, self._limits.spill_folder),
            keep_places=self._keep_places,
            outlives_tables=self._outlives_tables,
            lower_case_names=facts.lower_case_names,
        )
        self._dump = BinlogDump(
            self._place, stream=self._stream, is_mariadb=facts.is_mariadb, own_server_id=facts.server_id
        )
        try:
            self._assembler.start(checksummed=self._dump.checksummed)
            self._dump.start(file, offset, gtids)
        except BaseException:
            self._dump.close()
            raise
        self._opened_at_s = self._heard_at_s = self._clock.monotonic()

    def poll(self, timeout_s: float) -> list[Transaction]:
        """See `ChangeSource.poll`. After an error close the source and make a new one."""
        dump, assembler = self._opened()
        if self._clock.monotonic() - self._saved_at_s >= _SAVE_EVERY_S:
            self._save()
        deadline_s = self._clock.monotonic() + timeout_s
        batch: list[Transaction] = []
        size = 0
        while len(batch) < self._limits.batch_transactions and size < self._limits.batch_bytes:
            event = dump.receive()
            if event is None:
                remaining_s = deadline_s - self._clock.monotonic()
                if batch or remaining_s <= 0:
                    break
                self._check_silence()
                dump.wait(min(remaining_s, 1.0))
                continue
            self._heard_at_s = self._clock.monotonic()
            size += len(event)
            transaction = assembler.feed(event)
            if transaction is not None:
                batch.append(transaction)
        assert self._facts is not None
        check_opened(self._facts, self._memory, assembler.opened_s)
        return batch

    def acknowledge(self, lsn: Lsn) -> None:
        """See `ChangeSource.acknowledge`. Remembered durably with a later poll, once a second, and at the end."""
        self._acknowledged = max(self._acknowledged, lsn)

    def report(self) -> None:
        """The server asks for nothing: it pushes, and the socket holds it back. Remember what is acknowledged."""
        self._save()

    @property
    def delivered_through(self) -> Delivered:
        """See `Delivered`."""
        _, assembler = self._opened()
        if assembler.file == "":
            return Delivered(ZERO, 0)
        return Delivered(assembler.through, self._source_time_us(assembler))

    @property
    def reached_end(self) -> bool:
        """The server has said at least once that it has nothing else."""
        _, assembler = self._opened()
        return assembler.reached_end

    @property
    def resumes_by_gtid(self) -> bool:
        """This session asked for transactions by their GTIDs, not by a place in a file."""
        return self._resumed_by is not None

    def close(self) -> None:
        """Safe to call twice, and before `open`."""
        if self._dump is not None:
            self._dump.close()
            self._dump = None
            with contextlib.suppress(
                LogUnwritable
            ):  # without it the next session only resumes by place, or from earlier
                self._save()

    def _opened(self) -> tuple[BinlogDump, BinlogAssembler]:
        assert self._dump is not None and self._assembler is not None, "open() comes first"
        return self._dump, self._assembler

    def _known_gtids(self, facts: ServerFacts, memory: BinlogMemory | None) -> Gtids | None:
        """The set to resume from; none when it was not remembered, or lies beyond the place to resume from."""
        if memory is None or not memory.gtids or not facts.has_gtids or memory.position > self._resume_from:
            return None
        return facts.parse_gtids(memory.gtids)

    def _describe(self, table: TableName) -> Relation:
        with open_mysql(self._dsn) as connection:
            return server.describe_table(connection, table)

    def _check_silence(self) -> None:
        """A half-open connection looks idle, but a live one has heartbeats (T16)."""
        silent_s = self._clock.monotonic() - self._heard_at_s
        if silent_s > self._limits.silence_limit_s:
            raise unreachable(self._place, f"the server has been silent for {silent_s:.0f} seconds")

    def _source_time_us(self, assembler: BinlogAssembler) -> int:
        """The clock that the server's last event or heartbeat stands for, by the server."""
        assert self._facts is not None
        if not assembler.reached_end:
            return assembler.source_time_us
        return max(assembler.source_time_us, self._facts.clock_us + self._elapsed_us())

    def _elapsed_us(self) -> int:
        return int((self._heard_at_s - self._opened_at_s) * 1_000_000)

    def _save(self) -> None:
        """What is acknowledged is the place to come back to; the files' ages prove later that it still is."""
        if self._assembler is None or self._facts is None:
            return
        known = {} if self._memory is None else dict(self._memory.opened_s)
        known.update(self._assembler.opened_s)
        known.pop("", None)
        through = self._acknowledged
        gtids = self._gtids_through(through)
        memory = BinlogMemory(
            server=self._facts.identity,
            position=through,
            gtids=None if gtids is None else str(gtids),
            opened_s=dict(list(known.items())[-_FILES_REMEMBERED:]),
        )
        self._saved_at_s = self._clock.monotonic()
        if memory != self._memory:
            self._store.save(memory)
            self._memory = memory

    def _gtids_through(self, through: Lsn) -> Gtids | None:
        """The set at the acknowledged position: what was known at the start, and what was seen since."""
        assert self._assembler is not None
        if self._reached is None:
            self._assembler.gtids_seen.clear()
            return None
        seen = self._assembler.gtids_seen
        count = 0
        for lsn, gtid in seen:
            if lsn > through:
                break
            self._reached = self._reached.plus(gtid)
            count += 1
        del seen[:count]
        return self._reached


def _refuse_unfit(facts: ServerFacts) -> None:
    for finding in judge_server(facts):
        if not finding.ok:
            raise SourceUnfit(thing=finding.thing, reason=finding.reason, mend=finding.mend)
