"""When capture waits for company."""

from cdc.capture_loop import BUSY_S, GATHER_S, Pace
from strangler.clock import ManualClock


def waits(*gaps_s):
    """What the pace says to appends that follow each other after these gaps."""
    clock = ManualClock()
    pace = Pace(clock)
    said = [pace.appended()]
    for gap_s in gaps_s:
        clock.advance(gap_s)
        said.append(pace.appended())
    return said


def test_a_transaction_that_comes_alone_is_not_followed_by_a_wait():
    assert waits(1.0, BUSY_S, 60.0) == [0.0] * 4


def test_under_load_each_append_is_followed_by_a_wait():
    assert waits(0.005, 0.012, 0.0) == [0.0, GATHER_S, GATHER_S, GATHER_S]


def test_the_wait_itself_does_not_end_the_load():
    assert GATHER_S < BUSY_S
    assert waits(GATHER_S, GATHER_S + 0.005, 2 * BUSY_S) == [0.0, GATHER_S, GATHER_S, 0.0]
