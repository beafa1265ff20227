"""The embedded change log: segment files in one folder, fsynced, without a server.

Segments are named by their first position and begin with the last position of the one before, so a segment that is
missing in the middle is noticed. Retention drops whole segments; how far it went stands in the file `trimmed`. So does
the position that an empty log was started at: a folder that was deleted or not mounted is a gap with a known end.

A reader in another process sees a batch when its bytes are in the file, up to one fsync before `append` returns. Should
the machine die in between, that batch is gone from the log and the source sends it again, since nothing was
acknowledged; a target that has applied it skips it by its own position.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cdc.changelog.port import ChangeLog
from cdc.changelog.reader import SegmentReader
from cdc.changelog.writer import SegmentWriter
from cdc.errors import LogInUse, LogNotFound, LogUnwritable
from cdc.events import Transaction
from cdc.lsn import Lsn

DEFAULT_SEGMENT_BYTES: Final = 64 << 20


class LocalChangeLog:
    """See `ChangeLog`. One writer at a time (a second is refused with `LogInUse`), any number of `read_only` ones.

    `start`, `append`, `trim` and `close` belong to one thread; `read` may be called from any. A long transaction is
    many records and counts when the last one is on disk; its changes are decoded while they are iterated, from the
    segment as it was when the transaction was read, whatever retention removes meanwhile. Besides the port's errors:
    `LogDamaged` when what was on disk cannot be read, `LogUnwritable` when the disk refuses a write, `LogNotFound` for
    a `read_only` folder that is not there.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = DEFAULT_SEGMENT_BYTES, read_only: bool = False) -> None:
        self._folder = folder
        if read_only and not folder.is_dir():
            raise LogNotFound(
                thing=f"change log {folder}",
                reason="no such folder",
                mend="start the stream worker first, or correct the path",
            )
        self._writer = None if read_only else SegmentWriter(folder, segment_bytes)
        self._reader = SegmentReader(folder)

    def start(self, position: Lsn) -> None:
        with self._writing() as writer:
            writer.start(position)

    def append(self, transactions: Sequence[Transaction]) -> None:
        with self._writing() as writer:
            writer.append(transactions)

    def last_lsn(self) -> Lsn:
        return self._reader.last_lsn() if self._writer is None else self._writer.last_lsn

    def first_lsn(self) -> Lsn:
        return self._reader.first_lsn()

    def read(self, after: Lsn) -> Iterator[Transaction]:
        return self._reader.read(after, None if self._writer is None else self._writer.durable)

    def trim(self, through: Lsn) -> None:
        self._writable().trim(through)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[SegmentWriter]:
        writer = self._writable()
        try:
            yield writer
        except OSError as error:
            raise LogUnwritable.because(error, f"change log {self._folder}") from None

    def _writable(self) -> SegmentWriter:
        if self._writer is None:
            raise LogInUse(
                thing=f"change log {self._folder}",
                reason="it was opened for reading only",
                mend="only the stream worker appends and trims",
            )
        return self._writer


_: type[ChangeLog] = LocalChangeLog
