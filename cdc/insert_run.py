"""Many inserted rows of one table, kept as the server sent them. Pure.

A bulk insert arrives as one protocol message a row. Decoding each into values costs more than everything else the
stream does to it, and where the mapping only renames, nobody looks at the values: the run travels as bytes through the
change log and becomes the body of one `COPY … FROM STDIN`, worked out for all its rows at once with array operations.
Who wants the rows iterates over the run and gets `RowChange`s like any other.

Layout of a message: `I`, transaction id (4 bytes, only in a streamed transaction), table oid (4), `N`, number of
columns (2), then for each column `n` (NULL), `u` (unchanged TOAST; never in an insert), or `t`, length (4), text. See
"Logical Replication Message Formats".
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cdc.errors import DecodeError
from cdc.events import Change, Iterated, Relation, RowChange
from cdc.pgoutput import decode_insert

SHORTEST_RUN: Final = 64
"""Fewer rows than this are not worth the arrays."""
MOST_RUN_BYTES: Final = 1 << 20
MOST_MESSAGE_BYTES: Final = 64 << 10
"""A longer message is no part of a run, so that what is made of a run stays small."""

NULL_CELL: Final = b"\\N"

_PREFIX: Final = 6
_STREAMED_PREFIX: Final = 10
_COUNT: Final = 2
_HEADER: Final = 5
_NULL, _TEXT = ord("n"), ord("t")
_TAB, _NEWLINE = ord("\t"), ord("\n")

_Positions = npt.NDArray[np.int64]


class CopyText(NamedTuple):
    """Rows in the text format of `COPY`. `null`: what stands for NULL in it."""

    text: bytes
    null: str


class Run(Iterated[RowChange]):
    """New rows of one table, none of which another one touches, as bytes. Iterating decodes them."""

    relation: Relation

    @abstractmethod
    def __iter__(self) -> Iterator[RowChange]: ...

    @abstractmethod
    def copy_text(self, columns: Sequence[int]) -> CopyText:
        """The rows for `COPY … FROM STDIN`: the columns at the given positions, in that order."""

    @abstractmethod
    def cells(self, columns: Sequence[int]) -> list[Sequence[bytes]]:
        """The same by column, each value escaped for that format, NULL as `NULL_CELL`."""


@dataclass(frozen=True, slots=True, eq=False)
class InsertRun(Run):
    """`messages`: whole protocol messages of `relation`, one after the other. `lengths`: of each, in bytes, int64.

    `streamed`: they came in a piece of an open transaction and carry its id.
    """

    relation: Relation
    messages: bytes
    lengths: _Positions = field(repr=False)
    streamed: bool = False

    @staticmethod
    def of(relation: Relation, messages: Sequence[bytes], *, streamed: bool = False) -> "InsertRun":
        """Raises `DecodeError` when the messages are not rows of `relation`."""
        lengths = np.fromiter(map(len, messages), np.int64, len(messages))
        run = InsertRun(relation, b"".join(messages), lengths, streamed)
        _cells(run)
        return run

    @staticmethod
    def of_bodies(relation: Relation, bodies: Sequence[bytes]) -> "InsertRun":
        """The run of which these are the `bodies`. They are not looked into."""
        head = b"I" + relation.oid.to_bytes(4) + b"N"
        lengths = np.fromiter(map(len, bodies), np.int64, len(bodies)) + len(head)
        return InsertRun(relation, head + head.join(bodies), lengths)

    def bodies(self) -> list[bytes]:
        """Each message from its number of columns on."""
        messages, skipped = self.messages, _before_columns(self) - _COUNT
        ends = np.cumsum(self.lengths)
        starts = ends - self.lengths + skipped
        return [messages[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def texts(self, columns: Sequence[int]) -> list[list[bytes | None]]:
        """By column, as the server sent them."""
        cells, found = _cells(self), []
        for position in columns:
            cell = cells[position]
            pairs = zip(cell.starts.tolist(), cell.ends.tolist(), strict=True)
            values: list[bytes | None] = [self.messages[start:end] for start, end in pairs]
            for row in np.flatnonzero(cell.null).tolist():
                values[row] = None
            found.append(values)
        return found

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[RowChange]:
        start = 0
        for end in np.cumsum(self.lengths).tolist():
            _, row = decode_insert(self.messages[start:end], streamed=self.streamed)
            yield RowChange(relation=self.relation, op="c", new=row)
            start = end

    def copy_text(self, columns: Sequence[int]) -> CopyText:
        cells = _cells(self)
        if tuple(columns) == tuple(range(len(self.relation.columns))):
            whole = _in_place(self, cells)
            if whole is not None:
                return whole
        return CopyText(
            joined(_by_slices(self.messages, [cells[position] for position in columns])), NULL_CELL.decode()
        )

    def cells(self, columns: Sequence[int]) -> list[Sequence[bytes]]:
        found = _cells(self)
        return _by_slices(self.messages, [found[position] for position in columns])


class ChangesInRuns(Iterated[Change]):
    """Changes of which some, one after the other, are runs. Iterating gives every change by itself."""

    @abstractmethod
    def runs(self) -> Iterator[Change | Run]: ...

    def __iter__(self) -> Iterator[Change]:
        for each in self.runs():
            if isinstance(each, Run):
                yield from each
            else:
                yield each


class HeldChanges(ChangesInRuns):
    """Runs and single changes that are in memory."""

    def __init__(self, parts: Sequence[Change | Run]) -> None:
        self._parts = parts
        self._count = sum(len(part) if isinstance(part, Run) else 1 for part in parts)

    def __len__(self) -> int:
        return self._count

    def runs(self) -> Iterator[Change | Run]:
        return iter(self._parts)


def runs_of(changes: Iterable[Change]) -> Iterator[Change | Run]:
    """The changes, in runs as far as there are any."""
    return changes.runs() if isinstance(changes, ChangesInRuns) else iter(changes)


@dataclass(frozen=True, slots=True)
class _Cells:
    """One column of all rows: where its header begins in the messages, its text begins and ends, where it is NULL."""

    headers: _Positions
    starts: _Positions
    ends: _Positions
    null: npt.NDArray[np.bool_]


def _cells(run: InsertRun) -> list[_Cells]:
    """Every column of every row. The rows are walked together, one column after the other."""
    padded = run.messages + bytes(_HEADER)
    octets = np.frombuffer(padded, np.uint8)
    lengths_at: npt.NDArray[Any] = np.ndarray(shape=(len(run.messages) + 1,), dtype=">u4", buffer=padded, strides=(1,))
    message_ends = np.cumsum(run.lengths)
    at = message_ends - run.lengths + _before_columns(run)
    found = []
    for _ in run.relation.columns:
        if at[-1] > len(run.messages) or (at > len(run.messages)).any():
            raise _broken(run)
        kind = octets[at]
        null = kind == _NULL
        if not ((kind == _TEXT) | null).all():
            raise _broken(run)
        starts = at + _HEADER
        ends = starts + lengths_at[np.minimum(at + 1, len(run.messages))].astype(np.int64)
        if null.any():
            starts = np.where(null, at + 1, starts)
            ends = np.where(null, at + 1, ends)
        found.append(_Cells(at, starts, ends, null))
        at = ends
    if not (at == message_ends).all():
        raise _broken(run)
    return found


def _in_place(run: InsertRun, cells: Sequence[_Cells]) -> CopyText | None:
    """All columns: the messages themselves, headers turned into separators. None where that is not enough: there is no
    room to escape a character, nor to write NULL as anything but nothing, which an empty text may be, too."""
    some_null = any(cell.null.any() for cell in cells)
    if some_null and any(((cell.starts == cell.ends) & ~cell.null).any() for cell in cells):
        return None
    octets = np.frombuffer(run.messages, np.uint8).copy()
    kept = np.ones(len(octets), np.bool_)
    begins = np.cumsum(run.lengths) - run.lengths
    for offset in range(_before_columns(run)):
        kept[begins + offset] = False
    for number, cell in enumerate(cells):
        kept[cell.headers] = number > 0
        octets[cell.headers] = _TAB
        headers = cell.headers[~cell.null] if cell.null.any() else cell.headers
        for offset in range(1, _HEADER):
            kept[headers + offset] = False
    kept[begins[1:]] = True
    octets[begins[1:]] = _NEWLINE
    text = octets[kept].tobytes() + b"\n"
    rows = len(run)
    plain = (
        text.count(b"\t") == rows * (len(cells) - 1)
        and text.count(b"\n") == rows
        and b"\\" not in text
        and b"\r" not in text
    )
    return CopyText(text, "" if some_null else NULL_CELL.decode()) if plain else None


def joined(columns: Sequence[Sequence[bytes]]) -> bytes:
    """Cells by column → lines."""
    return b"\n".join(map(b"\t".join, zip(*columns, strict=True))) + b"\n"


def escaped(value: bytes) -> bytes:
    """One value as the text format wants it."""
    return _escaped(value) if _needs_escape(value) else value


def _by_slices(messages: bytes, cells: Sequence[_Cells]) -> list[Sequence[bytes]]:
    columns: list[Sequence[bytes]] = []
    for cell in cells:
        values = [messages[start:end] for start, end in zip(cell.starts.tolist(), cell.ends.tolist(), strict=True)]
        if _needs_escape(b"".join(values)):
            values = [escaped(value) for value in values]
        for row in np.flatnonzero(cell.null).tolist():
            values[row] = NULL_CELL
        columns.append(values)
    return columns


def _needs_escape(text: bytes) -> bool:
    return b"\\" in text or b"\t" in text or b"\n" in text or b"\r" in text


def _escaped(value: bytes) -> bytes:
    return value.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def _before_columns(run: InsertRun) -> int:
    return (_STREAMED_PREFIX if run.streamed else _PREFIX) + _COUNT


def _broken(run: InsertRun) -> DecodeError:
    return DecodeError(
        thing=f"{len(run)} inserts of table {run.relation.table}",
        reason="do not have the columns of their table",
        mend="reconnect; if it happens again, report it with the PostgreSQL version",
    )
