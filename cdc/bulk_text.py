"""A run of rows as the text that one target table's COPY takes, conversions included. Pure."""

from collections.abc import Sequence

from cdc.copied_rows import text_of_cell
from cdc.insert_run import NULL_CELL, CopyText, Run, escaped, joined
from cdc.mapping.convert import Convert
from cdc.mapping.errors import RowUnmappable
from cdc.mapping.port import BulkColumns

_MOST_REMEMBERED = 10_000


def bulk_text(run: Run, columns: BulkColumns) -> CopyText:
    """Raises `RowUnmappable` when a value cannot be converted; it does not know in which row."""
    if not columns.converts and not columns.constants:
        return run.copy_text(columns.positions)
    cells = run.cells(columns.positions)
    for index, source, convert in columns.converts:
        cells[index] = _converted(cells[index], source, convert)
    cells += [[escaped(value.encode())] * len(run) for _, value in columns.constants]
    return CopyText(joined(cells), NULL_CELL.decode())


def _converted(cells: Sequence[bytes], source: str, convert: Convert) -> list[bytes]:
    """Equal values are converted once: they are many where a lookup is."""
    known = {NULL_CELL: NULL_CELL}
    found = []
    for cell in cells:
        value = known.get(cell)
        if value is None:
            try:
                value = escaped(convert(text_of_cell(cell)).encode())
            except ValueError as error:
                raise RowUnmappable(
                    thing=f"a value of column {source}",
                    reason=str(error),
                    mend="correct the value in the source, or extend the mapping rule of this column",
                ) from None
            if len(known) < _MOST_REMEMBERED:
                known[cell] = value
        found.append(value)
    return found
