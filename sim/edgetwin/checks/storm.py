"""What a history says about the storm, in arrays that several checks sum up.

The storm is the replayed record; the quiet after it, in which everything is healed, is where
convergence is seen and where availability is not judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetwin.history import OUTCOMES, History

ANSWERED = ("ok", "denied")
"""Outcomes that are an answer within budget."""
REFUSED = ("unavailable", "rejected", "store_full", "error")
"""Outcomes in which a site turned a request away; `late` is slow, not away."""

SHARED_WITHIN_US = 300_000_000
"""Outages that start within 5 minutes are one shared event, as in the table `outages`."""

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Storm:
    """One history, its site names as numbers 0..n-1 in the order of the table `sites`."""

    history: History

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The sites' names."""
        return tuple(map(str, self.history.text("sites", "site")))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The sites' kinds."""
        return tuple(map(str, self.history.text("sites", "kind")))

    @cached_property
    def end_us(self) -> int:
        """Where the storm ends and the quiet begins."""
        return int(self.history.meta["storm_end_us"])

    @cached_property
    def run_end_us(self) -> int:
        """Where the run ends."""
        return int(self.history.meta["end_us"])

    def site_of(self, table: str) -> Ints:
        """Return the number of the site in each row of *table*; -1 for an unknown one."""
        codes = self.history.column("sites", "site")
        number = np.full(len(self.history.names["site"]) + 1, -1, dtype=np.int64)
        number[codes] = np.arange(len(codes))
        sites: Ints = number[self.history.column(table, "site")]
        return sites

    def by_site(self, numbers: NDArray[np.int64], values: NDArray[Any]) -> Ints:
        """Return the sums of integer *values* over site *numbers*."""
        sums = np.zeros(len(self.sites), dtype=np.int64)
        np.add.at(sums, numbers, values.astype(np.int64))
        return sums

    # ---- spans ---------------------------------------------------------------------------------

    @cached_property
    def span_site(self) -> Ints:
        """Site number of each span."""
        return self.site_of("spans")

    @cached_property
    def span_us(self) -> Ints:
        """Length of each span within the storm; 0 in the quiet."""
        ends = np.minimum(self.history.column("spans", "end_us"), self.end_us)
        length: Ints = np.maximum(ends - self.history.column("spans", "start_us"), 0)
        return length

    @cached_property
    def offline(self) -> Flags:
        """Of each span: offline, and in the storm."""
        flags: Flags = self.history.column("spans", "offline") & (self.span_us > 0)
        return flags

    @cached_property
    def offline_us(self) -> Ints:
        """Offline time of each site in the storm."""
        return self.by_site(self.span_site[self.offline], self.span_us[self.offline])

    @cached_property
    def span_unit(self) -> Ints:
        """Of each span: the row of `outages` that holds it offline; where none does, a number of
        its own for each offline stretch, above the rows; -1 while online or in the quiet."""
        outage = self.history.column("spans", "outage").astype(np.int64)
        unit = np.where(self.offline, outage, -1)
        nameless = self.offline & (outage < 0)
        if nameless.any():
            starts = nameless.copy()
            starts[1:] &= ~(nameless[:-1] & (self.span_site[1:] == self.span_site[:-1]))
            stretch = np.cumsum(starts) - 1
            unit[nameless] = self.history.rows("outages") + stretch[nameless]
        return unit

    # ---- requests ------------------------------------------------------------------------------

    @cached_property
    def row_in_storm(self) -> Flags:
        """Of each row of `outcomes`: its requests were issued in the storm."""
        flags: Flags = self.span_us[self.history.column("outcomes", "span")] > 0
        return flags

    def outcome(self, *names: str) -> Ints:
        """Return the sum of the outcome columns *names*, a row of `outcomes` each."""
        total = np.zeros(self.history.rows("outcomes"), dtype=np.int64)
        for name in names:
            total += self.history.column("outcomes", name)
        return total

    @cached_property
    def row_site(self) -> Ints:
        """Site number of each row of `outcomes`."""
        return self.site_of("outcomes")

    @cached_property
    def units(self) -> "Units":
        """What became of the requests of each outage at each site."""
        spans = self.history.column("outcomes", "span")
        rows = np.flatnonzero(self.span_unit[spans] >= 0)
        row_unit = self.span_unit[spans[rows]]
        offline = np.flatnonzero(self.span_unit >= 0)
        numbers, span_place = np.unique(self.span_unit[offline], return_inverse=True)
        count = len(numbers)
        place = np.searchsorted(numbers, row_unit)

        def summed(values: NDArray[Any]) -> Ints:
            sums = np.zeros(count, dtype=np.int64)
            np.add.at(sums, place, values[rows])
            return sums

        def spans_summed(values: NDArray[Any]) -> Ints:
            sums = np.zeros(count, dtype=np.int64)
            np.add.at(sums, span_place, values[offline].astype(np.int64))
            return sums

        site = np.zeros(count, dtype=np.int64)
        site[span_place] = self.span_site[offline]
        start = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(start, span_place, self.history.column("spans", "start_us")[offline])
        end = np.zeros(count, dtype=np.int64)
        ends = np.minimum(self.history.column("spans", "end_us"), self.end_us)
        np.maximum.at(end, span_place, ends[offline])
        # Outages of one shared event stand and fall together, also those that no row names.
        events = self.history.column("outages", "event").astype(np.int64)
        known = numbers < len(events)
        event = np.zeros(count, dtype=np.int64)
        event[known] = events[numbers[known]]
        event[~known] = -1 - shared_events(start[~known])
        return Units(
            number=numbers,
            site=site,
            event=event,
            start_us=start,
            end_us=end,
            offline_us=spans_summed(self.span_us),
            serving_us=spans_summed(self.span_us * self.history.column("spans", "serving")),
            outcomes={name: summed(self.history.column("outcomes", name)) for name in OUTCOMES},
        )


def shared_events(start_us: Ints) -> Ints:
    """Number the events of offline stretches: those that start close together share one.

    >>> shared_events(np.array([0, 600_000_000, 60_000_000])).tolist()
    [0, 1, 0]
    """
    order = np.argsort(start_us, kind="stable")
    number = np.zeros(len(start_us), dtype=np.int64)
    number[order[1:]] = np.cumsum(np.diff(start_us[order]) > SHARED_WITHIN_US)
    return number


@dataclass(frozen=True)
class Units:
    """Outages at sites, an element each: what was offline, and what was asked meanwhile."""

    number: Ints
    """Row of `outages`, or above them for an offline stretch that none names."""
    site: Ints
    event: Ints
    start_us: Ints
    end_us: Ints
    offline_us: Ints
    serving_us: Ints
    outcomes: Mapping[str, Ints]

    @cached_property
    def issued(self) -> Ints:
        """Requests issued whose end is known."""
        return self._sum(*(name for name in OUTCOMES if name != "in_flight"))

    @cached_property
    def answered(self) -> Ints:
        """Of the issued: answered within budget."""
        return self._sum(*ANSWERED)

    @cached_property
    def survived(self) -> Flags:
        """Survived whole: requests were issued, the site served all the time, none was refused."""
        flags: Flags = (
            (self.issued > 0) & (self._sum(*REFUSED) == 0) & (self.serving_us == self.offline_us)
        )
        return flags

    def _sum(self, *names: str) -> Ints:
        total: Ints = np.sum([self.outcomes[name] for name in names], axis=0, dtype=np.int64)
        return total


def grouped(groups: Ints, values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sums of *values* over equal *groups*, in the order of the groups' numbers."""
    _, place = np.unique(groups, return_inverse=True)
    return np.bincount(place, weights=values.astype(np.float64)).astype(np.float64)
