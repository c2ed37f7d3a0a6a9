"""Upptime: its git log, its summary with minutes down a day, its state files, its issues."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from edgetwin.inputs.records.entries import Entry, entries, first_object
from edgetwin.inputs.records.gathered import Change, Gathered
from edgetwin.inputs.records.instants import iso_us, since_epoch_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source
from edgetwin.units import DAY_US, MINUTE_US

NAME = "upptime"
WHAT = "git log --format='%cI%x09%s', history/summary.json, history/SITE.yml or issues as JSON"

CHECK_ERR_US = 5 * MINUTE_US
"""Upptime checks every five minutes at best: facts/traces.md, 4."""

_LINE = re.compile(r"(\S+)\t\S* ?(.+) is (up|down|experiencing degraded performance|degraded)\b.*")
_TITLE = re.compile(r"\S* ?(.+) (?:is down|has degraded performance)")


def recognises(source: Source) -> bool:
    if source.looks_like_json:
        first = first_object(source)
        return "dailyMinutesDown" in first or ("created_at" in first and "title" in first)
    if "generator: Upptime" in source.head:
        return True
    return any(_LINE.fullmatch(line) for line in source.head.splitlines()[:20])


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    changes: dict[str, list[Change]] = {}
    for source in sources:
        if not source.looks_like_json:
            reader = _take_state if "generator: Upptime" in source.head else _take_log
            reader(source, options, gathered, changes)
        elif "dailyMinutesDown" in first_object(source):
            _take_summary(source, gathered)
        else:
            _take_issues(source, options, gathered)
    for site in sorted(changes):
        gathered.changes(site, changes[site])


def _take_log(
    source: Source, options: Options, gathered: Gathered, changes: dict[str, list[Change]]
) -> None:
    other = 0
    # Newest first in git: of two lines of one instant the lower is the older.
    for number, line in reversed(list(enumerate(source.text.splitlines(), 1))):
        if not line.strip():
            continue
        gathered.rows += 1
        match = _LINE.fullmatch(line.strip())
        if match is None:
            if re.match(r"\S+\t", line) or "[upptime]" not in line:
                other += 1
            else:
                gathered.reject(source, number, "", "not TIME<TAB>message", "see --format upptime")
            continue
        try:
            at_us = iso_us(match[1], options.zone)
        except ValueError as fault:
            gathered.reject(source, number, "", str(fault))
            continue
        state = "up" if match[3] == "up" else "down"
        kind = "network" if match[3] in ("up", "down") else "degraded"
        change = Change(at_us, state, kind=kind, err_us=CHECK_ERR_US)
        changes.setdefault(match[2], []).append(change)
    if other:
        gathered.note(f"{source.name}: {other} commits tell no state")


def _take_state(
    source: Source, options: Options, gathered: Gathered, changes: dict[str, list[Change]]
) -> None:
    lines = (line.partition(":") for line in source.text.splitlines())
    fields = {key.strip(): value.strip() for key, colon, value in lines if colon}
    site = options.site or source.stem
    gathered.rows += 1
    try:
        at_us = iso_us(fields.get("lastUpdated", ""), options.zone)
    except ValueError as fault:
        gathered.reject(source, 0, "lastUpdated", str(fault))
        return
    status = fields.get("status", "")
    if status not in ("up", "down", "degraded"):
        gathered.reject(source, 0, "status", f"unknown status {status!r}", "up, down or degraded")
        return
    state = "down" if status == "down" else "up"
    changes.setdefault(site, []).append(Change(at_us, state, first=True, err_us=CHECK_ERR_US))


def _take_summary(source: Source, gathered: Gathered) -> None:
    for entry in entries(source, gathered):
        site = entry.text("name", "slug")
        minutes = entry.fields.get("dailyMinutesDown")
        if not site or not isinstance(minutes, Mapping):
            gathered.reject(source, entry.line, entry.place, "no name or no dailyMinutesDown")
            continue
        gathered.site(site)
        days: list[tuple[date, int]] = []
        for day, down in minutes.items():
            try:
                days.append((date.fromisoformat(str(day)), int(down)))
            except (ValueError, TypeError):
                place = f"{entry.place}.dailyMinutesDown"
                gathered.reject(source, entry.line, place, f"{day}: {down!r} is no day and minutes")
        _take_days(site, sorted(days), gathered)
    gathered.note("days without minutes down count as up only between a site's first and last day")


def _midnight_us(day: date) -> int:
    return since_epoch_us(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _take_days(site: str, days: Sequence[tuple[date, int]], gathered: Gathered) -> None:
    """Place each day's minutes down: at its end if the next day was down all along, else its start.

    The place inside a day is not known: the errors say so.
    """
    down_on = {day: min(max(minutes, 0), 1440) for day, minutes in days}
    starts = [_midnight_us(day) for day, _ in days]
    if starts:
        gathered.watched_only(site, starts[0], starts[-1] + DAY_US)
    for (day, minutes), start in zip(days, starts, strict=True):
        down_us = min(max(minutes, 0), 1440) * MINUTE_US
        if down_us == 0:
            continue
        slack = DAY_US - down_us
        runs_on = down_on.get(day + timedelta(days=1), 0) == 1440
        begin = start + slack if runs_on else start
        gathered.down(site, begin, begin + down_us, cause="minutes a day", err_us=(slack, slack))


def _take_issues(source: Source, options: Options, gathered: Gathered) -> None:
    for entry in entries(source, gathered):
        labels = [str(label.get("name")) for label in entry.objects("labels")]
        match = _TITLE.fullmatch(entry.text("title"))
        if match is None or (labels and "status" not in labels):
            continue
        _take_issue(source, entry, match[1], options, gathered)


def _take_issue(
    source: Source, entry: Entry, site: str, options: Options, gathered: Gathered
) -> None:
    closed = entry.text("closed_at")
    try:
        start = iso_us(entry.text("created_at"), options.zone)
        end = iso_us(closed, options.zone) if closed else None
    except ValueError as fault:
        gathered.reject(source, entry.line, entry.place, str(fault))
        return
    degraded = "degraded" in entry.text("title")
    if end is not None and end <= start:
        gathered.reject(source, entry.line, entry.place, "closed before it was opened")
        return
    gathered.down(
        site, start, end, kind="degraded" if degraded else "network", cause=entry.text("title"),
        err_us=(CHECK_ERR_US, CHECK_ERR_US),
    )  # fmt: skip
