"""The figures of a record, on records small enough to reckon by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetwin.climate import TOGETHER_US, climate, group_sizes
from edgetwin.outages import Outage, Record, Unknown, merge
from edgetwin.units import DAY_US, HOUR_US, MINUTE_US

MONDAY_US = 1_735_516_800_000_000
"""2024-12-30, 00:00 UTC."""


def record(*outages: Outage, unknown: tuple[Unknown, ...] = (), sites: str = "abc") -> Record:
    return Record(
        merge(outages)[0], unknown, tuple(sites), (MONDAY_US, MONDAY_US + 30 * DAY_US)
    )  # fmt: skip


def down(site: str, start: int, length: int, kind: str = "network", censored: str = "") -> Outage:
    begin = MONDAY_US + start
    return Outage(site, begin, begin + length, kind, censored=censored)


def test_rates_count_watched_time_only():
    half = Unknown("b", MONDAY_US, MONDAY_US + 15 * DAY_US)
    seen = climate(
        record(*(down("a", k * DAY_US, HOUR_US) for k in range(5)), unknown=(half,), sites="ab")
    )  # fmt: skip

    assert seen.site_months == pytest.approx(1.5)
    assert seen.rate_per_month == pytest.approx(5 / 1.5)
    assert seen.availability[0] == pytest.approx(1 - 5 / 720)
    assert seen.availability[1] == 1.0


def test_two_faults_at_once_are_down_once():
    seen = climate(record(down("a", 0, 10 * HOUR_US), down("a", 5 * HOUR_US, 10 * HOUR_US, "power"),
                          down("a", 20 * HOUR_US, HOUR_US)))  # fmt: skip

    assert seen.downtime_us.tolist() == [16 * HOUR_US, 0, 0]
    assert seen.outages == 3


def test_degraded_periods_are_no_outages():
    seen = climate(record(down("a", 0, HOUR_US, "degraded"), down("b", 0, HOUR_US)))

    assert seen.outages == 1
    assert seen.degraded_us == (HOUR_US,)


def test_quantiles_leave_out_what_was_not_seen_whole_and_downtime_does_not():
    seen = climate(record(down("a", 0, HOUR_US), down("b", 0, 100 * HOUR_US, censored="L")))

    assert seen.length_quantile_us(0.99) == HOUR_US
    assert seen.downtime_us.sum() == 101 * HOUR_US
    assert seen.beyond(HOUR_US) == (0.5, pytest.approx(100 / 101))


def test_starting_together_needs_another_site_within_five_minutes():
    seen = climate(record(
        down("a", 0, MINUTE_US), down("b", 5 * MINUTE_US, MINUTE_US),
        down("c", DAY_US, MINUTE_US), down("c", DAY_US + 2 * MINUTE_US, MINUTE_US),
        down("a", 2 * DAY_US, MINUTE_US), down("b", 2 * DAY_US + 5 * MINUTE_US + 1, MINUTE_US),
    ))  # fmt: skip

    assert seen.together_share == pytest.approx(2 / 6)
    assert sorted(seen.group_sizes.tolist()) == [1, 1, 2, 2]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), min_size=1, max_size=25))
def test_together_is_what_comparing_every_pair_says(starts):
    seen = climate(record(*(down(site, at * 2 * MINUTE_US, 1) for site, at in set(starts))))

    right = [
        any(
            abs(int(a) - int(b)) <= TOGETHER_US and s != t
            for b, t in zip(seen.start_us, seen.site, strict=True)
        )
        for a, s in zip(seen.start_us, seen.site, strict=True)
    ]
    assert seen.together_share == pytest.approx(np.mean(right))


@given(st.lists(st.integers(0, 10**10), max_size=30))
def test_groups_hold_every_start_once(starts):
    sizes = group_sizes(np.sort(np.array(starts, dtype=np.int64)))

    assert int(sizes.sum()) == len(starts)


def test_the_most_sites_down_at_once_touch_but_do_not_overlap_at_a_handover():
    seen = climate(
        record(down("a", 0, HOUR_US), down("b", HOUR_US, HOUR_US), down("c", 0, HOUR_US))
    )

    assert seen.down_at_once == 2


def test_hours_and_days_are_local():
    seen = climate(record(down("a", 2 * HOUR_US, 1), down("b", 7 * DAY_US + 2 * HOUR_US, 1)))

    assert int(seen.hours().argmax()) == 2
    assert int(seen.days().argmax()) == 0
    assert int(seen.hours(-3 * HOUR_US).argmax()) == 23
    assert int(seen.days(-3 * HOUR_US).argmax()) == 6


def test_a_record_without_outages_has_figures_too():
    seen = climate(record())

    assert (seen.rate_per_month, seen.gap_variation, seen.together_share) == (0, 0, 0)
    assert (seen.down_at_once, seen.length_quantile_us(0.5), seen.beyond(1)) == (0, 0, (0, 0))
    assert seen.length_fits() == []
    assert seen.availability.tolist() == [1, 1, 1]
