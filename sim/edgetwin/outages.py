"""The rules by which outage records are replayed: assigned, read, moved, cut and joined.

Pure functions from records to records. What a record is stands in `recorded`; files are read in
`inputs.records`, laws are in `storms`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING, Literal, get_args

from edgetwin.errors import UsageError, did_you_mean
from edgetwin.recorded import (
    KINDS,
    Kind,
    Outage,
    Record,
    Unknown,
    apart,
    cover,
    merge,
    summary,
    time_order,
    unknown_of,
    without,
)

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = [
    "AMBIGUOUS_KINDS",
    "KINDS",
    "Kind",
    "Outage",
    "Reading",
    "Record",
    "Rule",
    "Unknown",
    "apart",
    "assign",
    "cover",
    "grid_error_us",
    "joined",
    "merge",
    "read_as",
    "shifted",
    "stream",
    "stretched",
    "summary",
    "time_order",
    "unknown_of",
    "unwatched",
    "windowed",
    "with_drawn_errors",
    "without",
]

AMBIGUOUS_KINDS = ("network",)
"""Kinds that do not say whether the link or the feed was lost: a dead link and a dead power feed
look alike to a probe (data/smokeping-rs-brazil)."""

Rule = Literal["name", "rank", "sample"]
Reading = Literal["cut", "power", "mixed"]


def stream(seed: int, *names: str) -> Generator:
    """Return the Philox stream of (*seed*, *names*): other names, other numbers, on any machine."""
    from numpy.random import Generator, Philox

    digest = blake2b("\x1f".join((str(seed), *names)).encode(), digest_size=16).digest()
    return Generator(Philox(key=int.from_bytes(digest, "little")))


def _by_site(record: Record) -> dict[str, tuple[list[Outage], list[Unknown]]]:
    parts: dict[str, tuple[list[Outage], list[Unknown]]] = {site: ([], []) for site in record.sites}
    for outage in record.outages:
        parts[outage.site][0].append(outage)
    for unknown in record.unknown:
        parts[unknown.site][1].append(unknown)
    return parts


# ---- recorded sites become modelled ones -------------------------------------------------------


def assign(
    record: Record,
    sites: Sequence[str],
    *,
    rule: str = "name",
    seed: int = 0,
    mapping: Mapping[str, str] | None = None,
) -> Record:
    """Return *record* as if it had been kept at the modelled *sites*.

    *rule* ``name`` keeps recorded sites that bear a modelled site's name; ``rank`` gives the k-th
    modelled site (sorted by name) the k-th recorded one, beginning again when they run out;
    ``sample`` lets each modelled site draw a recorded one by *seed*, none twice before all are
    used, so that a further site changes few of the others' draws. A *mapping* of recorded to
    modelled names goes before any rule; several recorded sites may become one.

    Raises UsageError if a name is unknown or no recorded site finds a place.
    """
    wanted = sorted(set(sites))
    if not wanted:
        raise UsageError("there is no site to which the record could be assigned")
    if mapping is not None:
        pairs = [(new, old) for old, new in sorted(mapping.items())]
        for new, old in pairs:
            for name, known in ((new, wanted), (old, record.sites)):
                if name not in known:
                    raise UsageError(f"unknown site {name!r}; {did_you_mean(name, known)}")
    elif rule == "name":
        pairs = [(site, site) for site in wanted if site in set(record.sites)]
    elif rule == "rank":
        pairs = [(new, record.sites[k % len(record.sites)]) for k, new in enumerate(wanted)]
    elif rule == "sample":
        pairs = _sampled(record.sites, wanted, seed)
    else:
        raise UsageError(f"unknown rule {rule!r}; {did_you_mean(rule, get_args(Rule))}")
    if not pairs:
        raise UsageError(
            f"no recorded site has a modelled site's name (recorded: {', '.join(record.sites[:3])}"
            f"...; modelled: {', '.join(wanted[:3])}...); assign them by 'rank', by 'sample' or "
            "by a mapping"
        )
    return _renamed(record, wanted, pairs)


def _sampled(recorded: Sequence[str], wanted: Sequence[str], seed: int) -> list[tuple[str, str]]:
    """Let each wanted site take the first free recorded site of an order of its own."""
    free = set(recorded)
    pairs = []
    for new in wanted:
        if not free:
            free = set(recorded)
        order = stream(seed, new, "assign").permutation(len(recorded))
        old = next(recorded[k] for k in order if recorded[k] in free)
        free.discard(old)
        pairs.append((new, old))
    return pairs


def _renamed(record: Record, wanted: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Record:
    parts, groups = _by_site(record), record.group_of()
    outages: list[Outage] = []
    unknown: dict[str, list[tuple[int, int]]] = {}
    domain: dict[str, str] = {}
    for new, old in pairs:
        outages.extend(replace(outage, site=new) for outage in parts[old][0])
        unknown.setdefault(new, []).extend((gap.start_us, gap.end_us) for gap in parts[old][1])
        domain.setdefault(new, groups[old] if record.groups else new)
    without_record = [site for site in wanted if site not in domain]
    used = {old for _, old in pairs}
    notes = list(record.notes)
    if len(used) < len(pairs):
        notes.append(f"{len(pairs)} sites share the records of {len(used)}: equal ones fall alike")
    if without_record:
        names = ", ".join(without_record[:5]) + (", ..." if len(without_record) > 5 else "")
        notes.append(f"{len(without_record)} modelled sites have no record: {names}")
    if dropped := len(record.sites) - len(used):
        notes.append(f"{dropped} of {len(record.sites)} recorded sites are not used")
    kept, joined, merged = merge(outages)
    return replace(
        record,
        outages=kept,
        unknown=unknown_of(unknown),
        sites=tuple(sorted(domain)),
        groups=tuple(domain[site] for site in sorted(domain)) if record.groups else (),
        notes=tuple(notes),
        joined=record.joined + joined,
        merged=record.merged + merged,
    )


# ---- what the instants and the kinds of a record leave open ------------------------------------


def with_drawn_errors(record: Record, *, seed: int) -> Record:
    """Return *record* with every start and end moved within its error, by *seed*.

    Drawn uniformly, either way, from one stream a site; the ends of the window, where watching
    began or stopped, do not move. Order is kept: no outage vanishes, none meets its neighbour of
    the same kind, and each still holds the instant between its recorded start and end.
    """
    moved: list[Outage] = []
    for site, same_site in groupby(record.outages, key=lambda outage: outage.site):
        by_kind: dict[str, list[Outage]] = {}
        for outage in same_site:
            by_kind.setdefault(outage.kind, []).append(outage)
        for kind in sorted(by_kind):
            outages = by_kind[kind]
            if not any(outage.start_err_us or outage.end_err_us for outage in outages):
                moved.extend(outages)
                continue
            draws = stream(seed, site, kind, "outage error").random((len(outages), 2)) * 2 - 1
            moved.extend(_moved(outages, draws.tolist(), record.window_us))
    return replace(record, outages=tuple(sorted(moved, key=time_order)))


def _moved(
    outages: Sequence[Outage], draws: Sequence[Sequence[float]], window_us: tuple[int, int]
) -> list[Outage]:
    """Move the starts and ends of *outages*: one site, one kind, in order; draws in -1..1."""
    ends = [window_us[1] if outage.end_us is None else outage.end_us for outage in outages]
    starts = [outage.start_us for outage in outages]
    # Half-way points no instant may cross: between neighbours, and inside each outage.
    fences = [(end + start) // 2 for end, start in zip(ends, starts[1:], strict=False)]
    floors = [min(window_us[0], starts[0]), *(fence + 1 for fence in fences)]
    roofs = [*fences, max(window_us[1], ends[-1])]
    moved = []
    for k, outage in enumerate(outages):
        middle = (starts[k] + ends[k]) // 2
        start, end = outage.start_us, outage.end_us
        if "L" not in outage.censored:
            start = start + round(draws[k][0] * outage.start_err_us)
            start = min(max(start, floors[k]), middle)
        if end is not None and "R" not in outage.censored:
            end = end + round(draws[k][1] * outage.end_err_us)
            end = min(max(end, middle + 1), roofs[k])
        moved.append(replace(outage, start_us=start, end_us=end))
    return moved


def read_as(record: Record, reading: str, *, seed: int = 0, mixed_share: float = 0.5) -> Record:
    """Return *record* with its ambiguous outages read as cuts, as power losses, or mixed.

    ``mixed`` makes each ambiguous outage a power loss with probability *mixed_share*, by *seed*,
    else a cut. Kinds that say what failed stay.
    """
    if reading not in get_args(Reading):
        raise UsageError(f"unknown reading {reading!r}; {did_you_mean(reading, get_args(Reading))}")
    if reading == "cut":
        return record
    read: list[Outage] = []
    for site, same_site in groupby(record.outages, key=lambda outage: outage.site):
        outages = list(same_site)
        draws = stream(seed, site, "reading").random(len(outages)).tolist()
        for outage, draw in zip(outages, draws, strict=True):
            power = reading == "power" or draw < mixed_share
            ambiguous = outage.kind in AMBIGUOUS_KINDS
            read.append(replace(outage, kind="power") if ambiguous and power else outage)
    kept, joined, merged = merge(read)
    return replace(
        record, outages=kept, joined=record.joined + joined, merged=record.merged + merged
    )


def grid_error_us(record: Record) -> int:
    """Return the resolution that the instants themselves betray: their common step.

    The greatest common divisor of all distances between instants, lowered to a step that clocks
    and probes have (1 s, 5 min, 1 h ...), at most a day; 0 if fewer than two instants differ.
    """
    instants = [outage.start_us for outage in record.outages]
    instants += [outage.end_us for outage in record.outages if outage.end_us is not None]
    step = math.gcd(*(instant - instants[0] for instant in instants)) if instants else 0
    if step == 0:
        return 0
    return max(clock for clock in _CLOCK_STEPS_US if step % clock == 0)


_CLOCK_STEPS_US = (
    1, 1_000, 10_000, 100_000, 1_000_000, 5_000_000, 10_000_000, 15_000_000, 30_000_000,
    60_000_000, 120_000_000, 300_000_000, 600_000_000, 900_000_000, 1_800_000_000, 3_600_000_000,
    21_600_000_000, 43_200_000_000, 86_400_000_000,
)  # fmt: skip


# ---- replay: when and how fast a record is played ----------------------------------------------


def _mapped(record: Record, instant: Callable[[int], int], factor: float) -> Record:
    """Return *record* with every instant passed through the increasing function *instant*."""
    outages = [
        replace(
            outage,
            start_us=instant(outage.start_us),
            end_us=None if outage.end_us is None else instant(outage.end_us),
            start_err_us=round(outage.start_err_us * factor),
            end_err_us=round(outage.end_err_us * factor),
        )
        for outage in record.outages
    ]
    # Squeezing may round a short outage to nothing; one microsecond of it stays.
    lasting = [
        replace(outage, end_us=outage.start_us + 1) if outage.end_us == outage.start_us else outage
        for outage in outages
    ]
    kept, joined, merged = merge(lasting)
    unknown: dict[str, list[tuple[int, int]]] = {}
    for gap in record.unknown:
        unknown.setdefault(gap.site, []).append((instant(gap.start_us), instant(gap.end_us)))
    return replace(
        record,
        outages=kept,
        unknown=unknown_of(unknown),
        window_us=(instant(record.window_us[0]), instant(record.window_us[1])),
        joined=record.joined + joined,
        merged=record.merged + merged,
    )


def shifted(record: Record, by_us: int) -> Record:
    """Return *record* moved by *by_us* microseconds (later if positive)."""
    return _mapped(record, lambda instant: instant + by_us, 1.0)


def stretched(record: Record, factor: float) -> Record:
    """Return *record* with every distance from the window's start multiplied by *factor*.

    Outages, gaps, errors and the window grow alike, so rates fall as durations grow.
    """
    if not (math.isfinite(factor) and factor > 0):
        raise UsageError(f"cannot stretch a record by {factor!r}; write a positive number")
    origin = record.window_us[0]
    return _mapped(record, lambda instant: origin + round((instant - origin) * factor), factor)


def windowed(record: Record, start_us: int, end_us: int) -> Record:
    """Return the part of *record* within [*start_us*, *end_us*).

    An outage that began earlier starts at the window's start, marked L; one that lasts longer
    stays open, marked R. Time outside the recorded window becomes unknown.
    """
    if end_us <= start_us:
        raise UsageError("the window ends before it starts; write start, then end")
    outages = []
    for outage in record.outages:
        end = record.end_us(outage)
        if outage.start_us >= end_us or end <= start_us:
            continue
        letters = set(outage.censored)
        if outage.start_us < start_us:
            letters.add("L")
            outage = replace(outage, start_us=start_us, start_err_us=0)
        if end > end_us:
            letters = (letters - {"E"}) | {"R"}
            outage = replace(outage, end_us=None, end_err_us=0)
        elif outage.end_us is None and end < end_us:
            outage = replace(outage, end_us=end)
        censored = "".join(letter for letter in "LRE" if letter in letters)
        outages.append(
            outage if censored == outage.censored else replace(outage, censored=censored)
        )
    outside = [(start_us, record.window_us[0]), (record.window_us[1], end_us)]
    unknown = {site: list(outside) for site in record.sites}
    for gap in record.unknown:
        unknown[gap.site].append((max(gap.start_us, start_us), min(gap.end_us, end_us)))
    down: dict[str, list[tuple[int, int]]] = {}
    for outage in outages:
        end = end_us if outage.end_us is None else outage.end_us
        down.setdefault(outage.site, []).append((outage.start_us, end))
    gaps = {site: without(parts, down.get(site, ())) for site, parts in unknown.items()}
    return replace(
        record,
        outages=tuple(sorted(outages, key=time_order)),
        unknown=unknown_of(gaps),
        window_us=(start_us, end_us),
    )


def unwatched(record: Record, gaps: Sequence[Unknown]) -> Record:
    """Return *record* as it would be had nobody watched during *gaps*: unknown there, not down.

    An outage that meets a gap is censored at it; one inside a gap was never seen.
    """
    blind: dict[str, list[tuple[int, int]]] = {}
    for gap in (*record.unknown, *gaps):
        blind.setdefault(gap.site, []).append((gap.start_us, gap.end_us))
    seen: list[Outage] = []
    for outage in record.outages:
        end_us = record.end_us(outage)
        for start, end in without([(outage.start_us, end_us)], blind.get(outage.site, ())):
            letters = set(outage.censored) - ({"R", "E"} if end < end_us else set())
            letters |= {"L"} if start > outage.start_us else set()
            letters |= {"R"} if end < end_us else set()
            censored = "".join(letter for letter in "LRE" if letter in letters)
            last = outage.end_us if end == end_us else end
            seen.append(replace(outage, start_us=start, end_us=last, censored=censored))
    return replace(
        record, outages=tuple(sorted(seen, key=time_order)), unknown=unknown_of(blind)
    )  # fmt: skip


def joined(records: Sequence[Record]) -> Record:
    """Return the *records* as one, such as the power and the network record of the same sites.

    The window spans all of them. What any record that knows a site did not watch is unknown there,
    unless another saw the site down: half a view is no proof of uptime.
    """
    if not records:
        raise UsageError("there is no record to join")
    window = min(r.window_us[0] for r in records), max(r.window_us[1] for r in records)
    parts = [windowed(record, *window) for record in records]
    outages, joined_count, merged_count = merge(o for part in parts for o in part.outages)
    unknown: dict[str, list[tuple[int, int]]] = {}
    for part in parts:
        for gap in part.unknown:
            unknown.setdefault(gap.site, []).append((gap.start_us, gap.end_us))
    down: dict[str, list[tuple[int, int]]] = {}
    for outage in outages:
        end = window[1] if outage.end_us is None else outage.end_us
        down.setdefault(outage.site, []).append((outage.start_us, end))
    groups: dict[str, str] = {}
    for record in records:
        for site, group in record.group_of().items():
            if site not in groups or groups[site] == site:
                groups[site] = group
    sites = tuple(sorted(groups))
    return Record(
        outages=outages,
        unknown=unknown_of({s: without(gaps, down.get(s, ())) for s, gaps in unknown.items()}),
        sites=sites,
        window_us=window,
        notes=tuple(dict.fromkeys(note for record in records for note in record.notes)),
        rows=sum(record.rows for record in records),
        joined=sum(record.joined for record in records) + joined_count,
        merged=sum(record.merged for record in records) + merged_count,
        rejected=sum(record.rejected for record in records),
        groups=tuple(groups[site] for site in sites) if any(r.groups for r in records) else (),
    )
