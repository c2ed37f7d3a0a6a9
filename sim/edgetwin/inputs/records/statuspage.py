"""Statuspage and look-alikes: ``/api/v2/incidents.json``, maintenances too."""

from __future__ import annotations

from collections.abc import Sequence

from edgetwin.inputs.records.entries import Entry, entries, first_object
from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.instants import iso_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source
from edgetwin.units import MINUTE_US

NAME = "statuspage"
WHAT = "incidents.json or scheduled-maintenances.json; a component is a site"

TYPED_ERR_US = 5 * MINUTE_US
"""People write incidents down after they noticed them. Chosen: no source says how late."""

_KEYS = ("incidents", "scheduled_maintenances")
_KIND = {"none": "", "minor": "degraded", "major": "network", "critical": "network",
         "maintenance": "planned"}  # fmt: skip


def recognises(source: Source) -> bool:
    first = first_object(source, *_KEYS)
    return "impact" in first and "created_at" in first


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    harmless = 0
    for source in sources:
        document = source.json
        page = document.get("page") if isinstance(document, dict) else None
        if isinstance(page, dict) and page.get("updated_at"):
            _take_page(str(page["updated_at"]), options, gathered)
        for entry in entries(source, gathered, *_KEYS):
            harmless += _take_incident(source, entry, options, gathered)
    if harmless:
        gathered.note(f"{harmless} incidents have impact none and are left out")


def _take_page(updated_at: str, options: Options, gathered: Gathered) -> None:
    """The page was looked at until its last update."""
    try:
        seen_until = iso_us(updated_at, options.zone)
    except ValueError:
        gathered.note(f"the page's updated_at is no time: {updated_at!r}")
        return
    gathered.seen_until(seen_until)


def _take_incident(source: Source, entry: Entry, options: Options, gathered: Gathered) -> bool:
    """Take one incident; return whether it is left out for having no impact."""
    impact = entry.text("impact")
    planned = "scheduled_for" in entry.fields and bool(entry.text("scheduled_for"))
    if impact not in _KIND:
        found = f"unknown impact {impact!r}"
        gathered.reject(source, entry.line, entry.place, found, f"one of {', '.join(_KIND)}")
        return False
    kind = "planned" if planned else _KIND[impact]
    if not kind:
        return True
    if planned:
        starts = entry.text("scheduled_for")
        ends = entry.text("resolved_at", "scheduled_until")
    else:
        starts, ends = entry.text("started_at", "created_at"), entry.text("resolved_at")
    try:
        start = iso_us(starts, options.zone)
        end = iso_us(ends, options.zone) if ends else None
    except ValueError as fault:
        gathered.reject(source, entry.line, entry.place, str(fault))
        return False
    if end is None and entry.text("status") in ("resolved", "completed", "postmortem"):
        found = "is resolved but does not say when"
        gathered.reject(source, entry.line, f"{entry.place}.resolved_at", found, "fill it in")
        return False
    if end is not None and end <= start:
        gathered.reject(source, entry.line, entry.place, "resolved before it started")
        return False
    sites = [str(component.get("name") or "") for component in entry.objects("components")]
    for site in [site for site in sites if site] or [entry.text("name")]:
        gathered.down(
            site, start, end, kind=kind, cause=entry.text("name"), err_us=(TYPED_ERR_US,) * 2
        )
    return False
