"""The sightings of an import, out of which a record is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

from edgetwin.errors import Problem, ScenarioError
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source
from edgetwin.outages import Outage, Record, merge, unknown_of, without
from edgetwin.units import duration_text

FOREVER_US = 1 << 62
"""An end after any window, for what stays unknown."""

PROBLEMS_MAX = 50
"""Wrong rows that are told one by one before the rest is counted. Chosen: two screenfuls."""

SKIP = "mend them, or leave them out with --skip-bad, counted and named"

NAMED_MAX = 20
"""Refused rows that are named one by one; the rest are counted. Chosen: a screenful."""


class Importer(Protocol):
    """What a module of this package offers: one export format."""

    NAME: str
    WHAT: str

    def recognises(self, source: Source) -> bool:
        """Tell whether *source* is written in this format, from its head."""

    def take(self, sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
        """Put what *sources* say into *gathered*."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a log of states: from this instant on a site is up, down or unknown."""

    at_us: int
    state: str
    """`up`, `down` or `unknown`."""
    first: bool = False
    """The line only states how things are: it says nothing of the time before it."""
    kind: str = "network"
    cause: str = ""
    err_us: int = 0


class Gathered:
    """The sightings of an import, and what had to be refused."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.rows = 0
        self.rejected = 0
        self.groups: dict[str, str] = {}
        self._sites: dict[str, None] = {}
        self._outages: list[Outage] = []
        self._unknown: dict[str, list[tuple[int, int]]] = {}
        self._hours: dict[str, list[tuple[int, int]]] = {}
        self._notes: dict[str, None] = {}
        self._named: list[Problem] = []
        self._problems: list[Problem] = []
        self._watched: tuple[int, int] | None = None
        self._spanned: tuple[int, int] | None = None
        self._until: int | None = None
        self._firsts: dict[str, Change] = {}

    # -- what importers say --

    def site(self, name: str) -> None:
        """The site *name* was observed, whether or not anything happened there."""
        self._sites.setdefault(name)

    def watched(self, start_us: int, end_us: int) -> None:
        """Somebody looked from *start_us* to *end_us*: the window spans it."""
        low, high = self._watched or (start_us, end_us)
        self._watched = min(low, start_us), max(high, end_us)

    def watched_only(self, site: str, start_us: int, end_us: int) -> None:
        """*site* was watched from *start_us* to *end_us*, and is unknown in the rest."""
        self.site(site)
        self.watched(start_us, end_us)
        self._hours.setdefault(site, []).append((start_us, end_us))

    def down(
        self,
        site: str,
        start_us: int,
        end_us: int | None,
        *,
        kind: str = "network",
        cause: str = "",
        censored: str = "",
        err_us: tuple[int, int] = (0, 0),
    ) -> None:
        """*site* was down from *start_us* to *end_us*; None: it still was when watching ended."""
        self._sites.setdefault(site)
        low, high = self._spanned or (start_us, start_us)
        self._spanned = min(low, start_us), max(high, start_us, end_us or start_us)
        self._outages.append(
            Outage(site, start_us, end_us, self.options.kind or kind, cause, censored, *err_us)
        )

    def seen_until(self, end_us: int) -> None:
        """The source was complete until *end_us*: the window reaches there at least."""
        self._until = max(self._until or end_us, end_us)

    def unknown(self, site: str, start_us: int, end_us: int) -> None:
        """Nobody can say how *site* was from *start_us* to *end_us*."""
        self._sites.setdefault(site)
        self._unknown.setdefault(site, []).append((start_us, end_us))

    def note(self, text: str) -> None:
        """Say *text* to the user, once."""
        self._notes.setdefault(text)

    def reject(self, source: Source, line: int, place: str, found: str, remedy: str = "") -> None:
        """A row is wrong and its author can mend it: an error, or, with skip_bad, left out."""
        self._problems.append(Problem(source.name, line, place, found, remedy))
        if self.options.skip_bad:
            self.leave_out(source, line, place, found)

    def leave_out(self, source: Source, line: int, place: str, found: str) -> None:
        """A row says nothing about time, such as one without length: it is counted and named."""
        self.rejected += 1
        if len(self._named) < NAMED_MAX:
            self._named.append(Problem(source.name, line, place, found, "left out"))

    def changes(self, site: str, changes: Iterable[Change]) -> None:
        """Turn a log of *site*'s states, in any order, into outages and unknown intervals.

        Its first line tells the state before it unless it is a mere statement; a state lasts until
        the next line says otherwise. Repeated states are one.
        """
        self._sites.setdefault(site)
        ordered = _netted(changes)
        if not ordered:
            return
        self.watched(ordered[0].at_us, ordered[-1].at_us)
        self._firsts[site] = min(ordered[0], self._firsts.get(site, ordered[0]), key=_at)
        since = ordered[0]
        for change in ordered[1:]:
            if _differs(since, change):
                self._state_ended(site, since, change)
                since = change
        self._state_ended(site, since, None)

    def _state_ended(self, site: str, since: Change, change: Change | None) -> None:
        if since.state == "down":
            seen_to_end = change is not None and change.state != "unknown"
            letters = ("L" if since.first else "") + ("" if seen_to_end else "R")
            self.down(
                site, since.at_us, change.at_us if change else None, kind=since.kind,
                cause=since.cause, censored=letters,
                err_us=(since.err_us, change.err_us if change else 0),
            )  # fmt: skip
        elif since.state == "unknown":
            self.unknown(site, since.at_us, change.at_us if change else FOREVER_US)

    def _state_before(self, site: str, first: Change, window: tuple[int, int]) -> None:
        """Say how *site* was from the window's start to the *first* line of its log."""
        if first.at_us <= window[0]:
            return
        if first.first:
            self.unknown(site, window[0], first.at_us)
        elif first.state == "up":
            self.note(f"{site} was down before the first line of its log")
            self.down(
                site, window[0], first.at_us, kind=first.kind, cause=first.cause, censored="L",
                err_us=(0, first.err_us),
            )  # fmt: skip

    # -- the record --

    def record(self) -> Record:
        """Return the record of all that was gathered.

        Raises ScenarioError with every refused row, unless they are to be skipped.
        """
        self.raise_if_wrong()
        if not self._sites:
            raise ScenarioError(
                [*self._problems, *self._named]
                or [Problem("the export", 0, "", "it names no site", "export it again")]
            )
        window = self._window()
        for site in sorted(self._firsts):
            self._state_before(site, self._firsts[site], window)
        outages, outside = [], 0
        for outage in self._outages:
            clipped = _clipped(outage, window, self.options.window_us is not None)
            outside += clipped is None
            if clipped is not None:
                outages.append(clipped)
        if outside:
            self.note(f"{outside} outages lie outside the window")
        kept, joined, merged = merge(outages)
        down: dict[str, list[tuple[int, int]]] = {}
        for outage in kept:
            end = window[1] if outage.end_us is None else outage.end_us
            down.setdefault(outage.site, []).append((outage.start_us, end))
        for site, hours in self._hours.items():
            self._unknown.setdefault(site, []).extend(without([window], hours))
        unknown = {
            site: without(
                ((max(start, window[0]), min(end, window[1])) for start, end in parts),
                down.get(site, ()),
            )
            for site, parts in self._unknown.items()
        }
        sites = tuple(sorted(self._sites))
        return Record(
            outages=kept,
            unknown=unknown_of(unknown),
            sites=sites,
            window_us=window,
            notes=tuple(self._notes) + self._refusals(),
            rows=self.rows,
            joined=joined,
            merged=merged,
            rejected=self.rejected,
            groups=tuple(self.groups.get(site, site) for site in sites) if self.groups else (),
        )

    def raise_if_wrong(self) -> None:
        """Raise ScenarioError with every refused row, unless they are to be skipped."""
        if self._problems and not self.options.skip_bad:
            raise ScenarioError(_fewer(self._problems))

    def _refusals(self) -> tuple[str, ...]:
        named = tuple(str(problem) for problem in self._named)
        more = self.rejected - len(named)
        return (*named, f"and {more} more rows left out") if more else named

    def _window(self) -> tuple[int, int]:
        """Return the window: as told, as watched, or as spanned by the outages themselves."""
        if self.options.window_us:
            return self.options.window_us
        spans = [span for span in (self._watched, self._spanned) if span]
        if not spans:
            raise ScenarioError(
                [Problem("the export", 0, "", "it holds no time at all", "say --window START/END")]
            )
        low = min(span[0] for span in spans)
        high = max(self._until or 0, *(span[1] for span in spans), low + 1)
        # An outage that is open at the last instant was seen down there, and no longer.
        open_since = (outage.start_us for outage in self._outages if outage.end_us is None)
        high = max([high, *(start + 1 for start in open_since)])
        if not self._watched:
            self.note(
                f"no window given: from the first outage to the end of the last, "
                f"{duration_text(high - low)}; rates need the true one (--window START/END)"
            )
        return low, high


def _clipped(outage: Outage, window: tuple[int, int], told: bool) -> Outage | None:
    """Return *outage* within *window*, censored where it is cut; None if it lies outside.

    In a window that was *told*, what is down at its first or last instant was so beyond it.
    """
    end = window[1] if outage.end_us is None else outage.end_us
    if outage.start_us >= window[1] or end <= window[0]:
        return None
    letters = set(outage.censored)
    if outage.start_us < window[0] or (told and outage.start_us == window[0]):
        letters.add("L")
        outage = replace(outage, start_us=window[0], start_err_us=0)
    if outage.end_us is None or end > window[1] or (end == window[1] and (told or "R" in letters)):
        letters = (letters - {"E"}) | {"R"}
        outage = replace(outage, end_us=None, end_err_us=0)
    return replace(outage, censored="".join(letter for letter in "LRE" if letter in letters))


def _differs(since: Change, change: Change) -> bool:
    """Tell whether *change* ends the state *since*; slow and down are two states."""
    if change.state != since.state:
        return True
    return change.state == "down" and (change.kind == "degraded") != (since.kind == "degraded")


def _fewer(problems: list[Problem]) -> list[Problem]:
    """Return *problems*, or the first of them and how many more there are."""
    if len(problems) <= PROBLEMS_MAX:
        return problems
    more = f"and {len(problems) - PROBLEMS_MAX} more rows are wrong"
    return [*problems[:PROBLEMS_MAX], Problem(problems[0].file, 0, "", more, SKIP)]


def _at(change: Change) -> int:
    return change.at_us


def _netted(changes: Iterable[Change]) -> list[Change]:
    """Return *changes* in time order, one an instant.

    A site said to be both up and down at one instant went there and back: it is as it was before.
    """
    netted: list[Change] = []
    ordered = sorted(dict.fromkeys(changes), key=lambda change: change.at_us)
    for _, group in groupby(ordered, key=lambda change: change.at_us):
        same = list(group)
        told = [change for change in same if not change.first] or same
        if len({change.state for change in told}) == 1:
            netted.append(told[-1])
        elif not netted:
            netted.append(same[-1])
    return netted
