"""May the binlog be read on from this position, or would that lose data? Pure. (T12, T13)"""

from collections.abc import Mapping, Sequence
from typing import Final

from cdc.errors import SlotMismatch
from cdc.lsn import Lsn, format_lsn
from cdc.mysql.fitness import ServerFacts
from cdc.mysql.gtid import MysqlGtids
from cdc.mysql.memory import BinlogMemory
from cdc.mysql.positions import file_number, resume_place

START_OVER: Final = "end the stream (`strangler cdc stream --remove`), empty its target's tables and copy anew"


def check_server(facts: ServerFacts, memory: BinlogMemory | None) -> None:
    """Raise `SlotMismatch` when this is another server, or it lost or never had what was read before."""
    if memory is None:
        return
    if memory.server != facts.identity:
        raise _mismatch(
            facts,
            f"is another server ({facts.identity}, before it was {memory.server}), where positions mean other places",
        )
    if memory.gtids and not facts.is_mariadb and facts.has_gtids:
        read, executed = facts.parse_gtids(memory.gtids), facts.parse_gtids(facts.variables.get("gtid_executed", ""))
        purged = facts.purged_gtids
        assert isinstance(read, MysqlGtids)
        assert isinstance(executed, MysqlGtids)
        if not executed.covers(read):
            raise _mismatch(
                facts, "has not executed all that was read from it: its binlog was reset, or it was restored"
            )
        if isinstance(purged, MysqlGtids) and not read.covers(purged):
            raise _mismatch(facts, "has purged transactions that were not read yet (gtid_purged)")


def find_file(facts: ServerFacts, files: Sequence[tuple[str, int]], position: Lsn) -> tuple[str, int]:
    """(file, offset) to read on from. `files`: (name, size) of all the server has, oldest first.

    Raises `SlotMismatch` when the file was purged or the server is behind the position.
    """
    number, offset = resume_place(position)
    at = format_lsn(position)
    if not files:
        raise _mismatch(facts, f"has no binlog, and the ledger is at {at}")
    first, last = file_number(files[0][0]), file_number(files[-1][0])
    if number < first:
        raise _mismatch(facts, f"has purged the binlog of the ledger's position {at}: its oldest file is {files[0][0]}")
    sizes = {file_number(name): (name, size) for name, size in files}
    if number > last or number not in sizes:
        raise _mismatch(
            facts,
            f"ends with {files[-1][0]}, before the ledger's position {at}: its file numbers began anew (RESET MASTER), "
            "or it was restored from a backup",
        )
    name, size = sizes[number]
    if offset > size:
        raise _mismatch(
            facts,
            f"has only {size} bytes in {name}, and the ledger is at {at}: the file was begun anew, or it lost its end "
            "in a crash (sync_binlog is not 1)",
        )
    return name, offset


def check_opened(facts: ServerFacts, memory: BinlogMemory | None, opened_s: Mapping[str, int]) -> None:
    """Raise `SlotMismatch` when a file that was read before has begun anew under the same name."""
    for file, at_s in opened_s.items():
        before_s = at_s if memory is None else memory.opened_s.get(file, at_s)
        if before_s != at_s:
            raise _mismatch(
                facts, f"has begun {file} anew since it was read: its file numbers restarted (RESET MASTER)"
            )


def _mismatch(facts: ServerFacts, reason: str) -> SlotMismatch:
    return SlotMismatch(thing=f"server of {facts.place}", reason=reason, mend=START_OVER)
