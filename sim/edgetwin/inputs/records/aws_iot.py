"""AWS IoT lifecycle events: ``$aws/events/presence/connected|disconnected/CLIENT``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from edgetwin.inputs.records.entries import Entry, entries, first_object
from edgetwin.inputs.records.gathered import Change, Gathered
from edgetwin.inputs.records.instants import epoch_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source
from edgetwin.units import SECOND_US

NAME = "aws-iot"
WHAT = "presence events, one JSON object a line or a list, in any order"

KEEP_ALIVE_US = 60 * SECOND_US
"""Keep-alive assumed where --gap does not say it. Chosen: what many clients set."""


def recognises(source: Source) -> bool:
    first = first_object(source)
    return "clientId" in first and first.get("eventType") in ("connected", "disconnected")


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    events: dict[str, dict[tuple[int, int, str], Change]] = {}
    duplicates = 0
    for source in sources:
        for entry in entries(source, gathered):
            event = _event(source, entry, options, gathered)
            if event is None:
                continue
            seen = events.setdefault(entry.text("clientId"), {})
            duplicates += event[0] in seen
            seen[event[0]] = event[1]
    for client in sorted(events):
        ordered = sorted(events[client])
        gathered.changes(client, [events[client][key] for key in ordered])
        for (version, at_us, _), (next_version, next_at_us, _) in pairwise(ordered):
            if version >= 0 and next_version > version + 1:
                gathered.unknown(client, at_us, next_at_us)
                gathered.note(f"{client}: events between versions {version} and {next_version} "
                              "are missing; that time is unknown unless it was down")  # fmt: skip
    if duplicates:
        gathered.note(f"{duplicates} duplicated events")


def _event(
    source: Source, entry: Entry, options: Options, gathered: Gathered
) -> tuple[tuple[int, int, str], Change] | None:
    """Return the event's place in its client's order, and the change it tells."""
    kind = entry.text("eventType")
    if kind not in ("connected", "disconnected") or not entry.text("clientId"):
        found = f"unknown eventType {kind!r} or no clientId"
        gathered.reject(source, entry.line, entry.place, found, "connected or disconnected")
        return None
    try:
        at_us = epoch_us(entry.fields.get("timestamp"), "ms")
        version = int(entry.text("versionNumber") or -1)
    except ValueError as fault:
        gathered.reject(source, entry.line, f"{entry.place}.timestamp", str(fault))
        return None
    reason = entry.text("disconnectReason")
    late = 0
    if reason == "MQTT_KEEP_ALIVE_TIMEOUT":
        # The broker waits one and a half keep-alive periods: facts/traces.md, 4.
        late = (options.gap_us or KEEP_ALIVE_US) * 3 // 2
    state = "down" if kind == "disconnected" else "up"
    return (version, at_us, kind), Change(at_us, state, cause=reason, err_us=late)
