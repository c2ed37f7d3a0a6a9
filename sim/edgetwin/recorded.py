"""What a record of outages is: who was down from when to when, and what nobody watched.

A record is a fact about the past: half-open intervals [start, end) in integer microseconds since
the Unix epoch, UTC.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Literal, get_args

from edgetwin.units import duration_text

Kind = Literal[
    "network", "cellular", "power", "node", "scheduler", "satellite", "planned", "degraded",
    "one-way-up", "one-way-down",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)
"""What can be down. `degraded` is slow or lossy, not offline; `planned` is announced work;
`one-way-up` loses what the site sends, `one-way-down` what it should receive."""


@dataclass(frozen=True, order=True, slots=True)
class Outage:
    """One recorded outage of one site."""

    site: str
    start_us: int
    end_us: int | None
    """None: still open at the end of the window."""
    kind: str = "network"
    cause: str = ""
    censored: str = ""
    """Letters, in this order: L already down when watching began, R still down when it ended,
    E the end is an operator's estimate."""
    start_err_us: int = 0
    """The true start lies within this of `start_us`, either way."""
    end_err_us: int = 0


@dataclass(frozen=True, order=True, slots=True)
class Unknown:
    """An interval in which nobody watched a site: neither up nor down."""

    site: str
    start_us: int
    end_us: int


@dataclass(frozen=True)
class Record:
    """What the files said about a set of sites over one window."""

    outages: tuple[Outage, ...]
    """Sorted by site, start and end; no two of one site and kind touch or overlap."""
    unknown: tuple[Unknown, ...]
    sites: tuple[str, ...]
    """Every observed site, sorted: one without an outage had none, and counts in rates."""
    window_us: tuple[int, int]
    notes: tuple[str, ...] = ()
    """What an importer took, joined, refused and why, a sentence each."""
    rows: int = 0
    """Rows or events read."""
    joined: int = 0
    """Outages that only touched their neighbour, and became part of it."""
    merged: int = 0
    """Outages that overlapped another of the same site and kind, and became part of it."""
    rejected: int = 0
    """Rows left out, each named in `notes`."""
    groups: tuple[str, ...] = ()
    """The failure domain of each of `sites`, or nothing where none is known."""

    def end_us(self, outage: Outage) -> int:
        """Return the end of *outage*, which is the window's where it is still open."""
        return self.window_us[1] if outage.end_us is None else outage.end_us

    def group_of(self) -> dict[str, str]:
        """Return the failure domain of every site; a site's own name where none is known."""
        return dict(zip(self.sites, self.groups or self.sites, strict=True))


def time_order(outage: Outage) -> tuple[str, int, float, str]:
    """Sort key of an outage: site, start, end (an open end last), kind."""
    end = math.inf if outage.end_us is None else outage.end_us
    return outage.site, outage.start_us, end, outage.kind


def merge(outages: Iterable[Outage]) -> tuple[tuple[Outage, ...], int, int]:
    """Return *outages* sorted, with those of one site and kind that touch or overlap made one,
    and how many were joined (touching) and merged (overlapping).

    Kinds stay apart: a power loss within a cut is two faults, and the first heal does not end the
    second.
    """
    kept: list[Outage] = []
    joined = merged = 0
    ordered = sorted(outages, key=lambda outage: (outage.site, outage.kind, *time_order(outage)))
    for _, same in groupby(ordered, key=lambda outage: (outage.site, outage.kind)):
        last: Outage | None = None
        for outage in same:
            if last is None:
                last = outage
            elif last.end_us is not None and outage.start_us > last.end_us:
                kept.append(last)
                last = outage
            else:
                touching = last.end_us == outage.start_us
                joined, merged = joined + touching, merged + (not touching)
                last = _union(last, outage)
        if last is not None:
            kept.append(last)
    return tuple(sorted(kept, key=time_order)), joined, merged


def _union(first: Outage, second: Outage) -> Outage:
    """Return the outage that covers *first* and the one that starts no earlier and meets it."""
    ends = (math.inf if outage.end_us is None else outage.end_us for outage in (first, second))
    first_end, second_end = ends
    last = second if second_end > first_end else first
    start = first
    if first.start_us == second.start_us and second.start_err_us < first.start_err_us:
        start = second
    at_start = "L" if "L" in start.censored else ""
    at_end = "".join(letter for letter in last.censored if letter in "RE")
    causes = dict.fromkeys(
        part for outage in (first, second) for part in outage.cause.split("; ") if part
    )
    return replace(
        first,
        end_us=last.end_us,
        cause="; ".join(list(causes)[:5]),
        censored=at_start + at_end,
        start_err_us=start.start_err_us,
        end_err_us=last.end_err_us,
    )


def cover(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the union of half-open *intervals*, sorted, touching ones joined, empty ones gone."""
    union: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if end <= start:
            continue
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return union


def without(whole: Iterable[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> list[
    tuple[int, int]
]:  # fmt: skip
    """Return the parts of the half-open intervals *whole* that *taken* does not cover."""
    gaps = cover(taken)
    rest: list[tuple[int, int]] = []
    first = 0
    for start, end in cover(whole):
        while first < len(gaps) and gaps[first][1] <= start:
            first += 1
        place = first
        while place < len(gaps) and gaps[place][0] < end:
            if gaps[place][0] > start:
                rest.append((start, gaps[place][0]))
            start = gaps[place][1]
            place += 1
        if start < end:
            rest.append((start, end))
    return rest


def unknown_of(intervals: Mapping[str, Iterable[tuple[int, int]]]) -> tuple[Unknown, ...]:
    """Return the unknown intervals of each site, joined and sorted."""
    return tuple(
        Unknown(site, start, end)
        for site in sorted(intervals)
        for start, end in cover(intervals[site])
    )


def apart(record: Record) -> bool:
    """Tell whether no two outages of one site and kind touch or overlap: a record's own law."""
    ordered = sorted(record.outages, key=lambda outage: (outage.site, outage.kind, outage.start_us))
    return all(
        (a.site, a.kind) != (b.site, b.kind) or (a.end_us is not None and a.end_us < b.start_us)
        for a, b in pairwise(ordered)
    )


def summary(record: Record) -> str:
    """Return one line that says what *record* holds."""
    open_ends = sum(outage.end_us is None for outage in record.outages)
    unknown_us = sum(gap.end_us - gap.start_us for gap in record.unknown)
    censored = sum(bool(outage.censored) for outage in record.outages)
    return (
        f"{len(record.outages)} outages at {len(record.sites)} sites over "
        f"{duration_text(record.window_us[1] - record.window_us[0])}; {censored} censored "
        f"({open_ends} still open), {record.joined} joined, {record.merged} merged, "
        f"{record.rejected} rejected, {duration_text(unknown_us)} of site time unknown"
    )
