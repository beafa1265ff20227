"""Copies requested tables chunk by chunk while the stream runs (see `cdc.snapshot_window` for how the two meet).

The copier only reads: it marks the source log, reads a chunk, leaves it in the handover. The applier writes it when the
marks come by, together with the progress, so a copy that is killed goes on from the last chunk that is in the target.
"""

import threading
from collections.abc import Callable, Collection, Mapping
from functools import partial

import psycopg

from cdc.chunk_handover import ChunkHandover, CopyInterrupted
from cdc.copied_rows import CopiedRows
from cdc.copy_source import CopySource
from cdc.copy_tracker import CopyCursor, Watermark, cursor_from_json
from cdc.events import Relation, Row, TableName
from cdc.held_rows import RowsOnDisk
from cdc.link import LinkLimits, LinkSpec
from cdc.link_signals import LinkSignals
from cdc.open_copy import open_copy
from cdc.server_kinds import is_postgresql
from cdc.sessions import Connection, connect, target_error
from cdc.snapshot_window import Chunk
from strangler import failpoints
from strangler.errors import StranglerError

_LOOK_S = 0.25
MOST_CHUNK_ROWS = 50_000

_PENDING = """
SELECT source_table, last_key FROM strangler.copy_progress WHERE stream = %s AND state IN ('requested', 'copying')
"""


class CopyLoop:
    """One session of copying: looks for requests and serves them until `stop`."""

    def __init__(
        self,
        link: LinkSpec,
        *,
        signals: LinkSignals,
        handover: ChunkHandover,
        new_run: Callable[[], str],
        stop: threading.Event,
    ) -> None:
        self._link, self._signals, self._handover, self._new_run, self._stop = link, signals, handover, new_run, stop

    def session(self) -> None:
        """Runs until `stop`. Raises `CopyRefused`, `SourceUnfit` or `DatabaseUnreachable`."""
        if not is_postgresql(self._link.target_dsn):
            from cdc.sql_target.board import open_board

            with open_board(self._link.target_dsn, self._link.stream) as board:
                self._serve(lambda: self._known(board.pending_copies()))
            return
        try:
            with connect(self._link.target_dsn, f"{self._link.stream} copy progress") as target:
                self._serve(partial(self._pending, target))
        except psycopg.Error as error:
            raise target_error(self._link.target_dsn, "strangler.copy_progress", error) from error

    def _serve(self, pending: Callable[[], dict[TableName, CopyCursor]]) -> None:
        while not self._stop.is_set():
            if self._signals.applied_through is None or not (wanted := pending()):
                self._signals.well("copy")
                self._stop.wait(_LOOK_S)
                continue
            self._copy(pending, wanted)

    def _copy(self, pending: Callable[[], dict[TableName, CopyCursor]], wanted: dict[TableName, CopyCursor]) -> None:
        """One run over everything that is pending; ends early when the applier ends the run."""
        run = CopierRun(self._link, self._handover, self._new_run())
        try:
            with open_copy(self._link) as source:
                run.copy(source, wanted, lambda table: pending().get(table))
            self._signals.well("copy")
        except CopyInterrupted as interrupted:
            if isinstance(interrupted.__cause__, StranglerError):
                raise interrupted.__cause__ from None
        finally:
            self._handover.end(run.run)

    def _pending(self, target: Connection) -> dict[TableName, CopyCursor]:
        rows = target.execute(_PENDING, (self._link.stream,)).fetchall()
        return self._known({str(name): cursor_from_json(raw if isinstance(raw, dict) else None) for name, raw in rows})

    def _known(self, pending: Mapping[str, CopyCursor]) -> dict[TableName, CopyCursor]:
        names = {str(table): table for table in self._link.mapper.source_tables}
        return {names[name]: cursor for name, cursor in pending.items() if name in names}


class CopierRun:
    """Copies tables one after the other over one source session. `run` tells its marks from those of other runs."""

    def __init__(self, link: LinkSpec, handover: ChunkHandover, run: str) -> None:
        self._link, self._handover, self.run = link, handover, run
        self._number = 0

    def copy(
        self,
        source: CopySource,
        pending: dict[TableName, CopyCursor],
        cursor_of: Callable[[TableName], CopyCursor | None],
    ) -> None:
        """`cursor_of`: a table's durable cursor, None once it is done. Raises `CopyInterrupted` and what the source
        raises."""
        self._handover.start(self.run)
        for relation in source.tables([name for name in self._link.mapper.source_tables if name in pending]):
            self._copy_table(source, relation, pending[relation.table], cursor_of)

    def _copy_table(
        self,
        source: CopySource,
        relation: Relation,
        cursor: CopyCursor,
        cursor_of: Callable[[TableName], CopyCursor | None],
    ) -> None:
        name, limits = relation.table, self._link.limits
        limit = limits.copy_chunk_rows
        read = partial(source.read_range, most_bytes=limits.copy_chunk_bytes, most_together=limits.copy_chunk_rows)
        self._handover.announce(relation)
        if not self._link.source_keys.get(name):
            rows = RowsOnDisk(self._link.log_folder, wanted=partial(self._handover.demand, self.run))
            self._between_marks(source, name, partial(source.read_whole, name, rows))
            self._handover.wait_settled(self.run)
            return
        while not cursor.range_done:
            chunk = self._between_marks(source, name, partial(read, name, cursor, limit))
            cursor = CopyCursor(after=chunk.after, until=chunk.until, range_done=chunk.last)
            limit = next_limit(limit, chunk.rows, limits)
        self._handover.wait_settled(self.run)
        while (left := cursor_of(name)) is not None:
            self._between_marks(source, name, partial(source.read_again, name, left.again[:limit]))
            self._handover.wait_settled(self.run)

    def _between_marks(self, source: CopySource, table: TableName, read: Callable[[], Chunk]) -> Chunk:
        self._number += 1
        source.mark(Watermark(run=self.run, number=self._number, mark="low", table=table))
        chunk = read()
        failpoints.reach("cdc.copy.chunk_read")
        self._handover.put(self.run, self._number, chunk)
        source.mark(Watermark(run=self.run, number=self._number, mark="high", table=table))
        return chunk


def next_limit(limit: int, rows: Collection[Row], limits: LinkLimits) -> int:
    """Rows of the next chunk: twice as many at most, while they are small; each chunk costs two commits at the source
    and one at the target. Pure."""
    if not isinstance(rows, CopiedRows) or not rows:
        return limit
    fitting = limits.copy_chunk_bytes * len(rows) // max(1, rows.size)
    return max(limits.copy_chunk_rows, min(2 * limit, fitting, MOST_CHUNK_ROWS))
