"""A process that applies one batch and is killed before or after its commit: see `test_apply_target`."""

import os
import signal
import sys

from cdc.apply_batch import RowGroup
from cdc.events import TableName
from cdc.lsn import Lsn
from cdc.target_port import LedgerStep
from tests.contract.apply_targets import TargetDatabase

T = TableName(name="t")


def main():
    dialect, dsn, folder, moment = sys.argv[1:]
    target = TargetDatabase(dialect, dsn, folder)
    session = target.open(target.link("t"))
    assert session.load_position() == 100
    rows = (("1", "x", "1"), ("2", "y", "2"))
    with session.transaction(pipelined=False):
        session.write([RowGroup(kind="upsert", table=T, key=("id",), columns=("id", "a", "b"), rows=rows)])
        session.move_position(
            LedgerStep(position=Lsn(200), previous=Lsn(100), source_time_us=0, transactions=1, events=2)
        )
        if moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
