"""The port between the copier and a source of rows: chunks in key order, and marks in the source's log."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from cdc.copy_tracker import CopyCursor, SourceKey, Watermark
from cdc.events import Relation, TableName
from cdc.snapshot_window import Chunk
from cdc.whole_table import WholeRows


class FilledRows(WholeRows):
    """Rows that are read one after the other."""

    @abstractmethod
    def add(self, line: bytes) -> None:
        """One row in the text format of COPY, with the newline. Raises `LogUnwritable`, and `CopyInterrupted` when
        nobody waits for them any more."""


class CopySource(Protocol):
    """One session at the source. One thread uses it.

    Ordering: what a chunk shows was committed, in the order of the log, before a mark that is written after it; and
    everything that the log holds before a mark that was written before the chunk is in it, unless the chunk's
    `snapshot` tells more exactly what is.
    Values: the same text forms that the source's stream has.
    """

    def tables(self, names: Sequence[TableName]) -> Sequence[Relation]:
        """The tables as they are now, parents first where that is known. Raises `SourceUnfit`, `CopyRefused`."""
        ...

    def mark(self, mark: Watermark) -> None:
        """Durable in the source's log, in commit order, on return."""
        ...

    def read_range(
        self, table: TableName, cursor: CopyCursor, limit: int, *, most_bytes: int, most_together: int
    ) -> Chunk:
        """Up to `limit` rows behind `cursor.after`, not beyond the greatest key of the time when the copy began; fewer
        when they reach `most_bytes`. At most `most_together` are asked for at a time.

        Raises `CopyInterrupted` when the table has other columns than `tables` said: begin the run again.
        """
        ...

    def read_whole(self, table: TableName, rows: FilledRows) -> Chunk:
        """All rows of a table without a key, as of the chunk's snapshot, put into `rows`.

        Raises `CopyInterrupted` as `read_range`, and when `rows` says so; `CopyRefused` where no such table is copied.
        """
        ...

    def read_again(self, table: TableName, keys: Sequence[SourceKey]) -> Chunk:
        """The rows that have one of these keys now."""
        ...
