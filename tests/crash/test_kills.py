"""T5, T6, T8, H4: the short form of `python -m benchmarks.crash_suite`. A failure names the seed and round."""

import pytest

from benchmarks.crash.suite import CrashSuite
from sandbox.leftovers import make_folder, remove_folder

SEED = 20261122
ROUNDS = (
    "worker",
    "target server",
    "worker at a failpoint",
    "source server",
    "walsender",
    "worker and target server",
    "apply session",
    "worker",
    "worker at a failpoint",
)


@pytest.mark.timeout(400)
def test_whatever_is_killed_both_sides_are_equal_after_the_catch_up():
    folder = make_folder()
    try:
        with CrashSuite(folder, SEED, print, accounts=3000) as suite:
            for number, victim in enumerate(ROUNDS):
                suite.round(number, victim)
            suite.finish()
            assert suite.counts.total == len(ROUNDS)
            assert suite.counts.transactions > 100
            assert suite.counts.rows > 5_000
    finally:
        remove_folder(folder)
