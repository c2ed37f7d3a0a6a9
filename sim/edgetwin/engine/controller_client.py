"""A controller's client: it may make so many calls a second, and they queue in the order asked.

This limit, not the controllers' logic, is what a cut of many nodes waits for (facts/k3s.md, 1.2a).
"""

from collections import deque
from collections.abc import Callable, Generator

import simpy

from edgetwin.engine.cluster_draws import Stream
from edgetwin.units import SECOND_US
from edgetwin.versions import Kubernetes

Process = Generator[simpy.Event, None, None]


class TokenBucket:
    """So many tokens a second, saved up to a burst; takers wait in order."""

    __slots__ = ("_burst_us", "_full_us", "_token_us")

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._token_us = round(SECOND_US / rate_per_s)
        self._burst_us = burst * self._token_us
        self._full_us = -self._burst_us
        """Instant at which the bucket would be full again."""

    def reserve(self, now_us: int) -> int:
        """Take a token, now or as soon as there is one; return how long to wait for it."""
        self._full_us = max(self._full_us, now_us) + self._token_us
        return max(0, self._full_us - self._burst_us - now_us)

    def wait_us(self, now_us: int) -> int:
        """Return how long until a token could be had, without taking it."""
        return max(0, max(self._full_us, now_us) + self._token_us - self._burst_us - now_us)

    def drain(self, now_us: int) -> None:
        """Empty the bucket."""
        self._full_us = now_us + self._burst_us


class Client:
    """Calls to the API server under one limit; each call costs a token and then its own time."""

    __slots__ = (
        "_bucket",
        "_env",
        "_events",
        "_open",
        "_served",
        "_stopped",
        "_stream",
        "_times",
        "_writing",
    )

    def __init__(
        self,
        env: simpy.Environment,
        times: Kubernetes,
        seed: int,
        *,
        calls_per_s: int | None = None,
        calls_burst: int | None = None,
    ) -> None:
        self._env = env
        self._times = times
        self._bucket = TokenBucket(
            calls_per_s or times.api_calls_per_s, calls_burst or times.api_calls_burst
        )
        self._stream = Stream(seed)
        self._events = 0
        self._writing = False
        self._stopped = False
        self._open: dict[simpy.Event, bool] = {}
        """Calls under way, and whether each had its token at once."""
        self._served = 0

    def stop(self) -> None:
        """Never answer again: the controller that asks has died, and waits for ever."""
        self._stopped = True
        for end in self._open:
            end.callbacks.clear()
        self._open.clear()

    def _duration_us(self, mean_us: int) -> int:
        """Return how long a call takes, longer the more others of the client are under way.

        An eighth of *mean_us* more for each other, times an even draw of 0.5 to 1.5. Chosen:
        recorded writes took some 10 ms alone and up to 40 in busy passes (k3s.md, 1.3).
        """
        typical_us = mean_us * (7 + self._served) // 8
        return typical_us // 2 + self._stream.word() % (typical_us + 1)

    def write(self) -> simpy.Event:
        """Return the end of a write that is asked for now."""
        return self._call(self._times.write_us)

    def read(self) -> simpy.Event:
        """Return the end of a GET that is asked for now."""
        return self._call(self._times.read_us)

    def _call(self, mean_us: int) -> simpy.Event:
        if self._stopped:
            return self._env.event()
        wait_us = self._bucket.reserve(int(self._env.now))
        end = self._env.timeout(wait_us + self._duration_us(mean_us))
        at_once = not wait_us
        self._served += at_once
        self._open[end] = at_once
        end.callbacks.append(self._answered)
        return end

    def _answered(self, end: simpy.Event) -> None:
        self._served -= self._open.pop(end)

    def record(self) -> None:
        """Have one event recorded: a single writer in the background sends them one by one."""
        self._events += 1
        if not self._writing:
            self._writing = True
            self._env.process(self._write_events())

    def _write_events(self) -> Process:
        while self._events:
            self._events -= 1
            yield self.write()
        self._writing = False


class Workers:
    """So many workers that take jobs in order; a job waits until one of them is free."""

    __slots__ = ("_env", "_free", "_jobs")

    def __init__(self, env: simpy.Environment, count: int) -> None:
        self._env = env
        self._free = count
        self._jobs: deque[Callable[[], Process]] = deque()

    def add(self, job: Callable[[], Process]) -> None:
        """Have *job* done by the next free worker."""
        self._jobs.append(job)
        if self._free:
            self._free -= 1
            self._env.process(self._work())

    def _work(self) -> Process:
        while self._jobs:
            yield from self._jobs.popleft()()
        self._free += 1
