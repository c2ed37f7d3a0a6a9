"""Links whose capacity changes with time: how much passes until when.

A `Capacity` says which bytes may have left by which microsecond; a sender asks when its last byte
does. It comes from mahimahi's delivery opportunities (exact, a packet each) or from throughput a
second, and repeats like the replayers of such traces do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgetwin.units import SECOND_US

PACKET_BYTES = 1_500
"""What one delivery opportunity of mahimahi carries: data/mahimahi-cellular."""


@dataclass(frozen=True)
class Capacity:
    """What a link may carry, from time 0 on, repeating after `period_us`."""

    at_us: NDArray[np.int64]
    """Instants, strictly rising, the first 0 and the last `period_us`."""
    carried_bytes: NDArray[np.int64]
    """Bytes that may have left by each instant; between two it grows evenly unless `stepwise`."""
    stepwise: bool = False
    """The bytes leave at the instant itself: packets, not a flow."""

    def __post_init__(self) -> None:
        rising = len(self.at_us) > 1 and bool((np.diff(self.at_us) > 0).all())
        if not rising or self.at_us[0] != 0:
            raise ValueError("instants must rise from 0 to the period")
        if (np.diff(self.carried_bytes) < 0).any() or self.carried_bytes[0] != 0:
            raise ValueError("what is carried must not fall, and begin at 0")

    @property
    def period_us(self) -> int:
        return int(self.at_us[-1])

    @property
    def bytes_a_period(self) -> int:
        return int(self.carried_bytes[-1])

    @property
    def mean_bps(self) -> float:
        """Mean rate over a period, bits a second."""
        return self.bytes_a_period * 8 * SECOND_US / self.period_us

    def carried_by(self, at_us: int) -> int:
        """Return the bytes that may have left by *at_us*, counted from time 0."""
        rounds, rest = divmod(at_us, self.period_us)
        return rounds * self.bytes_a_period + self._within(rest)

    def _within(self, at_us: int) -> int:
        place = int(np.searchsorted(self.at_us, at_us, side="right")) - 1
        carried = int(self.carried_bytes[place])
        if self.stepwise or place + 1 == len(self.at_us):
            return carried
        span = int(self.at_us[place + 1] - self.at_us[place])
        more = int(self.carried_bytes[place + 1]) - carried
        return carried + more * (at_us - int(self.at_us[place])) // span

    def done_us(self, start_us: int, size_bytes: int) -> int | None:
        """Return when the last of *size_bytes* that are sent from *start_us* on has left.

        None if the link never carries anything. Nothing that could have left before *start_us* is
        used: an opportunity that nobody took is gone.
        """
        if size_bytes <= 0:
            return start_us
        if self.bytes_a_period == 0:
            return None
        goal = self.carried_by(start_us) + size_bytes
        rounds, rest = divmod(goal - 1, self.bytes_a_period)
        rest += 1
        place = int(np.searchsorted(self.carried_bytes, rest, side="left"))
        at = int(self.at_us[place])
        if not self.stepwise:
            before = int(self.carried_bytes[place - 1])
            span = at - int(self.at_us[place - 1])
            more = int(self.carried_bytes[place]) - before
            at = int(self.at_us[place - 1]) + -(-(rest - before) * span // more)
        return max(start_us, rounds * self.period_us + at)

    def down_us(self, silence_us: int) -> list[tuple[int, int]]:
        """Return the intervals of the first period, at least *silence_us* long, that carry nothing.

        Times at which the link is as good as cut.
        """
        moved = np.flatnonzero(np.diff(self.carried_bytes) > 0)
        found: list[tuple[int, int]] = []
        last = 0
        for place in moved.tolist():
            begins = int(self.at_us[place + 1] if self.stepwise else self.at_us[place])
            if begins - last >= silence_us:
                found.append((last, begins))
            last = int(self.at_us[place + 1])
        if self.period_us - last >= silence_us:
            found.append((last, self.period_us))
        return found


def of_opportunities(times_ms: Sequence[int], *, packet_bytes: int = PACKET_BYTES) -> Capacity:
    """Return the capacity of a mahimahi trace: sorted milliseconds, a packet each.

    The trace repeats after its last opportunity, as mahimahi's link does. Raises ValueError if it
    is empty or has no length.
    """
    if not len(times_ms) or times_ms[-1] <= 0:
        raise ValueError("a trace needs an opportunity after millisecond 0")
    at_ms, counts = np.unique(np.asarray(times_ms, dtype=np.int64), return_counts=True)
    carried = np.cumsum(counts) * packet_bytes
    at_us = at_ms * 1_000
    if at_us[0] == 0:
        # What stands at 0 leaves with the next opportunity, so that nothing has left by 0.
        carried = np.concatenate(([0], carried[1:]))
    else:
        carried, at_us = np.concatenate(([0], carried)), np.concatenate(([0], at_us))
    return Capacity(at_us, carried, stepwise=True)


def of_throughput(
    samples: Sequence[tuple[int, float]], *, step_us: int = SECOND_US
) -> Capacity:  # fmt: skip
    """Return the capacity of throughput samples (time in us, Mbit/s), each for *step_us* from it.

    Time between samples that are farther apart than *step_us* carries nothing and is cut out, so
    that sessions of a drive follow each other. Raises ValueError if there is no sample.
    """
    if not len(samples):
        raise ValueError("a trace needs a sample")
    ordered = sorted(samples)
    rates = np.array([max(rate, 0.0) for _, rate in ordered])
    at = np.array([time for time, _ in ordered], dtype=np.int64)
    lasts = np.minimum(np.diff(at, append=at[-1] + step_us), step_us)
    keep = lasts > 0
    carried = np.rint(rates[keep] * lasts[keep] / 8).astype(np.int64)
    return Capacity(
        np.concatenate(([0], np.cumsum(lasts[keep]))), np.concatenate(([0], np.cumsum(carried)))
    )
