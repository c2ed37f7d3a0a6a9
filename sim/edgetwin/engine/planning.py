"""What would become of requests before the next change of state; nothing here is committed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgetwin.engine import attempts, ledger
from edgetwin.engine.attempts import CLOUD_SLOT, NO_SLOT, Attempts, Column
from edgetwin.engine.decisions import ALLOW, DENY
from edgetwin.engine.plane_state import LOW, OUTCOME_OF, Crossing, Part, Plan, PlaneState, served
from edgetwin.engine.queueing import NO_LIMIT, first_killing, inside, serve
from edgetwin.engine.requests import durations_us, scaled


class Planner(PlaneState):
    """Judges attempts, and finds the instants at which they would change a state."""

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

    def _plan(self, service: int, sites: NDArray[np.int64]) -> Plan:
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
        plan = Plan(service, streams)
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
        run["duration_us"] *= served(run["verdict"])
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

    def _at_pods(self, plan: Plan, rows: Attempts, sites: NDArray[np.int64]) -> Part:
        """Let each attempt's pod serve it; the endpoint is drawn, as kube-proxy draws it."""
        service = plan.service
        one = self.services[service]
        rules = one.rules
        remembers = rules.remembers or one.watch_memory
        inmate: NDArray[np.bool_] | None = None
        segment: NDArray[np.integer] = rows["site"]
        if self.ready[service][sites].max() > 1 or remembers:
            segment = scaled(rows["choice_word"] & LOW, self.ready[service][segment])
            segment *= self.component.size
            segment += rows["site"]
            if remembers:
                rows, segment, inmate = self._behind_inmates(service, rows, segment, sites)
            if self.slots.shape[2] * self.component.size < 1 << 16:
                segment = segment.astype(np.uint16)
            order = np.argsort(segment, kind="stable")
            rows, segment = rows.ordered(order), segment[order]
            inmate = None if inmate is None else inmate[order]
        first = np.concatenate(
            ([0], np.flatnonzero(segment[1:] != segment[:-1]) + 1, [rows.size])
        ).astype(np.int64)
        pod, site = np.divmod(segment[first[:-1]].astype(np.int64), self.component.size)
        slot = self.slots[service, site, pod]
        free = self.free_us[slot]
        slot = np.repeat(slot, np.diff(first))
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
            cold = one.cold_us[scaled(rows["key_word"] & LOW, one.cold_us.size)]
        served = serve(arrival, duration, cold, first, free, old, rules)
        rows["slot"] = slot
        rows["start_us"], rows["finish_us"] = served.start_us, served.finish_us
        for row in first_killing(came, served.finish_us, first, old, rules).tolist():
            site_of, at = int(rows["site"][row]), int(came[row])
            if at < self._until_us[site_of]:
                plan.crossings.append(Crossing(site_of, at, "kill", int(slot[row])))
        if one.watch_memory:
            rows["inside"] = inside(came, served.finish_us, first, served.empty)
        if rules.in_pod_max < NO_LIMIT:
            rows["rejected"] = served.rejected
        return Part(rows, inmate)

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

    def _elsewhere(self, service: int, rows: Attempts) -> Part:
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
                    duration[where] = duration[where] * served(verdict[where]) + cost
            delay = 2 * self.links.latency_us[site]
            delay += scaled(rows["key_word"] & LOW, self.links.jitter_us[site] + 1)
            finish += np.where(gone, 0, delay + duration)
            slot[~gone] = CLOUD_SLOT
            rows["verdict"], rows["table"] = verdict, table
            rows["duration_us"] = duration
        rows["slot"], rows["start_us"], rows["finish_us"] = slot, rows["arrival_us"], finish
        return Part(rows)

    def _failing_again(self, service: int, part: Part) -> list[Part]:
        """Return the retries of what found no pod, as long as there is none: they fail at once.

        Nothing but a change of state ends that, so these retries need no crossing of their own.
        """
        found: list[Part] = []
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

    def _overflows(self, sites: NDArray[np.int64], plans: Sequence[Plan]) -> list[Crossing]:
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
        writes = (column >= 0) & served(rows["verdict"]) & (rows["slot"] >= 0)
        writes &= rows["finish_us"] < self._until_us[rows["site"]]
        if inmate is not None:
            writes &= ~inmate
        if "rejected" in rows:
            writes &= ~rows["rejected"]
        where = np.flatnonzero(writes)
        return rows["site"][where].astype(np.int64), column[where], rows["finish_us"][where]

    def _comebacks(self, sites: NDArray[np.int64], plans: Sequence[Plan]) -> list[Crossing]:
        """Return when clients would try again what failed in these plans."""
        if not self._retries.any():
            return []
        crossings = []
        for plan in plans:
            if not self._retries[self._of_service[plan.service]].any():
                continue
            carried = self.carried[plan.service]
            mine = attempts.picked(carried, self._among(carried, sites))
            for part in [*plan.parts, Part(Attempts([mine]))]:
                if not part.rows.size:
                    continue
                again, at = self._again_us(part)
                site = part.rows["site"][again]
                before = (at < self._until_us[site]) & (part.rows["slot"][again] != NO_SLOT)
                for one in np.unique(site[before]).tolist():
                    first = int(at[before][site[before] == one].min())
                    crossings.append(Crossing(one, first, "retry"))
        return crossings

    def _again_us(self, part: Part) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
        outcome = OUTCOME_OF[rows["verdict"][which]]
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
