"""Learns a storm's laws from a record, and shows how far what they give is from the record.

A law stands for the data where its Kolmogorov-Smirnov distance is at most 0.1; else the data are
resampled. What no formula gives (how many coincidences are chance, how bursty a site's own outages
must be so that own and shared ones together are as bursty as the record) is found by drawing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetwin import laws
from edgetwin.climate import MONTH_US, Climate, climate, group_sizes
from edgetwin.errors import UsageError
from edgetwin.outages import Record
from edgetwin.storm_tune import Choice, Compared, compare, tuned
from edgetwin.storms import Durations, Rates, StormSpec
from edgetwin.units import DAY_US, MINUTE_US, SECOND_US

__all__ = ["Choice", "Compared", "Learned", "compare", "fit", "learn"]

FLAPPING_US = 15 * MINUTE_US
"""Up for less than this, a site flaps. Chosen: three probes of the five minutes usual."""

OUTAGES_MIN = 20
"""Fewer outages than this fit anything. Chosen: KS 0.1 means little below."""

PROFILE_OUTAGES_MIN, HOURS_SPAN_US, DAYS_SPAN_US = 200, 14 * DAY_US, 56 * DAY_US
"""What it takes to learn a profile of hours and of days: ten outages an hour of the day, and eight
of each weekday. Chosen: below, one event looks like a habit."""

SHIFTS = 20
"""Times that the sites' records are shifted apart to see how often starts meet by chance."""


@dataclass(frozen=True)
class Learned:
    """The settings of a generator, and where they come from."""

    spec: StormSpec
    choices: tuple[Choice, ...]


def fit(record: Record, *, zone: str = "+00:00", seed: int = 0) -> Learned:
    """Return the laws that give storms like *record*; hours and days count in *zone*.

    Raises UsageError if the record has too few outages to learn from.
    """
    seen = climate(record)
    if seen.outages < OUTAGES_MIN:
        raise UsageError(
            f"{seen.outages} outages are too few to learn from; bring {OUTAGES_MIN} or more, or "
            "replay the record itself"
        )
    choices: list[Choice] = []
    offset_us = _offset_us(zone)
    flapping, bursts = _flapping(seen)
    shares, sizes, domain_sites = _shared(seen, seed)
    hits = tuple((np.clip(sizes / domain_sites, 1e-6, 1.0)).round(6).tolist())
    spec = StormSpec.model_validate(
        {
            "rates": _rates(seen, choices),
            "gaps": _gaps(seen, bursts, choices),
            "durations": _durations(seen, choices),
            "shared": {
                "share": shares,
                "alike": _alike(seen),
                "spread": f"{min(seen.grid_us, 5 * MINUTE_US)}us",
                **({"hits": hits} if hits else {}),
            },
            "flapping": flapping,
            "degraded": _degraded(record, seen),
            **_profile(seen, offset_us),
            "zone": zone,
            "kinds": _kinds(seen),
            "resolution": f"{max(seen.grid_us, SECOND_US)}us",
        }
    )
    return Learned(tuned(spec, record, seen, seed, choices), tuple(choices))


def learn(
    record: Record, *, zone: str = "+00:00", seed: int = 0, runs: int = 100
) -> tuple[Learned, list[Compared]]:
    """Return what `fit` learns, and how *runs* storms drawn from it compare with *record*.

    Where storms miss the record's lengths or rate, a law that fits within 0.1 everywhere may still
    miss the tail, which holds the downtime: then the record's own values are resampled.
    """
    learned = fit(record, zone=zone, seed=seed)
    compared = compare(record, learned.spec, runs=runs, seed=seed)
    missed = [row.trait.name for row in compared if not row.inside]
    seen = climate(record)
    choices = list(learned.choices)
    update: dict[str, Any] = {}
    of_lengths = [name for name in missed if name.startswith(("duration", "total"))]
    if of_lengths and learned.spec.durations.law != "empirical":
        update["durations"] = Durations.model_validate(_resampled(seen))
        reason = f"{learned.spec.durations.law} misses {', '.join(of_lengths)}: resample"
        choices.append(Choice("durations", "empirical", 1.0, reason))
    if "rate" in missed and learned.spec.rates.values is None:
        update["rates"] = Rates(values=_rates_of(seen))
        choices.append(Choice("rates", "empirical", 1.0, "lognormal misses the rate: resample"))
    if not update:
        return learned, compared
    spec = tuned(learned.spec.model_copy(update=update), record, seen, seed, choices)
    return Learned(spec, tuple(choices)), compare(record, spec, runs=runs, seed=seed)


def _offset_us(zone: str) -> int:
    sign = -1 if zone.startswith("-") else 1
    return sign * (int(zone[1:3]) * 60 + int(zone[4:6])) * MINUTE_US


# ---- what can be read off ------------------------------------------------------------------------


def _chosen(
    what: str, fits: list[laws.Fit], choices: list[Choice], count: int
) -> laws.Fit | None:  # fmt: skip
    """Return the best fit if it may stand for the data, and write down why or why not."""
    if not fits:
        choices.append(Choice(what, "empirical", 1.0, f"{count} values are too few for a law"))
        return None
    best = fits[0]
    if best.ks > laws.KS_FITS_MAX:
        reason = f"best law {best.law.name} is off by {best.ks:.2f}: resample"
        choices.append(Choice(what, "empirical", best.ks, reason))
        return None
    choices.append(Choice(what, best.law.name, best.ks, f"fits {count} values within {best.ks:.2f}"))  # noqa: E501  # fmt: skip
    return best


def _durations(seen: Climate, choices: list[Choice]) -> dict[str, Any]:
    cap = {"max": f"{int(seen.length_us.max())}us"}
    best = _chosen("durations", seen.length_fits(), choices, seen.outages)
    if best is None:
        return _resampled(seen)
    law = best.law
    if isinstance(law, laws.Lognormal):
        median = f"{max(1, round(np.exp(law.mu) * SECOND_US))}us"
        return {"law": law.name, "median": median, "sigma": round(law.sigma, 4), **cap}
    mean = {"mean": f"{max(1, round(law.mean * SECOND_US))}us"}
    if isinstance(law, laws.Exponential):
        return {"law": law.name, **mean, **cap}
    assert isinstance(law, laws.Weibull | laws.Gamma)
    return {"law": law.name, **mean, "shape": round(law.shape, 4), **cap}


def _resampled(seen: Climate) -> dict[str, Any]:
    """Return durations that are the record's own."""
    data = laws.empirical(seen.length_us)
    values = tuple(f"{max(1, round(value))}us" for value in data.values)
    longest = f"{int(seen.length_us.max())}us"
    return {"law": "empirical", "values": values, "counts": data.counts, "max": longest}


def _profile(seen: Climate, offset_us: int) -> dict[str, Any]:
    """Return the weights of hours and days, even where the record is too short to tell."""
    span = seen.window_us[1] - seen.window_us[0]
    enough = seen.outages >= PROFILE_OUTAGES_MIN
    hours, days = seen.hours(offset_us), seen.days(offset_us)
    return {
        "hours": hours.round(3).tolist() if enough and span >= HOURS_SPAN_US else [1.0] * 24,
        "days": days.round(3).tolist() if enough and span >= DAYS_SPAN_US else [1.0] * 7,
    }


def _rates(seen: Climate, choices: list[Choice]) -> dict[str, Any]:
    """Rates across the sites: they fit a lognormal, or each drawn site takes a recorded one's."""
    rates = np.array(_rates_of(seen))
    if (rates > 0).all() and len(rates) >= 8 and rates.min() < rates.max():
        logs = np.log(rates)
        law = laws.Lognormal(float(logs.mean()), float(logs.std()))
        distance = laws.ks(law, rates)
        if distance <= laws.KS_FITS_MAX:
            choices.append(
                Choice("rates", "lognormal", distance, f"{len(rates)} sites within {distance:.2f}")
            )
            return {"median_per_month": round(float(np.exp(law.mu)), 4),
                    "sigma": round(law.sigma, 4)}  # fmt: skip
    else:
        distance = 1.0
    choices.append(Choice("rates", "empirical", distance, f"{len(rates)} sites: resample"))
    return {"values": tuple(rates.tolist())}


def _rates_of(seen: Climate) -> tuple[float, ...]:
    """Return the outages a month of every site that was watched."""
    months = seen.watched_us / MONTH_US
    watched = months > 0
    rates = seen.counts[watched] / months[watched]
    return tuple(rates.round(4).tolist())


def _flapping(seen: Climate) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Return the settings of flapping, and which ups (see `Climate.ups_us`) are inside bursts."""
    ups, _ = seen.ups_us
    inside = ups < min(FLAPPING_US, np.median(ups) / 10 if len(ups) else 0)
    bursts = int((inside & ~np.concatenate((np.zeros(1, bool), inside[:-1]))).sum())
    episodes = seen.outages - int(inside.sum())
    if bursts < 5 or bursts < 0.01 * episodes:
        return {}, np.zeros(len(ups), bool)
    return {
        "share": round(bursts / episodes, 4),
        "pieces": max(2.0, round(1 + int(inside.sum()) / bursts, 3)),
        "up": f"{max(1, round(float(ups[inside].mean())))}us",
    }, inside


def _gaps(seen: Climate, bursts: NDArray[np.bool_], choices: list[Choice]) -> dict[str, Any]:
    """Ups between outages (not those of a burst), each over the mean of its own site."""
    ups, site = seen.ups_us
    ups, site = ups[~bursts].astype(np.float64), site[~bursts]
    count = np.bincount(site, minlength=len(seen.sites))
    mean = np.bincount(site, weights=ups, minlength=len(seen.sites)) / np.maximum(count, 1)
    # Few gaps of one site say little about their own mean.
    usable = (count[site] >= 5) & (ups > 0)
    relative = ups[usable] / mean[site[usable]]
    if len(relative) < OUTAGES_MIN:
        choices.append(
            Choice("gaps", "weibull", 1.0, f"{len(relative)} gaps are too few: the default")
        )
        return {}
    best = _chosen("gaps", laws.fits(relative), choices, len(relative))
    if best is None:
        law = laws.empirical(relative, points_max=400)
        return {"law": "empirical", "values": tuple(
            round(value, 6) for value, n in zip(law.values, law.counts, strict=True)
            for _ in range(n)
        )}  # fmt: skip
    if isinstance(best.law, laws.Weibull | laws.Gamma):
        return {"law": best.law.name, "shape": round(best.law.shape, 4)}
    if isinstance(best.law, laws.Lognormal):
        return {"law": "lognormal", "sigma": round(best.law.sigma, 4)}
    return {"law": "exponential"}


def _shared(seen: Climate, seed: int) -> tuple[float, NDArray[np.float64], float]:
    """Return the share of outages in shared events, the events' sizes, and the domains' size.

    How many groups of each size arise by chance is seen by shifting every site's record by whole
    days of its own, which keeps hours and bursts; what exceeds that is shared.
    """
    groups = sorted(set(seen.groups))
    members = np.array([groups.index(group) for group in seen.groups])
    domain = members[seen.site] if seen.outages else members[:0]
    rng = np.random.Generator(np.random.Philox(seed))
    days = max(1, int((seen.window_us[1] - seen.window_us[0]) // (24 * 60 * MINUTE_US)))
    span = days * 24 * 60 * MINUTE_US
    observed = np.zeros(len(seen.sites) + 2)
    chance = np.zeros(len(seen.sites) + 2)
    weight = 0.0
    for number in range(len(groups)):
        mine = domain == number
        sites = int((members == number).sum())
        starts, site = seen.start_us[mine], seen.site[mine]
        if sites < 2 or not len(starts):
            continue
        weight += sites * len(starts)
        observed += _size_counts(np.sort(starts), len(observed))
        for _ in range(SHIFTS):
            shift = rng.integers(days, size=len(seen.sites)) * (span // days)
            moved = (starts - seen.window_us[0] + shift[site]) % span
            chance += _size_counts(np.sort(moved), len(chance)) / SHIFTS
    size = np.arange(len(observed))
    excess = np.maximum(observed - chance, 0)
    excess[:2] = 0
    share = float((excess * size).sum() / max(seen.outages, 1))
    events = np.repeat(size, np.rint(excess).astype(int)).astype(np.float64)
    domain_sites = weight / max(1.0, float(observed @ size))
    return min(share, 0.95) if len(events) else 0.0, events, max(domain_sites, 1.0)


def _size_counts(starts: NDArray[np.int64], slots: int) -> NDArray[np.float64]:
    counts = np.bincount(np.minimum(group_sizes(starts), slots - 1), minlength=slots)
    return counts.astype(np.float64)


def _alike(seen: Climate) -> float:
    """Return the correlation of the logarithms of lengths within groups of three or more."""
    order = np.argsort(seen.start_us, kind="stable")
    logs = np.log(np.maximum(seen.length_us[order], 1).astype(np.float64))
    sizes = group_sizes(seen.start_us[order])
    variance = float(logs.var())
    if variance == 0:
        return 1.0
    ends = np.cumsum(sizes)
    inner = [
        float(logs[end - size : end].var(ddof=1))
        for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)
        if size >= 3
    ]
    return round(min(max(1 - float(np.mean(inner)) / variance, 0.0), 1.0), 3) if inner else 0.0


def _degraded(record: Record, seen: Climate) -> dict[str, Any]:
    if not seen.degraded_us or not seen.site_months:
        return {}
    law = laws.empirical(seen.degraded_us, points_max=100)
    return {
        "per_month": round(len(seen.degraded_us) / seen.site_months, 5),
        "durations": {
            "law": "empirical",
            "values": tuple(f"{max(1, round(value))}us" for value in law.values),
            "counts": law.counts,
        },
    }


def _kinds(seen: Climate) -> dict[str, float]:
    kinds = sorted(set(seen.kinds))
    shares = {kind: round(seen.kinds.count(kind) / seen.outages, 4) for kind in kinds}
    largest = max(shares, key=lambda kind: shares[kind])
    shares[largest] = round(shares[largest] + 1 - sum(shares.values()), 6)
    return shares
