"""A data plane that is slow and obviously right: one request at a time, instant by instant.

It has the outside of `edgetwin.engine.plane.Plane` and none of its judgement. The rules:

- Intervals are half-open. At an instant a change of state from outside comes first, then services
  that end, then clients that give up, then requests that arrive.
- An instant is tried on a copy of the site. If the requests themselves would kill a pod or fill
  the volume in it, the copy is thrown away and that instant is the crossing.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgetwin.engine import ledger
from edgetwin.engine.attempts import CLOUD_SLOT, NO_SLOT
from edgetwin.engine.decisions import ALLOW, DENY, ERROR, NO_BUNDLE, WRONG_ALLOW, WRONG_DENY
from edgetwin.engine.plane import TABLES_MAX, ClassRules, Crossing, Plane, ServiceRules
from edgetwin.engine.queueing import NEVER_US, NO_LIMIT
from edgetwin.engine.requests import durations_us
from edgetwin.engine.store import Store
from edgetwin.policy import FUEL_PER_US, UNDEFINED

_LOW = (1 << 32) - 1
_VERDICTS = 5


@dataclass(frozen=True)
class Attempt:
    """One try of one request by its client."""

    site: int
    request_class: int
    number: int
    attempt: int
    first_us: int
    arrival_us: int
    span: int
    service_word: int
    choice_word: int
    key_word: int

    @property
    def turn(self) -> tuple[int, int, int, int]:
        """What comes first: by time; of one instant first attempts, then by class and number."""
        return (self.arrival_us, int(self.attempt > 0), self.request_class, self.number)

    def __lt__(self, other: "Attempt") -> bool:
        return self.turn < other.turn

    @property
    def client(self) -> tuple[int, int, int]:
        """Who waits for it."""
        return (self.request_class, self.number, self.attempt)


@dataclass(frozen=True)
class Visit:
    """An attempt that has been taken up by a pod or by the cloud."""

    attempt: Attempt
    slot: int
    verdict: int
    table: int
    duration_us: int
    start_us: int = -1

    @property
    def finish_us(self) -> int:
        return self.start_us + self.duration_us


@dataclass(frozen=True)
class Arrived:
    attempt: Attempt
    slot: int
    in_pod: int


@dataclass(frozen=True)
class TurnedAway:
    attempt: Attempt
    slot: int
    outcome: int


@dataclass(frozen=True)
class Served:
    visit: Visit
    heard: bool


@dataclass(frozen=True)
class GaveUp:
    visit: Visit


@dataclass(frozen=True)
class Overwhelmed:
    """A pod had more requests in it than its memory allows."""

    service: int
    pod: int
    slot: int


Happening = Arrived | TurnedAway | Served | GaveUp | Overwhelmed


@dataclass
class Pod:
    """First come, first served by so many workers."""

    service: int
    workers: int
    idle_since_us: int
    waiting: list[Visit] = field(default_factory=list)
    serving: list[Visit] = field(default_factory=list)

    def copy(self) -> "Pod":
        return replace(self, waiting=list(self.waiting), serving=list(self.serving))

    def end(self, now_us: int) -> Iterator[Visit]:
        """Let go those whose service ends now; whoever waits takes their place."""
        while True:
            while self.waiting and len(self.serving) < self.workers:
                self.serving.append(replace(self.waiting.pop(0), start_us=now_us))
            ended = [visit for visit in self.serving if visit.finish_us == now_us]
            if not ended:
                return
            self.serving.remove(ended[0])
            self.idle_since_us = now_us
            yield ended[0]


@dataclass
class Site:
    """What is under way at one site."""

    pods: dict[int, Pod] = field(default_factory=dict)
    cloud: list[Visit] = field(default_factory=list)
    patient: dict[tuple[int, int, int], tuple[int, Visit]] = field(default_factory=dict)
    """Clients that still wait: until when, and for what."""

    def copy(self) -> "Site":
        pods = {slot: pod.copy() for slot, pod in self.pods.items()}
        return Site(pods, list(self.cloud), dict(self.patient))


@dataclass
class Volume:
    """The writes that a site has on disk."""

    writes: list[tuple[int, int]] = field(default_factory=list)
    """(column, when)."""
    mark: int = 0


class ReferencePlane(Plane):
    """Every request on its own."""

    def __init__(
        self, sites: int, classes: Sequence[ClassRules], services: Sequence[ServiceRules],
        store: Store, books: ledger.Ledger, component: NDArray[np.int64], *, keep_requests: bool,
    ) -> None:  # fmt: skip
        super().__init__(
            sites, classes, services, store, books, component, keep_requests=keep_requests
        )
        self._at: list[Site] = [Site() for _ in range(sites)]
        self._coming: list[list[Attempt]] = [[] for _ in range(sites)]
        self._fresh: dict[int, Pod] = {}
        """Pods that no site has been told of."""
        self._volumes = [Volume() for _ in range(sites)]
        self._answers: dict[tuple[int, int, bool, int], tuple[object, int]] = {}
        # The site asks its store when pruning will free something; the writes are here.
        store.next_room_us = self._next_room_us  # type: ignore[method-assign]

    # -- time ------------------------------------------------------------------------------

    def open_window(self, until_us: int) -> None:
        for number, one in enumerate(self.classes):
            block = one.arrivals.block(until_us)
            for row in range(block.arrival_us.size):
                site = int(one.sites[block.stream[row]])
                at = int(block.arrival_us[row])
                heapq.heappush(
                    self._coming[site],
                    Attempt(
                        site, number, int(block.number[row]), 0, at, at, -1,
                        int(block.service_word[row]), int(block.choice_word[row]),
                        int(block.key_word[row]),
                    ),
                )  # fmt: skip

    def calm(self) -> NDArray[np.bool_]:
        """Nowhere: events always wait for the requests before them."""
        return np.zeros(self.component.size, dtype=np.bool_)

    def advance(self, sites: NDArray[np.int64], until_us: NDArray[np.int64]) -> list[Crossing]:
        until = dict(zip(sites.tolist(), until_us.tolist(), strict=True))
        found: list[Crossing] = []
        for component in sorted({int(self.component[site]) for site in until}):
            members = [site for site in until if self.component[site] == component]
            assert len({until[site] for site in members}) == 1
            found += self._component(members, until[members[0]])
        return found

    def _component(self, sites: list[int], until_us: int) -> list[Crossing]:
        crossings: list[Crossing] = []
        while not crossings:
            now_us = min(self._next_us(site) for site in sites)
            if now_us >= until_us:
                now_us = until_us
                break
            tried = [
                (site, *self._try(site, now_us)) for site in sites if self._next_us(site) == now_us
            ]
            crossings = self._crossings(now_us, tried)
            if not crossings:
                for site, after, happened in tried:
                    self._take_coming(site, now_us)
                    self._at[site] = after
                    self._book(site, now_us, happened)
        for site in sites:
            self._prune(site, now_us)
            self.time_us[site] = now_us
        return crossings

    def _next_us(self, site: int) -> int:
        """Return the next instant at which anything happens to a request of *site*."""
        here = self._at[site]
        instants = [NEVER_US]
        if self._coming[site]:
            instants.append(self._coming[site][0].arrival_us)
        for pod in here.pods.values():
            instants += [visit.finish_us for visit in pod.serving]
        instants += [visit.finish_us for visit in here.cloud]
        instants += [gives_up_us for gives_up_us, _ in here.patient.values()]
        return min(instants)

    def _take_coming(self, site: int, now_us: int) -> list[Attempt]:
        taken = []
        while self._coming[site] and self._coming[site][0].arrival_us == now_us:
            taken.append(heapq.heappop(self._coming[site]))
        return taken

    # -- one instant -----------------------------------------------------------------------

    def _try(self, site: int, now_us: int) -> tuple[Site, list[Happening]]:
        """Return the site after *now_us* and what happened; nothing is changed."""
        self._prune(site, now_us)
        after = self._at[site].copy()
        happened: list[Happening] = []
        for pod in after.pods.values():
            happened += [self._served(after, visit) for visit in pod.end(now_us)]
        for visit in [visit for visit in after.cloud if visit.finish_us == now_us]:
            after.cloud.remove(visit)
            happened.append(self._served(after, visit))
        for client, (gives_up_us, visit) in list(after.patient.items()):
            if gives_up_us == now_us:
                del after.patient[client]
                happened.append(GaveUp(visit))
        coming = self._take_coming(site, now_us)
        for attempt in coming:
            heapq.heappush(self._coming[site], attempt)
            self._arrive(after, attempt, now_us, happened)
        return after, happened

    def _served(self, site: Site, visit: Visit) -> Served:
        return Served(visit, site.patient.pop(visit.attempt.client, None) is not None)

    def _await(self, site: Site, visit: Visit) -> None:
        attempt = visit.attempt
        timeout_us = self.classes[attempt.request_class].timeout_us
        site.patient[attempt.client] = (attempt.arrival_us + timeout_us, visit)

    def _arrive(self, here: Site, attempt: Attempt, now_us: int, happened: list[Happening]) -> None:
        one, site = self.classes[attempt.request_class], attempt.site
        if attempt.attempt == 0:
            if one.dark_without_power and not self.powered[site]:
                return
            attempt = replace(attempt, span=int(self.books.span[site]))
        ready = int(self.ready[one.service, site])
        if ready:
            self._arrive_at_pod(here, attempt, ready, now_us, happened)
            return
        service = self.services[one.service]
        if not service.fallback or self.links.offline[site]:
            happened.append(Arrived(attempt, NO_SLOT, 0))
            happened.append(TurnedAway(attempt, NO_SLOT, ledger.UNAVAILABLE))
            return
        table = int(self.cloud_table[attempt.request_class, site])
        verdict, cost_us = self._judged(attempt, table)
        duration_us = cost_us
        if verdict in (ALLOW, WRONG_ALLOW):
            duration_us += _drawn_us(service.cloud_law, attempt.service_word)
        duration_us += 2 * int(self.links.latency_us[site])
        duration_us += _scaled(attempt.key_word & _LOW, int(self.links.jitter_us[site]) + 1)
        visit = Visit(attempt, CLOUD_SLOT, verdict, table, duration_us, now_us)
        happened.append(Arrived(attempt, CLOUD_SLOT, 0))
        if visit.finish_us == now_us:
            happened.append(Served(visit, True))
        else:
            here.cloud.append(visit)
            self._await(here, visit)

    def _arrive_at_pod(
        self, here: Site, attempt: Attempt, ready: int, now_us: int, happened: list[Happening]
    ) -> None:
        one = self.classes[attempt.request_class]
        service = self.services[one.service]
        rules = service.rules
        place = _scaled(attempt.choice_word & _LOW, ready)
        slot = int(self.slots[one.service, attempt.site, place])
        pod = here.pods[slot]
        others = len(pod.serving) + len(pod.waiting)
        if others >= rules.in_pod_max:
            happened.append(Arrived(attempt, slot, others))
            happened.append(TurnedAway(attempt, slot, ledger.REJECTED))
            return
        happened.append(Arrived(attempt, slot, others + 1))
        if rules.killed_over < NO_LIMIT and others + 1 > rules.killed_over:
            happened.append(Overwhelmed(one.service, place, slot))
        table = int(self.table[attempt.request_class, attempt.site])
        verdict, duration_us = self._judged(attempt, table)
        if verdict in (ALLOW, WRONG_ALLOW):
            duration_us += _drawn_us(one.law, attempt.service_word)
        if rules.keep_alive_us and not others and now_us - pod.idle_since_us > rules.keep_alive_us:
            cold_us = service.cold_us
            duration_us += int(cold_us[_scaled(attempt.key_word & _LOW, cold_us.size)])
        visit = Visit(attempt, slot, verdict, table, duration_us)
        pod.waiting.append(visit)
        self._await(here, visit)
        happened += [self._served(here, ended) for ended in pod.end(now_us)]

    def _crossings(
        self, now_us: int, tried: list[tuple[int, Site, list[Happening]]]
    ) -> list[Crossing]:
        kills, fulls = set(), []
        for site, _, happened in tried:
            kills |= {
                (one.service, one.pod, site, one.slot)
                for one in happened
                if isinstance(one, Overwhelmed)
            }
            wanted = sum(
                self.store.classes[self.classes[one.visit.attempt.request_class].write_class]
                .disk_bytes
                for one in happened
                if isinstance(one, Served) and self._writes(one.visit) and one.visit.slot >= 0
            )  # fmt: skip
            room = int(self.store.limit_bytes[site] - self.store.used_bytes[site])
            if wanted > room and not self.store.full[site]:
                fulls.append(Crossing(site, now_us, "full"))
        return [Crossing(site, now_us, "kill", slot) for _, _, site, slot in sorted(kills)] + fulls

    # -- policy ----------------------------------------------------------------------------

    def _judged(self, attempt: Attempt, table: int) -> tuple[int, int]:
        """Return what the policy says and how long it takes to say so."""
        number = attempt.request_class
        decisions = self.classes[number].decisions
        if decisions is None:
            return ALLOW, 0
        active, current, offline = decisions._states[table]
        which = _scaled(attempt.choice_word >> 32, decisions.size)
        wanted, _ = self._answer(number, current, offline, which)
        if active == NO_BUNDLE:
            if not decisions._fail_open:
                return ERROR, 0
            return (WRONG_ALLOW if wanted is False else ALLOW), 0
        here, cost_us = self._answer(number, active, offline, which)
        if here is UNDEFINED:
            return (ALLOW if decisions._fail_open else ERROR), cost_us
        if here is True:
            return (WRONG_ALLOW if wanted is False else ALLOW), cost_us
        return (DENY if wanted is False else WRONG_DENY), cost_us

    def _answer(self, number: int, revision: int, offline: bool, which: int) -> tuple[object, int]:
        key = (number, revision, offline, which)
        if key not in self._answers:
            decisions = self.classes[number].decisions
            assert decisions is not None
            asked = decisions.template.input(which, {"offline": offline})
            policy, entrypoint = decisions._revisions[revision], decisions._entrypoint
            cost_us = max(1, round(policy.fuel(entrypoint, asked) / FUEL_PER_US))
            self._answers[key] = (policy.decide(entrypoint, asked), cost_us)
        return self._answers[key]

    # -- what clients are told -------------------------------------------------------------

    def _book(self, site: int, now_us: int, happened: list[Happening]) -> None:
        for one in happened:
            match one:
                case Arrived(attempt, slot, in_pod):
                    where = (attempt.span, attempt.request_class)
                    if attempt.attempt == 0:
                        self.books.add(*where, ledger.ISSUED)
                    self.books.add(*where, ledger.ATTEMPTS)
                    if slot == CLOUD_SLOT:
                        self.books.add(*where, ledger.FORWARDED)
                    service = self.classes[attempt.request_class].service
                    if self.services[service].watch_memory:
                        self.in_pod_max[service, site] = max(self.in_pod_max[service, site], in_pod)
                case TurnedAway(attempt, slot, outcome):
                    self._tell(attempt, outcome, now_us, slot, None)
                case GaveUp(visit):
                    self._tell(visit.attempt, ledger.LATE, now_us, visit.slot, visit.verdict)
                case Served(visit, heard):
                    self._serve_ended(site, now_us, visit, heard)

    def _writes(self, visit: Visit) -> bool:
        one = self.classes[visit.attempt.request_class]
        return one.write_class >= 0 and visit.verdict in (ALLOW, WRONG_ALLOW)

    def _serve_ended(self, site: int, now_us: int, visit: Visit, heard: bool) -> None:
        attempt = visit.attempt
        one = self.classes[attempt.request_class]
        if visit.slot >= 0:
            self.busy_us[one.service, site] += visit.duration_us
        at = (attempt.request_class * TABLES_MAX + visit.table) * _VERDICTS + visit.verdict
        self.asked[at] += 1
        self.tally.count(
            site=np.array([site]), request_class=np.array([attempt.request_class]),
            table=np.array([visit.table]), verdict=np.array([visit.verdict]),
            at_site=np.array([visit.slot >= 0]),
        )  # fmt: skip
        outcome = {
            ALLOW: ledger.OK, WRONG_ALLOW: ledger.OK, DENY: ledger.DENIED,
            WRONG_DENY: ledger.ERROR, ERROR: ledger.ERROR,
        }[visit.verdict]  # fmt: skip
        if self._writes(visit):
            if visit.slot < 0:
                self.store.direct[site, one.write_class] += 1
            elif self.store.full[site]:
                outcome = ledger.STORE_FULL
            else:
                self._append(site, now_us, attempt, heard)
        if heard:
            over_budget = now_us - attempt.first_us > one.budget_us
            if over_budget and outcome in (ledger.OK, ledger.DENIED):
                outcome = ledger.LATE
            self._tell(attempt, outcome, now_us, visit.slot, visit.verdict, answered=True)

    def _tell(
        self, attempt: Attempt, outcome: int, now_us: int, slot: int, verdict: int | None,
        *, answered: bool = False,
    ) -> None:  # fmt: skip
        """Tell the client how its attempt ended; it tries again, or that was its outcome."""
        one, where = self.classes[attempt.request_class], (attempt.span, attempt.request_class)
        if self.kept is not None:
            values = {
                "site": attempt.site, "class": attempt.request_class, "number": attempt.number,
                "attempt": attempt.attempt, "issued_us": attempt.arrival_us,
                "finished_us": now_us, "outcome": outcome, "pod": slot,
            }  # fmt: skip
            self.kept.append({name: np.array([value]) for name, value in values.items()})
        if verdict == WRONG_ALLOW:
            self.books.add(*where, ledger.WRONGLY_ALLOWED)
        elif verdict == WRONG_DENY:
            self.books.add(*where, ledger.WRONGLY_DENIED)
        failed = outcome not in (ledger.OK, ledger.DENIED) and not (
            outcome == ledger.LATE and answered
        )
        if failed and attempt.attempt < one.retries:
            again_us = now_us + one.backoff_us * 2**attempt.attempt
            heapq.heappush(
                self._coming[attempt.site],
                replace(attempt, attempt=attempt.attempt + 1, arrival_us=again_us),
            )
            return
        self.books.add(*where, outcome)
        if outcome in (ledger.OK, ledger.DENIED, ledger.LATE):
            one_row = np.array([attempt.span]), np.array([attempt.request_class])
            self.books.add_latency(*one_row, np.array([now_us - attempt.first_us]))

    # -- the volume ------------------------------------------------------------------------

    def _append(self, site: int, now_us: int, attempt: Attempt, heard: bool) -> None:
        one, store = self.classes[attempt.request_class], self.store
        column = one.write_class
        self._volumes[site].writes.append((column, now_us))
        store.stored[site, column] += 1
        store.used_bytes[site] += store.classes[column].disk_bytes
        assert store.used_bytes[site] <= store.limit_bytes[site]
        store.used_bytes_max[site] = max(store.used_bytes_max[site], store.used_bytes[site])
        if not heard:
            store.info[site, column] += 1
        if one.keys is not None:
            word = attempt.key_word >> 32
            if isinstance(one.keys, int):
                key = _scaled(word, one.keys)
            else:
                key = sum(share <= word / 2**32 for share in one.keys.tolist())
            words = np.array([attempt.key_word], dtype=np.uint64)
            store.keep(column, np.array([site]), np.array([now_us]), np.array([key]), words)

    def _goes(self, column: int, when_us: int, mark: int) -> bool:
        """Say whether a mark removes a write: its slot is wholly older than its retention."""
        every_us = self.store._prune_us
        slot_end_us = (when_us // every_us + 1) * every_us
        return slot_end_us + self.store.classes[column].retention_us <= mark * every_us

    def _prune(self, site: int, now_us: int) -> None:
        volume, store = self._volumes[site], self.store
        while (volume.mark + 1) * store._prune_us <= now_us:
            volume.mark += 1
            gone = [one for one in volume.writes if self._goes(*one, volume.mark)]
            volume.writes = [one for one in volume.writes if not self._goes(*one, volume.mark)]
            for column, _ in gone:
                store.pruned[site, column] += 1
                store.used_bytes[site] -= store.classes[column].disk_bytes

    def _next_room_us(self, site: int) -> int:
        volume = self._volumes[site]
        if not volume.writes:
            return NEVER_US
        mark = volume.mark + 1
        while not any(self._goes(*one, mark) for one in volume.writes):
            mark += 1
        return mark * self.store._prune_us

    # -- changes from outside --------------------------------------------------------------

    def new_slot(self, service: int, at_us: int) -> int:
        slot = super().new_slot(service, at_us)
        self._fresh[slot] = Pod(service, self.services[service].rules.workers, at_us)
        return slot

    def set_endpoints(self, service: int, site: int, slots: Sequence[int]) -> None:
        super().set_endpoints(service, site, slots)
        for slot in slots:
            if slot not in self._at[site].pods:
                self._at[site].pods[slot] = self._fresh.pop(slot)

    def drop_slot(self, service: int, slot: int, at_us: int) -> None:
        for number, site in enumerate(self._at):
            pod = site.pods.pop(slot, None)
            if pod is None:
                continue
            for visit in pod.serving:
                self.busy_us[service, number] += at_us - visit.start_us
            self._break_off(site, [*pod.serving, *pod.waiting], at_us)

    def drop_cloud(self, site: int, at_us: int) -> None:
        here = self._at[site]
        lost, here.cloud = here.cloud, []
        self._break_off(here, lost, at_us)

    def close(self, end_us: int) -> None:
        for number, site in enumerate(self._at):
            for pod in site.pods.values():
                for visit in pod.serving:
                    self.busy_us[pod.service, number] += end_us - visit.start_us

    def _break_off(self, site: Site, lost: list[Visit], at_us: int) -> None:
        for visit in lost:
            if site.patient.pop(visit.attempt.client, None) is not None:
                self._tell(visit.attempt, ledger.ERROR, at_us, visit.slot, visit.verdict)


def _scaled(word: int, count: int) -> int:
    return (word * count) >> 32


def _drawn_us(law: object, word: int) -> int:
    return int(durations_us(law, np.array([word], dtype=np.uint64))[0])  # type: ignore[arg-type]
