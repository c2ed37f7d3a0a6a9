import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetwin.checks.statistics import (
    beta_cdf,
    clopper_pearson_lower,
    clopper_pearson_upper,
    decide,
    events_needed,
    share_over_events,
    student_t_quantile,
)
from edgetwin.checks.verdict import Result

TRIALS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def binomial_upper_tail(successes: int, trials: int, p: float) -> float:
    return math.fsum(
        math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(successes, trials + 1)
    )


@pytest.mark.parametrize(
    ("successes", "trials", "lower", "upper"),
    # Two-sided 95 % Clopper-Pearson intervals, as tables print them.
    [(8, 10, 0.4439, 0.9748), (0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (1, 20, 0.0013, 0.2487)],
)
def test_the_bounds_are_the_tabulated_ones(successes, trials, lower, upper):
    assert clopper_pearson_lower(successes, trials, 0.975) == pytest.approx(lower, abs=5e-5)
    assert clopper_pearson_upper(successes, trials, 0.975) == pytest.approx(upper, abs=5e-5)


@given(TRIALS, st.sampled_from([0.9, 0.95, 0.99]))
def test_at_the_lower_bound_as_many_successes_are_as_rare_as_the_confidence_says(pair, confidence):
    successes, trials = pair

    lower = clopper_pearson_lower(successes, trials, confidence)

    if successes:
        tail = binomial_upper_tail(successes, trials, lower)
        assert tail == pytest.approx(1 - confidence, abs=1e-6)
    else:
        assert lower == 0


def test_the_bounds_agree_with_scipy():
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")

    for successes, trials in [(3, 7), (250, 251), (995.5, 1000), (1, 10_000)]:
        expected = stats.beta.ppf(0.05, successes, trials - successes + 1)
        assert clopper_pearson_lower(successes, trials, 0.95) == pytest.approx(expected, rel=1e-8)
    assert student_t_quantile(0.95, 17) == pytest.approx(stats.t.ppf(0.95, 17), rel=1e-8)


@pytest.mark.parametrize(
    ("degrees", "value"), [(1, 6.3138), (2, 2.9200), (9, 1.8331), (30, 1.6973), (100_000, 1.6449)]
)
def test_the_t_quantiles_are_the_tabulated_ones(degrees, value):
    assert student_t_quantile(0.95, degrees) == pytest.approx(value, abs=5e-5)


@given(st.floats(0.001, 0.999), st.floats(0.2, 5_000), st.floats(0.2, 5_000))
def test_the_beta_distribution_mirrors_itself(x, a, b):
    assert beta_cdf(x, a, b) == pytest.approx(1 - beta_cdf(1 - x, b, a), abs=1e-9)


def test_a_99_percent_claim_needs_299_events_without_a_failure():
    at = {
        events: decide(share_over_events(np.ones(events), np.ones(events), 0.95), 0.99)
        for events in (10, 298, 299)
    }

    assert at == {10: Result.UNKNOWN, 298: Result.UNKNOWN, 299: Result.PASS}


def test_ten_events_that_each_lose_a_little_do_not_decide_for_99_percent():
    weight = np.full(10, 10_000.0)

    interval = share_over_events(weight - 10, weight, 0.95)

    assert interval.failing == 10
    assert interval.share == pytest.approx(0.999)
    assert decide(interval, 0.99) is Result.UNKNOWN


def test_one_event_lost_whole_is_enough_to_fail_99_percent():
    assert decide(share_over_events(np.zeros(1), np.ones(1), 0.95), 0.99) is Result.FAIL


@st.composite
def event_lists(draw):
    weights = draw(st.lists(st.integers(1, 10_000), min_size=2, max_size=60))
    won = [draw(st.integers(0, weight)) for weight in weights]
    return np.array(won, dtype=float), np.array(weights, dtype=float)


@given(event_lists())
def test_the_share_lies_within_its_bounds(events):
    interval = share_over_events(*events, 0.95)

    assert 0 <= interval.lower <= interval.share + 1e-12
    assert interval.share - 1e-12 <= interval.upper <= 1


@given(event_lists())
def test_more_confidence_never_narrows_the_bounds(events):
    loose, tight = share_over_events(*events, 0.9), share_over_events(*events, 0.99)

    assert tight.lower <= loose.lower + 1e-12
    assert tight.upper >= loose.upper - 1e-12


@given(event_lists())
def test_the_same_events_ten_times_over_never_lower_the_lower_bound(events):
    won, weight = events

    once = share_over_events(won, weight, 0.95)
    often = share_over_events(np.tile(won, 10), np.tile(weight, 10), 0.95)

    # Few failing events may become many, and the method the other one: both are bounds.
    if once.method == often.method:
        assert often.lower >= once.lower - 1e-9


def test_the_lower_bound_misses_the_true_share_no_more_often_than_it_says():
    generator = np.random.Generator(np.random.Philox(7))
    missed, draws, true = 0, 600, 0.9
    for _ in range(draws):
        weight = generator.integers(1, 200, size=150).astype(float)
        # Requests of one event share its fate: nine in ten events are answered whole.
        won = weight * (generator.random(150) < true)
        missed += share_over_events(won, weight, 0.95).lower > true

    assert missed / draws < 0.08


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_so_many_events_as_are_said_to_be_needed_do_decide(lost):
    won = np.ones(1_000)
    won[:lost] = 0

    few = share_over_events(won[lost:][:50], np.ones(50), 0.95)
    needed = events_needed(few, 0.99, 0.95)

    assert needed == 299
    whole = share_over_events(won, np.ones(1_000), 0.95)
    needed = events_needed(whole, 0.99, 0.95)
    assert decide(share_over_events(np.ones(299), np.ones(299), 0.95), 0.99) is Result.PASS
    if lost:
        scaled = np.ones(needed)
        rest = lost / 1_000 * needed
        scaled[: math.floor(rest)] = 0
        scaled[math.floor(rest)] = 1 - (rest - math.floor(rest))
        if (scaled < 1).sum() < 10:
            assert decide(share_over_events(scaled, np.ones(needed), 0.95), 0.99) is Result.PASS


def test_no_number_of_events_decides_a_share_that_is_the_target():
    interval = share_over_events(np.full(100, 0.99), np.ones(100), 0.95)

    assert events_needed(interval, interval.share, 0.95) is None
