"""The demo's load fits the machine."""

import pytest

from demo.pace import FULL_PACE, Pace, fitting_pace


@pytest.mark.parametrize("busy", [0.0, 0.3, 0.5])
def test_a_machine_with_room_gets_the_full_pace(busy):
    assert fitting_pace(FULL_PACE, busy) == FULL_PACE


def test_a_busy_machine_gets_what_leaves_half_of_it_free():
    assert fitting_pace(FULL_PACE, 0.8) == Pace(writes_per_s=125, reads_per_s=31)
    assert fitting_pace(FULL_PACE, 1.0) == Pace(writes_per_s=100, reads_per_s=25)


def test_a_small_full_pace_is_never_raised():
    small = Pace(writes_per_s=10, reads_per_s=10)
    assert fitting_pace(small, 1.0) == small
    assert fitting_pace(Pace(writes_per_s=30, reads_per_s=30), 1.0).writes_per_s == 20
