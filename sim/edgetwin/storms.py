"""Storms that never were: outage records drawn from laws, so that they look like real ones.

A storm has outages of its own at every site (a renewal process: up for a gap, down for a duration),
outages that a failure domain's sites share, a profile over the hours of the week, flapping and
degraded periods. The laws stand in `storm_spec`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgetwin import units
from edgetwin.outages import Outage, Record, merge, stream, windowed
from edgetwin.storm_spec import (
    Degraded,
    Durations,
    Flapping,
    Gaps,
    Rates,
    Shared,
    StormSpec,
)
from edgetwin.units import DAY_US, HOUR_US

if TYPE_CHECKING:
    from edgetwin.laws import Floats, Law

__all__ = [
    "Degraded",
    "Durations",
    "Flapping",
    "Gaps",
    "Rates",
    "Shared",
    "StormSpec",
    "generate",
]

MONTH_US = 30 * DAY_US
"""The month of all rates here, as in facts/traces.md, 3."""

BURN_IN_GAPS = 5
"""Mean gaps that a site's process runs before the window. Chosen: the share of sites that are down
at the first instant is then within 1 % of its final value."""

OUTAGES_MAX = 5_000_000
"""Most outages one storm may hold; it protects the memory from a rate in the wrong unit."""


# ---- time that passes as fast as outages come ----------------------------------------------------


class _Week:
    """Maps the time in which outages come evenly to the calendar, and back."""

    def __init__(self, spec: StormSpec) -> None:
        import numpy as np

        sign = -1 if spec.zone[0] == "-" else 1
        offset = sign * (int(spec.zone[1:3]) * HOUR_US + int(spec.zone[4:]) * units.MINUTE_US)
        # The epoch fell on a Thursday; the week here begins on Monday, 00:00 local.
        self._origin_us = -offset - 3 * DAY_US
        weights = np.outer(spec.days, spec.hours).ravel()
        self._even = np.concatenate((np.zeros(1), np.cumsum(weights) * (168 / weights.sum())))
        self._hours = np.arange(169.0)

    def even(self, at_us: Any) -> Floats:
        """Return the even time of calendar instants, in hours."""
        import numpy as np

        hours = (np.asarray(at_us, dtype=np.float64) - self._origin_us) / HOUR_US
        weeks = np.floor(hours / 168)
        even: Floats = weeks * 168 + np.interp(hours - weeks * 168, self._hours, self._even)
        return even

    def calendar_us(self, even: Floats) -> Floats:
        """Return the calendar instants of even times (hours), in microseconds."""
        import numpy as np

        weeks = np.floor(even / 168)
        within = np.interp(even - weeks * 168, self._even, self._hours)
        at_us: Floats = (weeks * 168 + within) * HOUR_US + self._origin_us
        return at_us


# ---- drawing ------------------------------------------------------------------------------------


def generate(
    spec: StormSpec, sites: Mapping[str, str], start_us: int, duration_us: int, seed: int
) -> Record:
    """Return a record of *sites* (name to failure domain), drawn from *spec* by *seed*.

    Every site draws from streams of its own, and so does every failure domain, so that a further
    site changes no other's own outages. Raises ValueError if the storm would be too large to hold.
    """
    storm = _Storm(spec, sites, start_us, duration_us, seed)
    outages = [outage for site in storm.sites for outage in storm.own(site)]
    for domain in sorted(set(sites.values())):
        outages.extend(storm.shared(domain))
    kept, joined, merged = merge(outages)
    whole = Record(
        outages=kept,
        unknown=(),
        sites=storm.sites,
        window_us=(min(start_us, storm.earliest(kept)), storm.latest(kept)),
        joined=joined,
        merged=merged,
        groups=tuple(sites[site] for site in storm.sites),
    )
    drawn = windowed(whole, start_us, start_us + duration_us)
    note = f"drawn from laws by seed {seed}; not a record of anything that happened"
    return replace(drawn, unknown=(), rows=len(drawn.outages), notes=(note,))


class _Storm:
    """One storm while it is drawn."""

    def __init__(
        self, spec: StormSpec, sites: Mapping[str, str], start_us: int, duration_us: int, seed: int
    ) -> None:
        self.spec, self.seed = spec, seed
        self.domain_of = dict(sites)
        self.sites = tuple(sorted(sites))
        self.start_us, self.end_us = start_us, start_us + duration_us
        self.week = _Week(spec)
        self.gap, self.duration = spec.gaps.numeric(), spec.durations.numeric()
        self.rate_per_month = {site: self._rate(site) for site in self.sites}
        expected = sum(self.rate_per_month.values()) * duration_us / MONTH_US
        if expected > OUTAGES_MAX:
            raise ValueError(
                f"the storm would hold {expected:.0f} outages, more than {OUTAGES_MAX}; "
                "check that the rate is one a month"
            )

    def earliest(self, outages: tuple[Outage, ...]) -> int:
        return min((outage.start_us for outage in outages), default=self.start_us)

    def latest(self, outages: tuple[Outage, ...]) -> int:
        ends = (outage.end_us for outage in outages if outage.end_us is not None)
        return max(self.end_us, *ends, self.end_us)

    def _rate(self, site: str) -> float:
        """Return the outages a month of *site*, its own and shared ones."""
        rates = self.spec.rates
        rng = stream(self.seed, site, "rate")
        if rates.values is not None:
            return float(rates.values[int(rng.integers(len(rates.values)))])
        return rates.median_per_month * math.exp(rates.sigma * float(rng.standard_normal()))

    def _outage(self, site: str, start_us: int, length_us: int, kind: str, cause: str) -> Outage:
        """Return an outage on the grid: from the step before, whole steps long, at least one."""
        step = self.spec.resolution_us
        start = start_us // step * step
        length = max(1, (length_us + step // 2) // step) * step
        error = step if step > 1 else 0
        return Outage(site, start, start + length, kind, cause, "", error, error)

    def own(self, site: str) -> list[Outage]:
        """Return the outages that *site* has of its own, and its degraded periods."""
        spec = self.spec
        outages: list[Outage] = []
        rate = self.rate_per_month[site] * (1 - spec.shared.share)
        flapping = spec.flapping
        # A burst counts as the outages it is made of.
        rate /= 1 + flapping.share * (flapping.pieces - 1)
        if rate > 0:
            starts, lengths = self._renewal(site, "own", rate, self.duration, spec.durations.max_us)
            kinds = self._kinds(site, len(starts))
            outages = [
                self._outage(site, start, length, kind, "site")
                for start, length, kind in zip(starts, lengths, kinds, strict=True)
            ]
            outages = self._flapping(site, outages)
        if spec.degraded.per_month > 0:
            law, cap = spec.degraded.durations.numeric(), spec.degraded.durations.max_us
            starts, lengths = self._renewal(site, "degraded", spec.degraded.per_month, law, cap)
            outages += [
                self._outage(site, start, length, "degraded", "site")
                for start, length in zip(starts, lengths, strict=True)
            ]
        return outages

    def _renewal(
        self, site: str, purpose: str, per_month: float, law: Law, cap_us: int
    ) -> tuple[list[int], list[int]]:
        """Draw starts and lengths (us) of outages that follow each other after up-times."""
        import numpy as np

        rng = stream(self.seed, site, purpose)
        mean_gap = MONTH_US / HOUR_US / per_month
        mean_length = min(law.mean, cap_us) / HOUR_US
        # Up and down together make the rate; a site can't be up less than a tenth of the time.
        mean_up = max(mean_gap - mean_length, 0.1 * mean_gap)
        lasts = float(self.week.even(self.end_us))
        even = float(self.week.even(self.start_us)) - BURN_IN_GAPS * mean_gap
        starts: list[Floats] = []
        lengths: list[Floats] = []
        while even < lasts:
            count = min(int((lasts - even) / mean_gap * 1.3) + 16, 1_000_000)
            draws = rng.random((count, 2))
            up = self.gap.quantile(draws[:, 0]) * mean_up
            down = np.clip(law.quantile(draws[:, 1]), 1, cap_us) / HOUR_US
            ends = even + np.cumsum(up + down)
            starts.append(ends - down)
            lengths.append(down)
            even = float(ends[-1])
        at = np.concatenate(starts)
        soon = at < lasts
        start_us = np.rint(self.week.calendar_us(at[soon])).astype(np.int64)
        length_us = np.rint(np.concatenate(lengths)[soon] * HOUR_US).astype(np.int64)
        return start_us.tolist(), np.maximum(length_us, 1).tolist()

    def _kinds(self, site: str, count: int) -> list[str]:
        import numpy as np

        kinds = sorted(self.spec.kinds)
        if len(kinds) == 1:
            return kinds * count
        edges = np.cumsum([self.spec.kinds[kind] for kind in kinds])
        draws = stream(self.seed, site, "kind").random(count)
        places = np.minimum(np.searchsorted(edges, draws, side="right"), len(kinds) - 1)
        return [kinds[k] for k in places.tolist()]

    def _flapping(self, site: str, outages: list[Outage]) -> list[Outage]:
        """Make bursts of some of *outages*, each piece as long as an outage, with short ups."""
        flapping = self.spec.flapping
        if flapping.share == 0:
            return outages
        rng = stream(self.seed, site, "flapping")
        pieces: list[Outage] = []
        cap = self.spec.durations.max_us
        for outage in outages:
            pieces.append(outage)
            if float(rng.random()) >= flapping.share:
                continue
            more = 1 + (int(rng.geometric(1 / (flapping.pieces - 1))) if flapping.pieces > 2 else 1)
            for _ in range(more - 1):
                assert outage.end_us is not None
                start = outage.end_us + max(1, round(float(rng.exponential(flapping.up_us))))
                length = min(max(1, round(float(self.duration.quantile(rng.random())))), cap)
                outage = self._outage(outage.site, start, length, outage.kind, outage.cause)
                pieces.append(outage)
        return pieces

    def shared(self, domain: str) -> list[Outage]:
        """Return the outages that the sites of *domain* have together."""
        import numpy as np

        from edgetwin.laws import normal_cdf

        shared = self.spec.shared
        sites = [site for site in self.sites if self.domain_of[site] == domain]
        rates = np.array([self.rate_per_month[site] for site in sites])
        per_month = float(rates.sum()) * shared.share
        if per_month == 0:
            return []
        hits = self._hits(len(sites))
        starts, lengths = self._renewal(
            domain, "shared", per_month / float(hits.mean()), self.duration, 1
        )
        del lengths
        rng = stream(self.seed, domain, "shared events")
        hit = hits[rng.integers(len(hits), size=len(starts))]
        common = rng.standard_normal(len(starts))
        draws = {site: stream(self.seed, domain, site, "hit") for site in sites}
        # The sites with the highest keys are hit: log rate plus Gumbel noise, so that a site's
        # chance grows with its rate.
        keys = np.array([draws[site].gumbel(size=len(starts)) for site in sites])
        keys += np.log(np.maximum(rates, 1e-12))[:, None]
        own = np.array([draws[site].standard_normal(len(starts)) for site in sites])
        late = np.array([draws[site].random(len(starts)) for site in sites]) * shared.spread_us
        score = math.sqrt(shared.alike) * common + math.sqrt(1 - shared.alike) * own
        length = np.clip(self.duration.quantile(normal_cdf(score)), 1, self.spec.durations.max_us)
        order = np.argsort(-keys, axis=0, kind="stable")
        kinds, cause = self._kinds(domain, len(starts)), f"{domain} event"
        outages: list[Outage] = []
        for event, (start, count) in enumerate(zip(starts, hit.tolist(), strict=True)):
            for place in order[:count, event].tolist():
                begins = start + round(float(late[place, event]))
                lasts = round(float(length[place, event]))
                outages.append(self._outage(sites[place], begins, lasts, kinds[event], cause))
        return outages

    def _hits(self, sites: int) -> Any:
        """Return the numbers of sites that events hit, equally likely; two or more of them."""
        import numpy as np

        shared = self.spec.shared
        if shared.hits is not None:
            shares = np.asarray(shared.hits)
        else:
            middle = (np.arange(200) + 0.5) / 200
            shares = -shared.hit_share * np.log1p(-middle)
        return np.clip(np.rint(shares * sites), min(2, sites), sites).astype(np.int64)
