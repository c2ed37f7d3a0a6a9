"""The log of Nagios, Naemon and Icinga 1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgetwin.inputs.records.gathered import Change, Gathered
from edgetwin.inputs.records.instants import epoch_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source

NAME = "nagios"
WHAT = "nagios.log with HOST ALERT lines; rotated files join"

_LINE = re.compile(r"\[(\d+)\] ([A-Z ]+): (.*)")
_STATES = {"UP": "up", "DOWN": "down", "UNREACHABLE": "down"}
_KINDS = ("HOST ALERT", "CURRENT HOST STATE", "INITIAL HOST STATE")


def recognises(source: Source) -> bool:
    lines = source.head.splitlines()[:50]
    return any(_LINE.match(line) and ("HOST" in line or "SERVICE" in line) for line in lines)


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    lines: dict[str, list[tuple[int, str, bool, bool]]] = {}
    planned: dict[str, list[tuple[int, bool]]] = {}
    services = 0
    for source in sources:
        for number, line in enumerate(source.text.splitlines(), 1):
            match = _LINE.fullmatch(line.strip())
            if match is None:
                if line.strip():
                    gathered.rows += 1
                    gathered.reject(source, number, "", "not [time] KIND: text", "remove the line")
                continue
            gathered.rows += 1
            services += match[2].startswith("SERVICE ALERT")
            if match[2] not in (*_KINDS, "HOST DOWNTIME ALERT"):
                continue
            parts = match[3].split(";")
            try:
                at_us = epoch_us(match[1], "s")
                if match[2] == "HOST DOWNTIME ALERT":
                    planned.setdefault(parts[0], []).append((at_us, parts[1] == "STARTED"))
                    continue
                state, hard = _STATES[parts[1]], {"HARD": True, "SOFT": False}[parts[2]]
            except (ValueError, KeyError, IndexError) as fault:
                found = f"{match[2]} with an unknown or missing state: {fault}"
                gathered.reject(source, number, "", found, "UP, DOWN or UNREACHABLE; SOFT or HARD")
                continue
            lines.setdefault(parts[0], []).append((at_us, state, hard, match[2] != "HOST ALERT"))
            gathered.watched(at_us, at_us)
    dropped = 0
    for host in sorted(lines):
        changes, soft = _changes(sorted(lines[host], key=lambda line: line[0]), options.soft)
        dropped += soft
        gathered.changes(host, as_planned(changes, _windows(planned.get(host, ()))))
    if dropped:
        gathered.note(f"{dropped} problems never got HARD and are left out; --soft takes them")
    if services and not lines:
        gathered.note("only SERVICE ALERT lines: hosts are what counts as a site")


def _changes(
    lines: Sequence[tuple[int, str, bool, bool]], soft_too: bool
) -> tuple[list[Change], int]:
    """Return the changes of one host, and how many soft problems were dropped.

    An outage begins at its first SOFT line, and counts if it ever became HARD.
    """
    changes: list[Change] = []
    pending: int | None = None
    dropped = 0
    for at_us, state, hard, statement in lines:
        if state == "up":
            if pending is not None and soft_too:
                changes.append(Change(pending, "down"))
            dropped += pending is not None and not soft_too
            pending = None
            changes.append(Change(at_us, "up", first=statement))
        elif hard:
            changes.append(Change(at_us if pending is None else pending, "down", first=statement))
            pending = None
        elif pending is None:
            pending = at_us
    if pending is not None:
        # The log ends before the problem was confirmed or gone: open, not up.
        changes.append(Change(pending, "down", cause="not yet HARD"))
    return changes, dropped


def _windows(marks: Iterable[tuple[int, bool]]) -> list[tuple[int, int]]:
    """Return scheduled downtimes out of their STARTED (True) and STOPPED marks."""
    windows: list[tuple[int, int]] = []
    since: int | None = None
    for at_us, started in sorted(marks):
        if started:
            since = at_us if since is None else since
        elif since is not None:
            windows.append((since, at_us))
            since = None
    if since is not None:
        windows.append((since, 1 << 62))
    return windows


def as_planned(changes: Iterable[Change], windows: Sequence[tuple[int, int]]) -> list[Change]:
    """Return *changes* with those that begin inside a scheduled downtime marked as planned."""
    from dataclasses import replace

    return [
        replace(change, kind="planned", cause="scheduled downtime")
        if change.state == "down" and any(s <= change.at_us < e for s, e in windows)
        else change
        for change in changes
    ]
