"""The rows of a run of inserts as lists of text forms, all at once. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from cdc.insert_run import InsertRun

_ESCAPE = re.compile(r"\\(.)")
_MEANT: Final = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


def run_rows(run: InsertRun) -> Sequence[Sequence[str | None]]:
    """One sequence a row, one value a column. Raises `DecodeError` when the run is not what it should be."""
    copied = run.copy_text(range(len(run.relation.columns)))
    lines = copied.text.decode().split("\n")
    lines.pop()
    if copied.null == "":  # no text of the run is empty, and none has an escape
        return [[cell or None for cell in line.split("\t")] for line in lines]
    if b"\\" not in copied.text:
        return [line.split("\t") for line in lines]
    return [[_cell(cell) for cell in line.split("\t")] for line in lines]


def _cell(text: str) -> str | None:
    if "\\" not in text:
        return text
    return None if text == "\\N" else _ESCAPE.sub(lambda match: _MEANT[match[1]], text)
