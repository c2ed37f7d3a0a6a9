"""Throughput once a second: a run of low values is an outage."""

from __future__ import annotations

from collections.abc import Sequence

from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.instants import Clock
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.outage_table import SITE, column
from edgetwin.inputs.records.sampled import common_step_us, samples
from edgetwin.inputs.records.source import Source
from edgetwin.units import SECOND_US

NAME = "throughput"
WHAT = "a table of epoch and mbit_s, a row a second (Starlink, cellular drive tests)"

MBIT_S_DOWN = 0.1
"""Below this a second is down: facts/traces.md, 2."""

_RATE = ("mbit s", "mbps", "throughput mbps", "throughput")
TIME = ("epoch", "timestamp", "time", "ts")


def recognises(source: Source) -> bool:
    return column(source.headings, _RATE) is not None and column(source.headings, TIME) is not None


def rates(
    source: Source, options: Options, gathered: Gathered
) -> dict[str, list[tuple[int, float]]]:
    """Return (time in us, Mbit/s) of every site of *source*, in file order."""
    return series(source, options, gathered, _RATE)


def series(
    source: Source, options: Options, gathered: Gathered, names: Sequence[str]
) -> dict[str, list[tuple[int, float]]]:
    """Return (time in us, value) of every site of *source*, in file order, of column *names*."""
    table, headings = source.table, source.headings
    at, value, site = column(headings, TIME), column(headings, names), column(headings, SITE)
    if table is None or at is None or value is None:
        raise source.wrong(1, "no column of times and values", f"name them epoch, {names[0]}")
    try:
        times = [cells[at] for _, cells in table.rows if len(cells) == len(headings)]
        clock = Clock(times, zone=options.zone, order=options.dates)
    except ValueError as fault:
        raise source.wrong(1, str(fault), "or mend the times") from None
    found: dict[str, list[tuple[int, float]]] = {}
    for line, cells in table.rows:
        gathered.rows += 1
        try:
            if len(cells) != len(headings):
                raise ValueError(f"{len(cells)} cells under {len(headings)} headings")
            name = options.site or (cells[site] if site is not None else source.stem)
            sample = clock.us(cells[at]), float(cells[value] or "nan")
        except ValueError as fault:
            gathered.reject(source, line, "", str(fault))
            continue
        found.setdefault(name, []).append(sample)
    return found


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    limit = MBIT_S_DOWN if options.below is None else options.below
    for source in sources:
        found = rates(source, options, gathered)
        for site in sorted(found):
            step = options.step_us or common_step_us(sorted(at for at, _ in found[site]))
            step = step or SECOND_US
            # Gaps of up to 3 s are jitter of the logger, not the end of a session.
            samples(
                gathered, site,
                [(at + step, state_below(rate, limit)) for at, rate in found[site]],
                step_us=step, slack_us=options.gap_us or 3 * SECOND_US, kind="cellular",
                cause=f"throughput_lt_{limit:g}",
            )  # fmt: skip


def state_below(value: float, limit: float) -> str:
    """Return the state that *value* stands for; no number is unknown."""
    return "unknown" if value != value else "down" if value < limit else "up"
