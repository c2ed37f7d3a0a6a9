"""How long a site decides by something else than the revision that is current in the cloud.

A stretch begins when the cloud publishes a revision, or when an agent starts and does not have the
current one. It ends when that revision, or a newer one, decides. Time in which the agent does not
run is no part of it: then nothing decides.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgetwin.engine.decisions import ERROR, NO_BUNDLE, VERDICTS, WRONG_ALLOW, WRONG_DENY

Verdicts = NDArray[np.int64]
NOT_YET = -1


@dataclass
class Stretch:
    """One stretch; times in us from the start of the run, NOT_YET where it has not come."""

    revision: int
    """Number of the release that should decide."""
    restart: bool
    """Begun by a start of the agent; else by the release."""
    since_us: int
    before: Verdicts
    """Stale decisions under the same release before this stretch, by verdict."""
    instead: int = NO_BUNDLE
    """What decided last before it ended."""
    active_us: int = NOT_YET
    stopped_us: int = 0
    """Time within it in which the agent did not run."""
    stuck_us: int = NOT_YET
    """Since when the agent will not ask again."""
    stale: Verdicts | None = None


class Freshness:
    """The stretches of one policy at one site, told at the end of each instant with a change."""

    def __init__(self, counted: Callable[[int], Verdicts]) -> None:
        """*counted* gives the stale decisions so far under a release, by verdict, shape (5,)."""
        self._counted = counted
        self._active = self._current = 0
        self._running = True
        self._changed_us = 0
        self._stuck_us = NOT_YET
        self.stretches: list[Stretch] = []
        self._open: list[Stretch] = []

    def tell(self, now_us: int, *, current: int, active: int, running: bool) -> None:
        """From *now_us* on this holds; *active* is NO_BUNDLE where nothing decides."""
        if (current, active, running) == (self._current, self._active, self._running):
            return
        self._add_stopped(now_us)
        for number in range(self._current + 1, current + 1):
            self._begin(number, now_us, restart=False)
        started = running and not self._running
        self._current, self._active, self._running = current, active, running
        if started:
            self._stuck_us = NOT_YET
        for one in self._open:
            if active >= one.revision:
                one.active_us = now_us
            else:
                one.instead = active
        self._open = [one for one in self._open if one.active_us == NOT_YET]
        if running and active != current and not self._open:
            self._begin(current, now_us, restart=True)

    def stuck(self, now_us: int) -> None:
        """The agent will not ask again unless it is restarted."""
        self._stuck_us = now_us

    def close(self, end_us: int) -> list[Stretch]:
        """End the run and return all stretches, oldest first."""
        self._add_stopped(end_us)
        for one in self._open:
            one.stuck_us = self._stuck_us
        following: dict[int, Verdicts] = {}
        # What was under way when a stretch ended was decided in it.
        for one in reversed(self.stretches):
            until = following.get(one.revision)
            one.stale = (self._counted(one.revision) if until is None else until) - one.before
            following[one.revision] = one.before
        return self.stretches

    def _begin(self, revision: int, now_us: int, *, restart: bool) -> None:
        before = np.zeros(VERDICTS, dtype=np.int64)
        if any(one.revision == revision for one in self.stretches):
            before = self._counted(revision).copy()
        one = Stretch(revision, restart, now_us, before, self._active)
        self.stretches.append(one)
        self._open.append(one)

    def _add_stopped(self, now_us: int) -> None:
        if not self._running:
            for one in self._open:
                one.stopped_us += now_us - max(self._changed_us, one.since_us)
        self._changed_us = now_us


def row_of(one: Stretch, end_us: int) -> dict[str, int]:
    """Return the numbers of a closed stretch as the history has them."""
    assert one.stale is not None, one
    until_us = end_us if one.active_us == NOT_YET else one.active_us
    return {
        "since_us": one.since_us,
        "active_us": one.active_us,
        "stopped_us": one.stopped_us,
        "lag_us": until_us - one.since_us - one.stopped_us,
        "stuck_us": one.stuck_us,
        "stale": int(one.stale.sum()),
        "wrongly_allowed": int(one.stale[WRONG_ALLOW]),
        "wrongly_denied": int(one.stale[WRONG_DENY]),
        "undecided": int(one.stale[ERROR]),
    }
