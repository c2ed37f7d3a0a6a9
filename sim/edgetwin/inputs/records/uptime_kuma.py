"""Uptime Kuma: status page heartbeats, important heartbeats, or its table from SQLite as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any

from edgetwin.errors import ScenarioError
from edgetwin.inputs.records.gathered import Change, Gathered
from edgetwin.inputs.records.instants import iso_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.sampled import common_step_us, samples
from edgetwin.inputs.records.source import NumberedObjects, Source
from edgetwin.units import SECOND_US

NAME = "uptime-kuma"
WHAT = "heartbeats with status 0 to 3 and time, with the monitor list or the status page beside"

STATES = {0: "down", 1: "up", 2: "pending", 3: "unknown"}
"""3 is maintenance: nothing is checked then."""


def recognises(source: Source) -> bool:
    document = _document(source)
    if isinstance(document, dict):
        return "heartbeatList" in document or "publicGroupList" in document
    first = document[0] if isinstance(document, list) and document else None
    return (
        isinstance(first, dict)
        and {"status", "time"} <= first.keys()
        and bool({"monitor_id", "monitorID", "name"} & first.keys())
    )


def _document(source: Source) -> Any:
    if not source.looks_like_json:
        return None
    try:
        return None if isinstance(source.json, NumberedObjects) else source.json
    except ScenarioError:
        return None


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    names: dict[str, str] = {}
    intervals: dict[str, int] = {}
    for source in sources:
        _take_monitors(source.json, names, intervals)
    beats: dict[str, list[tuple[int, str, bool, int]]] = {}
    for source in sources:
        for place, monitor, beat in _beats(source.json):
            _take_beat(source, place, monitor, beat, options, gathered, beats)
    for monitor in sorted(beats):
        _take_site(monitor, names.get(monitor, monitor), intervals, beats[monitor], gathered)


def _take_monitors(document: Any, names: dict[str, str], intervals: dict[str, int]) -> None:
    """Learn the names and check intervals from a monitor list or a status page."""
    if not isinstance(document, dict):
        return
    groups = document.get("publicGroupList")
    lists = [document.get("monitorList")]
    if isinstance(groups, list):
        lists += [group.get("monitorList") for group in groups if isinstance(group, dict)]
    for monitors in lists:
        for monitor in monitors if isinstance(monitors, list) else []:
            if isinstance(monitor, dict) and "id" in monitor:
                key = str(monitor["id"])
                names[key] = str(monitor.get("name") or key)
                if isinstance(monitor.get("interval"), int):
                    intervals[key] = monitor["interval"] * SECOND_US


def _beats(document: Any) -> Iterable[tuple[str, str | None, Any]]:
    """Yield place, monitor and beat of every heartbeat."""
    found = document.get("heartbeatList") if isinstance(document, dict) else document
    if isinstance(found, dict):
        for monitor, beats in found.items():
            for k, beat in enumerate(beats if isinstance(beats, list) else []):
                yield f"heartbeatList.{monitor}[{k}]", str(monitor), beat
    elif isinstance(found, list):
        for k, beat in enumerate(found):
            yield f"[{k}]", None, beat


def _take_beat(
    source: Source, place: str, monitor: str | None, beat: Any, options: Options,
    gathered: Gathered, beats: dict[str, list[tuple[int, str, bool, int]]],
) -> None:  # fmt: skip
    gathered.rows += 1
    if beat == 0:
        # A status page that shows days fills its empty buckets with the number 0.
        return
    if not isinstance(beat, Mapping):
        gathered.reject(source, 0, place, f"{beat!r:.40} is no heartbeat")
        return
    site = monitor or next(
        (str(beat[key]) for key in ("monitorID", "monitor_id", "name") if beat.get(key)), ""
    )
    status = beat.get("status")
    if isinstance(status, bool) or status not in STATES:
        gathered.reject(source, 0, f"{place}.status", f"unknown status {status!r}", "0, 1, 2 or 3")
        return
    if not site:
        gathered.reject(source, 0, place, "names no monitor")
        return
    try:
        at_us = iso_us(str(beat.get("time")), options.zone or UTC)
    except ValueError as fault:
        gathered.reject(source, 0, f"{place}.time", str(fault))
        return
    duration = beat.get("duration")
    lasted = int(duration) * SECOND_US if isinstance(duration, int) and duration > 0 else 0
    change_only = bool(beat.get("important", False))
    beats.setdefault(site, []).append((at_us, STATES[status], change_only, lasted))


def _take_site(
    monitor: str, site: str, intervals: Mapping[str, int],
    beats: Sequence[tuple[int, str, bool, int]], gathered: Gathered,
) -> None:  # fmt: skip
    ordered = sorted(beats)
    # Pending belongs to the outage if a down follows, else nothing was wrong.
    states: list[tuple[int, str, int]] = []
    following = "up"
    for at_us, state, _, lasted in reversed(ordered):
        following = following if state == "pending" else state
        states.append((at_us, "down" if state == "pending" and following == "down" else
                       "up" if state == "pending" else state, lasted))  # fmt: skip
    states.reverse()
    step = intervals.get(monitor) or common_step_us([at for at, _, _ in states])
    if not all(important for _, _, important, _ in ordered):
        samples(gathered, site, [(at, state) for at, state, _ in states], step_us=step)
        return
    # Only changes: a beat stands at the end of the check, so the change is an interval earlier.
    # The first is a statement: Kuma marks the first beat of a monitor important, whatever it is.
    first_at = states[0][0]
    changes = []
    for at, state, lasted in states:
        interval = intervals.get(monitor) or lasted
        changes.append(Change(at - interval, state, first=at == first_at, err_us=interval))
    gathered.changes(site, changes)
