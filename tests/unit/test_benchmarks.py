"""The pure parts of the benchmarks: ratio, verdict, turns, the file's format, and that every case has a goal."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.__main__ import busy_note, chosen, scale_from
from benchmarks.errors import UnknownBenchmark
from benchmarks.goals import GOALS, Goal, ratio
from benchmarks.harness import LONG_RUN_S, Case, Runs, find_cases, judge, merged, run_in_turn
from benchmarks.machine import describe_machine
from strangler.clock import ManualClock
from strangler.errors import BadInput

HIGHER, LOWER = Goal(better="higher", ratio=0.9, what="w"), Goal(better="lower", ratio=1, what="w")


def judged(goal, ours, reference, name="n"):
    return judge(name, goal, Runs(ours=tuple(ours), reference=tuple(reference)), unit="u", machine="m")


def turns(seconds, runs=5):
    """Runs that take `seconds` each, and who ran in which order."""
    clock, order = ManualClock(), []

    def measure(who):
        def once():
            order.append(who)
            clock.sleep(seconds)
            return float(len(order))

        return once

    case = Case(ours=measure("ours"), reference=measure("reference"), unit="u")
    return run_in_turn(case, monotonic=clock.monotonic, said=lambda text: None, runs=runs), order


def test_above_one_is_ahead_whichever_way_is_better():
    assert ratio(20, 10, "higher") == 2
    assert ratio(250, 500, "lower") == 2


def test_ours_and_the_reference_take_turns():
    runs, order = turns(1.0, runs=3)
    assert order == ["ours", "reference"] * 3
    assert runs == Runs(ours=(1.0, 3.0, 5.0), reference=(2.0, 4.0, 6.0))


def test_a_run_over_a_minute_is_not_repeated():
    runs, _ = turns(LONG_RUN_S + 1)
    assert len(runs.ours) == len(runs.reference) == 1


def test_medians_are_judged_and_a_stray_run_changes_nothing():
    result = judged(HIGHER, [9, 9, 1, 9, 9], [10, 10, 10, 99, 10])
    assert (result.ours, result.reference, result.ratio, result.met, result.runs) == (9, 10, 0.9, True, 5)


@pytest.mark.parametrize(("ours", "met"), [(500.0, True), (501.0, False)])
def test_a_goal_is_met_from_its_floor_on(ours, met):
    assert judged(LOWER, [ours], [500.0]).met is met


def test_an_entry_has_exactly_the_documented_keys():
    entry = judged(HIGHER, [1.23456], [1]).as_dict()
    assert list(entry) == [
        *("name", "ours", "reference", "ratio", "unit"),
        *("better", "goal", "met", "runs", "machine"),
    ]
    assert entry["ours"] == 1.235
    json.dumps(entry)


def test_one_benchmark_run_alone_leaves_the_other_entries():
    old = [judged(HIGHER, [1], [1], name).as_dict() for name in ("b", "c")]
    new = [judged(HIGHER, [2], [1], name) for name in ("a", "b")]
    kept = merged(old, new, keep_others=True)
    assert [(entry["name"], entry["ours"]) for entry in kept] == [("a", 2), ("b", 2), ("c", 1)]
    assert [entry["name"] for entry in merged(old, new, keep_others=False)] == ["a", "b"]


def test_every_case_found_has_a_goal():
    found = find_cases()
    assert set(found) <= set(GOALS)
    assert found == sorted(path.stem for path in Path("benchmarks/cases").glob("[a-z]*.py"))


def test_a_wrong_name_is_answered_with_the_right_ones():
    with pytest.raises(UnknownBenchmark) as caught:
        chosen("copy")
    assert "copy_vs_psql" in caught.value.mend
    assert chosen(None) == list(GOALS)


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "nan", "inf"])
def test_a_scale_that_is_no_positive_number_is_refused(text):
    with pytest.raises(BadInput):
        scale_from(text)


def test_a_scale_is_a_number():
    assert scale_from("0.25") == 0.25


def test_a_busy_machine_is_told():
    assert busy_note(0.2, 2) == []
    assert "busy" in busy_note(3.0, 2)[0]


def test_the_machine_is_described_without_host_or_path():
    assert re.fullmatch(
        r"\d+ cores, \d+ GiB, Python [\d.]+\S*, (PostgreSQL [\d.]+\S*|no PostgreSQL)", describe_machine()
    )
