"""Matrices: a row a slot and a column a site, 0 or 1, or a value with a limit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.outage_table import END, START, column
from edgetwin.inputs.records.sampled import common_step_us, samples
from edgetwin.inputs.records.source import Source
from edgetwin.inputs.records.state_table import TIME, clock_of

NAME = "matrix"
WHAT = "a column a site and a row a slot: 0 is down, 1 is up; or values, with --below or --above"

VANTAGE_SITES_MIN = 10
"""Fewer sites than this may well fall together. Chosen."""


def recognises(source: Source) -> bool:
    headings, table = source.headings, source.table
    if table is None or len(headings) < 3 or not table.rows:
        return False
    first = headings[0]
    timed = first in TIME or first.endswith(("epoch", "time", "timestamp"))
    taken = column(headings, START) is not None and column(headings, END) is not None
    # Every other cell is a number or empty: else it is some other table.
    cells = table.rows[0][1][1:]
    return timed and not taken and all(_number(cell) is not None for cell in cells)


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    for source in sources:
        table = source.table
        assert table is not None
        width = len(table.headings)
        texts = [cells[0] for _, cells in table.rows if len(cells) == width]
        clock = clock_of(source, texts, options)
        slots: list[tuple[int, list[str]]] = []
        for line, cells in table.rows:
            gathered.rows += 1
            try:
                if len(cells) != width:
                    raise ValueError(f"{len(cells)} cells under {width} headings")
                states = [_matrix_state(cell, options) for cell in cells[1:]]
                slots.append((clock.us(cells[0]), states))
            except ValueError as fault:
                gathered.reject(source, line, "", str(fault))
        _without_vantage(slots, options, gathered)
        step = options.step_us or common_step_us(sorted(at for at, _ in slots))
        for k, site in enumerate(table.headings[1:]):
            samples(gathered, site, [(at, states[k]) for at, states in slots], step_us=step)


def _number(cell: str) -> float | None:
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        return math.nan if cell.lower() in ("na", "null", "-") else None


def _matrix_state(cell: str, options: Options) -> str:
    value = _number(cell)
    if value is None:
        raise ValueError(f"{cell[:40]!r} is no number")
    if math.isnan(value):
        return "unknown"
    if options.above is not None:
        return "down" if value >= options.above else "up"
    if options.below is not None:
        return "down" if value < options.below else "up"
    if value not in (0.0, 1.0):
        raise ValueError(f"{cell!r} is neither 0 nor 1; say --below or --above which value is down")
    return "up" if value else "down"


def _without_vantage(
    slots: Sequence[tuple[int, list[str]]], options: Options, gathered: Gathered
) -> None:
    """Make slots in which most sites are down unknown: the prober itself was cut off."""
    blind = 0
    for _, states in slots:
        down = states.count("down")
        if len(states) >= VANTAGE_SITES_MIN and down > options.vantage_share * len(states):
            states[:] = ["unknown"] * len(states)
            blind += 1
    if blind:
        gathered.note(f"{blind} slots in which most sites were down are unknown: the prober's own")
