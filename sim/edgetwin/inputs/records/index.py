"""IP Observatory: an index of connectivity an hour and place, against the place's own median."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.outage_table import column
from edgetwin.inputs.records.sampled import common_step_us, samples
from edgetwin.inputs.records.source import Source
from edgetwin.inputs.records.throughput import TIME, series, state_below
from edgetwin.units import HOUR_US

NAME = "index"
WHAT = "a connectivity index an hour (IP Observatory): below half a site's own median is down"

COLUMNS = ("connectivity 0 10", "connectivity", "index")

FIRST_HOURS = 48
"""The hours whose median is usual: data/ipobs-hurricane-laura-2020."""


def recognises(source: Source) -> bool:
    headings = source.headings
    return column(headings, COLUMNS) is not None and column(headings, TIME) is not None


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    share = 0.5 if options.below is None else options.below
    for source in sources:
        found = series(source, options, gathered, COLUMNS)
        for site in sorted(found):
            ordered = sorted(found[site])
            step = options.step_us or common_step_us([at for at, _ in ordered])
            until = ordered[0][0] + FIRST_HOURS * HOUR_US
            usual = [value for at, value in ordered if at < until and value == value]
            limit = share * median(usual) if usual else 0.0
            samples(
                gathered, site,
                [(at + (step or 0), state_below(value, limit)) for at, value in ordered],
                step_us=step, cause="index",
            )  # fmt: skip
