"""When writes count as drained: a scripted proxy and gate on a manual clock."""

import pytest

from router.drain import QUIET_S, SETTLE_S, drain
from router.envoy.admin import WritesInFlight
from router.errors import DrainTimeout
from strangler.clock import ManualClock


def sample(active=0, pending=0, retries=0, asking=0):
    return WritesInFlight(active=active, pending=pending, retries=retries, asking=asking, finished=0)


def run(samples, *, held=0, timeout_s=5.0):
    """Play the samples in turn, the last one for ever; returns the result and the number of samples looked at."""
    clock, looked = ManualClock(), []

    def in_flight():
        looked.append(1)
        return samples[min(len(looked), len(samples)) - 1]

    result = drain(move="catalog", held=lambda: held, in_flight=in_flight, clock=clock, timeout_s=timeout_s)
    return result, len(looked)


def test_nothing_in_flight_still_waits_out_a_pause_between_attempts():
    result, _ = run([sample()])
    assert QUIET_S <= result.seconds < 2 * QUIET_S
    assert result.most_active == 0


def test_a_write_at_a_backend_is_waited_for():
    result, looked = run([sample(active=2)] * 40 + [sample()])
    assert looked > 40
    assert result.most_active == 2


def test_a_new_attempt_starts_the_pause_again():
    calm, _ = run([sample(retries=7)])
    retried, _ = run([sample(retries=7)] * 8 + [sample(retries=8)])
    assert retried.seconds > calm.seconds


def test_an_answer_of_the_gate_on_its_way_is_waited_for():
    result, _ = run([sample(asking=11)] * 20 + [sample(asking=10)], held=10)
    assert result.seconds >= 20 * 0.005 + QUIET_S - 0.01


def test_under_constant_new_questions_the_settling_time_decides():
    result, _ = run([sample(asking=11)], held=10)
    assert result.seconds == pytest.approx(SETTLE_S + QUIET_S, abs=0.02)


def test_out_of_time_is_refused_with_the_numbers():
    with pytest.raises(DrainTimeout, match="3 at a backend and 1 waiting"):
        run([sample(active=3, pending=1)], timeout_s=0.5)
