"""Zabbix: the replies of ``event.get`` (with selectHosts) and ``problem.get``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgetwin.inputs.records.entries import Entry, entries, first_object
from edgetwin.inputs.records.gathered import FOREVER_US, Gathered
from edgetwin.inputs.records.instants import epoch_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source

NAME = "zabbix"
WHAT = "event.get or problem.get as JSON; problems that mean a host is unreachable, by their name"

MATCH = r"(?i)unavailab|unreachab|not reachable|icmp|ping|no data|not available|is down|offline"
"""Names of problems that mean unreachable, in the templates that Zabbix ships."""


def recognises(source: Source) -> bool:
    first = first_object(source, "result")
    return "eventid" in first and ("clock" in first or "r_eventid" in first)


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    found = [(source, entry) for source in sources for entry in entries(source, gathered, "result")]
    pattern = re.compile(options.match or MATCH)
    clocks: dict[str, int] = {}
    kept: list[tuple[Source, Entry, int]] = []
    for source, entry in found:
        try:
            at_us = _clock_us(entry, "clock", "ns")
        except ValueError as fault:
            gathered.reject(source, entry.line, f"{entry.place}.clock", str(fault))
            continue
        clocks[entry.text("eventid")] = at_us
        gathered.watched(at_us, at_us)
        kept.append((source, entry, at_us))
    other = lost = 0
    for source, entry, at_us in kept:
        if entry.text("source") not in ("", "0") or entry.text("value") == "0":
            continue
        if not pattern.search(entry.text("name")):
            other += 1
            continue
        lost += _take_problem(source, entry, at_us, clocks, gathered)
    if other:
        gathered.note(f"{other} problems do not match {pattern.pattern!r} (--match)")
    if lost:
        gathered.note(f"{lost} problems ended by events that are not in the export: unknown since")


def _clock_us(entry: Entry, seconds: str, nanoseconds: str) -> int:
    at_us = epoch_us(entry.text(seconds), "s")
    fraction = entry.text(nanoseconds)
    return at_us + (int(fraction) // 1000 if fraction.isdigit() else 0)


def _take_problem(
    source: Source, entry: Entry, start: int, clocks: dict[str, int], gathered: Gathered
) -> bool:
    """Take one problem; return whether its end is lost."""
    hosts = [str(host.get("host") or host.get("name") or "") for host in entry.objects("hosts")]
    sites = [host for host in hosts if host]
    if not sites:
        # problem.get has no hosts: templates put the host before a colon.
        name, colon, _ = entry.text("name").partition(":")
        sites = [name] if colon else []
    if not sites:
        gathered.reject(
            source, entry.line, f"{entry.place}.hosts", "names no host", "add selectHosts"
        )
        return False
    recovery = entry.text("r_eventid")
    end: int | None = None
    if recovery not in ("", "0"):
        if entry.text("r_clock") not in ("", "0"):
            end = _clock_us(entry, "r_clock", "r_ns")
        elif recovery in clocks:
            end = clocks[recovery]
        else:
            for site in sites:
                gathered.unknown(site, start, FOREVER_US)
            return True
    if end is not None and end < start:
        gathered.reject(source, entry.line, entry.place, "recovers before it begins")
    elif end == start:
        gathered.leave_out(source, entry.line, entry.place, "has no length")
    else:
        for site in sites:
            gathered.down(site, start, end, cause=entry.text("name"))
    return False
