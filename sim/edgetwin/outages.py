"""Outage records: what was down when, what nobody knows, and the rules of their replay.

A record is a fact about the past: half-open intervals [start, end) in integer microseconds since
the Unix epoch, UTC. Everything here is a pure function from records to records; files are read in
`inputs.records`, laws are in `storms`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Literal, get_args

from edgetwin.errors import UsageError, did_you_mean
from edgetwin.units import duration_text

if TYPE_CHECKING:
    from numpy.random import Generator

Kind = Literal[
    "network", "cellular", "power", "node", "scheduler", "satellite", "planned", "degraded"
]
KINDS: tuple[str, ...] = get_args(Kind)
"""What can be down. `degraded` is slow or lossy, not offline; `planned` is announced work."""

AMBIGUOUS_KINDS = ("network",)
"""Kinds that do not say whether the link or the feed was lost: a dead link and a dead power feed
look alike to a probe (data/smokeping-rs-brazil)."""

Rule = Literal["name", "rank", "sample"]
Reading = Literal["cut", "power", "mixed"]


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


def stream(seed: int, *names: str) -> Generator:
    """Return the Philox stream of (*seed*, *names*): other names, other numbers, on any machine."""
    from numpy.random import Generator, Philox

    digest = blake2b("\x1f".join((str(seed), *names)).encode(), digest_size=16).digest()
    return Generator(Philox(key=int.from_bytes(digest, "little")))


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
    for start, end in cover(whole):
        for gap_start, gap_end in gaps:
            if gap_end <= start or gap_start >= end:
                continue
            if gap_start > start:
                rest.append((start, gap_start))
            start = gap_end
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
