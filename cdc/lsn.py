"""PostgreSQL log sequence numbers: 64-bit byte positions in the write-ahead log, shown as `16/B374D848`."""

from typing import NewType

from strangler.errors import BadInput

Lsn = NewType("Lsn", int)
"""A byte position in one server's write-ahead log. Comparable only within that server's history."""

ZERO = Lsn(0)


def before_boundary(boundary: int) -> Lsn:
    """The ledger position that a boundary between two records stands for.

    A ledger position P covers every commit record that starts at or before P. What servers report (a keepalive's
    end of log, a slot's confirmed position, the insert position) is a boundary B: the byte *after* a record, at which
    the next commit record may start. B covers only what starts before it, so the ledger may stand at B - 1, never at
    B: two commits without a gap between their records are common under load, and the second would be passed over.
    """
    return Lsn(max(0, boundary - 1))


def parse_lsn(text: str) -> Lsn:
    """`'16/B374D848'` → Lsn. Raises `BadInput` on anything else."""
    high, slash, low = text.partition("/")
    try:
        if not slash or len(high) > 8 or len(low) > 8:
            raise ValueError
        return Lsn((int(high, 16) << 32) | int(low, 16))
    except ValueError:
        raise BadInput(
            thing=f"log position {text!r}",
            reason="not of the form 16/B374D848",
            mend="copy it from pg_current_wal_lsn() or `strangler cdc lag`",
        ) from None


def format_lsn(lsn: int) -> str:
    """Lsn → `'16/B374D848'`, as PostgreSQL prints it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
