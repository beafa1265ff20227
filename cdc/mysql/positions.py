"""Places in a binlog as log positions. Pure.

A boundary is `file number << 32 | offset`, the offset being the byte after an event. A commit's own position is the one
just before the boundary at its end: inside its own record, shared with no other. A ledger position P therefore resumes
at the boundary P + 1, which is the start of an event.
"""

from typing import Final

from cdc.errors import SourceUnfit
from cdc.lsn import Lsn, before_boundary

FIRST_OFFSET: Final = 4
"""Where a file's first event starts."""
_LARGEST_OFFSET: Final = 0xFFFFFFFF


def file_number(file: str) -> int:
    """`binlog.000012` → 12. Raises `SourceUnfit` on a name without a number."""
    _, _, digits = file.rpartition(".")
    if not digits.isdecimal() or int(digits) >= 1 << 31:
        raise SourceUnfit(
            thing=f"binlog file {file!r}", reason="has no usable number", mend="use the server's own binlog names"
        )
    return int(digits)


def boundary(file: str, offset: int) -> Lsn:
    """The boundary at `offset` of `file`."""
    if not 0 <= offset <= _LARGEST_OFFSET:
        raise SourceUnfit(
            thing=f"binlog file {file}",
            reason="is larger than 4 GiB, where offsets in its events begin again",
            mend="divide the huge transaction that made it so, then copy the tables anew from after it",
        )
    return Lsn(file_number(file) << 32 | offset)


def position_of(file: str, end: int) -> Lsn:
    """The ledger position that covers everything before `end` of `file`."""
    return before_boundary(boundary(file, end))


def resume_place(position: Lsn) -> tuple[int, int]:
    """(file number, offset) at which the stream goes on after `position`."""
    at = position + 1
    return at >> 32, max(FIRST_OFFSET, at & _LARGEST_OFFSET)
