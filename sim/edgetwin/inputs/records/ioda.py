"""IODA outage events: ``/v2/outages/events?entityType=region&entityCode=&from=&until=``."""

from __future__ import annotations

from collections.abc import Sequence

from edgetwin.inputs.records.entries import entries, first_object
from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.instants import epoch_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source

NAME = "ioda"
WHAT = "outage events of countries, regions and networks; overlapping data sources merge"


def recognises(source: Source) -> bool:
    first = first_object(source, "data")
    return "datasource" in first and ("location" in first or "entity" in first)


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    for source in sources:
        for entry in entries(source, gathered, "data"):
            if "level" in entry.fields and "duration" not in entry.fields:
                raise source.wrong(0, "alerts, not events", "ask /v2/outages/events")
            site = entry.text("location_name") or entry.text("location").rpartition("/")[2]
            if not site:
                gathered.reject(source, entry.line, entry.place, "names no location")
                continue
            try:
                start = epoch_us(entry.fields.get("start"), "s")
                length = round(float(entry.text("duration")) * 1_000_000)
            except ValueError as fault:
                gathered.reject(source, entry.line, entry.place, str(fault))
                continue
            if length < 0:
                gathered.reject(source, entry.line, f"{entry.place}.duration", "is negative")
            elif length == 0:
                gathered.leave_out(source, entry.line, entry.place, "has no length")
            else:
                gathered.down(site, start, start + length, cause=entry.text("datasource"))
    gathered.note("IODA sees populations of addresses: an entity is no single site")
