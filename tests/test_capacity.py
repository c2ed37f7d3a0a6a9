"""Links of changing capacity: what has left by when, exactly."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetwin.capacity import PACKET_BYTES, Capacity, of_opportunities, of_throughput
from edgetwin.errors import ScenarioError
from edgetwin.inputs import capacities

DATA = Path(os.environ.get("EDGETWIN_DATA", "/nowhere")) / "data"
SAMPLES = Path(__file__).parent / "samples"

traces = st.lists(st.integers(1, 400), min_size=1, max_size=30).map(sorted)
starts = st.integers(0, 2_000_000)


def slow_done_us(times_ms: list[int], start_us: int, size_bytes: int) -> int:
    """Walk over the opportunities one by one, round after round."""
    packets = -(-size_bytes // PACKET_BYTES)
    period = times_ms[-1] * 1_000
    round_start = start_us // period * period
    while True:
        for at in times_ms:
            instant = round_start + at * 1_000
            if instant > start_us:
                packets -= 1
                if packets == 0:
                    return instant
        round_start += period


@given(traces, starts, st.integers(1, 200_000))
def test_the_last_packet_leaves_when_its_opportunity_comes(times_ms, start, size):
    link = of_opportunities(times_ms)

    assert link.done_us(start, size) == slow_done_us(times_ms, start, size)


@given(traces, starts, st.integers(0, 100_000), st.integers(0, 100_000))
def test_sending_in_two_parts_takes_as_long_as_at_once(times_ms, start, one, other):
    link = of_opportunities(times_ms)
    one, other = one * PACKET_BYTES // 1_000, other * PACKET_BYTES // 1_000
    one -= one % PACKET_BYTES

    first = link.done_us(start, one)
    second = link.done_us(first, other)
    whole = link.done_us(start, one + other)

    # Packets of one millisecond leave together, so a part may end in the midst of one.
    assert first <= whole <= second


@given(
    st.lists(st.floats(0, 50), min_size=1, max_size=20).filter(lambda rates: max(rates) > 0.1),
    starts, st.integers(1, 10**8),
)  # fmt: skip
def test_a_flow_has_carried_what_was_sent_and_not_a_microsecond_earlier(rates, start, size):
    link = of_throughput([(k * 1_000_000, rate) for k, rate in enumerate(rates)])

    done = link.done_us(start, size)

    assert link.carried_by(done) - link.carried_by(start) >= size
    assert link.carried_by(done - 1) - link.carried_by(start) < size or done == start


def test_a_link_that_never_carries_is_never_done_and_nothing_takes_no_time():
    dead = of_throughput([(0, 0.0)])

    assert dead.done_us(5, 1) is None
    assert dead.done_us(5, 0) == 5
    assert dead.down_us(1) == [(0, 1_000_000)]


def test_sessions_of_a_drive_follow_each_other():
    link = of_throughput([(0, 8.0), (1_000_000, 0.0), (60_000_000, 8.0)])

    assert link.period_us == 3_000_000
    assert link.down_us(500_000) == [(1_000_000, 2_000_000)]
    assert link.mean_bps == pytest.approx(16e6 / 3)


def test_capacity_that_falls_is_refused():
    with pytest.raises(ValueError, match="fall"):
        Capacity(np.array([0, 1, 2]), np.array([0, 5, 3]))
    with pytest.raises(ValueError, match="rise"):
        Capacity(np.array([0, 0]), np.array([0, 5]))
    with pytest.raises(ValueError):
        of_opportunities([])
    with pytest.raises(ValueError):
        of_opportunities([0, 0])


def test_files_of_both_kinds_are_read_and_others_refused(tmp_path):
    packets = capacities.read(SAMPLES / "drive.down")
    flow = capacities.read(SAMPLES / "drive_1hz.csv")

    assert packets.bytes_a_period == PACKET_BYTES * len(
        (SAMPLES / "drive.down").read_text().split()
    )
    assert packets.down_us(1_000_000) == [(950_000, 3_000_000), (4_960_000, 6_500_000)]
    assert flow.down_us(1_000_000) == []
    for name in ("outages.csv", "ioda-events.json"):
        with pytest.raises(ScenarioError, match="no trace of capacity"):
            capacities.read(SAMPLES / name)


@pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set EDGETWIN_DATA")
@pytest.mark.parametrize("name", ["ATT-LTE-driving.down", "ATT-LTE-driving.up",
                                  "Verizon-EVDO-driving.down"])  # fmt: skip
def test_a_real_trace_has_the_mean_that_its_summary_states(name):
    import csv

    rows = csv.DictReader((DATA / "mahimahi-cellular" / "summary.csv").open())
    row = next(row for row in rows if row["trace"] == name)

    link = capacities.read(DATA / "mahimahi-cellular" / f"{name}.gz")

    assert link.mean_bps / 1e6 == pytest.approx(float(row["mean_mbit_s"]), rel=2e-3)
    assert len(link.down_us(1_000_000)) == int(row["gaps_ge_1s"])
