"""Last-seen tables: when each device was asked about, and when it had last been online."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.instants import Clock
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.outage_table import SITE, column
from edgetwin.inputs.records.source import Source
from edgetwin.units import SECOND_US

NAME = "last-seen"
WHAT = "a table of site, measured_at and last_online"

STALE_US = 90 * SECOND_US
"""A device is online if it was seen this shortly before: facts/traces.md, data/ttn-zurich."""

_MEASURED = ("measured at", "checked at", "asked at", "snapshot at")
_SEEN = ("last online", "last seen", "lastseen", "last heartbeat", "last contact")


def recognises(source: Source) -> bool:
    headings = source.headings
    return column(headings, _MEASURED) is not None and column(headings, _SEEN) is not None


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    looks: dict[str, list[tuple[int, int]]] = {}
    for source in sources:
        _take_rows(source, options, gathered, looks)
    for site in sorted(looks):
        _take_site(site, sorted(looks[site]), options.gap_us or STALE_US, gathered)


def _take_rows(
    source: Source, options: Options, gathered: Gathered, looks: dict[str, list[tuple[int, int]]]
) -> None:
    table, headings = source.table, source.headings
    at, seen = column(headings, _MEASURED), column(headings, _SEEN)
    site = column(headings, ("device id", *SITE))
    if table is None or at is None or seen is None or site is None:
        raise source.wrong(1, "a column is missing", "name them site, measured_at, last_online")
    whole = [cells for _, cells in table.rows if len(cells) == len(headings)]
    texts = [cells[k] for cells in whole for k in (at, seen)]
    try:
        clock = Clock(texts, zone=options.zone, order=options.dates)
    except ValueError as fault:
        raise source.wrong(1, str(fault), "or mend the times") from None
    for line, cells in table.rows:
        gathered.rows += 1
        try:
            if len(cells) != len(headings):
                raise ValueError(f"{len(cells)} cells under {len(headings)} headings")
            if not cells[site]:
                raise ValueError("no site is named")
            look = clock.us(cells[at]), clock.us(cells[seen])
        except ValueError as fault:
            gathered.reject(source, line, "", str(fault))
            continue
        looks.setdefault(cells[site], []).append(look)


def _take_site(
    site: str, looks: Sequence[tuple[int, int]], stale_us: int, gathered: Gathered
) -> None:
    """An outage begins when the site was last online, and ends after the last look that said so.

    Its end lies between that look and the next time the site is known online: that is its error.
    """
    gathered.watched_only(site, looks[0][0], looks[-1][0])
    steps = sorted(b[0] - a[0] for a, b in pairwise(looks))
    usual = steps[len(steps) * 9 // 10] if steps else 0
    for (before, _), (after, seen) in pairwise(looks):
        if after - before > 3 * usual and after - seen <= stale_us:
            gathered.unknown(site, before, after)
    k = 0
    while k < len(looks):
        measured, seen = looks[k]
        if measured - seen <= stale_us:
            k += 1
            continue
        last = k
        while last + 1 < len(looks) and looks[last + 1][1] <= seen:
            last += 1
        end: int | None = looks[last][0]
        error = 0
        if last + 1 < len(looks):
            assert end is not None
            error = max(0, min(looks[last + 1][0], looks[last + 1][1]) - end)
        else:
            end = None
        # A device that is late by less than the next look began when it was last seen.
        gathered.down(site, seen, end, cause="last seen", err_us=(stale_us, error))
        k = last + 1
