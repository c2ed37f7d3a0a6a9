"""A record as the three tables that edgetwin reads back: outages, unknown time, sites."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgetwin.errors import UsageError
from edgetwin.outages import Record
from edgetwin.units import SECOND_US

OUTAGES = ("site", "start", "end", "kind", "cause", "censored", "start_err_s", "end_err_s")
UNKNOWN = ("site", "start", "end")
SITES = ("site", "group", "obs_start", "obs_end")


def seconds(us: int) -> str:
    """Return *us* as seconds, exactly.

    >>> seconds(1_727_762_400_000_000), seconds(1_056_000), seconds(-500_000)
    ('1727762400', '1.056', '-0.5')
    """
    whole, rest = divmod(abs(us), SECOND_US)
    sign = "-" if us < 0 else ""
    return f"{sign}{whole}.{rest:06d}".rstrip("0").rstrip(".")


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(rows)
    return text.getvalue()


def outages_csv(record: Record) -> str:
    """Return the outages of *record* in epoch seconds; an open end is empty and marked R."""
    rows = []
    for outage in record.outages:
        letters = outage.censored
        if outage.end_us is None and "R" not in letters:
            letters += "R"
        rows.append(
            (
                outage.site,
                seconds(outage.start_us),
                "" if outage.end_us is None else seconds(outage.end_us),
                outage.kind,
                outage.cause,
                letters,
                seconds(outage.start_err_us),
                seconds(outage.end_err_us),
            )
        )
    return _table(OUTAGES, rows)


def unknown_csv(record: Record) -> str:
    """Return the intervals in which a site is neither up nor down."""
    return _table(
        UNKNOWN, ((gap.site, seconds(gap.start_us), seconds(gap.end_us)) for gap in record.unknown)
    )


def sites_csv(record: Record) -> str:
    """Return every observed site, its failure domain if one is known, and the window."""
    start, end = map(seconds, record.window_us)
    groups = record.groups or ("",) * len(record.sites)
    return _table(
        SITES, ((site, group, start, end) for site, group in zip(record.sites, groups, strict=True))
    )


def write(record: Record, path: Path) -> list[Path]:
    """Write *record* to *path*, its sites beside it, and its unknown time if there is any.

    Returns the files written. Raises UsageError if a file beside it is somebody else's.
    """
    files = {path: outages_csv(record), path.with_name("sites.csv"): sites_csv(record)}
    unknown = path.with_name("unknown.csv")
    if record.unknown:
        files[unknown] = unknown_csv(record)
    if len(files) < 2 + bool(record.unknown):
        raise UsageError(f"{path}: sites.csv and unknown.csv stand beside it; choose another name")
    for companion, headings in ((path.with_name("sites.csv"), SITES), (unknown, UNKNOWN)):
        if companion.is_file() and companion != path:
            with companion.open(encoding="utf-8", errors="replace") as file:
                first = file.readline().strip()
            if first != ",".join(headings):
                raise UsageError(
                    f"{companion} stands beside {path.name} and is not one of ours; choose another "
                    "folder"
                )
            if companion not in files:
                # An older import's: it would be read with this record.
                companion.unlink()
    for name, text in files.items():
        replace_text(name, text)
    return list(files)


def replace_text(path: Path, text: str) -> None:
    """Write *text* to *path* as a whole or not at all. Raises UsageError if it can't be written."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as fault:
        unfinished.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {fault.strerror}") from None
