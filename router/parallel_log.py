"""The durable record of a parallel run: counters, differences with samples, paired latency.

One SQLite file in WAL mode: one process records, any number read at the same time. Everything in it is bounded:
endpoints, paths, samples by key, and the age of the minute counters.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from router.compare.values import Outcome
from router.inspection.errors import BadRecordFile, RecordBusy, RecordNotWritten
from router.parallel_read import read_summary
from router.parallel_schema import MOVE_TABLES, SCHEMA_VERSION, TABLES
from router.parallel_tally import Tally, minute_of, tally
from router.parallel_values import Observation, ParallelRunSummary, Record

FILE_NAME = "parallel_run.sqlite"
SAMPLES_KEPT = 5
"""First, last and random samples kept of each (endpoint, path, class)."""
MAX_SAMPLED_KEYS = 1000
MAX_DIFFERENCE_ROWS = 200_000
RETENTION = timedelta(days=14)
_LOCK_WAIT_S = 10.0


def record_file(path: Path) -> Path:
    """The record's file; a path without suffix is the folder it lies in."""
    return path if path.suffix else path / FILE_NAME


class ParallelRunLog:
    """Facade over one record file. Not to be shared between threads; open one per thread."""

    def __init__(self, path: Path, *, random: Random | None = None) -> None:
        self._path = record_file(path)
        self._random = random or Random()
        self._writer: sqlite3.Connection | None = None

    @property
    def path(self) -> Path:
        return self._path

    def record(self, records: Sequence[Record]) -> None:
        """Add a batch in one durable transaction. Raises `RecordBusy` or `RecordNotWritten`; then nothing was added."""
        if not records:
            return
        with self._transaction() as database:
            self._add(database, tally(records))
            for record in records:
                if isinstance(record, Observation) and record.sample is not None:
                    self._keep_samples(database, record)

    def declare_masks(self, ids: Iterable[str]) -> None:
        """The masks in force from now on; those never reached are reported as dead."""
        with self._transaction() as database:
            database.execute("UPDATE mask SET declared = 0")
            database.executemany(
                "INSERT INTO mask VALUES (?, 1, 0, 0) ON CONFLICT DO UPDATE SET declared = 1", [(name,) for name in ids]
            )

    def prune(self, now: datetime) -> None:
        """Forget minute counters older than `RETENTION`."""
        oldest = minute_of(now - RETENTION)
        with self._transaction() as database:
            for table in ("tally", "latency", "difference"):
                database.execute(f"DELETE FROM {table} WHERE minute < ?", (oldest,))

    def reset(self, move: str) -> None:
        """Forget everything about one move; a new parallel run starts from nothing."""
        with self._transaction() as database:
            for table in MOVE_TABLES:
                database.execute(f"DELETE FROM {table} WHERE move = ?", (move,))
            database.execute("UPDATE mask SET reached = 0, excused = 0")

    def summary(
        self, since: datetime | None = None, *, move: str | None = None, confidence: float = 0.95
    ) -> ParallelRunSummary:
        """Everything recorded (of one move), from the minute of `since` on. A missing file is an empty record."""
        if not self._path.exists():
            return ParallelRunSummary(move=move, since=since, confidence=confidence)
        database = self._open(read_only=True)
        try:
            return read_summary(database, move=move, since=since, confidence=confidence)
        except sqlite3.OperationalError as error:
            raise self._busy(error) from None
        finally:
            database.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, *, read_only: bool = False) -> sqlite3.Connection:
        try:
            if not read_only:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, timeout=_LOCK_WAIT_S, isolation_level=None)
            database.execute("PRAGMA journal_mode = WAL")
            if read_only:
                database.execute("PRAGMA query_only = ON")
            else:
                database.execute("PRAGMA synchronous = FULL")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not read_only:
                database.executescript(TABLES)
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except (OSError, sqlite3.DatabaseError) as error:
            raise BadRecordFile(
                thing=str(self._path), reason=str(error), mend="name a writable file, or move the damaged one away"
            ) from None
        if version not in (0, SCHEMA_VERSION):
            raise BadRecordFile(
                thing=str(self._path),
                reason=f"has schema version {version}, this program writes {SCHEMA_VERSION}",
                mend="move the file away; a new one is made",
            )
        return database

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._writer is None:
            self._writer = self._open()
        database = self._writer
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise self._busy(error) from None
        try:
            yield database
            database.execute("COMMIT")
        except BaseException as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise RecordNotWritten(
                    thing=str(self._path), reason=str(error), mend="free space on the disk, or move the record away"
                ) from None
            raise

    def _busy(self, error: sqlite3.OperationalError) -> RecordBusy:
        return RecordBusy(thing=str(self._path), reason=str(error), mend="try again; one process records at a time")

    def _add(self, database: sqlite3.Connection, total: Tally) -> None:
        database.executemany(
            "INSERT INTO tally VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            [(*key, n) for key, n in total.counts.items()],
        )
        database.executemany(
            "INSERT INTO latency VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            [(*key, n) for key, n in total.latency.items()],
        )
        database.executemany(
            "INSERT INTO difference VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n,"
            " siblings = siblings + excluded.siblings, last_seen = max(last_seen, excluded.last_seen)",
            self._difference_rows(database, total),
        )
        names = total.reached.keys() | total.excused.keys()
        database.executemany(
            "INSERT INTO mask VALUES (?, 0, ?, ?) ON CONFLICT DO UPDATE SET reached = reached + excluded.reached,"
            " excused = excused + excluded.excused",
            [(name, total.reached[name], total.excused[name]) for name in names],
        )
        for (*key, column), n in total.paired.items():
            database.execute(
                "INSERT INTO paired VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " candidate_only = candidate_only + excluded.candidate_only,"
                " control_only = control_only + excluded.control_only",
                (*key, n * (column == "candidate_only"), n * (column == "control_only")),
            )

    def _difference_rows(self, database: sqlite3.Connection, total: Tally) -> list[tuple[object, ...]]:
        """The rows to add; in a full table new paths count together as `(other)`."""
        rows = database.execute("SELECT count(*) FROM difference").fetchone()[0] if total.differences else 0
        is_full = rows >= MAX_DIFFERENCE_ROWS
        return [
            (
                *(key[:3] if not is_full else (key[0], key[1], "(other)")),
                *((key[3],) if not is_full else ("(other)",)),
                *key[4:],
                row.n,
                row.siblings,
                row.first_seen.isoformat(),
                row.last_seen.isoformat(),
            )
            for key, row in total.differences.items()
        ]

    def _keep_samples(self, database: sqlite3.Connection, seen: Observation) -> None:
        by_key: dict[tuple[str, str], tuple[Outcome, str]] = {}
        for item in seen.differences:
            by_key.setdefault((item.outcome.path, item.outcome.kind.value), (item.outcome, item.classification.value))
        for (path, kind), (outcome, classification) in by_key.items():
            key = (seen.move, seen.endpoint, path, kind)
            earlier = self._seen_before(database, key)
            if earlier is None:
                continue
            content = json.dumps(sample_content(seen, outcome, classification))
            for keep, slot in self._slots(earlier):
                database.execute(
                    "INSERT OR REPLACE INTO sample VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (*key, keep, slot, earlier + 1, content),
                )

    def _seen_before(self, database: sqlite3.Connection, key: tuple[str, str, str, str]) -> int | None:
        """How many samples of this key came before; None if too many other keys are sampled already."""
        row = database.execute(
            "UPDATE sample_seen SET n = n + 1 WHERE move = ? AND endpoint = ? AND path = ? AND class = ? RETURNING n",
            key,
        ).fetchone()
        if row is not None:
            return int(row[0]) - 1
        keys = database.execute("SELECT count(*) FROM sample_seen WHERE move = ?", key[:1]).fetchone()[0]
        if keys >= MAX_SAMPLED_KEYS:
            return None
        database.execute("INSERT INTO sample_seen VALUES (?, ?, ?, ?, 1)", key)
        return 0

    def _slots(self, earlier: int) -> Iterator[tuple[str, int]]:
        """Where a sample goes that `earlier` others came before."""
        if earlier < SAMPLES_KEPT:
            yield "first", earlier
        yield "last", earlier % SAMPLES_KEPT
        place = earlier if earlier < SAMPLES_KEPT else self._random.randrange(earlier + 1)
        if place < SAMPLES_KEPT:
            yield "random", place


def sample_content(seen: Observation, outcome: Outcome, classification: str) -> dict[str, object]:
    """The JSON of one kept sample."""
    assert seen.sample is not None
    sample = seen.sample
    return {
        "seen_at": seen.at.isoformat(),
        "at": outcome.at,
        "classification": classification,
        "control": outcome.control,
        "candidate": outcome.candidate,
        "request": {"method": sample.method, "target": sample.target, "request_id": sample.request_id},
        "control_answer": {
            "status": sample.control.status, "body": sample.control.body, "failure": sample.control.failure,
        },
        "candidate_answer": {
            "status": sample.candidate.status, "body": sample.candidate.body, "failure": sample.candidate.failure,
        },
        "differences": sorted({item.outcome.key for item in seen.differences}),
    }  # fmt: skip
