"""What has become of requests: told to clients, stores and books, once and for good."""

import numpy as np
from numpy.typing import NDArray

from edgetwin.engine import attempts, ledger
from edgetwin.engine.attempts import CLOUD_SLOT, NO_SLOT, Attempts
from edgetwin.engine.decisions import VERDICTS, WRONG_ALLOW, WRONG_DENY
from edgetwin.engine.plane_state import (
    OUTCOME_OF,
    TABLES_MAX,
    Plan,
    PlaneState,
    chosen_keys,
    served,
)


class Committer(PlaneState):
    """Commits plans, and ends what a change of state breaks off."""

    def _commit(self, plan: Plan, sites: NDArray[np.int64], only: NDArray[np.int64] | None) -> None:
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
        outcome = OUTCOME_OF[verdict]
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
        writes = np.flatnonzero((column >= 0) & served(rows["verdict"]) & reached)
        full = self.store.full[rows["site"][writes]] & (rows["slot"][writes] >= 0)
        writes = writes[~full]
        here = rows["slot"][writes] >= 0
        np.add.at(self.store.info, (rows["site"][writes][here], column[writes][here]), 1)
        self._write(rows, writes, column[writes])

    def _ask(self, rows: Attempts, reached: NDArray[np.bool_] | None) -> None:
        """Count the decisions that were asked for: of rows that *reached* a policy, None: all."""
        at = rows["request_class"].astype(np.int64) * TABLES_MAX
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
