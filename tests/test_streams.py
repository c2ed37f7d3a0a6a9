"""Draws belong to names and counters, whoever asks and when."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetwin.streams import WORDS, Philox, named, unit

NAMES = st.text(min_size=1, max_size=20)
COUNTERS = st.integers(0, 2**40)


@given(NAMES, COUNTERS, st.integers(1, 20), st.integers(0, 2**63))
def test_a_draw_is_the_same_alone_and_among_others(name, counter, count, seed):
    many = Philox(seed).words(name, counter, count)

    alone = [Philox(seed).words(name, counter + at, 1)[0] for at in range(count)]

    assert many.shape == (count, WORDS)
    assert np.array_equal(many, np.array(alone))


@given(NAMES, NAMES, COUNTERS)
def test_other_streams_asked_in_between_change_nothing(name, other, counter):
    draws, alone = Philox(3), Philox(3)
    first = draws.word(name, counter)

    draws.words(other, 0, 5)

    assert draws.word(name, counter) == first == alone.word(name, counter)


@given(NAMES, COUNTERS)
def test_draw_k_stands_at_counter_k_of_numpys_philox(name, counter):
    draws = Philox(11)
    key = draws.key(name)
    plain = np.random.Philox(key=int(key[0]) | int(key[1]) << 64, counter=counter)

    assert draws.raw(key, counter, 2).tolist() == plain.random_raw(2 * WORDS).tolist()


@pytest.mark.parametrize(
    ("one", "other"),
    [((1, "a", 0), (2, "a", 0)), ((1, "a", 0), (1, "b", 0)), ((1, "a", 0), (1, "a", 1))],
)
def test_seed_name_and_counter_all_matter(one, other):
    words = {tuple(Philox(seed).words(name, at, 1)[0].tolist()) for seed, name, at in (one, other)}

    assert len(words) == 2


def test_units_fill_the_unit_interval_evenly():
    draws = Philox(5)

    found = np.array([draws.unit("a", counter) for counter in range(4_000)])

    assert found.min() >= 0
    assert found.max() < 1
    counts, _ = np.histogram(found, bins=20, range=(0, 1))
    # 19 degrees of freedom: above 50.8 lies one of ten thousand samples.
    assert ((counts - 200) ** 2 / 200).sum() < 50.8


def test_the_largest_word_is_still_below_one():
    assert unit(2**64 - 1) < 1


def test_a_named_draw_is_a_word_of_a_stream_below_its_prefix():
    draws = Philox(9)

    assert named(draws, "cluster/a")("watch", 4) == draws.word("cluster/a/watch", 4)
