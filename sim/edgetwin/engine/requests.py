"""Requests as columns: which there are, when they arrive, and the draws that belong to each.

Request *k* of a stream (site, class) owns the four words at counter *k* of the Philox stream
``request/SITE/GROUP/CLASS``:

| word | high 32 bits | low 32 bits |
|---|---|---|
| 0 | arrival | arrival |
| 1 | service time (at the edge or in the cloud) | service time |
| 2 | policy input | endpoint |
| 3 | key | delay on the way to the cloud, cold start |

So a request keeps its draws whoever asks for it, when, and in which block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edgetwin.model import Law
from edgetwin.streams import WORDS, Philox

Times = NDArray[np.int64]
Words = NDArray[np.uint64]

_UNIT = 2.0**-53
_NORMAL_POINTS = 1 << 16
_SHORT_SHARE = 0.03
"""How often a block is drawn again because one of its streams ended too early. Chosen: it makes up
for the draws that a wider margin would leave over."""
_normal_table: NDArray[np.float64] | None = None


@dataclass
class Block:
    """The requests of one class that arrive in one window, sorted by stream and arrival."""

    stream: NDArray[np.int32]
    """Row of the class's streams, shape (n,)."""
    number: Times
    """Counter *k* in the stream, shape (n,)."""
    arrival_us: Times
    service_word: Words
    choice_word: Words
    key_word: Words
    first: NDArray[np.int64]
    """Where each stream's requests begin, shape (streams + 1,)."""


class Arrivals:
    """All streams of one class: one a site that has the devices."""

    def __init__(
        self,
        draws: Philox,
        names: Sequence[str],
        *,
        every_us: int,
        devices: int = 1,
        periodic: bool = False,
    ) -> None:
        """Streams called *names*; each of *devices* asks *every_us* on average."""
        self.every_us = every_us
        self.devices = devices
        self.gap_us = every_us / devices
        self._draws = draws
        self._keys = [draws.key(f"request/{name}") for name in names]
        self._next = np.zeros(len(names), dtype=np.int64)
        self._last_us = np.zeros(len(names), dtype=np.int64)
        self._phases = self._device_phases(names) if periodic else None
        self._margin_sigmas = NormalDist().inv_cdf(1 - _SHORT_SHARE / max(1, len(names)))

    def _device_phases(self, names: Sequence[str]) -> Times:
        """Return when in their period the devices of each stream ask, shape (streams, devices)."""
        phases = np.empty((len(names), self.devices), dtype=np.int64)
        for row, name in enumerate(names):
            words = self._draws.words(f"phase/{name}", 0, self.devices)[:, 0]
            phases[row] = np.sort((_unit(words) * self.every_us).astype(np.int64))
        return phases

    def block(self, until_us: int) -> Block:
        """Return the requests that arrive before *until_us* and after the last block."""
        if self._phases is not None:
            return self._periodic(until_us)
        span = np.maximum(until_us - self._last_us, 0) / self.gap_us
        counts = (span + self._margin_sigmas * np.sqrt(span) + 4).astype(np.int64)
        words, arrival, first = self._poisson(np.arange(len(self._keys)), counts)
        last = arrival[first[1:] - 1]
        # A stream whose draws ended too early is drawn again, longer: rare, and never guessed.
        while (short := np.flatnonzero(last < until_us)).size:
            counts[short] = counts[short] * 3 // 2 + 8
            words, arrival, first = self._poisson(np.arange(len(self._keys)), counts)
            last = arrival[first[1:] - 1]
        keep = arrival < until_us
        kept = np.add.reduceat(keep, first[:-1], dtype=np.int64)
        stream = np.repeat(np.arange(len(kept), dtype=np.int32), kept)
        bounds = np.concatenate(([0], np.cumsum(kept)))
        number = np.arange(bounds[-1], dtype=np.int64)
        number += np.repeat(self._next - bounds[:-1], kept)
        arrival = arrival[keep]
        busy = np.flatnonzero(kept)
        self._last_us[busy] = arrival[bounds[1:][busy] - 1]
        self._next += kept
        return Block(
            stream, number, arrival,
            words[:, 1][keep], words[:, 2][keep], words[:, 3][keep], bounds,
        )  # fmt: skip

    def _poisson(
        self, streams: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> tuple[Words, Times, NDArray[np.int64]]:
        """Return words (n, 4), arrivals (n,) and where each stream begins (streams + 1,)."""
        first = np.concatenate(([0], np.cumsum(counts)))
        words = np.empty((int(first[-1]), WORDS), dtype=np.uint64)
        flat = words.reshape(-1)
        raw, keys = self._draws.raw, self._keys
        bounds, number, lengths = (first * WORDS).tolist(), self._next.tolist(), counts.tolist()
        for row in streams.tolist():
            flat[bounds[row] : bounds[row + 1]] = raw(keys[row], number[row], lengths[row])
        gaps = exponential_us(words[:, 0], self.gap_us)
        total = np.cumsum(gaps)
        before = total[first[:-1]] - gaps[first[:-1]]
        total += np.repeat(self._last_us - before, counts)
        return words, total, first

    def _periodic(self, until_us: int) -> Block:
        assert self._phases is not None
        every, devices = self.every_us, self.devices
        cycle = until_us // every
        counts = cycle * devices + (self._phases < until_us - cycle * every).sum(axis=1)
        kept = counts - self._next
        bounds = np.concatenate(([0], np.cumsum(kept)))
        stream = np.repeat(np.arange(len(kept), dtype=np.int32), kept)
        number = np.arange(bounds[-1], dtype=np.int64)
        number += np.repeat(self._next - bounds[:-1], kept)
        arrival = number // devices * every + self._phases[stream, number % devices]
        words = np.empty((int(bounds[-1]), WORDS), dtype=np.uint64)
        flat = words.reshape(-1)
        for row, (start, count) in enumerate(zip(self._next.tolist(), kept.tolist(), strict=True)):
            at = int(bounds[row]) * WORDS
            flat[at : at + count * WORDS] = self._draws.raw(self._keys[row], start, count)
        self._next = counts
        return Block(
            stream, number, arrival,
            words[:, 1].copy(), words[:, 2].copy(), words[:, 3].copy(), bounds,
        )  # fmt: skip


def exponential_us(words: Words, mean_us: float) -> Times:
    """Return exponential durations, one a word: the inverse of its distribution function."""
    unit = (words >> np.uint64(11)).astype(np.float64)
    unit += 1.0
    unit *= _UNIT
    np.log(unit, out=unit)
    unit *= -mean_us
    return np.rint(unit, out=unit).astype(np.int64)


def durations_us(law: Law, words: Words) -> Times:
    """Return durations of *law*, integer microseconds, one a word."""
    if law.law == "fixed":
        return np.full(words.shape, law.value_us, dtype=np.int64)
    if law.law == "exponential":
        assert law.mean_us is not None
        return exponential_us(words, law.mean_us)
    if law.law == "uniform":
        assert law.min_us is not None
        assert law.max_us is not None
        return scaled(words >> np.uint64(32), law.max_us - law.min_us + 1) + law.min_us
    assert law.median_us is not None
    assert law.sigma is not None
    drawn: Times = _lognormal_us(law.median_us, law.sigma)[words >> np.uint64(48)]
    return drawn


@lru_cache(maxsize=256)
def _lognormal_us(median_us: int, sigma: float) -> Times:
    """Return the lognormal duration at each quantile of `_normal`, shape (65536,)."""
    values: Times = np.rint(np.exp(sigma * _normal()) * median_us).astype(np.int64)
    return values


def scaled(high: Words, count: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return whole numbers in 0..count-1 from 32-bit draws *high*; *count* is at most 2**31.

    >>> scaled(np.array([0, 2**31, 2**32 - 1], dtype=np.uint64), 10).tolist()
    [0, 5, 9]
    """
    # Read as signed they are the same numbers, and nothing is copied.
    numbers = high.view(np.int64) * count
    numbers >>= 32
    return numbers


def _unit(words: Words) -> NDArray[np.float64]:
    return (words >> np.uint64(11)).astype(np.float64) * _UNIT


def _normal() -> NDArray[np.float64]:
    """Return the standard normal at 65,536 evenly spaced quantiles, at their midpoints.

    Computed once, by bisection on the error function: the tail beyond 4.3 sigma is cut.
    """
    global _normal_table
    if _normal_table is None:
        inverse = NormalDist().inv_cdf
        half = [inverse((i + 0.5) / _NORMAL_POINTS) for i in range(_NORMAL_POINTS // 2)]
        _normal_table = np.array([*half, *(-value for value in reversed(half))])
    return _normal_table
