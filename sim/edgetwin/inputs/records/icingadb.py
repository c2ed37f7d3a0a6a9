"""Icinga DB: the tables ``sla_history_state`` and ``sla_history_downtime`` as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from edgetwin.inputs.records.gathered import Change, Gathered
from edgetwin.inputs.records.instants import epoch_us
from edgetwin.inputs.records.nagios import as_planned
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.outage_table import column
from edgetwin.inputs.records.source import Source

NAME = "icingadb"
WHAT = "sla_history_state (and sla_history_downtime) with host names, as CSV"

_HOST = ("host name", "host", "name", "host id")
_NO_PREVIOUS = "99"
"""What Icinga writes as the previous state of a host that had none."""


def recognises(source: Source) -> bool:
    headings = source.headings
    return ("hard state" in headings and "event time" in headings) or "downtime start" in headings


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    changes: dict[str, list[Change]] = {}
    planned: dict[str, list[tuple[int, int]]] = {}
    for source in sources:
        if "downtime start" in source.headings:
            _take_downtimes(source, gathered, planned)
        else:
            _take_states(source, gathered, changes)
    for host in sorted(changes):
        gathered.changes(host, as_planned(changes[host], planned.get(host, ())))


def _columns(source: Source, *names: str) -> tuple[int, list[int]]:
    """Return where the host's name and the columns *names* stand."""
    host = column(source.headings, _HOST)
    places = [column(source.headings, (name,)) for name in names]
    if host is None or None in places:
        needed = ", ".join(("host_name", *(name.replace(" ", "_") for name in names)))
        raise source.wrong(1, "a column is missing", f"select {needed}")
    return host, [place for place in places if place is not None]


def _take_states(source: Source, gathered: Gathered, changes: dict[str, list[Change]]) -> None:
    assert source.table is not None
    host, (at, state) = _columns(source, "event time", "hard state")
    object_type = column(source.headings, ("object type",))
    previous = column(source.headings, ("previous hard state",))
    services = 0
    for line, cells in source.table.rows:
        gathered.rows += 1
        if len(cells) != len(source.headings):
            gathered.reject(source, line, "", "the row is incomplete", "complete or remove it")
            continue
        if object_type is not None and cells[object_type] == "service":
            services += 1
            continue
        if cells[state] not in ("0", "1"):
            found = f"unknown hard state {cells[state]!r} of a host"
            gathered.reject(source, line, "hard_state", found, "0 is up, 1 is down")
            continue
        try:
            at_us = epoch_us(cells[at], "ms")
        except ValueError as fault:
            gathered.reject(source, line, "event_time", str(fault))
            continue
        first = previous is not None and cells[previous] == _NO_PREVIOUS
        changes.setdefault(cells[host], []).append(
            Change(at_us, "down" if cells[state] == "1" else "up", first=first)
        )
    if services:
        gathered.note(f"{services} rows of services are not read: hosts are sites")


def _take_downtimes(
    source: Source, gathered: Gathered, planned: dict[str, list[tuple[int, int]]]
) -> None:
    assert source.table is not None
    host, (start, end) = _columns(source, "downtime start", "downtime end")
    for line, cells in source.table.rows:
        gathered.rows += 1
        try:
            window = epoch_us(cells[start], "ms"), epoch_us(cells[end], "ms")
        except (ValueError, IndexError) as fault:
            gathered.reject(source, line, "", str(fault))
            continue
        planned.setdefault(cells[host], []).append(window)
