"""RIPE Atlas: connection events of probes (measurement 7000), with the probe list for names."""

from __future__ import annotations

from collections.abc import Sequence

from edgetwin.inputs.records.entries import entries, first_object
from edgetwin.inputs.records.gathered import Change, Gathered
from edgetwin.inputs.records.instants import epoch_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source
from edgetwin.units import MINUTE_US

NAME = "ripe-atlas"
WHAT = "connect and disconnect events of probes, a JSON list or one a line; the probe list beside"

DISCONNECT_ERR_US = 5 * MINUTE_US
"""A disconnect is noticed by a timeout, minutes late (facts/traces.md, 4). Chosen: five."""


def recognises(source: Source) -> bool:
    first = first_object(source, "results")
    return "prb_id" in first or ("status" in first and "id" in first and "description" in first)


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    names: dict[str, str] = {}
    changes: dict[str, list[Change]] = {}
    for source in sources:
        for entry in entries(source, gathered, "results"):
            if "prb_id" not in entry.fields:
                names[entry.text("id")] = entry.text("description", "id")
                continue
            event = entry.text("event")
            if event not in ("connect", "disconnect"):
                found = f"unknown event {event!r}"
                gathered.reject(source, entry.line, entry.place, found, "connect or disconnect")
                continue
            try:
                at_us = epoch_us(entry.fields.get("timestamp"), "s")
            except ValueError as fault:
                gathered.reject(source, entry.line, f"{entry.place}.timestamp", str(fault))
                continue
            down = event == "disconnect"
            changes.setdefault(entry.text("prb_id"), []).append(
                Change(at_us, "down" if down else "up", err_us=DISCONNECT_ERR_US if down else 0)
            )
    for probe in sorted(changes):
        gathered.changes(names.get(probe) or probe, changes[probe])
    for probe in sorted(names):
        gathered.site(names[probe])
    if not names:
        gathered.note("no probe list beside the events: probes are called by their numbers")
