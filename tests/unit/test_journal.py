import pytest

from strangler.clock import ManualClock
from strangler.errors import Refused
from strangler.journal import Journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def filled(path, count=3):
    journal = Journal(path, ManualClock())
    for number in range(count):
        journal.append("fact", number=number)
    return path.read_bytes()


def test_what_was_appended_is_read_back_in_order(path):
    filled(path)
    assert [(e.seq, e.kind, e.data["number"]) for e in Journal(path).entries()] == [
        (0, "fact", 0),
        (1, "fact", 1),
        (2, "fact", 2),
    ]


def test_a_line_torn_at_any_byte_is_cut_off_and_the_next_append_follows_the_last_whole_one(path):
    data = filled(path)
    last = data.rindex(b"\n", 0, -1) + 1
    for end in range(last, len(data)):
        path.write_bytes(data[:end])
        journal = Journal(path, ManualClock())
        assert len(journal.entries()) == 2
        assert journal.append("after", number=9).seq == 2
        assert [e.kind for e in Journal(path).entries()] == ["fact", "fact", "after"]


def test_damage_before_the_end_is_refused_not_skipped(path):
    data = bytearray(filled(path))
    data[20] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(Refused, match="damaged entry at byte 0"):
        Journal(path).entries()


def test_a_write_that_failed_half_way_is_cut_off_by_the_next_one(path):
    filled(path)
    journal = Journal(path, ManualClock())
    journal.append("whole", number=3)
    real = journal._write

    def full_disk(line):
        real(line[: len(line) // 2])
        raise OSError("no space left on device")

    journal._write = full_disk
    with pytest.raises(OSError, match="no space"):
        journal.append("torn", number=4)
    journal._write = real
    journal.append("after", number=5)
    assert [entry.kind for entry in Journal(path).entries()] == ["fact", "fact", "fact", "whole", "after"]
