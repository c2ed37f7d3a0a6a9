"""CSV dialects with a row an outage, and the plain one that edgetwin itself writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from edgetwin.errors import did_you_mean
from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.instants import Clock
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source, open_source, plain_heading
from edgetwin.outages import KINDS
from edgetwin.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US

NAME = "csv"
WHAT = "a table with a row an outage: site, start, end or duration, in any common spelling"

SITE = (
    "site", "host", "hostname", "host name", "name", "node", "node name", "location", "standort",
    "device", "device id", "gateway", "monitor", "monitor name", "instance", "municipality",
    "region", "store", "filiale",
)  # fmt: skip
START = (
    "start", "from", "down at", "begin", "beginn", "start time", "started at", "started", "down",
    "problem started", "prob started", "dateoff", "offline at", "outage start", "ausfall von",
    "von", "down since", "lost", "start us",
)  # fmt: skip
END = (
    "end", "to", "up at", "until", "end time", "ended at", "ended", "up", "resolved",
    "resolved at", "prob fixed", "problem fixed", "problem resolved", "recovery", "recovered",
    "dateon", "online at", "outage end", "ausfall bis", "bis", "ende", "restored",
)  # fmt: skip
DURATION = ("duration", "dauer", "down time", "downtime", "length", "outage duration")
KIND = ("kind", "type")
CAUSE = ("cause", "reason", "ursache", "root cause")

_UNIT_US = {
    "ms": 1_000, "s": SECOND_US, "sec": SECOND_US, "second": SECOND_US, "seconds": SECOND_US,
    "m": MINUTE_US, "min": MINUTE_US, "mins": MINUTE_US, "minute": MINUTE_US,
    "minutes": MINUTE_US, "minuten": MINUTE_US, "h": HOUR_US, "hour": HOUR_US, "hours": HOUR_US,
    "d": DAY_US, "day": DAY_US, "days": DAY_US,
}  # fmt: skip


class Row(NamedTuple):
    """One outage as its row spells it."""

    line: int
    site: str
    start: str
    end: str
    kind: str = "network"
    cause: str = ""
    censored: str = ""
    start_err_s: str = ""
    end_err_s: str = ""
    length_us: int | None = None
    """Where the row gives a duration in place of an end."""


def column(headings: Sequence[str], names: Sequence[str]) -> int | None:
    """Return where the first of *names* that is a heading stands; None if none is."""
    return next((headings.index(name) for name in names if name in headings), None)


def recognises(source: Source) -> bool:
    headings = source.headings
    has_end = column(headings, END) is not None or _duration(headings) is not None
    return column(headings, START) is not None and has_end and _has_site(headings)


def _has_site(headings: Sequence[str]) -> bool:
    return column(headings, SITE) is not None or len(headings) == 2


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    for source in sources:
        rows = list(_rows(source, options, gathered))
        clock = take_rows(gathered, source, rows, options)
        if clock is not None and plain(source):
            _take_companions(gathered, source, clock)


def plain(source: Source) -> bool:
    """Tell whether *source* is in the spelling that edgetwin writes: ``site,start,end,kind``."""
    return source.headings[:4] == ("site", "start", "end", "kind")


def take_rows(
    gathered: Gathered, source: Source, rows: Sequence[Row], options: Options
) -> Clock | None:
    """Put the outages of *rows* into *gathered*; return how their times were read."""
    texts = [text for row in rows for text in (row.start, row.end) if text]
    try:
        clock = Clock(texts, zone=options.zone, order=options.dates)
    except ValueError as fault:
        gathered.reject(source, rows[0].line if rows else 1, "", str(fault))
        return None
    if clock.relative:
        gathered.note(f"{source.name}: times are below three years: seconds since the trace began")
    cut_off = rows[-1].line if rows and not source.text.endswith(("\n", "\r")) else 0
    for row in rows:
        gathered.rows += 1
        _take_row(gathered, source, row, clock, cut_off)
    return clock


def _take_row(gathered: Gathered, source: Source, row: Row, clock: Clock, cut_off: int) -> None:
    if not row.site:
        gathered.reject(source, row.line, "site", "no site is named")
        return
    gathered.site(row.site)
    if row.kind not in KINDS:
        remedy = did_you_mean(row.kind, KINDS)
        gathered.reject(source, row.line, "kind", f"unknown kind {row.kind!r}", remedy)
        return
    if set(row.censored) - set("LRE"):
        found = f"{row.censored!r} is not made of L, R and E"
        gathered.reject(source, row.line, "censored", found)
        return
    try:
        start = clock.us(row.start)
        if row.length_us is not None:
            end: int | None = start + row.length_us
        else:
            end = clock.us(row.end) if row.end else None
        errors = _error_us(row.start_err_s), _error_us(row.end_err_s)
    except ValueError as fault:
        gathered.reject(source, row.line, "", str(fault))
        return
    if end is not None and end < start:
        found = f"ends before it starts ({row.start} .. {row.end})"
        gathered.reject(source, row.line, "end", found, "swap them, or leave the end empty")
        # Something happened here, and nobody can say when: not silent uptime.
        gathered.unknown(row.site, end, start)
    elif end == start:
        gathered.leave_out(source, row.line, "", f"starts and ends at {row.start}: no length")
    elif end is None and row.line == cut_off and "R" not in row.censored:
        found = "the last line has neither an end nor a line end: the file may be cut off"
        gathered.reject(source, row.line, "end", found, "complete it, or mark it R")
    else:
        gathered.down(
            row.site, start, end, kind=row.kind, cause=row.cause, censored=row.censored,
            err_us=errors,
        )  # fmt: skip


def _error_us(text: str) -> int:
    """Return the error *text* in seconds, microseconds; raises ValueError if it is none."""
    if not text:
        return 0
    if not re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        raise ValueError(f"{text!r} is no error in seconds; write for example 300")
    return round(float(text) * SECOND_US)


def _duration(headings: Sequence[str]) -> tuple[int, int] | None:
    """Return where the duration stands and its unit in microseconds, told by its heading."""
    for k, heading in enumerate(headings):
        words = re.sub(r"[\[\]().,]", " ", heading).split()
        if len(words) > 1 and words[-1] in _UNIT_US and " ".join(words[:-1]) in DURATION:
            return k, _UNIT_US[words[-1]]
    return None


def _rows(source: Source, options: Options, gathered: Gathered) -> Iterable[Row]:
    table = source.table
    if table is None:
        raise source.wrong(1, "not a table", "separate the columns by commas, semicolons or tabs")
    headings = source.headings
    start, end, length = column(headings, START), column(headings, END), _duration(headings)
    site, template = column(headings, SITE), options.site
    if start is None or (end is None and length is None):
        remedy = "name them site,start,end (or duration_s)"
        raise source.wrong(1, f"no start or no end among {', '.join(table.headings)}", remedy)
    if site is None and template is None:
        raise source.wrong(1, "no column names the site", "name it 'site', or say --site NAME")
    kind, cause = column(headings, KIND), column(headings, CAUSE)
    censored = column(headings, ("censored",))
    errors = column(headings, ("start err s",)), column(headings, ("end err s",))
    for line, cells in table.rows:
        if len(cells) != len(headings):
            found = f"{len(cells)} cells under {len(headings)} headings"
            gathered.rows += 1
            gathered.reject(source, line, "", found, "complete or remove the row")
            continue

        def cell(k: int | None, default: str = "", cells: tuple[str, ...] = cells) -> str:
            return default if k is None else cells[k] or default

        length_us = None
        if end is None and length is not None:
            length_us = _length_us(cells[length[0]], length[1])
            if length_us is None:
                gathered.rows += 1
                gathered.reject(source, line, "duration", f"{cells[length[0]]!r} is no duration")
                continue
        yield Row(
            line, site_name(template, table.headings, cells) if template else cell(site),
            cell(start), cell(end), cell(kind, "network").lower(), cell(cause), cell(censored),
            cell(errors[0]), cell(errors[1]), length_us,
        )  # fmt: skip


def _length_us(text: str, unit_us: int) -> int | None:
    if not re.fullmatch(r"\d{1,12}(\.\d+)?", text):
        return None
    return round(float(text) * unit_us)


def site_name(template: str, headings: Sequence[str], cells: Sequence[str]) -> str:
    """Fill the ``{Heading}`` fields of *template* from a row.

    >>> site_name("sys{System}-n{nodenumz}", ("System", "nodenumz"), ("8", "31"))
    'sys8-n31'
    """
    name = template
    for heading, cell in zip(headings, cells, strict=False):
        name = name.replace("{" + heading + "}", cell)
    return name


# ---- sites.csv and unknown.csv beside a plain file -----------------------------------------------


def _take_companions(gathered: Gathered, source: Source, clock: Clock) -> None:
    """Read when each site was watched, its failure domain and what is unknown, if it is there."""
    folder = Path(source.name).parent
    for name, needed, reader in (
        ("sites.csv", ("site", "group", "obs start", "obs end"), _take_sites),
        ("unknown.csv", ("site", "start", "end"), _take_unknown),
    ):
        path = folder / name
        if path.is_file():
            companion = open_source(path)
            if companion.headings[: len(needed)] == needed and companion.table:
                gathered.note(f"{name} beside {Path(source.name).name} is read too")
                reader(gathered, companion, clock)


def _take_sites(gathered: Gathered, source: Source, clock: Clock) -> None:
    assert source.table is not None
    status = column(source.headings, ("status",))
    excluded = []
    for line, cells in source.table.rows:
        if status is not None and len(cells) > status and cells[status].startswith("excluded"):
            excluded.append(cells[0])
            continue
        try:
            site, group, start, end = cells[0], cells[1], clock.us(cells[2]), clock.us(cells[3])
        except (IndexError, ValueError) as fault:
            gathered.reject(source, line, "", f"not site, group, obs_start, obs_end: {fault}")
            continue
        if end <= start:
            gathered.reject(source, line, "obs_end", "watching ends before it starts")
            continue
        gathered.watched_only(site, start, end)
        if group:
            gathered.groups[site] = group
    if excluded:
        gathered.note(f"not sites, as sites.csv marks them excluded: {', '.join(excluded)}")


def _take_unknown(gathered: Gathered, source: Source, clock: Clock) -> None:
    assert source.table is not None
    for line, cells in source.table.rows:
        try:
            site, start, end = cells[0], clock.us(cells[1]), clock.us(cells[2])
        except (IndexError, ValueError) as fault:
            gathered.reject(source, line, "", f"not site, start, end: {fault}")
            continue
        if end <= start:
            gathered.reject(source, line, "end", "ends before it starts")
        else:
            gathered.unknown(site, start, end)


assert all(plain_heading(name) == name for name in (*SITE, *START, *END, *KIND, *CAUSE))
