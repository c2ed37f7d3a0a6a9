"""Tables of states: a row a change, with time, site and state."""

from __future__ import annotations

from collections.abc import Sequence

from edgetwin.inputs.records.gathered import Change, Gathered
from edgetwin.inputs.records.instants import Clock
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.outage_table import SITE, column
from edgetwin.inputs.records.source import Source

NAME = "states"
WHAT = "a table of time, site and UP or DOWN, a row a change"

TIME = ("timestamp", "time", "at", "epoch", "date", "datetime", "zeit", "event time")
_STATE = ("state", "status", "zustand", "new state", "event")
_WORDS = {
    "up": "up", "ok": "up", "online": "up", "reachable": "up", "connected": "up", "1": "up",
    "true": "up", "alive": "up", "recovery": "up", "available": "up",
    "down": "down", "critical": "down", "offline": "down", "unreachable": "down",
    "disconnected": "down", "0": "down", "false": "down", "dead": "down", "unavailable": "down",
    "unknown": "unknown", "": "unknown", "nan": "unknown", "na": "unknown",
}  # fmt: skip


def recognises(source: Source) -> bool:
    headings = source.headings
    return (
        column(headings, TIME) is not None
        and column(headings, _STATE) is not None
        and column(headings, SITE) is not None
    )


def clock_of(source: Source, texts: Sequence[str], options: Options) -> Clock:
    """Return how the times *texts* of *source* are written; raises ScenarioError if doubtful."""
    try:
        return Clock(texts, zone=options.zone, order=options.dates)
    except ValueError as fault:
        raise source.wrong(1, str(fault), "or mend the times") from None


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    rows: list[tuple[int, str, str]] = []
    for source in sources:
        table, headings = source.table, source.headings
        at, site, state = (column(headings, names) for names in (TIME, SITE, _STATE))
        if table is None or at is None or site is None or state is None:
            raise source.wrong(1, "a column is missing", "name them timestamp, site, state")
        whole = [cells for _, cells in table.rows if len(cells) == len(headings)]
        clock = clock_of(source, [cells[at] for cells in whole], options)
        for line, cells in table.rows:
            gathered.rows += 1
            if len(cells) != len(headings):
                found = f"{len(cells)} cells under {len(headings)} headings"
                gathered.reject(source, line, "", found, "complete or remove the row")
                continue
            word = cells[state].lower()
            if word not in _WORDS:
                found = f"unknown state {cells[state]!r}"
                gathered.reject(source, line, "state", found, "UP, DOWN or UNKNOWN")
                continue
            try:
                rows.append((clock.us(cells[at]), cells[site], _WORDS[word]))
            except ValueError as fault:
                gathered.reject(source, line, "", str(fault))
    # The rows of the first instant say how things are, not what changed.
    first = min((at for at, _, _ in rows), default=0)
    sites: dict[str, list[Change]] = {}
    for at_us, name, found_state in rows:
        change = Change(at_us, found_state, first=at_us == first)
        sites.setdefault(name, []).append(change)
    for name in sorted(sites):
        gathered.changes(name, sites[name])
