"""Time passes: both planes take turns until the end of the run.

Sites that share a cluster share a clock and form a component; every component has a clock of its
own. In a round each component's requests are brought, all components at once, to its next event or
to the first crossing before it; then its events of that instant happen. A window bounds how many
requests are in memory, and nothing else: any span gives the same history.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from functools import partial
from itertools import pairwise
from time import perf_counter, process_time
from typing import Any

import numpy as np

import edgetwin
from edgetwin.engine import books
from edgetwin.engine.plane import Crossing, Plane
from edgetwin.engine.replay import Replay, replayed
from edgetwin.engine.world import Component, World
from edgetwin.errors import UsageError
from edgetwin.history import History, Recorder, merged
from edgetwin.model import Scenario
from edgetwin.terms import stored, terms_of

BLOCK_REQUESTS = 1 << 17
"""Requests that one window draws. Chosen: their columns stay within a shared cache of some 32 MB,
and the cost of a round (a fraction of a millisecond) is spread over enough of them."""

STREAM_REQUESTS = 768
"""Requests that one window draws of each stream where there are many streams. Chosen: moving on to
the next stream costs as much as some 25 requests, and a thousand streams stay below 160 MB."""


_TOLD_EVERY_S = 0.2
_shares: list[Any] = []
"""In a process of several: where it says how far it has come."""

_GC_THRESHOLDS = (50_000, 20, 100)
"""Chosen: Python's own, 700 allocations, cost a fleet of 1,000 sites 5 % of its run."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""


def simulate(
    scenario: Scenario, *, seed: int = 0, reading: str | None = None, jobs: int = 1,
    span_us: int | None = None, requests: bool = False,
    progress: Callable[[float], None] | None = None, plane_type: type[Plane] = Plane,
) -> History:  # fmt: skip
    """Return what happens to *scenario* in one storm and the quiet after it.

    *reading* says what an ambiguous row of the record means (cut, power or mixed; None: what the
    topology says). *span_us* bounds a window by time instead of by memory. *requests* keeps a row
    for every attempt. *progress* is told the share of simulated time that has passed.
    """
    reading = reading or scenario.topology.outages.reading
    if reading not in ("cut", "power", "mixed"):
        raise UsageError(f"one run has one reading: cut, power or mixed, not {reading!r}")
    wall, cpu = perf_counter(), process_time()
    storm = replayed(scenario, seed=seed, reading=reading)
    storm_cpu_s = process_time() - cpu
    groups = _groups(scenario, jobs)
    work = partial(
        _run, scenario, seed, storm, span_us=span_us, requests=requests, plane_type=plane_type
    )
    if len(groups) == 1:
        parts = [work(groups[0], progress)]
    else:
        parts = _in_processes(work, groups, progress)
    history = merged([*parts, _outages(storm)], _meta(scenario, seed, reading, storm))
    measured = {
        "wall_s": perf_counter() - wall,
        "cpu_s": process_time() - cpu + sum(part.meta["cpu_s"] for part in parts if len(parts) > 1),
        "setup_cpu_s": storm_cpu_s + sum(part.meta["setup_cpu_s"] for part in parts),
        "jobs": len(groups),
    }
    return History({**history.meta, "measured": measured}, history.names, history.tables)


def _in_processes(
    work: Callable[[Sequence[int]], History], groups: Sequence[Sequence[int]],
    progress: Callable[[float], None] | None,
) -> list[History]:  # fmt: skip
    """Return *work* on each group, in a process each; an interruption ends them all at once."""
    shares = multiprocessing.Array("d", len(groups))
    pool = ProcessPoolExecutor(len(groups), initializer=_begin_process, initargs=(shares,))
    try:
        running = [pool.submit(_told, work, group, row) for row, group in enumerate(groups)]
        while wait(running, timeout=_TOLD_EVERY_S).not_done:
            if progress is not None:
                progress(sum(float(share) for share in shares[:]) / len(groups))
        return [one.result() for one in running]
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin_process(shares: Any) -> None:
    # The parent alone answers Ctrl-C, which a terminal sends to everybody.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _shares.append(shares)


def _told(work: Callable[..., History], group: Sequence[int], row: int) -> History:
    return work(group, partial(_shares[-1].__setitem__, row))


def _outages(storm: Replay) -> History:
    """Return the storm as it is replayed, as the history's table of outages."""
    recorder = Recorder()
    for row in storm.rows:
        recorder.row(
            "outages",
            site=row.site,
            start_us=row.fault.start_us,
            end_us=row.fault.end_us,
            recorded_start_us=row.recorded_start_us,
            recorded_end_us=row.recorded_end_us,
            fault=row.fault.what,
            cause=row.cause,
            event=row.event,
            censored=row.censored,
        )
    return recorder.history({})


def _groups(scenario: Scenario, jobs: int) -> list[list[int]]:
    """Split the sites into runs of neighbours for *jobs* processes, components kept whole."""
    planes = [scenario.topology.sites[kind].control_plane for _, kind in scenario.sites]
    shared = [i for i, plane in enumerate(planes) if plane == "cloud"]
    alone = [i for i, plane in enumerate(planes) if plane != "cloud"]
    jobs = max(1, min(jobs, len(alone) + bool(shared)))
    if jobs == 1:
        return [list(range(len(planes)))]
    bounds = np.linspace(0, len(alone), jobs + 1 - bool(shared)).astype(int).tolist()
    parts = [alone[a:b] for a, b in pairwise(bounds)]
    return [part for part in [*parts, shared] if part]


def _run(
    scenario: Scenario, seed: int, storm: Replay, sites: Sequence[int],
    progress: Callable[[float], None] | None = None, *, span_us: int | None, requests: bool,
    plane_type: type[Plane],
) -> History:  # fmt: skip
    cpu = process_time()
    _keep_memory()
    window_us = span_us or _window_us(scenario, sites)
    # A world is hundreds of objects a site, all of which stay: nothing for the collector to find.
    gc.disable()
    world = World(
        scenario, seed, sites, storm, window_us=window_us, keep_requests=requests,
        plane_type=plane_type,
    )  # fmt: skip
    gc.freeze()
    gc.enable()
    # What a run makes is rows that stay and events that go by themselves: little to find either.
    thresholds = gc.get_threshold()
    gc.set_threshold(*_GC_THRESHOLDS)
    setup = process_time() - cpu
    at_us = 0
    while at_us < storm.end_us:
        at_us = min(at_us + window_us, storm.end_us)
        _window(world, at_us)
        if progress is not None:
            progress(at_us / storm.end_us)
    # The run is over: who keeps simulating in one process wants this world's memory back.
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    books.close(world)
    return world.recorder.history(
        {
            "cpu_s": process_time() - cpu,
            "setup_cpu_s": setup,
            "decided": books.decided(world),
        }
    )


def _keep_memory() -> None:
    """Have glibc keep freed blocks: given back and fetched anew, a window's columns cost a fifth of
    the run's CPU in page faults. Elsewhere nothing changes."""
    allocator = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if allocator is not None:
        allocator(_M_MMAP_THRESHOLD, 1 << 30)
        allocator(_M_TRIM_THRESHOLD, 1 << 30)


def _window_us(scenario: Scenario, sites: Sequence[int]) -> int:
    per_us = [
        devices.count / request.every_us
        for number in sites
        for devices in scenario.topology.sites[scenario.sites[number][1]].devices.values()
        for request in devices.requests.values()
    ]
    requests = max(BLOCK_REQUESTS, STREAM_REQUESTS * len(per_us))
    return max(1_000_000, int(requests / sum(per_us))) if per_us else 86_400_000_000


def _window(world: World, until_us: int) -> None:
    """Bring every component to *until_us*."""
    plane = world.plane
    plane.open_window(until_us)
    calm = plane.calm()
    running = [_Clock(one, bool(calm[list(one.sites)].all())) for one in world.components]
    while running:
        due = [clock.next_us(world, until_us) for clock in running]
        sites = np.array([site for clock in running for site in clock.sites], dtype=np.int64)
        instants = np.repeat(np.array(due, dtype=np.int64), [len(one.sites) for one in running])
        order = np.argsort(sites, kind="stable")
        for crossing in plane.advance(sites[order], instants[order]):
            _announce(world, crossing)
        still = []
        for clock in running:
            now_us = int(plane.time_us[clock.sites[0]])
            clock.arrived(world, now_us, until_us)
            if now_us < until_us:
                still.append(clock)
        running = still
    meetings = world.meetings(until_us) if world.contentions else []
    for contention in world.contentions:
        contention.settle(until_us, meetings, world.recorder)


class _Clock:
    """One component's events during one window.

    Where no request can change a state, its events may run ahead of its requests up to the first
    that touches a site: requests are brought there, then the sites say what holds from then on.
    Elsewhere events wait until the requests before them are known.
    """

    def __init__(self, component: Component, ahead: bool) -> None:
        self.env = component.env
        self.sites = component.sites
        self._ahead = ahead
        self._held_us: int | None = None

    def next_us(self, world: World, until_us: int) -> int:
        """Return how far the requests may be brought."""
        if self._held_us is not None:
            return self._held_us
        if not self._ahead:
            return int(min(self.env.peek(), until_us))
        while (now_us := self.env.peek()) < until_us:
            self._step(int(now_us))
            if world.is_touched(self.sites):
                self._held_us = int(now_us)
                return self._held_us
        return until_us

    def arrived(self, world: World, now_us: int, until_us: int) -> None:
        """The requests are at *now_us*: let what happens there happen; the window's end is not."""
        if now_us >= until_us:
            return
        if self._held_us is None:
            self._step(now_us)
            world.settle(self.sites)
        elif now_us == self._held_us:
            self._held_us = None
            world.settle(self.sites)

    def _step(self, now_us: int) -> None:
        while self.env.peek() <= now_us:
            self.env.step()


def _announce(world: World, crossing: Crossing) -> None:
    """Make a crossing an event of its site's clock."""
    control = world.controls[crossing.site]
    event = control.env.timeout(crossing.at_us - int(control.env.now))
    if crossing.what == "kill":
        service = int(world.plane.service_of_slot[crossing.slot])
        event.callbacks.append(lambda _: control.killed(service, crossing.slot))
    else:
        event.callbacks.append(lambda _: control.volume_full())


def _meta(scenario: Scenario, seed: int, reading: str, storm: Replay) -> Mapping[str, Any]:
    return {
        "edgetwin": edgetwin.__version__,
        "scenario": scenario.topology.name,
        "digest": scenario.digest,
        "seed": seed,
        "reading": reading,
        "start_epoch_us": storm.start_epoch_us,
        "storm_end_us": storm.storm_end_us,
        "end_us": storm.end_us,
        "terms": stored(terms_of(scenario)),
        "outages_recorded": len(scenario.record.outages),
        "outages_replayed": storm.count,
    }
