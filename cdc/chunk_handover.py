"""Where the copier leaves a chunk for the applier, who takes it when the chunk's marks come by in the stream."""

import threading

from cdc.events import Relation, TableName
from cdc.snapshot_window import Chunk


class CopyInterrupted(Exception):
    """The run is over: a chunk was rejected, the applier lost its session, or the worker stops."""


class ChunkHandover:
    """Chunks of one copier run at a time, in memory: after a crash they are read again. Safe between two threads."""

    def __init__(self, *, in_flight: int) -> None:
        self._in_flight = in_flight
        self._changed = threading.Condition()
        self._run = ""
        self._closed = False
        self._relations: dict[TableName, Relation] = {}
        self._chunks: dict[int, Chunk] = {}
        self._failure: Exception | None = None

    # The copier's side

    def start(self, run: str) -> None:
        """Begin a run; whatever an earlier one left is void."""
        with self._changed:
            if self._closed:
                raise CopyInterrupted
            self._run, self._chunks, self._failure = run, {}, None

    def announce(self, relation: Relation) -> None:
        """The table whose chunks follow, before its first low mark."""
        with self._changed:
            self._relations[relation.table] = relation

    def put(self, run: str, number: int, chunk: Chunk) -> None:
        """Leave a chunk, before its high mark is written. Waits while too many are in flight."""
        with self._changed:
            self._changed.wait_for(lambda: self._run != run or len(self._chunks) < self._in_flight)
            self._check(run)
            self._chunks[number] = chunk

    def demand(self, run: str) -> None:
        """Raises `CopyInterrupted` when the run is over."""
        with self._changed:
            self._check(run)

    def wait_settled(self, run: str) -> None:
        """Wait until every chunk of the run is committed in the target."""
        with self._changed:
            self._changed.wait_for(lambda: self._run != run or not self._chunks)
            self._check(run)

    def end(self, run: str) -> None:
        """The run is over, whether it got through or not."""
        with self._changed:
            if run == self._run:
                self._run, self._chunks = "", {}
                self._changed.notify_all()

    # The applier's side

    def relation(self, run: str, table: TableName) -> Relation | None:
        """The announced relation, when `run` is the current run."""
        with self._changed:
            return self._relations.get(table) if run == self._run else None

    def take(self, run: str, number: int) -> Chunk | None:
        """The chunk, which stays until it is settled; None when it belongs to no current run."""
        with self._changed:
            return self._chunks.get(number) if run == self._run else None

    def settle(self, run: str, number: int) -> None:
        """The chunk is committed."""
        with self._changed:
            if run == self._run:
                self._chunks.pop(number, None)
                self._changed.notify_all()

    def interrupt(self, failure: Exception | None = None) -> None:
        """End the current run. The copier starts another from the last committed chunk."""
        with self._changed:
            self._run, self._chunks, self._failure = "", {}, failure
            self._changed.notify_all()

    def close(self) -> None:
        """No run any more: the worker stops."""
        with self._changed:
            self._closed = True
        self.interrupt()

    def _check(self, run: str) -> None:
        if self._run != run:
            raise CopyInterrupted from self._failure
