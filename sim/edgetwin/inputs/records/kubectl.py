"""``kubectl get events -A -o json`` and ``kubectl get nodes -o json``, one dump or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgetwin.inputs.records.entries import Entry, entries, first_object
from edgetwin.inputs.records.gathered import Change, Gathered
from edgetwin.inputs.records.instants import iso_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source
from edgetwin.units import SECOND_US

NAME = "kubectl"
WHAT = "events (NodeNotReady, NodeReady) or nodes of Kubernetes as JSON, or exported event lines"

NOTICE_ERR_US = 10 * SECOND_US
"""A cut is noticed 30.7 to 44 s after it, 40 s nominally, and a heal within 9.4 s: facts/k3s.md,
1.5."""

DOWN, UP = ("NodeNotReady",), ("NodeReady",)


def recognises(source: Source) -> bool:
    first = first_object(source, "items")
    return first.get("kind") in ("Event", "Node") or "involvedObject" in first


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    changes: dict[str, list[Change]] = {}
    for source in sources:
        nodes = []
        for entry in entries(source, gathered, "items"):
            if entry.fields.get("kind") == "Node":
                nodes.append(entry)
            else:
                _take_event(source, entry, options, gathered, changes)
        _take_nodes(source, nodes, options, gathered, changes)
    for site in sorted(changes):
        gathered.changes(site, changes[site])
    gathered.note(
        "Kubernetes keeps events for about an hour unless told otherwise: what no dump covers "
        "looks like uptime"
    )


def _take_event(
    source: Source, entry: Entry, options: Options, gathered: Gathered,
    changes: dict[str, list[Change]],
) -> None:  # fmt: skip
    # events.k8s.io/v1 calls it `regarding` and counts in `series`.
    subject = entry.inner("involvedObject") or entry.inner("regarding")
    reason = entry.text("reason")
    if subject.get("kind") != "Node" or reason not in DOWN + UP:
        return
    node = subject.get("name")
    if not isinstance(node, str) or not node:
        gathered.reject(source, entry.line, f"{entry.place}.involvedObject", "names no node")
        return
    series = entry.inner("series")
    last = entry.text("lastTimestamp", "deprecatedLastTimestamp") or str(
        series.get("lastObservedTime") or entry.text("eventTime")
    )
    first = entry.text("firstTimestamp", "deprecatedFirstTimestamp", "eventTime") or last
    try:
        first_us, last_us = iso_us(first, options.zone), iso_us(last, options.zone)
        count = int(entry.text("count", "deprecatedCount") or series.get("count") or 1)
    except ValueError as fault:
        gathered.reject(source, entry.line, entry.place, str(fault))
        return
    down = reason in DOWN
    early = options.grace_us if down else 0
    for at_us in sorted({first_us, last_us}):
        changes.setdefault(node, []).append(
            Change(at_us - early, "down" if down else "up", cause=reason if down else "",
                   err_us=NOTICE_ERR_US)
        )  # fmt: skip
    if count > 2:
        gathered.unknown(node, first_us - early, last_us)
        gathered.note(f"{node}: {count} times {reason} are told as one event; between is unknown")


def _ready(entry: Entry) -> Mapping[str, Any] | None:
    status = entry.inner("status").get("conditions")
    conditions = status if isinstance(status, list) else []
    return next((c for c in conditions if isinstance(c, dict) and c.get("type") == "Ready"), None)


def _take_nodes(
    source: Source, nodes: Sequence[Entry], options: Options, gathered: Gathered,
    changes: dict[str, list[Change]],
) -> None:  # fmt: skip
    latest = 0
    for entry in nodes:
        node = str(entry.inner("metadata").get("name") or "")
        ready = _ready(entry)
        if not node or ready is None:
            gathered.reject(source, entry.line, entry.place, "no name or no condition Ready")
            continue
        gathered.site(node)
        try:
            since = iso_us(str(ready.get("lastTransitionTime")), options.zone)
            latest = max(latest, since, iso_us(str(ready.get("lastHeartbeatTime")), options.zone))
        except ValueError as fault:
            gathered.reject(source, entry.line, f"{entry.place}.status.conditions", str(fault))
            continue
        if ready.get("status") == "True":
            changes.setdefault(node, []).append(Change(since, "up", first=True))
        else:
            early = options.grace_us if ready.get("status") == "Unknown" else 0
            cause = str(ready.get("reason") or "NotReady")
            changes.setdefault(node, []).append(
                Change(since - early, "down", cause=cause, err_us=NOTICE_ERR_US)
            )
    if latest:
        gathered.watched(latest, latest)
        gathered.note(f"{source.name}: one look at the nodes shows only outages that are open")
