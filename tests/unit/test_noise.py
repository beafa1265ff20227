from math import comb
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.compare import Outcome, OutcomeClass
from router.noise import (
    Classification,
    Round,
    average_e_value,
    beta_cdf,
    classify,
    e_value,
    lower_bound,
    rate_e_value,
    touches,
    upper_bound,
)


def at(place, kind=OutcomeClass.VALUE):
    return Outcome(path=place, at=place, kind=kind)


X = at("items[id=1].x")


def kind_of(*rounds, max_rounds=3):
    return classify([X], rounds, max_rounds=max_rounds).outcomes[0].classification


STABLE = Round(drift=(), against_first=(X,), again=(X,))
DRIFTS = Round(drift=(X,), against_first=(X,), again=(X,))
AGREES = Round(drift=(), against_first=(X,), again=())
LEGACY_CAUGHT_UP = Round(drift=(X,), against_first=(), again=(X,))


def test_a_difference_is_confirmed_only_after_every_round_showed_it():
    assert kind_of(STABLE, STABLE) is Classification.UNCONFIRMED
    assert kind_of(STABLE, STABLE, STABLE) is Classification.CONFIRMED


def test_a_control_that_contradicts_itself_twice_is_noise():
    assert kind_of(DRIFTS) is Classification.UNCONFIRMED
    assert kind_of(DRIFTS, DRIFTS) is Classification.NOISE


def test_one_concurrent_write_does_not_excuse_a_stable_difference():
    assert kind_of(DRIFTS, STABLE, STABLE) is Classification.CONFIRMED


def test_a_stream_that_lags_behind_is_a_race():
    assert kind_of(STABLE, STABLE, AGREES) is Classification.RACED
    assert kind_of(LEGACY_CAUGHT_UP) is Classification.RACED


def test_without_a_later_candidate_answer_only_the_first_counts():
    silent = Round(drift=(), against_first=(X,), again=None)
    assert kind_of(silent, silent, silent) is Classification.CONFIRMED


def test_the_gravest_difference_names_the_pair():
    other = at("y")
    seen = Round(drift=(), against_first=(X, other), again=(X,))
    decision = classify([X, other], [seen] * 3, max_rounds=3)
    assert [item.classification for item in decision.outcomes] == [Classification.CONFIRMED, Classification.RACED]
    assert decision.classification is Classification.CONFIRMED and decision.is_final


def test_a_lost_subtree_touches_what_was_in_it_but_an_order_does_not():
    assert touches([at("items[id=1]", OutcomeClass.MISSING)], X)
    assert touches([X], at("items[id=1]", OutcomeClass.MISSING))
    assert touches([at("$", OutcomeClass.SHAPE)], X)
    assert not touches([at("items", OutcomeClass.ORDER)], X)
    assert not touches([at("items[id=11].x")], X)
    assert not touches([at("items[id=1].xy", OutcomeClass.TYPE)], X)


@pytest.mark.parametrize(("trials", "bound"), [(300, 0.01), (3_000, 0.001), (30_000, 0.0001)])
def test_zero_differences_bound_the_rate(trials, bound):
    assert upper_bound(0, trials) < bound
    assert upper_bound(0, trials) == pytest.approx(1 - 0.05 ** (1 / trials), rel=1e-9)


@given(st.integers(0, 40), st.integers(1, 60))
def test_the_bound_is_the_rate_at_which_so_few_events_have_five_percent(events, more):
    trials = events + more
    rate = upper_bound(events, trials)
    seen_at_most = sum(comb(trials, i) * rate**i * (1 - rate) ** (trials - i) for i in range(events + 1))
    assert seen_at_most == pytest.approx(0.05, abs=1e-9)
    assert lower_bound(events, trials) <= events / trials <= rate


def test_bounds_at_the_edges():
    assert upper_bound(0, 0) == upper_bound(5, 5) == 1.0
    assert lower_bound(0, 5) == 0.0
    assert upper_bound(10_000, 1_000_000) == pytest.approx(0.010166, abs=1e-6)
    assert beta_cdf(0.5, 3, 3) == pytest.approx(0.5)


@pytest.mark.parametrize(("b", "c", "expected"), [(9, 0, 102), (20, 5, 49), (150, 100, 24), (120, 100, 0.4)])
def test_e_values_of_known_counts(b, c, expected):
    assert e_value(b, c) == pytest.approx(expected, rel=0.06)


def test_an_a_a_stream_read_after_every_request_is_rarely_flagged():
    random, alpha, streams = Random(7), 0.05, 200
    flagged = 0
    for _ in range(streams):
        b = c = 0
        for _ in range(300):
            if random.random() < 0.5:
                b += 1
            else:
                c += 1
            if b > c and e_value(b, c) >= 1 / alpha:
                flagged += 1
                break
    assert flagged / streams <= alpha + 0.045  # 3 standard errors


def test_a_real_regression_is_flagged():
    random = Random(7)
    b = c = 0
    while e_value(b, c) < 100:
        b, c = (b + 1, c) if random.random() < 0.75 else (b, c + 1)
        assert b + c < 500


def test_many_paths_are_averaged_so_that_looking_at_more_does_not_flag_more():
    random, alpha, runs = Random(11), 0.05, 100
    flags = 0
    for _ in range(runs):
        values = []
        for _ in range(40):
            b = sum(random.random() < 0.5 for _ in range(30))
            values.append(e_value(b, 30 - b))
        flags += average_e_value(values) >= 1 / alpha
    assert flags / runs <= alpha


def test_a_rate_above_its_limit_gives_evidence_and_one_below_gives_none():
    assert rate_e_value(50, 50, 0.01) > 1e6
    assert rate_e_value(1, 3, 0.01) < 10
    assert rate_e_value(0, 100_000, 0.01) < 1
