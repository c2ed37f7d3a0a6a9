"""Requests as columns, against one draw at a time."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetwin.engine.requests import Arrivals, Block, durations_us, exponential_us, scaled
from edgetwin.model import Law
from edgetwin.streams import Philox

NAMES = ("a/till/pay", "b/till/pay", "c/till/pay")
COLUMNS = ("stream", "number", "arrival_us", "service_word", "choice_word", "key_word")


def arrivals(
    names=NAMES, *, every_us: int = 1_000, devices: int = 3, periodic: bool = False, seed: int = 1
) -> Arrivals:
    return Arrivals(Philox(seed), names, every_us=every_us, devices=devices, periodic=periodic)


def rows(*blocks: Block) -> list[tuple[int, ...]]:
    """Return the requests of some blocks, by stream and number."""
    return sorted(
        row
        for block in blocks
        for row in zip(*(getattr(block, column).tolist() for column in COLUMNS), strict=True)
    )


cuts = st.lists(st.integers(0, 20_000), max_size=12).map(sorted)


@settings(deadline=None)
@given(cuts, st.booleans(), st.integers(0, 99), st.sampled_from([7, 300, 1_000, 100_000]))
def test_any_blocks_hold_the_same_requests(cuts, periodic, seed, every_us):
    whole = arrivals(periodic=periodic, seed=seed, every_us=every_us).block(20_000)
    parts = arrivals(periodic=periodic, seed=seed, every_us=every_us)

    blocks = [parts.block(until_us) for until_us in [*cuts, 20_000]]

    assert rows(*blocks) == rows(whole)


@given(cuts, st.booleans())
def test_a_block_is_sorted_and_ends_before_its_end(cuts, periodic):
    source, before_us = arrivals(periodic=periodic), 0
    for until_us in cuts:
        block = source.block(until_us)
        for stream in range(len(NAMES)):
            mine = slice(int(block.first[stream]), int(block.first[stream + 1]))
            at = block.arrival_us[mine]
            assert (block.stream[mine] == stream).all()
            assert (np.diff(at) >= 0).all()
            assert ((at >= before_us) & (at < until_us)).all()
        before_us = until_us


@pytest.mark.parametrize("periodic", [False, True])
def test_a_request_owns_the_words_at_its_counter(periodic):
    draws = Philox(1)

    found = rows(arrivals(periodic=periodic).block(20_000))

    for stream, number, _, *words in found:
        expected = draws.words(f"request/{NAMES[stream]}", number, 1)[0].tolist()
        assert words == expected[1:]


def test_poisson_gaps_are_drawn_one_after_the_other():
    draws, at_us = Philox(1), 0

    found = [row for row in rows(arrivals().block(20_000)) if row[0] == 0]

    for number, row in enumerate(found):
        word = draws.word(f"request/{NAMES[0]}", number)
        at_us += round(-math.log(((word >> 11) + 1) * 2.0**-53) * 1_000 / 3)
        assert row[1:3] == (number, at_us)


def test_periodic_devices_keep_their_phase():
    found = arrivals(periodic=True, every_us=1_000, devices=3).block(50_000)

    at_us = found.arrival_us[found.stream == 1]
    assert at_us.size == 150
    assert (np.diff(at_us.reshape(50, 3), axis=0) == 1_000).all()
    assert len(set(at_us[:3].tolist())) == 3


@pytest.mark.parametrize("periodic", [False, True])
def test_another_stream_changes_no_draw(periodic):
    few = arrivals(NAMES[:2], periodic=periodic).block(20_000)

    more = arrivals(NAMES, periodic=periodic).block(20_000)

    assert rows(few) == [row for row in rows(more) if row[0] < 2]


def test_the_mean_rate_is_what_was_asked_for():
    found = arrivals(every_us=1_000, devices=4).block(1_000_000)

    for count in np.diff(found.first).tolist():
        assert abs(count - 4_000) < 5 * math.sqrt(4_000)


WORDS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20)
LAWS = st.one_of(
    st.builds(lambda n: Law(law="fixed", value_us=f"{n}us"), st.integers(0, 10**7)),
    st.builds(lambda n: Law(law="exponential", mean_us=f"{n}us"), st.integers(1, 10**7)),
    st.builds(
        lambda low, more: Law(law="uniform", min_us=f"{low}us", max_us=f"{low + more}us"),
        st.integers(0, 10**6), st.integers(0, 10**6),
    ),
    st.builds(
        lambda n, sigma: Law(law="lognormal", median_us=f"{n}us", sigma=sigma),
        st.integers(1, 10**6), st.sampled_from([0.1, 0.5, 2.0]),
    ),
)  # fmt: skip


def one_duration_us(law: Law, word: int) -> int:
    """Return the inverse of a law's distribution function, by the book."""
    if law.law == "fixed":
        return law.value_us
    if law.law == "exponential":
        return round(-law.mean_us * math.log(((word >> 11) + 1) * 2.0**-53))
    if law.law == "uniform":
        return law.min_us + ((word >> 32) * (law.max_us - law.min_us + 1) >> 32)
    quantile = ((word >> 48) + 0.5) / 2**16
    return round(law.median_us * math.exp(law.sigma * NormalDist().inv_cdf(quantile)))


@settings(deadline=None)
@given(LAWS, WORDS)
def test_durations_are_the_inverse_of_their_law(law, words):
    found = durations_us(law, np.array(words, dtype=np.uint64)).tolist()

    # A library's logarithm may differ in its last bit, and so a duration by a microsecond.
    for duration_us, word in zip(found, words, strict=True):
        assert abs(duration_us - one_duration_us(law, word)) <= 1


@settings(deadline=None)
@given(LAWS, WORDS)
def test_a_duration_is_the_same_alone_and_in_a_column(law, words):
    column = np.array(words, dtype=np.uint64)

    together = durations_us(law, column).tolist()

    assert together == [int(durations_us(law, column[at : at + 1])[0]) for at in range(len(words))]


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1), st.integers(1, 2**31))
def test_scaled_draws_are_below_their_count_and_in_order(words, count):
    found = scaled(np.array(sorted(words), dtype=np.uint64), count)

    assert found.tolist() == [word * count >> 32 for word in sorted(words)]
    assert found.max() < count


def test_the_extreme_words_give_finite_durations():
    ends = np.array([0, 2**64 - 1], dtype=np.uint64)

    assert exponential_us(ends, 1_000.0).tolist() == [36_737, 0]
