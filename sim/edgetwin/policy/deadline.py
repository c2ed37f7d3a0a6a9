"""The watchdog: one thread that interrupts decisions which take longer than their deadline.

Decisions do not look at a clock. They count themselves (odd while one runs), and the watchdog
interrupts whatever has shown the same odd number for too long.
"""

import os
import threading
import time
import weakref
from typing import Protocol

LOOKS_PER_DEADLINE = 8
"""How often a deadline is looked at. Chosen: a decision is broken off at most an eighth late."""

PERIOD_S_MIN, PERIOD_S_MAX = 0.002, 0.25


class Watched(Protocol):
    """What can be interrupted."""

    ticket: int
    """Odd while it is running, and another number each time."""

    def interrupt(self, ticket: int) -> None:
        """Break off what has been running since *ticket*."""


class Watchdog:
    """Watches instances until they are gone; its thread ends with the last of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[weakref.ref[Watched], float]] = {}
        self._thread: threading.Thread | None = None

    def watch(self, instance: Watched, deadline_us: int) -> None:
        """Interrupt any decision of *instance* that takes longer than *deadline_us*."""
        with self._lock:
            self._watched[id(instance)] = (weakref.ref(instance), deadline_us / 1e6)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="policy-watchdog", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        seen: dict[int, tuple[int, float]] = {}
        while True:
            with self._lock:
                self._watched = {
                    key: entry for key, entry in self._watched.items() if entry[0]() is not None
                }
                if not self._watched:
                    self._thread = None
                    return
                watched = dict(self._watched)
            now = time.monotonic()
            for key, (reference, deadline_s) in watched.items():
                instance = reference()
                if instance is None:
                    continue
                ticket = instance.ticket
                started = seen.get(key)
                if started is None or started[0] != ticket:
                    seen[key] = (ticket, now)
                elif ticket % 2 and now - started[1] > deadline_s:
                    instance.interrupt(ticket)
                    seen[key] = (ticket, now)
                del instance
            seen = {key: entry for key, entry in seen.items() if key in watched}
            shortest = min(deadline_s for _, deadline_s in watched.values())
            time.sleep(min(max(shortest / LOOKS_PER_DEADLINE, PERIOD_S_MIN), PERIOD_S_MAX))

    def restart(self) -> None:
        """Carry on in a process that was forked off, where only the forking thread lives."""
        self._lock = threading.Lock()
        self._thread = None
        for reference, deadline_s in list(self._watched.values()):
            instance = reference()
            if instance is not None:
                self.watch(instance, round(deadline_s * 1e6))


WATCHDOG = Watchdog()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WATCHDOG.restart)
