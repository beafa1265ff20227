"""The rows of a run of inserts as columns of text forms, all at once. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from cdc.insert_run import NULL_CELL, InsertRun

_ESCAPE = re.compile(r"\\(.)")
_MEANT: Final = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
_NULL: Final = NULL_CELL.decode()


def run_columns(run: InsertRun) -> list[Sequence[str | None]]:
    """One sequence a column, one value a row. Raises `DecodeError` when the run is not what it should be."""
    return [_texts(cells) for cells in run.cells(range(len(run.relation.columns)))]


def _texts(cells: Sequence[bytes]) -> Sequence[str | None]:
    """Undoes `COPY`'s escapes. A zero byte is in no text of PostgreSQL's."""
    together = b"\0".join(cells)
    texts = together.decode().split("\0")
    escapes = together.count(b"\\")
    if not escapes:
        return texts
    if escapes == cells.count(NULL_CELL):
        return [None if text == _NULL else text for text in texts]
    return [_text(text) for text in texts]


def _text(cell: str) -> str | None:
    if "\\" not in cell:
        return cell
    return None if cell == _NULL else _ESCAPE.sub(lambda match: _MEANT[match[1]], cell)
