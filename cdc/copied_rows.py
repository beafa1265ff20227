"""Rows of a chunk as the source's `COPY … TO STDOUT` printed them: parsed only when somebody asks. Pure.

Where nothing of a chunk changed meanwhile and the mapping only renames, its text goes into the target's `COPY … FROM
STDIN` as it is.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Final

from cdc.events import Iterated, Relation, Row, RowChange
from cdc.insert_run import NULL_CELL, CopyText, Run, joined

_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class CopiedRows(Iterated[Row]):
    """`lines`: one row each, in key order, as the text format has them, with the newline."""

    __slots__ = ("lines",)

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.lines = lines

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[Row]:
        return map(parse_line, self.lines)

    def last(self) -> Row:
        return parse_line(self.lines[-1])

    @property
    def size(self) -> int:
        """Bytes of text."""
        return sum(map(len, self.lines))

    def split(self, positions: Sequence[int], keys: AbstractSet[Row]) -> "tuple[CopiedRows, list[Row]]":
        """The rows whose key columns, at `positions`, are not among `keys`; and the others."""
        if not keys:
            return self, []
        rest: list[bytes] = []
        found: list[Row] = []
        for line in self.lines:
            cells = line[:-1].split(b"\t")
            if tuple([text_of_cell(cells[position]) for position in positions]) in keys:
                found.append(parse_line(line))
            else:
                rest.append(line)
        return CopiedRows(rest), found


class BroughtForward(Iterated[Row]):
    """A chunk of which some rows changed after it was read. `untouched`: as they were read; `rows`: the others."""

    __slots__ = ("rows", "untouched")

    def __init__(self, untouched: CopiedRows, rows: Sequence[Row]) -> None:
        self.untouched, self.rows = untouched, rows

    def __len__(self) -> int:
        return len(self.untouched) + len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return chain(self.untouched, self.rows)


class CopiedRun(Run):
    """Rows of `relation` that a copy read."""

    __slots__ = ("_columns", "_rows", "relation")

    def __init__(self, relation: Relation, rows: CopiedRows) -> None:
        self.relation, self._rows = relation, rows
        self._columns: list[tuple[bytes, ...]] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[RowChange]:
        return (RowChange(relation=self.relation, op="r", new=row) for row in self._rows)

    def copy_text(self, columns: Sequence[int]) -> CopyText:
        if tuple(columns) == tuple(range(len(self.relation.columns))):
            return CopyText(b"".join(self._rows.lines), NULL_CELL.decode())
        return CopyText(joined(self.cells(columns)), NULL_CELL.decode())

    def cells(self, columns: Sequence[int]) -> list[Sequence[bytes]]:
        if self._columns is None:
            self._columns = list(zip(*(line[:-1].split(b"\t") for line in self._rows.lines), strict=True))
        return [self._columns[position] for position in columns]


def parse_line(line: bytes) -> Row:
    """One row of the text format; ends with a newline."""
    return tuple([_value(cell) for cell in line[:-1].split(b"\t")])


def _value(cell: bytes) -> str | None:
    return None if cell == NULL_CELL else text_of_cell(cell)


def text_of_cell(cell: bytes) -> str:
    """What PostgreSQL prints: a backslash before the letters above, or before itself."""
    text = cell.decode()
    if "\\" not in text:
        return text
    pieces = text.split("\\")
    found, pending = [pieces[0]], iter(pieces[1:])
    for piece in pending:
        if piece:
            found.append(_ESCAPES.get(piece[0], piece[0]) + piece[1:])
        else:
            found.append("\\" + next(pending, ""))
    return "".join(found)
