"""What only a log on disk can suffer: crashes, damage, a second writer, a full disk."""

import errno
import os
import shutil
import struct
import subprocess
import sys

import pytest

from cdc.changelog import long_codec
from cdc.changelog import writer as writer_module
from cdc.changelog.local import LocalChangeLog
from cdc.errors import DecodeError, LogDamaged, LogInUse, LogNotFound, LogUnwritable, PositionExpired
from cdc.events import Column, Relation, RowChange, Transaction
from cdc.insert_run import HeldChanges, InsertRun

TABLE = Relation(oid=7, schema="public", name="t", columns=(Column(name="id", type_oid=20, in_key=True),))


def transaction(lsn, text="value"):
    change = RowChange(relation=TABLE, op="c", new=(text,))
    return Transaction(xid=lsn, commit_lsn=lsn, end_lsn=lsn + 8, commit_time_us=0, changes=(change,))


def write(folder, *batches, segment_bytes=64 << 20):
    log = LocalChangeLog(folder, segment_bytes=segment_bytes)
    for batch in batches:
        log.append([transaction(lsn) for lsn in batch])
    log.close()


def segments(folder):
    return sorted(folder.glob("*.log"))


@pytest.fixture
def open_log():
    """LocalChangeLog, closed at the end of the test."""
    opened = []

    def make(*arguments, **options):
        opened.append(LocalChangeLog(*arguments, **options))
        return opened[-1]

    yield make
    for log in opened:
        log.close()


def lsns(log, after=0):
    return [found.commit_lsn for found in log.read(after)]


def test_survives_reopening(tmp_path, open_log):
    write(tmp_path, [1, 2], [3])
    log = open_log(tmp_path)
    assert (log.last_lsn(), lsns(log)) == (3, [1, 2, 3])
    log.append([transaction(4)])
    assert lsns(LocalChangeLog(tmp_path, read_only=True), 2) == [3, 4]


def test_a_crash_at_any_byte_of_the_last_batch_loses_only_that_batch(tmp_path, open_log):
    write(tmp_path / "a", [1], [2])
    whole = segments(tmp_path / "a")[0].stat().st_size
    write(tmp_path / "a", [3, 4])
    path = segments(tmp_path / "a")[0]
    data = path.read_bytes()
    for size in range(whole, len(data)):
        folder = tmp_path / f"cut{size}"
        folder.mkdir()
        (folder / path.name).write_bytes(data[:size])
        assert lsns(LocalChangeLog(folder, read_only=True))[:2] == [1, 2]
        log = open_log(folder)
        assert lsns(log)[:2] == [1, 2]
        kept = log.last_lsn()
        assert kept in (2, 3)
        log.append([transaction(lsn) for lsn in (3, 4, 5)])
        log.close()
        assert lsns(LocalChangeLog(folder, read_only=True)) == [1, 2, 3, 4, 5]
        shutil.rmtree(folder)


def test_a_crash_at_any_byte_of_a_new_segment(tmp_path, open_log):
    write(tmp_path / "a", [1], [2], segment_bytes=1)
    old, new = segments(tmp_path / "a")
    data = new.read_bytes()
    for size in range(len(data)):
        folder = tmp_path / f"cut{size}"
        folder.mkdir()
        shutil.copy(old, folder)
        (folder / new.name).write_bytes(data[:size])
        assert lsns(LocalChangeLog(folder, read_only=True)) == [1]
        log = open_log(folder, segment_bytes=1)
        assert log.last_lsn() == 1
        log.append([transaction(9)])
        log.close()
        assert lsns(LocalChangeLog(folder, read_only=True)) == [1, 9]
        shutil.rmtree(folder)


LONG_ROWS = 40


@pytest.fixture
def small_parts(monkeypatch):
    """A long transaction is already one of a few hundred bytes."""
    monkeypatch.setattr(writer_module, "_SHORT_BYTES", 200)
    monkeypatch.setattr(writer_module, "_WRITE_BYTES", 100)
    monkeypatch.setattr(long_codec, "PART_BYTES", 60)
    monkeypatch.setattr(long_codec, "LARGE_VALUE", 20)


def long_transaction(lsn, rows=LONG_ROWS):
    """Two tables and a value that is cut in pieces, besides small rows."""
    other = Relation(oid=8, schema="public", name=f"u{lsn}", columns=TABLE.columns)
    changes = [RowChange(relation=other if row % 7 == 6 else TABLE, op="c", new=(str(row),)) for row in range(rows)]
    changes.insert(rows // 2, RowChange(relation=TABLE, op="c", new=("large é value " * 5,)))
    return Transaction(xid=lsn, commit_lsn=lsn, end_lsn=lsn + 8, commit_time_us=0, changes=tuple(changes))


def contents(log, after=0):
    return [(found.commit_lsn, tuple(found.changes)) for found in log.read(after)]


def test_T01_a_crash_at_any_byte_of_a_long_transaction_loses_only_that(tmp_path, small_parts):
    whole = tmp_path / "whole"
    log = LocalChangeLog(whole)
    log.append([transaction(1), long_transaction(2)])
    before = segments(whole)[0].stat().st_size
    log.append([long_transaction(3)])
    log.close()
    (segment,) = segments(whole)
    data = segment.read_bytes()
    for end in range(before, len(data), 7):
        folder = tmp_path / f"cut{end}"
        folder.mkdir()
        (folder / segment.name).write_bytes(data[:end])
        following = LocalChangeLog(folder, read_only=True)
        assert (lsns(following), following.last_lsn()) == ([1, 2], 2)
        log = LocalChangeLog(folder)
        assert (log.last_lsn(), lsns(log)) == (2, [1, 2])
        log.append([long_transaction(3), transaction(4)])
        expected = [(one.commit_lsn, one.changes) for one in (long_transaction(2), long_transaction(3))]
        assert contents(log, 1)[:2] == contents(following, 1)[:2] == expected
        assert lsns(following, 3) == [4]
        log.close()
        shutil.rmtree(folder)


def test_T01_a_crash_at_any_byte_of_a_transaction_of_runs_loses_only_that(tmp_path):
    """What a bulk insert is logged as: runs of inserts, between single changes and a table that is new to the log."""
    other = Relation(oid=8, schema="public", name="u", columns=TABLE.columns)

    def run(relation, first):
        texts = [str(first + row).encode() for row in range(3)]
        return InsertRun.of(
            relation,
            [struct.pack(">cIcHcI", b"I", relation.oid, b"N", 1, b"t", len(text)) + text for text in texts],
        )

    one = RowChange(relation=TABLE, op="d", new=None, old=("5",), old_is_key=True)
    changes = HeldChanges((run(TABLE, 10), one, run(other, 20), run(TABLE, 30)))
    bulk = Transaction(xid=2, commit_lsn=2, end_lsn=10, commit_time_us=0, changes=changes)
    log = LocalChangeLog(tmp_path / "whole")
    log.append([transaction(1)])
    (segment,) = segments(tmp_path / "whole")
    before = segment.stat().st_size
    log.append([bulk])
    log.close()
    data = segment.read_bytes()
    for end in range(before, len(data)):
        folder = tmp_path / f"cut{end}"
        folder.mkdir()
        (folder / segment.name).write_bytes(data[:end])
        log = LocalChangeLog(folder)
        assert (log.last_lsn(), segments(folder)[0].stat().st_size) == (1, before)
        log.append([bulk, transaction(3)])
        assert contents(log, 1) == [(2, tuple(changes)), (3, transaction(3).changes)]
        log.close()
        shutil.rmtree(folder)


def test_T01_damage_inside_a_long_transaction_is_refused(tmp_path, small_parts):
    log = LocalChangeLog(tmp_path)
    log.append([long_transaction(1)])
    size = segments(tmp_path)[0].stat().st_size
    log.append([transaction(2), transaction(3)])
    log.close()
    (segment,) = segments(tmp_path)
    good = segment.read_bytes()
    for at in range(60, size, 11):
        segment.write_bytes(good[:at] + bytes([good[at] ^ 255]) + good[at + 1 :])
        with pytest.raises(LogDamaged):
            LocalChangeLog(tmp_path)
        with pytest.raises(LogDamaged):
            contents(LocalChangeLog(tmp_path, read_only=True))


def test_T01_O1_a_disk_that_fills_up_inside_a_long_transaction(tmp_path, monkeypatch, open_log, small_parts):
    log = open_log(tmp_path)
    log.append([transaction(1), long_transaction(2)])
    real_write, room = writer_module.SegmentWriter._write, 3

    def write(self):
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real_write(self)

    monkeypatch.setattr(writer_module.SegmentWriter, "_write", write)
    with pytest.raises(LogUnwritable):
        log.append([transaction(3), long_transaction(4)])
    assert (log.last_lsn(), lsns(log)) == (2, [1, 2])
    monkeypatch.setattr(writer_module.SegmentWriter, "_write", real_write)
    log.append([transaction(3), long_transaction(4)])
    assert contents(log, 3) == [(4, long_transaction(4).changes)]
    log.close()
    assert lsns(open_log(tmp_path)) == [1, 2, 3, 4]


def test_T01_changes_that_cannot_be_read_leave_the_log_as_it_was(tmp_path, open_log, small_parts):
    """A source's spilled message may turn out not to be decodable only when the log iterates it."""
    log = open_log(tmp_path)
    log.append([long_transaction(1)])

    class Broken(list):
        def __iter__(self):
            yield from long_transaction(2).changes
            raise DecodeError(thing="message", reason="broken", mend="none")

    broken = Transaction(xid=2, commit_lsn=2, end_lsn=3, commit_time_us=0, changes=Broken([1] * 41))
    with pytest.raises(DecodeError):
        log.append([broken])
    assert (log.last_lsn(), lsns(log)) == (1, [1])
    log.append([long_transaction(2)])
    assert contents(log, 1) == [(2, long_transaction(2).changes)]


def test_T01_segments_rotate_around_long_transactions(tmp_path, open_log, small_parts):
    log = open_log(tmp_path, segment_bytes=500)
    for lsn in range(1, 7):
        log.append([long_transaction(lsn)])
    assert len(segments(tmp_path)) == 6
    reader = open_log(tmp_path, read_only=True)
    (third,) = [found for found in reader.read(2) if found.commit_lsn == 3]
    log.trim(5)
    assert tuple(third.changes) == long_transaction(3).changes
    assert contents(reader, 5) == [(6, long_transaction(6).changes)]


def test_zeroes_after_a_power_cut_are_a_torn_tail(tmp_path, open_log):
    write(tmp_path, [1], [2])
    with segments(tmp_path)[0].open("ab") as file:
        file.write(bytes(4096))
    log = open_log(tmp_path)
    assert lsns(log) == [1, 2]


def test_damage_before_the_last_batch_is_refused_wherever_it_is(tmp_path):
    write(tmp_path, [1], [2], [3])
    path = segments(tmp_path)[0]
    data = path.read_bytes()
    third = data.rindex(b"SCL1") - 8
    for position in range(third):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x40]) + data[position + 1 :])
        with pytest.raises(LogDamaged):
            list(LocalChangeLog(tmp_path, read_only=True).read(0))
        with pytest.raises(LogDamaged):
            LocalChangeLog(tmp_path)


def test_damage_in_a_sealed_segment_is_refused_when_read(tmp_path, open_log):
    write(tmp_path, [1], [2], [3], segment_bytes=1)
    path = segments(tmp_path)[1]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    log = open_log(tmp_path)
    with pytest.raises(LogDamaged):
        lsns(log)


def test_a_missing_segment_is_not_skipped(tmp_path, open_log):
    write(tmp_path, [1], [2], [3], segment_bytes=1)
    segments(tmp_path)[1].unlink()
    log = open_log(tmp_path, read_only=True)
    with pytest.raises(LogDamaged):
        lsns(log)
    with pytest.raises(LogDamaged):
        lsns(log, 1)


def test_missing_first_segments_are_not_skipped(tmp_path, open_log):
    write(tmp_path, [1], [2], [3], segment_bytes=1)
    segments(tmp_path)[0].unlink()
    log = open_log(tmp_path, read_only=True)
    with pytest.raises(LogDamaged):
        lsns(log, 0)
    assert lsns(log, 1) == [2, 3]


def test_trimming_drops_whole_segments_and_is_remembered(tmp_path, open_log):
    write(tmp_path, *([lsn] for lsn in range(10, 100, 10)), segment_bytes=150)
    log = open_log(tmp_path, segment_bytes=150)
    before = len(segments(tmp_path))
    log.trim(55)
    log.close()
    assert 0 < len(segments(tmp_path)) < before
    again = open_log(tmp_path, read_only=True)
    assert 0 < again.first_lsn() <= 55
    assert lsns(again, again.first_lsn())[-1] == 90
    with pytest.raises(PositionExpired):
        again.read(again.first_lsn() - 1)


def test_retention_between_the_beginning_of_a_read_and_its_first_transaction(tmp_path, open_log):
    """The applier has all of the first segments; they go while it begins to read what is behind them."""
    log = open_log(tmp_path, segment_bytes=1)
    for lsn in (1, 2, 30):
        log.append([transaction(lsn)])
    behind, further_back = log.read(2), log.read(1)
    log.trim(2)
    assert [found.commit_lsn for found in behind] == [30]
    with pytest.raises(PositionExpired):
        list(further_back)


@pytest.mark.parametrize("appended", [[], [transaction(8), transaction(9)]], ids=["empty", "appended to"])
def test_where_a_log_was_begun_survives_reopening(tmp_path, open_log, appended):
    log = open_log(tmp_path)
    log.start(7)
    log.append(appended)
    log.close()
    for log in (open_log(tmp_path), LocalChangeLog(tmp_path, read_only=True)):
        assert (log.first_lsn(), log.last_lsn()) == (7, 9 if appended else 7)
        assert lsns(log, 7) == [one.commit_lsn for one in appended]
        with pytest.raises(PositionExpired):
            log.read(6)


def test_a_folder_that_was_lost_is_a_gap_that_is_reported(tmp_path, open_log):
    folder = tmp_path / "log"
    write(folder, [100, 200])
    shutil.rmtree(folder)
    log = open_log(folder)
    log.start(200)
    log.append([transaction(300)])
    reader = LocalChangeLog(folder, read_only=True)
    with pytest.raises(PositionExpired):
        reader.read(50)
    assert lsns(reader, 200) == [300]


def test_a_crash_in_the_first_batch_keeps_where_the_log_was_begun(tmp_path, open_log):
    log = open_log(tmp_path)
    log.start(7)
    log.append([transaction(8)])
    log.close()
    (segment,) = segments(tmp_path)
    segment.write_bytes(segment.read_bytes()[:-1])
    log = open_log(tmp_path)
    assert (log.first_lsn(), log.last_lsn()) == (7, 7)
    log.append([transaction(8)])
    assert lsns(log, 7) == [8]


def test_a_folder_that_vanishes_while_it_is_followed_is_told(tmp_path, open_log):
    log = open_log(tmp_path / "log")
    log.append([transaction(1)])
    assert lsns(log) == [1]
    shutil.rmtree(tmp_path / "log")
    assert lsns(log, 1) == []
    log.append([transaction(2)])
    with pytest.raises(LogDamaged):
        lsns(log, 1)


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path, open_log):
    log = open_log(tmp_path)
    with pytest.raises(LogInUse):
        LocalChangeLog(tmp_path)
    reader = LocalChangeLog(tmp_path, read_only=True)
    with pytest.raises(LogInUse):
        reader.append([transaction(1)])
    with pytest.raises(LogInUse):
        reader.trim(1)
    log.close()
    LocalChangeLog(tmp_path).close()


def test_a_reader_of_nothing_is_told_so(tmp_path):
    with pytest.raises(LogNotFound):
        LocalChangeLog(tmp_path / "absent", read_only=True)


def test_O1_a_full_disk_loses_nothing(tmp_path, monkeypatch, open_log):
    log = open_log(tmp_path, segment_bytes=200)
    log.append([transaction(1), transaction(2)])
    real_fsync = os.fsync
    failing = True

    def fsync(descriptor):
        if failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        real_fsync(descriptor)

    monkeypatch.setattr(writer_module.os, "fsync", fsync)
    for _ in range(3):
        with pytest.raises(LogUnwritable):
            log.append([transaction(lsn) for lsn in range(3, 12)])
        assert (log.last_lsn(), lsns(log)) == (2, [1, 2])
    failing = False
    log.append([transaction(lsn) for lsn in range(3, 12)])
    assert lsns(log) == list(range(1, 12))
    log.close()
    assert lsns(LocalChangeLog(tmp_path, read_only=True)) == list(range(1, 12))


WRITER = """
import sys
from pathlib import Path
from cdc.changelog.local import LocalChangeLog
from cdc.events import Column, Relation, RowChange, Transaction
table = Relation(oid=7, schema="public", name="t", columns=(Column(name="id", type_oid=20, in_key=True),))
log = LocalChangeLog(Path(sys.argv[1]), segment_bytes=2000)
for lsn in range(log.last_lsn() + 1, int(sys.argv[2]) + 1):
    change = RowChange(relation=table, op="c", new=("x" * (lsn % 700),))
    log.append([Transaction(xid=lsn, commit_lsn=lsn, end_lsn=lsn, commit_time_us=0, changes=(change,))])
    print(lsn, flush=True)
"""


def test_another_process_appends_is_killed_and_goes_on_while_we_follow(tmp_path):
    LocalChangeLog(tmp_path).close()
    reader = LocalChangeLog(tmp_path, read_only=True)
    seen = []

    def follow():
        seen.extend(lsns(reader, seen[-1] if seen else 0))

    for last, kill_at in ((400, 150), (400, None)):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(last)], stdout=subprocess.PIPE)
        for line in process.stdout:
            follow()
            assert seen[-1] >= int(line)
            if kill_at == int(line):
                process.kill()
                break
        process.stdout.close()
        process.wait()
    follow()
    assert seen == list(range(1, 401))
    assert reader.last_lsn() == 400
