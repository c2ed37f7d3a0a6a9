"""What a record of outages says: rates, lengths, bursts, company, hours; and which laws fit it.

Pure NumPy over one record. Degraded periods are no outages and are told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetwin import laws
from edgetwin.outages import Record, grid_error_us
from edgetwin.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US

MONTH_US = 30 * DAY_US

TOGETHER_US = 5 * MINUTE_US
"""Outages that start this close at two sites start together: facts/traces.md, 3."""

LENGTHS_US = (5 * MINUTE_US, HOUR_US, 4 * HOUR_US, DAY_US)
"""Lengths beyond which the share of outages and of downtime is told: facts/traces.md, 3."""


@dataclass(frozen=True)
class Climate:
    """The numbers of one record. Arrays are by outage, sorted by site and start."""

    sites: tuple[str, ...]
    groups: tuple[str, ...]
    """The failure domain of each site."""
    window_us: tuple[int, int]
    watched_us: NDArray[np.int64]
    """How long each site was watched: the window without its unknown time."""
    site: NDArray[np.int64]
    """The place of each outage's site in `sites`."""
    start_us: NDArray[np.int64]
    end_us: NDArray[np.int64]
    whole: NDArray[np.bool_]
    """Which outages were seen from start to end."""
    kinds: tuple[str, ...]
    """The kind of each outage."""
    degraded_us: tuple[int, ...]
    """The lengths of the degraded periods."""
    grid_us: int
    """The step on which all instants lie."""

    @property
    def outages(self) -> int:
        return len(self.site)

    @cached_property
    def length_us(self) -> NDArray[np.int64]:
        return self.end_us - self.start_us

    @cached_property
    def site_months(self) -> float:
        """The time all sites were watched, in months of 30 days."""
        return float(self.watched_us.sum()) / MONTH_US

    @property
    def rate_per_month(self) -> float:
        """Outages a site and month."""
        return self.outages / self.site_months if self.site_months else 0.0

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Outages of each site."""
        return np.bincount(self.site, minlength=len(self.sites))

    @cached_property
    def downtime_us(self) -> NDArray[np.int64]:
        """Time each site was down; outages of two kinds at once count once."""
        total = np.zeros(len(self.sites), np.int64)
        last_site, last_end = -1, 0
        for site, start, end in zip(
            self.site.tolist(), self.start_us.tolist(), self.end_us.tolist(), strict=True
        ):
            if site != last_site:
                last_site, last_end = site, start
            total[site] += max(0, end - max(start, last_end))
            last_end = max(last_end, end)
        return total

    @cached_property
    def availability(self) -> NDArray[np.float64]:
        """Share of its watched time that each site was up."""
        watched = np.maximum(self.watched_us, 1)
        shares: NDArray[np.float64] = 1.0 - self.downtime_us / watched
        return shares

    def length_quantile_us(self, share: float) -> float:
        """Return the length below which *share* of the wholly seen outages stay; 0 if none is."""
        seen = self.length_us[self.whole]
        return float(np.quantile(seen, share)) if len(seen) else 0.0

    def beyond(self, length_us: int) -> tuple[float, float]:
        """Return the share of outages that last longer, and of all downtime that they hold."""
        longer = self.length_us > length_us
        total = self.length_us.sum()
        if not total:
            return 0.0, 0.0
        return float(longer.mean()), float(self.length_us[longer].sum() / total)

    @cached_property
    def gaps_us(self) -> NDArray[np.int64]:
        """Times from one start to the next at the same site, over all sites."""
        same = self.site[1:] == self.site[:-1]
        gaps: NDArray[np.int64] = np.diff(self.start_us)[same]
        return gaps

    @cached_property
    def ups_us(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Times from an end to the next start at the same site, and the place of that site."""
        same = self.site[1:] == self.site[:-1]
        ups = np.maximum(self.start_us[1:] - self.end_us[:-1], 0)
        return ups[same], self.site[1:][same]

    @property
    def gap_variation(self) -> float:
        """Standard deviation of the gaps over their mean: 1 if outages came at random."""
        gaps = self.gaps_us
        return float(gaps.std() / gaps.mean()) if len(gaps) > 1 and gaps.mean() > 0 else 0.0

    @cached_property
    def _in_time(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = np.lexsort((self.site, self.start_us))
        return self.start_us[order], self.site[order]

    @cached_property
    def together_share(self) -> float:
        """Share of outages that start within five minutes of one at another site."""
        start, site = self._in_time
        count = len(start)
        if count < 2:
            return 0.0
        place = np.arange(count)
        first = np.concatenate((np.ones(1, bool), site[1:] != site[:-1]))
        last = np.concatenate((first[1:], np.ones(1, bool)))
        before = np.maximum.accumulate(np.where(first, place, 0)) - 1
        after = np.minimum.accumulate(np.where(last, place, count)[::-1])[::-1] + 1
        near = np.zeros(count, bool)
        near |= (before >= 0) & (start - start[np.maximum(before, 0)] <= TOGETHER_US)
        near |= (after < count) & (start[np.minimum(after, count - 1)] - start <= TOGETHER_US)
        return float(near.mean())

    @cached_property
    def group_sizes(self) -> NDArray[np.int64]:
        """Outages in each chain of starts with at most five minutes between two."""
        return group_sizes(self._in_time[0])

    @cached_property
    def down_at_once(self) -> int:
        """Most sites that were down at one instant."""
        at = np.concatenate((self.start_us, self.end_us))
        step = np.concatenate((np.ones(self.outages, int), -np.ones(self.outages, int)))
        order = np.lexsort((step, at))
        return int(np.cumsum(step[order]).max()) if len(at) else 0

    def hours(self, offset_us: int = 0) -> NDArray[np.float64]:
        """Starts in each hour of the day, against the mean, local time by *offset_us*."""
        return _profile((self.start_us + offset_us) // HOUR_US % 24, 24)

    def days(self, offset_us: int = 0) -> NDArray[np.float64]:
        """Starts on each day from Monday, against the mean."""
        # The epoch was a Thursday.
        return _profile(((self.start_us + offset_us) // DAY_US + 3) % 7, 7)

    def length_fits(self) -> list[laws.Fit]:
        """Return the laws of the lengths in seconds, the best first; censored ones are bounds."""
        return laws.fits(
            self.length_us / SECOND_US, censored=~self.whole, grid=self.grid_us / SECOND_US
        )

    def gap_fits(self) -> list[laws.Fit]:
        """Return the laws of the gaps in seconds, the best first."""
        gaps = self.gaps_us[self.gaps_us > 0]
        return laws.fits(gaps / SECOND_US, grid=self.grid_us / SECOND_US)


def _profile(places: NDArray[np.int64], slots: int) -> NDArray[np.float64]:
    counts = np.bincount(places, minlength=slots).astype(np.float64)
    weights: NDArray[np.float64] = counts / counts.mean() if counts.any() else np.ones(slots)
    return weights


def group_sizes(starts_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of the sorted *starts_us* each chain of near ones holds."""
    if not len(starts_us):
        return np.zeros(0, np.int64)
    breaks = np.flatnonzero(np.diff(starts_us) > TOGETHER_US) + 1
    edges = np.concatenate((np.zeros(1, np.int64), breaks, np.array([len(starts_us)])))
    return np.diff(edges)


def climate(record: Record) -> Climate:
    """Return the numbers of *record*."""
    place = {site: k for k, site in enumerate(record.sites)}
    down = [outage for outage in record.outages if outage.kind != "degraded"]
    watched = np.full(len(record.sites), record.window_us[1] - record.window_us[0], np.int64)
    for gap in record.unknown:
        watched[place[gap.site]] -= gap.end_us - gap.start_us
    return Climate(
        sites=record.sites,
        groups=record.groups or record.sites,
        window_us=record.window_us,
        watched_us=watched,
        site=_array(place[outage.site] for outage in down),
        start_us=_array(outage.start_us for outage in down),
        end_us=_array(record.end_us(outage) for outage in down),
        whole=np.array([not set(o.censored) & set("LR") for o in down], bool),
        kinds=tuple(outage.kind for outage in down),
        degraded_us=tuple(
            record.end_us(o) - o.start_us for o in record.outages if o.kind == "degraded"
        ),
        grid_us=grid_error_us(record),
    )


def _array(values: Any) -> NDArray[np.int64]:
    return np.fromiter(values, np.int64)


@dataclass(frozen=True)
class Trait:
    """One number by which two records are compared."""

    name: str
    unit: str
    value: float


def traits(climate: Climate) -> list[Trait]:
    """Return the numbers that a generated record has to share with the real one."""
    hour = HOUR_US
    return [
        Trait("rate", "outages a site-month", climate.rate_per_month),
        Trait("duration p50", "h", climate.length_quantile_us(0.5) / hour),
        Trait("duration p90", "h", climate.length_quantile_us(0.9) / hour),
        Trait("duration p99", "h", climate.length_quantile_us(0.99) / hour),
        Trait("gap variation", "", climate.gap_variation),
        Trait("start together", "share", climate.together_share),
        Trait("total downtime", "h", float(climate.downtime_us.sum()) / hour),
    ]


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the 5 %, 50 % and 95 % quantiles of *values*."""
    low, middle, high = np.quantile(np.asarray(values), (0.05, 0.5, 0.95)).tolist()
    return low, middle, high
