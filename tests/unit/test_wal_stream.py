"""A stream over a scripted connection: what a keepalive may and may not vouch for."""

import struct

import pytest

from cdc.lsn import Lsn, before_boundary
from cdc.postgres_source import StreamLimits, WalStream
from cdc.replication_connection import Arrived, Keepalive, WalData
from strangler.clock import ManualClock

RECORD_BYTES = 48


class ScriptedConnection:
    """Gives what it was told to, one message at a time; remembers the status updates."""

    def __init__(self, *messages):
        self.messages, self.statuses = list(messages), []

    def receive(self):
        return self.messages.pop(0) if self.messages else None

    def receive_short(self, most_bytes, most_messages):
        return Arrived([], 0, None)

    def wait(self, timeout_s):
        raise AssertionError("nothing to wait for")

    def send_status(self, **status):
        self.statuses.append(status)


def commit(xid, commit_lsn):
    """A transaction that emits one logical message; its commit record starts at `commit_lsn`."""
    begin = struct.pack(">cQqI", b"B", commit_lsn, 0, xid)
    message = struct.pack(">cBQ2sI", b"M", 1, commit_lsn - 8, b"m\0", 0)
    end = struct.pack(">cBQQq", b"C", 0, commit_lsn, commit_lsn + RECORD_BYTES, 0)
    return [WalData(Lsn(commit_lsn), 0, payload) for payload in (begin, message, end)]


def stream(*messages):
    return WalStream(
        "host=nowhere",
        ScriptedConnection(*messages),
        after=Lsn(0),
        acknowledged=Lsn(0),
        clock=ManualClock(),
        limits=StreamLimits(),
    )


def test_T07_a_keepalive_between_two_commits_without_a_gap_does_not_vouch_for_the_second():
    first, second = 0x1000, 0x1000 + RECORD_BYTES
    reading = stream(*commit(1, first), Keepalive(Lsn(second), 0, False))
    assert [one.commit_lsn for one in reading.poll(0)] == [first]
    assert first < reading.delivered_through.lsn < second


def test_a_keepalive_far_ahead_moves_the_position_to_just_before_its_boundary():
    reading = stream(Keepalive(Lsn(0x9000), 7, False))
    assert reading.poll(0) == []
    assert reading.delivered_through.lsn == 0x8FFF


@pytest.mark.parametrize(("boundary", "position"), [(0, 0), (1, 0), (0x1000, 0xFFF)])
def test_a_boundary_covers_only_what_starts_before_it(boundary, position):
    assert before_boundary(boundary) == position
