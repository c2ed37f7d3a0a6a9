"""First come, first served, in each pod: exact in integers, over all pods at once.

Rows are attempts in order of (pod, arrival). `first` holds where each pod's rows begin, shape
(pods + 1,). A request whose service ends at the instant at which another arrives has left.

Fast paths judge all rows by running sums; where a limit binds, only the busy periods in which it
does are done again, row by row. Without the rows that a limit turns away a busy period ends no
later, so what came after it still finds an idle pod.
"""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Rows = NDArray[np.int64]

NO_LIMIT = 1 << 40
NEVER_US = 1 << 62


@dataclass(frozen=True)
class Rules:
    """How one service's pods work."""

    workers: int = 1
    in_pod_max: int = NO_LIMIT
    """Requests in a pod, waiting or served; one more is rejected."""
    killed_over: int = NO_LIMIT
    """Requests in a pod that its memory limit allows; one more and the kernel kills it."""
    keep_alive_us: int = 0
    """Scale to zero: idle for longer than this means a cold start; 0: never. One worker only."""

    @property
    def remembers(self) -> bool:
        """Whether who is in a pod already matters beyond when its worker is free."""
        return self.workers > 1 or min(self.in_pod_max, self.killed_over) < NO_LIMIT


@dataclass
class Served:
    """What became of the rows; start of service includes a cold start."""

    start_us: Times
    finish_us: Times
    rejected: NDArray[np.bool_]
    cold: NDArray[np.bool_]
    empty: NDArray[np.bool_] | None = None
    """Whether each row finds nobody in its pod, where serving had to know that anyway."""


def serve(
    arrival_us: Times, duration_us: Times, cold_us: Times, first: Rows, free_us: Times,
    old: Rows, rules: Rules,
) -> Served:  # fmt: skip
    """Serve rows whose pods become free at *free_us*, shape (pods,).

    *cold_us* is what a cold start would add to each row. Where the rules remember who is in a
    pod, its first *old* rows, shape (pods,), are work left from before, never rejected: with one
    worker they keep their arrival, with several they arrive when they start; their duration is
    from start to finish. Several workers are all free before the first row arrives.
    """
    served = Served(
        arrival_us, arrival_us,
        np.zeros(arrival_us.shape, dtype=np.bool_), np.zeros(arrival_us.shape, dtype=np.bool_),
    )  # fmt: skip
    if not arrival_us.size:
        return served
    if rules.workers > 1:
        served.start_us = arrival_us.copy()
        served.finish_us = arrival_us + duration_us
        empty = _finds_nobody(arrival_us, served.finish_us, first)
        redo = _crowded_periods(empty, first, old, rules)
        if not redo and not old.any():
            served.empty = empty
    else:
        duration = duration_us
        served.finish_us = lindley(arrival_us, duration, first, free_us)
        if rules.keep_alive_us:
            new = _new(first, old, arrival_us.size)
            duration = _settle_cold(
                arrival_us, duration, cold_us, first, free_us, served, new, rules
            )
        served.start_us = served.finish_us - duration
        redo = []
        if rules.in_pod_max < NO_LIMIT and rules.in_pod_max <= rules.killed_over:
            over = _over(arrival_us, served.finish_us, first, old, rules.in_pod_max)
            if over.any():
                redo = _periods(arrival_us, served.finish_us, first, free_us, over, rules)
    done = -1
    for pod, a, b in redo:
        a = max(a, done)
        if b <= a:
            continue
        # Only the first period of a pod can find it busy; at any other its workers are idle.
        free = int(free_us[pod]) if a == first[pod] else int(arrival_us[a])
        kept, end = max(0, int(first[pod] + old[pod]) - a), int(first[pod + 1])
        done = _in_order(arrival_us, duration_us, cold_us, served, (a, b, end), kept, free, rules)
    return served


def lindley(arrival_us: Times, duration_us: Times, first: Rows, free_us: Times) -> Times:
    """Return when each row is finished by its pod's only worker.

    ``finish[i] = max(finish[i-1], arrival[i]) + duration[i]`` for every pod, by running sums and a
    running maximum over all rows: pods are kept apart by an offset larger than any difference.
    """
    if not arrival_us.size:
        return arrival_us.copy()
    work = np.cumsum(duration_us)
    slack = arrival_us + duration_us
    slack -= work
    filled = first[1:] > first[:-1]
    begin, free = first[:-1][filled], free_us[filled]
    slack[begin] = np.maximum(slack[begin], free - (work[begin] - duration_us[begin]))
    if begin.size == 1:
        np.maximum.accumulate(slack, out=slack)
    else:
        span = int(slack.max()) - int(slack.min()) + 1
        apart = np.repeat(
            np.arange(begin.size, dtype=np.int64) * span, np.diff(np.append(begin, first[-1]))
        )
        slack += apart
        np.maximum.accumulate(slack, out=slack)
        slack -= apart
    slack += work
    return slack


def first_killing(
    arrival_us: Times, finish_us: Times, first: Rows, old: Rows, rules: Rules
) -> Rows:
    """Return the rows that first bring their pod over its memory limit, at most one a pod."""
    limit = rules.killed_over
    if limit >= rules.in_pod_max or limit == NO_LIMIT:
        return np.empty(0, dtype=np.int64)
    over = inside(arrival_us, finish_us, first) >= limit
    rows = np.flatnonzero(over & _new(first, old, arrival_us.size))
    pod = np.searchsorted(first, rows, side="right") - 1
    return rows[np.unique(pod, return_index=True)[1]]


def inside(
    arrival_us: Times, finish_us: Times, first: Rows, empty: NDArray[np.bool_] | None = None
) -> Rows:
    """Return how many others are in its pod when each row arrives.

    Of the rows before it in the pod, those whose finish is not later have left. Only rows that
    find anybody are reckoned: at an ordinary load these are few. *empty* says which find nobody,
    if that is known.
    """
    count = np.zeros(arrival_us.size, dtype=np.int64)
    if arrival_us.size < 2:
        return count
    if empty is None:
        empty = _finds_nobody(arrival_us, finish_us, first)
    busy = ~empty
    # Only rows of periods in which somebody is met can be among those inside: a period is a row
    # that finds nobody, and those after it that do.
    crowded = busy.copy()
    crowded[:-1] |= busy[1:]
    rows = np.flatnonzero(crowded)
    if not rows.size:
        return count
    number = np.cumsum(empty[rows]) - 1
    low = int(min(arrival_us[rows].min(), finish_us[rows].min()))
    span = int(max(arrival_us[rows].max(), finish_us[rows].max())) - low + 1
    # Who leaves at once meets nobody later: it must not count as gone for those of its instant.
    stays = finish_us[rows] > arrival_us[rows]
    gone = np.sort((number * span + (finish_us[rows] - low))[stays], kind="stable")
    left = np.searchsorted(gone, number * span + (arrival_us[rows] - low), side="right")
    count[rows] = np.cumsum(stays) - stays - left
    return count


def _finds_nobody(arrival_us: Times, finish_us: Times, first: Rows) -> NDArray[np.bool_]:
    """Say for each row whether all before it in its pod have left when it arrives."""
    empty = np.concatenate(([True], _latest(finish_us, first)[:-1] <= arrival_us[1:]))
    empty[first[:-1][first[:-1] < first[1:]]] = True
    return empty


def _latest(finish_us: Times, first: Rows) -> Times:
    """Return the latest finish so far in each row's pod."""
    filled = np.flatnonzero(first[1:] > first[:-1])
    if filled.size == 1:
        return np.maximum.accumulate(finish_us)
    span = int(finish_us.max()) - int(finish_us.min()) + 1
    apart = np.repeat(np.arange(filled.size, dtype=np.int64) * span, np.diff(first)[filled])
    latest = np.maximum.accumulate(finish_us + apart)
    latest -= apart
    return latest


def _new(first: Rows, old: Rows, size: int) -> NDArray[np.bool_]:
    """Say which rows are not left from before."""
    return np.arange(size) >= np.repeat(first[:-1] + old, np.diff(first))


def _over(
    arrival_us: Times, finish_us: Times, first: Rows, old: Rows, limit: int
) -> NDArray[np.bool_]:
    """Say which new rows find *limit* or more others in their pod: one worker, in order."""
    over = np.zeros(arrival_us.shape, dtype=np.bool_)
    if limit < arrival_us.size:
        begin = np.repeat(first[:-1], np.diff(first))
        rows = np.arange(limit, arrival_us.size)
        same = begin[limit:] <= rows - limit
        over[limit:] = same & (finish_us[:-limit] > arrival_us[limit:])
        over &= _new(first, old, arrival_us.size)
    return over


def _settle_cold(
    arrival_us: Times, duration_us: Times, cold_us: Times, first: Rows, free_us: Times,
    served: Served, new: NDArray[np.bool_], rules: Rules,
) -> Times:  # fmt: skip
    """Find the cold starts; update *served* and return the durations with them.

    A cold start lengthens its busy period, which may spare a later one: repeat until the set
    stands. Each pass settles at least one more row, since causes precede effects.
    """
    while True:
        cold = _idle_us(arrival_us, served.finish_us, first, free_us) > rules.keep_alive_us
        cold &= new
        if np.array_equal(cold, served.cold):
            return duration_us + np.where(cold, cold_us, 0)
        served.cold = cold
        served.finish_us = lindley(
            arrival_us, duration_us + np.where(cold, cold_us, 0), first, free_us
        )


def _idle_us(arrival_us: Times, finish_us: Times, first: Rows, free_us: Times) -> Times:
    """Return how long each row's pod had been idle when the row arrived; below 0: it was not."""
    before = np.empty_like(finish_us)
    before[1:] = finish_us[:-1]
    filled = first[1:] > first[:-1]
    before[first[:-1][filled]] = free_us[filled]
    return arrival_us - before


def _periods(
    arrival_us: Times, finish_us: Times, first: Rows, free_us: Times, over: NDArray[np.bool_],
    rules: Rules,
) -> list[tuple[int, int, int]]:  # fmt: skip
    """Return (pod, a, b) of the busy periods in which the queue limit binds, one worker.

    With scale to zero whole pods: a period that ends sooner may let an instance expire.
    """
    pods = np.searchsorted(first, np.flatnonzero(over), side="right") - 1
    if rules.keep_alive_us:
        return [(pod, int(first[pod]), int(first[pod + 1])) for pod in np.unique(pods).tolist()]
    idle = _idle_us(arrival_us, finish_us, first, free_us) >= 0
    idle[first[:-1][first[1:] > first[:-1]]] = True
    starts = np.flatnonzero(idle)
    ends = np.append(starts[1:], arrival_us.size)
    which = np.unique(np.searchsorted(starts, np.flatnonzero(over), side="right") - 1)
    pods = np.searchsorted(first, starts[which], side="right") - 1
    return list(zip(pods.tolist(), starts[which].tolist(), ends[which].tolist(), strict=True))


def _crowded_periods(
    empty: NDArray[np.bool_], first: Rows, old: Rows, rules: Rules
) -> list[tuple[int, int, int]]:
    """Return (pod, a, b) of the stretches in which some row may have to wait, several workers.

    *empty* says which rows would find nobody if nobody ever waited. Where no more rows than
    workers follow one another without the pod becoming empty, nobody does.
    """
    safe = min(rules.workers, rules.in_pod_max)
    if old.any():
        # What is in a pod already is one stretch, whenever it starts.
        index = np.arange(empty.size) - np.repeat(first[:-1], np.diff(first))
        empty = empty & ~((index > 0) & (index < np.repeat(old, np.diff(first))))
    begins = np.flatnonzero(empty)
    ends = np.append(begins[1:], empty.size)
    wait = np.flatnonzero(ends - begins > safe)
    pods = np.searchsorted(first, begins[wait], side="right") - 1
    return list(zip(pods.tolist(), begins[wait].tolist(), ends[wait].tolist(), strict=True))


def _in_order(
    arrival_us: Times, duration_us: Times, cold_us: Times, served: Served,
    rows: tuple[int, int, int], old: int, free_us: int, rules: Rules,
) -> int:  # fmt: skip
    """Serve rows a..b-1 of one pod one by one, and on while somebody is in it, up to *end*.

    The first *old* of them are in it already. Returns the first row that was left as it was.
    """
    a, b, end = rows
    workers = [free_us] * rules.workers
    ends: list[int] = []
    for row in range(a, end):
        at = int(arrival_us[row])
        if row >= a + old:
            while ends and ends[0] <= at:
                heapq.heappop(ends)
            if row >= b and not ends:
                return row
            served.cold[row] = False
            served.rejected[row] = len(ends) >= rules.in_pod_max
            if served.rejected[row]:
                served.start_us[row] = served.finish_us[row] = at
                continue
        free = heapq.heappop(workers)
        start = max(free, at)
        finish = start + int(duration_us[row])
        if row >= a + old and 0 < rules.keep_alive_us < at - free:
            served.cold[row] = True
            finish += int(cold_us[row])
        served.start_us[row], served.finish_us[row] = start, finish
        heapq.heappush(workers, finish)
        heapq.heappush(ends, finish)
    return end
