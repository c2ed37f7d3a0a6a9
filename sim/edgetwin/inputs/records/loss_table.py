"""Hourly ping loss, average and maximum: what is left of a Smokeping archive after a few days."""

from __future__ import annotations

from collections.abc import Sequence

from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.instants import epoch_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.smokeping import LOST_OF_20
from edgetwin.inputs.records.source import Source
from edgetwin.units import HOUR_US, MINUTE_US

NAME = "loss-hourly"
WHAT = "site, hour_end_epoch, loss_avg_of_20, loss_max_of_20; hours without loss may be left out"

SLOT_US = 5 * MINUTE_US
"""Smokeping pings twenty times in each of these."""

_HEADINGS = ("site", "hour end epoch", "loss avg of 20", "loss max of 20")


def recognises(source: Source) -> bool:
    return source.headings == _HEADINGS


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    limit = LOST_OF_20 if options.above is None else options.above
    hours: dict[str, dict[int, int | None]] = {}
    for source in sources:
        assert source.table is not None
        for line, cells in source.table.rows:
            gathered.rows += 1
            try:
                site, end = cells[0], epoch_us(cells[1], "s")
                average, most = float(cells[2]), float(cells[3])
            except (ValueError, IndexError) as fault:
                gathered.reject(source, line, "", str(fault))
                continue
            gathered.site(site)
            gathered.watched(end - HOUR_US, end)
            if average != average or most != most:
                hours.setdefault(site, {})[end - HOUR_US] = None
            elif most >= limit:
                # The hour's minutes down, to the 5 minutes of a slot: facts/traces.md, 2.
                slots = max(1, min(12, int(average / 20 * 12 + 0.5)))
                hours.setdefault(site, {})[end - HOUR_US] = slots * SLOT_US
    for site in sorted(hours):
        _take_site(site, hours[site], gathered)


def _take_site(site: str, hours: dict[int, int | None], gathered: Gathered) -> None:
    """Place each hour's minutes: next to neighbours that are down too, else in the middle."""
    for start in sorted(hours):
        down_us = hours[start]
        if down_us is None:
            gathered.unknown(site, start, start + HOUR_US)
            continue
        slack = HOUR_US - down_us
        before, after = hours.get(start - HOUR_US), hours.get(start + HOUR_US)
        errors = HOUR_US, HOUR_US
        if before and after and slack:
            # Down on both sides and up in between: half of its minutes belong to either.
            half = down_us // SLOT_US // 2 * SLOT_US
            if half:
                gathered.down(site, start, start + half, err_us=errors)
            end = start + HOUR_US
            gathered.down(site, end - (down_us - half), end, err_us=errors)
            continue
        begin = start
        if not before:
            begin = start + slack if after else start + slack // 2 // SLOT_US * SLOT_US
        gathered.down(site, begin, begin + down_us, err_us=errors)
