"""The data plane: requests of many sites, judged in columns between changes of state.

`advance` takes each of some sites to an instant of its own. Between now and then nothing about a
site changes but through its requests, and those changes are found before anything is committed:
the first instant at which the requests of a site (or of any site that shares its clock) would
kill a pod, fill a volume or bring back a client is a *crossing*. Up to the first crossing all is
committed, beyond it nothing, so nothing is ever taken back.

Intervals are half-open: what completes at the instant of a change meets the new state.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgetwin.engine import attempts, ledger
from edgetwin.engine.attempts import CLOUD_SLOT, NO_SLOT, Attempts, Column
from edgetwin.engine.decisions import ALLOW, DENY, VERDICTS, WRONG_ALLOW, WRONG_DENY, Decisions
from edgetwin.engine.ledger import Ledger
from edgetwin.engine.queueing import NEVER_US, NO_LIMIT, Rules, first_killing, inside, serve
from edgetwin.engine.requests import Arrivals, Block, durations_us, scaled
from edgetwin.engine.store import Store
from edgetwin.engine.tally import Tally
from edgetwin.model import Law

_OUTCOME = np.array(
    [ledger.OK, ledger.DENIED, ledger.ERROR, ledger.ERROR, ledger.OK], dtype=np.int64
)
_LOW = np.uint64(0xFFFFFFFF)
_TABLES_MAX = 256


@dataclass(frozen=True)
class ClassRules:
    """One class of requests at all sites of its kind."""

    name: str
    service: int
    budget_us: int
    timeout_us: int
    retries: int
    backoff_us: int
    law: Law
    write_class: int
    """Column of the store, -1 for a read."""
    keys: NDArray[np.float64] | int | None
    """Of a contended collection: how many keys, or their cumulative shares; None: not needed."""
    decisions: Decisions | None
    dark_without_power: bool
    sites: NDArray[np.int64]
    """Site of each stream, sorted."""
    arrivals: Arrivals


@dataclass(frozen=True)
class ServiceRules:
    """One Kubernetes Service and its pods, alike at every site."""

    name: str
    rules: Rules
    cold_us: NDArray[np.int64]
    """What a cold start of a scaled-to-zero instance takes, at even quantiles."""
    fallback: bool
    cloud_law: Law
    watch_memory: bool


@dataclass(frozen=True)
class Crossing:
    """Requests are about to change a state: `what` is kill or full."""

    site: int
    at_us: int
    what: str
    slot: int = NO_SLOT


@dataclass
class Links:
    """What the way to the cloud is like; arrays over sites."""

    offline: NDArray[np.bool_]
    latency_us: NDArray[np.int64]
    jitter_us: NDArray[np.int64]


@dataclass
class _Part:
    """Attempts of one service that share a way: a pod of their site, or another place."""

    rows: Attempts
    inmate: NDArray[np.bool_] | None = None
    """Rows that were in a pod before: they count for the others, and are not committed again."""
    again: bool = False
    """Retries of rows of the same plan."""


@dataclass
class _Plan:
    """What would become of one service's attempts; nothing is committed."""

    service: int
    streams: list[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]
    """(class, its stream rows, where their next requests begin, requests issued by each)."""
    parts: list[_Part] = field(default_factory=list)
    crossings: list[Crossing] = field(default_factory=list)


class Plane:
    """All sites' requests; state changes come from outside, between calls of `advance`."""

    def __init__(
        self, sites: int, classes: Sequence[ClassRules], services: Sequence[ServiceRules],
        store: Store, books: Ledger, component: NDArray[np.int64], *, keep_requests: bool,
    ) -> None:  # fmt: skip
        self.classes = classes
        self.services = services
        self.store = store
        self.books = books
        self.component = component
        self.time_us = np.zeros(sites, dtype=np.int64)
        self.links = Links(
            np.zeros(sites, dtype=np.bool_),
            np.zeros(sites, dtype=np.int64),
            np.zeros(sites, dtype=np.int64),
        )
        self.powered = np.ones(sites, dtype=np.bool_)
        self.ready = np.zeros((len(services), sites), dtype=np.int64)
        self.slots = np.full((len(services), sites, 1), NO_SLOT, dtype=np.int64)
        self.free_us = np.zeros(64, dtype=np.int64)
        """When each slot's only worker is free; several workers: when the slot became ready."""
        self.service_of_slot: list[int] = []
        self.table = np.zeros((len(classes), sites), dtype=np.int64)
        self.cloud_table = np.zeros((len(classes), sites), dtype=np.int64)
        self.in_pod_max = np.zeros((len(services), sites), dtype=np.int64)
        self.busy_us = np.zeros((len(services), sites), dtype=np.int64)
        self.carried = [attempts.empty() for _ in services]
        self.waiting = [attempts.empty() for _ in services]
        """Retries that clients will issue, by service."""
        self.kept: list[dict[str, Column]] | None = [] if keep_requests else None
        self.asked = np.zeros(len(classes) * _TABLES_MAX * VERDICTS, dtype=np.int64)
        self.tally = Tally(sites=sites, classes=len(classes), tables=_TABLES_MAX)
        self._row_of_site = np.full((len(classes), sites), -1, dtype=np.int64)
        for number, one in enumerate(classes):
            self._row_of_site[number, one.sites] = np.arange(one.sites.size)
        self._of_service = [
            [number for number, one in enumerate(classes) if one.service == service]
            for service in range(len(services))
        ]
        self._reads_only = [
            all(classes[number].write_class < 0 for number in numbers)
            for numbers in self._of_service
        ]
        self._budget_us = np.array([one.budget_us for one in classes], dtype=np.int64)
        self._timeout_us = np.array([one.timeout_us for one in classes], dtype=np.int64)
        self._budget_us_min, self._timeout_us_min = (
            [int(limit_us[numbers].min(initial=NEVER_US)) for numbers in self._of_service]
            for limit_us in (self._budget_us, self._timeout_us)
        )
        self._retries = np.array([one.retries for one in classes], dtype=np.int64)
        self._backoff_us = np.array([one.backoff_us for one in classes], dtype=np.int64)
        self._write_class = np.array([one.write_class for one in classes], dtype=np.int64)
        self._keyed = [number for number, one in enumerate(classes) if one.keys is not None]
        self._until_us = np.zeros(sites, dtype=np.int64)
        self._blocks: list[Block] = []
        self._position: list[NDArray[np.int64]] = []
        self._window_us = (0, 0)
        self._roomy = np.zeros(sites, dtype=np.bool_)
        """Sites whose volume holds whatever this window may write."""

    # -- time ------------------------------------------------------------------------------

    def open_window(self, until_us: int) -> None:
        """Draw the requests that arrive before *until_us*."""
        self._blocks = [one.arrivals.block(until_us) for one in self.classes]
        self._position = [block.first[:-1].copy() for block in self._blocks]
        self._window_us = (self._window_us[1], until_us)

    def calm(self) -> NDArray[np.bool_]:
        """Say at which sites no request of this window can change a state."""
        calm = np.ones(self.component.size, dtype=np.bool_)
        for each_service in self.services:
            if each_service.rules.killed_over < each_service.rules.in_pod_max:
                calm[:] = False
        bytes_max = np.zeros(self.component.size, dtype=np.int64)
        for number, one in enumerate(self.classes):
            if one.write_class >= 0:
                each = self.store.classes[one.write_class].disk_bytes
                block = self._blocks[number]
                bytes_max[one.sites] += np.diff(block.first) * (one.retries + 1) * each
        for service in range(len(self.services)):
            for rows in (self.carried[service], self.waiting[service]):
                column = self._write_class[rows["request_class"]]
                each_row = np.where(column >= 0, self.store.bytes_of(column), 0)
                np.add.at(bytes_max, rows["site"], each_row * 11)
        self._roomy = ~self.store.full
        self._roomy &= self.store.used_bytes + bytes_max <= self.store.limit_bytes
        return calm & self._roomy

    def advance(self, sites: NDArray[np.int64], until_us: NDArray[np.int64]) -> list[Crossing]:
        """Commit what happens at each of *sites* before its *until_us*, or its first crossing.

        *sites* is sorted and holds all sites of a component or none. Afterwards `time_us` says
        how far each came; the crossings returned lie at that instant.
        """
        found: list[Crossing] = []
        while sites.size:
            self._until_us[sites] = until_us
            plans = [
                self._plan(service, sites)
                for service in range(len(self.services))
                if self._of_service[service]
            ]
            crossings = [one for plan in plans for one in plan.crossings]
            crossings += self._overflows(sites, plans)
            crossings += self._comebacks(sites, plans)
            limit = np.full(self.component.max() + 1, NEVER_US, dtype=np.int64)
            for one in crossings:
                place = self.component[one.site]
                limit[place] = min(int(limit[place]), one.at_us)
            late = limit[self.component[sites]] < until_us
            found += [
                one for one in crossings
                if one.what != "retry" and one.at_us == limit[self.component[one.site]]
                and one.at_us < self._until_us[one.site]
            ]  # fmt: skip
            done = sites[~late]
            if done.size:
                only = None if done.size == sites.size else done
                for plan in plans:
                    self._commit(plan, done, only)
                self.store.advance(done, self._until_us[done])
                self.time_us[done] = self._until_us[done]
            sites, until_us = sites[late], limit[self.component[sites[late]]]
        return found

    # -- planning --------------------------------------------------------------------------

    def _plan(self, service: int, sites: NDArray[np.int64]) -> _Plan:
        """Judge the attempts on *service* that arrive before each site's `_until_us`."""
        again = self._due(self.waiting[service], sites)
        whole = bool(again["arrival_us"].size)
        runs, streams = [], []
        for number in self._of_service[service]:
            run, stream = self._arriving(number, sites)
            runs.append(run)
            streams.append(stream)
        if whole:
            runs = [self._kept(Attempts([run]), slice(None)) for run in runs]
            runs.append(self._judged_again(again))
        rows = Attempts(runs)
        if sum(1 for run in runs if run["arrival_us"].size) > 1:
            rows = rows.ordered(self._by_site_and_time(rows))
        plan = _Plan(service, streams)
        if not rows.size:
            return plan
        ready = self.ready[service]
        if ready[sites].min() > 0:
            plan.parts.append(self._at_pods(plan, rows, sites))
        else:
            local = ready[rows["site"]] > 0
            if local.any():
                here = rows.ordered(np.flatnonzero(local))
                plan.parts.append(self._at_pods(plan, here, sites))
            away = self._elsewhere(service, rows.ordered(np.flatnonzero(~local)))
            plan.parts += [away, *self._failing_again(service, away)]
        return plan

    def _arriving(
        self, number: int, sites: NDArray[np.int64]
    ) -> tuple[
        dict[str, Column], tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    ]:
        """Return the next rows of a class, and how far that takes its streams."""
        one, block, position = self.classes[number], self._blocks[number], self._position[number]
        row = self._row_of_site[number, sites]
        here, row = sites[row >= 0], row[row >= 0]
        begin, end = position[row], block.first[row + 1]
        until = self._until_us[here]
        short = until < self._window_us[1]
        if short.any():
            end = end.copy()
            for at in np.flatnonzero(short).tolist():
                a, b = int(begin[at]), int(end[at])
                end[at] = a + np.searchsorted(block.arrival_us[a:b], until[at])
        count = end - begin
        if begin.size and bool((begin[1:] == end[:-1]).all()):
            pick: slice | NDArray[np.int64] = slice(int(begin[0]), int(end[-1]))
        else:
            skip = np.concatenate(([0], np.cumsum(count)))
            pick = np.arange(skip[-1], dtype=np.int64) + np.repeat(begin - skip[:-1], count)
        site = np.repeat(here, count)
        if one.dark_without_power and not self.powered[here].all():
            lit = self.powered[site]
            where = np.arange(pick.start, pick.stop) if isinstance(pick, slice) else pick
            pick, site = where[lit], site[lit]
            issued = np.where(self.powered[here], count, 0)
        else:
            issued = count
        run: dict[str, Column] = {
            "site": site,
            "request_class": np.full(site.shape, number, dtype=np.int64),
            "number": block.number[pick],
            "arrival_us": block.arrival_us[pick],
            "service_word": block.service_word[pick],
            "choice_word": block.choice_word[pick],
            "key_word": block.key_word[pick],
        }
        self._judge(number, run)
        return run, (number, row, end, issued)

    def _judge(self, number: int, run: dict[str, Column]) -> None:
        """Let the policy decide, and reckon how long each request holds a worker."""
        one = self.classes[number]
        run["duration_us"] = durations_us(one.law, run["service_word"])
        if one.decisions is None:
            run["table"] = np.zeros(run["site"].shape, dtype=np.int64)
            run["verdict"] = np.full(run["site"].shape, ALLOW, dtype=np.int64)
            return
        run["table"] = self.table[number][run["site"]]
        run["verdict"], cost = one.decisions.judge(run["table"], run["choice_word"])
        run["duration_us"] *= _served(run["verdict"])
        run["duration_us"] += cost

    def _judged_again(self, rows: dict[str, Column]) -> dict[str, Column]:
        """Return retries with the decision that they get now."""
        parts = []
        for number in np.unique(rows["request_class"]).tolist():
            part = attempts.picked(rows, rows["request_class"] == number)
            self._judge(number, part)
            parts.append(part)
        again = attempts.joined(parts)
        order = np.lexsort(
            (again["number"], again["request_class"], again["arrival_us"], again["site"])
        )
        return attempts.picked(again, order)

    def _by_site_and_time(self, rows: Attempts) -> NDArray[np.int64]:
        arrival = rows["arrival_us"]
        low = int(arrival.min())
        key = rows["site"].astype(np.int64) * (int(arrival.max()) - low + 1)
        key += arrival
        return np.argsort(key, kind="stable")

    def _at_pods(self, plan: _Plan, rows: Attempts, sites: NDArray[np.int64]) -> _Part:
        """Let each attempt's pod serve it; the endpoint is drawn, as kube-proxy draws it."""
        service = plan.service
        one = self.services[service]
        rules = one.rules
        remembers = rules.remembers or one.watch_memory
        inmate: NDArray[np.bool_] | None = None
        if self.ready[service][sites].max() <= 1 and not remembers:
            segment = rows["site"]
            slot = self.slots[service, :, 0][segment]
        else:
            choice = (rows["choice_word"] & _LOW).astype(np.int64)
            pod = (choice * self.ready[service][rows["site"]]) >> 32
            segment = pod * self.component.size + rows["site"]
            if remembers:
                rows, segment, inmate = self._behind_inmates(service, rows, segment, sites)
            top = self.slots.shape[2] * self.component.size
            order = np.argsort(
                segment.astype(np.uint16) if top < 1 << 16 else segment, kind="stable"
            )
            rows, segment = rows.ordered(order), segment[order]
            inmate = None if inmate is None else inmate[order]
            pod, site = np.divmod(segment, self.component.size)
            slot = self.slots[service, site, pod]
        first = np.concatenate(
            ([0], np.flatnonzero(segment[1:] != segment[:-1]) + 1, [rows.size])
        ).astype(np.int64)
        free = self.free_us[slot[first[:-1]]]
        came, duration = rows["arrival_us"], rows["duration_us"]
        arrival = came
        old = np.zeros(first.size - 1, dtype=np.int64)
        if inmate is not None:
            old = np.add.reduceat(inmate.astype(np.int64), first[:-1])
            if rules.workers == 1:
                free = np.where(old > 0, rows["start_us"][first[:-1]], free)
            else:
                arrival = np.where(inmate, rows["start_us"], arrival)
        cold = duration
        if rules.keep_alive_us:
            cold = one.cold_us[scaled(rows["key_word"] & _LOW, one.cold_us.size)]
        served = serve(arrival, duration, cold, first, free, old, rules)
        rows["slot"] = slot
        rows["start_us"], rows["finish_us"] = served.start_us, served.finish_us
        for row in first_killing(came, served.finish_us, first, old, rules).tolist():
            site_of, at = int(rows["site"][row]), int(came[row])
            if at < self._until_us[site_of]:
                plan.crossings.append(Crossing(site_of, at, "kill", int(slot[row])))
        if one.watch_memory:
            rows["inside"] = inside(came, served.finish_us, first)
        if rules.in_pod_max < NO_LIMIT:
            rows["rejected"] = served.rejected
        return _Part(rows, inmate)

    def _behind_inmates(
        self, service: int, rows: Attempts, segment: NDArray[np.int64], sites: NDArray[np.int64]
    ) -> tuple[Attempts, NDArray[np.int64], NDArray[np.bool_] | None]:
        """Return *rows* after the unfinished attempts of the pods that they go to."""
        carried = self.carried[service]
        inmates = attempts.picked(carried, (carried["slot"] >= 0) & self._among(carried, sites))
        if not inmates["site"].size:
            return rows, segment, None
        slots = self.slots[service][inmates["site"]]
        pods = np.arange(slots.shape[1]) < self.ready[service][inmates["site"]][:, None]
        match = (slots == inmates["slot"][:, None]) & pods
        reached = match.any(axis=1)
        inmates = attempts.picked(inmates, reached)
        where = match.argmax(axis=1)[reached] * self.component.size + inmates["site"]
        inmates["duration_us"] = inmates["finish_us"] - inmates["start_us"]
        joined = Attempts([inmates, self._kept(rows, slice(None))])
        old = np.arange(joined.size) < where.size
        return joined, np.concatenate((where, segment)), old

    def _elsewhere(self, service: int, rows: Attempts) -> _Part:
        """Send attempts without a local pod to the cloud, if that is allowed and reachable."""
        one, site = self.services[service], rows["site"]
        finish = rows["arrival_us"].copy()
        slot = np.full(rows.size, NO_SLOT, dtype=np.int64)
        if one.fallback and not (gone := self.links.offline[site]).all():
            verdict, table, duration = rows["verdict"].copy(), rows["table"].copy(), finish * 0
            for number in self._of_service[service]:
                where = np.flatnonzero((rows["request_class"] == number) & ~gone)
                duration[where] = durations_us(one.cloud_law, rows["service_word"][where])
                decisions = self.classes[number].decisions
                if decisions is not None:
                    table[where] = self.cloud_table[number][site[where]]
                    verdict[where], cost = decisions.judge(table[where], rows["choice_word"][where])
                    duration[where] = duration[where] * _served(verdict[where]) + cost
            delay = 2 * self.links.latency_us[site]
            delay += scaled(rows["key_word"] & _LOW, self.links.jitter_us[site] + 1)
            finish += np.where(gone, 0, delay + duration)
            slot[~gone] = CLOUD_SLOT
            rows["verdict"], rows["table"] = verdict, table
            rows["duration_us"] = duration
        rows["slot"], rows["start_us"], rows["finish_us"] = slot, rows["arrival_us"], finish
        return _Part(rows)

    def _failing_again(self, service: int, part: _Part) -> list[_Part]:
        """Return the retries of what found no pod, as long as there is none: they fail at once.

        Nothing but a change of state ends that, so these retries need no crossing of their own.
        """
        found: list[_Part] = []
        if not self._retries[self._of_service[service]].any():
            return found
        while part.rows.size:
            which, at = self._again_us(part)
            soon = (part.rows["slot"][which] == NO_SLOT) & (
                at < self._until_us[part.rows["site"][which]]
            )
            run = self._kept(part.rows, which[soon])
            run["arrival_us"], run["attempt"] = at[soon], run["attempt"] + np.int16(1)
            part = self._elsewhere(service, Attempts([run]))
            part.again = True
            if part.rows.size:
                found.append(part)
        return found

    # -- crossings -------------------------------------------------------------------------

    def _overflows(self, sites: NDArray[np.int64], plans: Sequence[_Plan]) -> list[Crossing]:
        """Return where volumes would overflow: few can, and only those are reckoned exactly."""
        if not self.store.classes or bool(self._roomy[sites].all()):
            return []
        room = self.store.limit_bytes - self.store.used_bytes
        asked = np.zeros(self.component.size, dtype=np.int64)
        found = []
        for plan in plans:
            found += [self._writes(part.rows, part.inmate) for part in plan.parts]
            carried = self.carried[plan.service]
            if carried["site"].size:
                which = np.flatnonzero(self._among(carried, sites))
                found.append(self._writes(Attempts([attempts.picked(carried, which)]), None))
        found = [one for one in found if one[0].size]
        for site, write_class, _ in found:
            np.add.at(asked, site, self.store.bytes_of(write_class))
        crossings = []
        for site in sites[(asked > room)[sites] & ~self.store.full[sites]].tolist():
            mine = [(w[s == site], f[s == site]) for s, w, f in found]
            at_us = self.store.crossing(
                site, np.concatenate([w for w, _ in mine]), np.concatenate([f for _, f in mine])
            )
            if at_us < self._until_us[site]:
                crossings.append(Crossing(site, at_us, "full"))
        return crossings

    def _writes(
        self, rows: Attempts, inmate: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return site, store column and finish of the writes that end before `_until_us`."""
        column = self._write_class[rows["request_class"]]
        writes = (column >= 0) & _served(rows["verdict"]) & (rows["slot"] >= 0)
        writes &= rows["finish_us"] < self._until_us[rows["site"]]
        if inmate is not None:
            writes &= ~inmate
        if "rejected" in rows:
            writes &= ~rows["rejected"]
        where = np.flatnonzero(writes)
        return rows["site"][where].astype(np.int64), column[where], rows["finish_us"][where]

    def _comebacks(self, sites: NDArray[np.int64], plans: Sequence[_Plan]) -> list[Crossing]:
        """Return when clients would try again what failed in these plans."""
        if not self._retries.any():
            return []
        crossings = []
        for plan in plans:
            if not self._retries[self._of_service[plan.service]].any():
                continue
            carried = self.carried[plan.service]
            mine = attempts.picked(carried, self._among(carried, sites))
            for part in [*plan.parts, _Part(Attempts([mine]))]:
                if not part.rows.size:
                    continue
                again, at = self._again_us(part)
                site = part.rows["site"][again]
                before = (at < self._until_us[site]) & (part.rows["slot"][again] != NO_SLOT)
                for one in np.unique(site[before]).tolist():
                    first = int(at[before][site[before] == one].min())
                    crossings.append(Crossing(one, first, "retry"))
        return crossings

    # -- committing ------------------------------------------------------------------------

    def _commit(
        self, plan: _Plan, sites: NDArray[np.int64], only: NDArray[np.int64] | None
    ) -> None:
        """Commit a plan for *sites*; *only* is given where the plan holds other sites too."""
        for number, row, end, issued in plan.streams:
            if only is not None:
                mine = self._chosen(self.classes[number].sites[row], sites)
                row, end, issued = row[mine], end[mine], issued[mine]
            self._position[number][row] = end
            span = self.books.span[self.classes[number].sites[row]]
            self.books.add(span, number, ledger.ISSUED, issued)
            self.books.add(span, number, ledger.ATTEMPTS, issued)
        waiting = self.waiting[plan.service]
        if waiting["site"].size:
            gone = self._is_due(waiting, sites)
            again = attempts.picked(waiting, gone)
            self.books.add(again["span"], again["request_class"], ledger.ATTEMPTS)
            self.waiting[plan.service] = attempts.picked(waiting, ~gone)
        carried = self.carried[plan.service]
        if carried["site"].size:
            mine = self._among(carried, sites)
            self.carried[plan.service] = attempts.picked(carried, ~mine)
            self._end(plan.service, Attempts([attempts.picked(carried, mine)]))
        for part in plan.parts:
            rows = part.rows
            keep = None if part.inmate is None else ~part.inmate
            if only is not None:
                mine = self._chosen(rows["site"], sites)
                keep = mine if keep is None else keep & mine
            if keep is not None:
                rows = rows.ordered(np.flatnonzero(keep))
            if rows.size:
                if part.again:
                    self.books.add(rows["span"], rows["request_class"], ledger.ATTEMPTS)
                self._note(plan.service, rows)
                self._end(plan.service, rows)

    def _note(self, service: int, rows: Attempts) -> None:
        """Take down what starts now: when workers become free, what they do, who waits."""
        slot = rows["slot"]
        away = bool(slot.min() < 0)
        if away:
            sent = np.flatnonzero(slot == CLOUD_SLOT)
            if sent.size:
                self.books.add(
                    self._span(rows)[sent], rows["request_class"][sent], ledger.FORWARDED
                )
            where = np.flatnonzero(slot >= 0)
            slot, site = slot[where], rows["site"][where]
            start, finish = rows["start_us"][where], rows["finish_us"][where]
        else:
            site, start, finish = rows["site"], rows["start_us"], rows["finish_us"]
        if not slot.size:
            return
        if self.services[service].rules.workers > 1:
            pass
        elif "rejected" in rows:
            # Whoever is turned away ends before those that it found in the pod.
            np.maximum.at(self.free_us, slot, finish)
        else:
            last = np.append(np.flatnonzero(slot[1:] != slot[:-1]), slot.size - 1)
            self.free_us[slot[last]] = finish[last]
        np.add.at(self.busy_us[service], site, finish - start)
        if self.services[service].watch_memory:
            found = rows["inside"] if not away else rows["inside"][where]
            if "rejected" in rows:
                # Whoever is turned away has not come in.
                found = found - (rows["rejected"][where] if away else rows["rejected"])
            seen = np.zeros(self.component.size, dtype=np.bool_)
            seen[site] = True
            np.maximum(self.in_pod_max[service], seen, out=self.in_pod_max[service])
            met = np.flatnonzero(found > 0)
            np.maximum.at(self.in_pod_max[service], site[met], found[met] + 1)

    def _end(self, service: int, rows: Attempts) -> None:
        """End what ends before `_until_us`, for clients and in pods; carry the rest on."""
        arrival, finish = rows["arrival_us"], rows["finish_us"]
        until = self._until_us[rows["site"]]
        done = finish < until
        waited = finish - arrival
        timed = np.zeros(0, dtype=np.bool_)
        if waited.max(initial=0) > self._timeout_us_min[service]:
            timeout = self._per_class(self._timeout_us, service, rows)
            timed = waited > timeout
        if not timed.any():
            if done.all():
                self._outcomes(service, rows)
                return
            self._outcomes(service, rows.ordered(np.flatnonzero(done)))
            self._carry(service, self._kept(rows, np.flatnonzero(~done)))
            return
        self._outcomes(service, rows.ordered(np.flatnonzero(done & ~timed)))
        gave_up = rows["gave_up"] if "gave_up" in rows else np.zeros(rows.size, dtype=np.bool_)
        leave = timed & ~gave_up & (arrival + timeout < until)
        left = attempts.picked(self._kept(rows, slice(None)), leave)
        late = np.full(left["site"].size, ledger.LATE, dtype=np.int64)
        self._client(service, Attempts([left]), late, (arrival + timeout)[leave])
        stored = rows.ordered(np.flatnonzero(timed & done))
        self._serve_unheard(service, stored)
        rest = self._kept(rows, np.flatnonzero(~done))
        rest["gave_up"] = (gave_up | leave)[~done]
        self._carry(service, rest)

    def _outcomes(self, service: int, rows: Attempts) -> None:
        """End attempts whose clients still wait."""
        if not rows.size:
            return
        site, request_class, slot = rows["site"], rows["request_class"], rows["slot"]
        verdict = rows["verdict"]
        outcome = _OUTCOME[verdict]
        reached: NDArray[np.bool_] | None = None
        if slot.min() < 0:
            reached = slot != NO_SLOT
            outcome[~reached] = ledger.UNAVAILABLE
        if "rejected" in rows and rows["rejected"].any():
            outcome[rows["rejected"]] = ledger.REJECTED
            reached = ~rows["rejected"] if reached is None else reached & ~rows["rejected"]
        if not self._reads_only[service]:
            column = self._write_class[request_class]
            writes = np.flatnonzero((column >= 0) & (outcome == ledger.OK))
            if writes.size and self.store.full.any():
                full = self.store.full[site[writes]] & (slot[writes] >= 0)
                outcome[writes[full]] = ledger.STORE_FULL
                writes = writes[~full]
            if writes.size:
                self._write(rows, writes, column[writes])
        self._ask(rows, reached)
        latency = rows["finish_us"] - self._first(rows)
        slow = np.flatnonzero(latency > self._budget_us_min[service])
        if slow.size:
            late = latency[slow] > self._budget_us[request_class[slow]]
            late &= outcome[slow] <= ledger.DENIED
            outcome[slow[late]] = ledger.LATE
        self._client(service, rows, outcome, rows["finish_us"], latency)

    def _serve_unheard(self, service: int, rows: Attempts) -> None:
        """End attempts in their pods whose clients have left: what they write is `info`."""
        if not rows.size:
            return
        column = self._write_class[rows["request_class"]]
        reached = rows["slot"] != NO_SLOT
        self._ask(rows, reached)
        writes = np.flatnonzero((column >= 0) & _served(rows["verdict"]) & reached)
        full = self.store.full[rows["site"][writes]] & (rows["slot"][writes] >= 0)
        writes = writes[~full]
        here = rows["slot"][writes] >= 0
        np.add.at(self.store.info, (rows["site"][writes][here], column[writes][here]), 1)
        self._write(rows, writes, column[writes])

    def _ask(self, rows: Attempts, reached: NDArray[np.bool_] | None) -> None:
        """Count the decisions that were asked for: of rows that *reached* a policy, None: all."""
        at = rows["request_class"].astype(np.int64) * _TABLES_MAX
        at += rows["table"]
        at *= VERDICTS
        at += rows["verdict"]
        at = at if reached is None else at[reached]
        counts = np.bincount(at, minlength=self.asked.size)
        self.asked += counts
        if self.tally.wants(counts):
            which = np.arange(rows.size) if reached is None else np.flatnonzero(reached)
            self.tally.count(
                site=rows["site"][which], request_class=rows["request_class"][which],
                table=rows["table"][which], verdict=rows["verdict"][which],
                at_site=rows["slot"][which] >= 0,
            )  # fmt: skip

    def _write(self, rows: Attempts, which: NDArray[np.int64], column: NDArray[np.int64]) -> None:
        """Append to the stores of the pods' sites; what went to the cloud is there already."""
        here = rows["slot"][which] >= 0
        if not here.all():
            np.add.at(self.store.direct, (rows["site"][which][~here], column[~here]), 1)
            which, column = which[here], column[here]
        site, finish = rows["site"][which], rows["finish_us"][which]
        self.store.add(site, column, finish)
        for number in self._keyed:
            one = self.classes[number]
            assert one.keys is not None
            mine = np.flatnonzero(rows["request_class"][which] == number)
            word = rows["key_word"][which][mine]
            self.store.keep(
                one.write_class, site[mine], finish[mine], chosen_keys(word, one.keys), word
            )

    def _client(
        self, service: int, rows: Attempts, outcome: NDArray[np.int64],
        end_us: NDArray[np.int64], latency: NDArray[np.int64] | None = None,
    ) -> None:  # fmt: skip
        """Tell the clients; those that may try again do, and have no outcome yet.

        *latency* is from the first attempt to *end_us*, where the caller knows it.
        """
        if not rows.size:
            return
        if latency is None:
            latency = end_us - self._first(rows)
        site, request_class, span = rows["site"], rows["request_class"], self._span(rows)
        if self.kept is not None:
            self.kept.append(
                {
                    "site": site, "class": request_class, "number": rows["number"],
                    "attempt": self._attempt(rows), "issued_us": rows["arrival_us"],
                    "finished_us": end_us, "outcome": outcome, "pod": rows["slot"],
                }
            )  # fmt: skip
        if rows["verdict"].max() >= WRONG_DENY:
            wrong = np.flatnonzero(rows["verdict"] >= WRONG_DENY)
            reached = (rows["slot"][wrong] != NO_SLOT) & (outcome[wrong] != ledger.REJECTED)
            wrong = wrong[reached]
            allowed = rows["verdict"][wrong] == WRONG_ALLOW
            kind = np.where(allowed, ledger.WRONGLY_ALLOWED, ledger.WRONGLY_DENIED)
            self.books.add(span[wrong], request_class[wrong], kind)
        if self._retries[self._of_service[service]].any():
            again = self._may_retry(rows, outcome)
            if again.size:
                retry = self._kept(rows, again)
                retry["arrival_us"] = end_us[again] + (
                    self._backoff_us[request_class[again]] << retry["attempt"].astype(np.int64)
                )
                retry["attempt"] = retry["attempt"] + np.int16(1)
                retry["gave_up"] = np.zeros(retry["attempt"].shape, dtype=np.bool_)
                # What comes back before the state changes is in the same plan already.
                later = retry["arrival_us"] >= self._until_us[retry["site"]]
                self.waiting[service] = attempts.joined(
                    [self.waiting[service], attempts.picked(retry, later)]
                )
                ended = np.ones(rows.size, dtype=np.bool_)
                ended[again] = False
                final = np.flatnonzero(ended)
                outcome, latency = outcome[final], latency[final]
                request_class, span = request_class[final], span[final]
                if not final.size:
                    return
        self.books.add(span, request_class, outcome)
        if outcome.max() <= ledger.LATE:
            self.books.add_latency(span, request_class, latency)
        else:
            where = np.flatnonzero(outcome <= ledger.LATE)
            self.books.add_latency(span[where], request_class[where], latency[where])

    # -- changes from outside --------------------------------------------------------------

    def new_slot(self, service: int, at_us: int) -> int:
        """Return a slot for a pod of *service* that becomes ready now."""
        slot = len(self.service_of_slot)
        if slot == self.free_us.size:
            self.free_us = np.concatenate((self.free_us, np.zeros_like(self.free_us)))
        self.free_us[slot] = at_us
        self.service_of_slot.append(service)
        return slot

    def set_endpoints(self, service: int, site: int, slots: Sequence[int]) -> None:
        """From now on requests at *site* to *service* go to the pods in *slots*."""
        if len(slots) > self.slots.shape[2]:
            grown = np.full((*self.slots.shape[:2], len(slots)), NO_SLOT, dtype=np.int64)
            grown[:, :, : self.slots.shape[2]] = self.slots
            self.slots = grown
        self.slots[service, site, : len(slots)] = slots
        self.ready[service, site] = len(slots)

    def drop_slot(self, service: int, slot: int, at_us: int) -> None:
        """The pod in *slot* is gone: what it was doing ends in an error."""
        self._fail(service, self.carried[service]["slot"] == slot, at_us)

    def drop_cloud(self, site: int, at_us: int) -> None:
        """The way to the cloud is cut: what was under way there ends in an error."""
        for service in range(len(self.services)):
            carried = self.carried[service]
            self._fail(service, (carried["slot"] == CLOUD_SLOT) & (carried["site"] == site), at_us)

    def _fail(self, service: int, which: NDArray[np.bool_], at_us: int) -> None:
        if not which.any():
            return
        lost = attempts.picked(self.carried[service], which)
        self.carried[service] = attempts.picked(self.carried[service], ~which)
        np.subtract.at(
            self.busy_us[service], lost["site"],
            np.where(lost["slot"] >= 0, lost["finish_us"] - np.maximum(lost["start_us"], at_us), 0),
        )  # fmt: skip
        waiting = attempts.picked(lost, ~lost["gave_up"])
        size = waiting["site"].size
        outcome = np.full(size, ledger.ERROR, dtype=np.int64)
        self._client(service, Attempts([waiting]), outcome, np.full(size, at_us, dtype=np.int64))

    def close(self, end_us: int) -> None:
        """End the run: workers have not done yet what they would do after *end_us*."""
        for service, rows in enumerate(self.carried):
            undone = rows["finish_us"] - np.maximum(rows["start_us"], end_us)
            undone[rows["slot"] < 0] = 0
            np.subtract.at(self.busy_us[service], rows["site"], undone)

    def asked_by_table(self, number: int) -> NDArray[np.int64]:
        """Return how often a class's tables gave each verdict, shape (tables, VERDICTS)."""
        asked: NDArray[np.int64] = self.asked.reshape(-1, _TABLES_MAX, VERDICTS)[number]
        return asked

    # -- columns ---------------------------------------------------------------------------

    def _may_retry(self, rows: Attempts, outcome: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return whose clients try again: what failed, or had no answer before its timeout."""
        which = np.flatnonzero(outcome >= ledger.LATE)
        if not which.size:
            return which
        request_class = rows["request_class"][which]
        waited = rows["finish_us"][which] - rows["arrival_us"][which]
        failed = outcome[which] > ledger.LATE
        failed |= waited > self._timeout_us[request_class]
        failed &= self._attempt(rows)[which] < self._retries[request_class]
        return which[failed]

    def _again_us(self, part: _Part) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which rows of a part would be tried again, and when, before `_until_us`."""
        rows = part.rows
        which = self._doubtful(rows)
        if not which.size:
            return which, which
        request_class, site = rows["request_class"][which], rows["site"][which]
        arrival, finish, slot = (
            rows["arrival_us"][which], rows["finish_us"][which], rows["slot"][which]
        )  # fmt: skip
        timeout = self._timeout_us[request_class]
        outcome = _OUTCOME[rows["verdict"][which]]
        outcome[slot == NO_SLOT] = ledger.UNAVAILABLE
        if "rejected" in rows:
            outcome[rows["rejected"][which]] = ledger.REJECTED
        writes = (self._write_class[request_class] >= 0) & (outcome == ledger.OK)
        outcome[writes & self.store.full[site] & (slot >= 0)] = ledger.STORE_FULL
        timed = finish - arrival > timeout
        outcome[timed] = ledger.LATE
        end = np.where(timed, arrival + timeout, finish)
        attempt = self._attempt(rows)[which].astype(np.int64)
        again = (end < self._until_us[site]) & (timed | (outcome > ledger.LATE))
        again &= attempt < self._retries[request_class]
        if part.inmate is not None:
            again &= ~part.inmate[which]
        if "gave_up" in rows:
            again &= ~rows["gave_up"][which]
        at = end + (self._backoff_us[request_class] << attempt)
        return which[again], at[again]

    def _doubtful(self, rows: Attempts) -> NDArray[np.int64]:
        """Return, at little cost, the rows that may end in a failure or a timeout; few others."""
        doubtful = rows["finish_us"] - rows["arrival_us"] > self._timeout_us.min()
        if rows["verdict"].max() > DENY:
            doubtful |= rows["verdict"] > DENY
        if rows["slot"].min() < 0:
            doubtful |= rows["slot"] == NO_SLOT
        if "rejected" in rows:
            doubtful |= rows["rejected"]
        if self.store.full.any():
            doubtful |= self.store.full[rows["site"]]
        return np.flatnonzero(doubtful)

    def _kept(
        self, rows: Attempts, which: NDArray[np.int64] | NDArray[np.bool_] | slice
    ) -> dict[str, Column]:
        """Return *which* rows with every kept column."""
        kept: dict[str, Column] = {}
        size = rows["site"][which].size
        for name, kind in attempts.COLUMNS.items():
            if name == "span":
                kept[name] = self._span(rows)[which]
            elif name == "first_us":
                kept[name] = self._first(rows)[which]
            elif name in rows:
                kept[name] = rows[name][which]
            else:
                kept[name] = np.zeros(size, dtype=kind)
        return kept

    def _carry(self, service: int, rows: dict[str, Column]) -> None:
        if rows["site"].size:
            self.carried[service] = attempts.joined([self.carried[service], rows])

    def _per_class(
        self, table: NDArray[np.int64], service: int, rows: Attempts
    ) -> NDArray[np.int64] | np.int64:
        """Return the class's entry of *table* for each row; one number if there is one class."""
        classes = self._of_service[service]
        return table[classes[0]] if len(classes) == 1 else table[rows["request_class"]]

    def _span(self, rows: Attempts) -> NDArray[np.int64]:
        return rows["span"] if "span" in rows else self.books.span[rows["site"]]

    def _first(self, rows: Attempts) -> NDArray[np.int64]:
        return rows["first_us"] if "first_us" in rows else rows["arrival_us"]

    def _attempt(self, rows: Attempts) -> NDArray[np.int16]:
        if "attempt" in rows:
            return rows["attempt"]
        return np.zeros(rows.size, dtype=np.int16)

    def _among(self, rows: dict[str, Column], sites: NDArray[np.int64]) -> NDArray[np.bool_]:
        return self._chosen(rows["site"], sites)

    def _chosen(self, site: NDArray[np.integer], sites: NDArray[np.int64]) -> NDArray[np.bool_]:
        if sites.size == self.component.size:
            return np.ones(site.shape, dtype=np.bool_)
        chosen = np.zeros(self.component.size, dtype=np.bool_)
        chosen[sites] = True
        among: NDArray[np.bool_] = chosen[site]
        return among

    def _is_due(self, rows: dict[str, Column], sites: NDArray[np.int64]) -> NDArray[np.bool_]:
        due = self._among(rows, sites)
        due &= rows["arrival_us"] < self._until_us[rows["site"]]
        return due

    def _due(self, rows: dict[str, Column], sites: NDArray[np.int64]) -> dict[str, Column]:
        if not rows["site"].size:
            return rows
        return attempts.picked(rows, self._is_due(rows, sites))


def _served(verdict: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which requests are allowed, rightly (0) or wrongly (4)."""
    served: NDArray[np.bool_] = (verdict & 3) == ALLOW
    return served


def chosen_keys(words: NDArray[np.uint64], keys: NDArray[np.float64] | int) -> NDArray[np.int64]:
    """Return the key that each request's draw (the high half of *words*) stands for.

    *keys* is their number, for a uniform law, or the cumulative shares of all keys.
    """
    if isinstance(keys, int):
        return scaled(words >> np.uint64(32), keys)
    unit = (words >> np.uint64(32)).astype(np.float64) * 2.0**-32
    return np.searchsorted(keys, unit, side="right")
