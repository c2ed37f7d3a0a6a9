"""A site's outbox on its way to the cloud: sessions at ticks, batches, resumption after a cut.

A session starts at a tick of the interval, takes what is stored and not yet delivered, and sends it
in batches one after the other: a round trip and the bits at the uplink's rate each. A cut in the
middle loses the batch under way; what was acknowledged stays delivered, and the next session goes
on there.

While the site is online and keeps up, a tick changes nothing that anybody asks about, so ticks are
not events. They become events at the last tick before a cut, which decides what is still pending,
and from the heal until the outbox has been emptied.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import simpy
from numpy.typing import NDArray

from edgetwin.engine.conflicts import Meetings
from edgetwin.engine.store import Store

KEEPS_UP_SHARE_MAX = 0.5
"""A site whose writes take more than this share of its uplink has every tick simulated. Chosen:
below it a session surely ends before the next tick."""


@dataclass(frozen=True)
class SyncRules:
    """How this site's sessions work."""

    interval_us: int
    phase_us: int
    """Instant of the first tick, within one interval."""
    batch_writes_max: int
    bandwidth_share: float


@dataclass
class _Session:
    start_us: int
    pending: NDArray[np.int64]
    """Writes of each class that it takes."""
    batches: int
    batch_us: float
    number: int


@dataclass
class Drain:
    """What a heal left to be sent, and how that ended."""

    heal_us: int
    backlog_writes: int = 0
    backlog_bytes: int = 0
    first_session_us: int = -1
    target: NDArray[np.int64] | None = None
    drained_us: int = -1


class Outbox:
    """One site's outbox."""

    def __init__(
        self, env: simpy.Environment, site: int, store: Store, rules: SyncRules,
        load_bps: float, link: Callable[[], tuple[int, float] | None],
        at_the_end: Callable[[Callable[[], None]], None], changed: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        """*link()* gives (round trip in us, bits a second) or None while cut; *load_bps* is what
        the site's writes take on average."""
        self.drains: list[Drain] = []
        self.redelivered = np.zeros(len(store.classes), dtype=np.int64)
        self.left_site = np.zeros(len(store.classes), dtype=np.bool_)
        self.meetings = Meetings(rules.phase_us, rules.interval_us)
        self._env = env
        self._site = site
        self._store = store
        self._rules = rules
        self._load_bps = load_bps
        self._link = link
        self._at_the_end = at_the_end
        self._changed = changed
        self._session: _Session | None = None
        self._number = 0
        self._synced = np.array([one.synced for one in store.classes], dtype=np.bool_)
        self._wire_bytes = np.array([one.wire_bytes for one in store.classes], dtype=np.int64)
        self._steady = bool(self._synced.any())
        self._last_start_us = -1
        if self._steady and not self._keeps_up():
            self._steady = False
            self.meetings.one_by_one(0)
            self._at_tick()

    # -- what comes from outside -----------------------------------------------------------

    def last_ticks_before(self, at_us: int) -> tuple[int, int]:
        """Return the last but one and the last tick before *at_us*."""
        rules = self._rules
        last = (
            rules.phase_us + (at_us - 1 - rules.phase_us) // rules.interval_us * rules.interval_us
        )
        return last - rules.interval_us, last

    def assume_delivered(self) -> None:
        """At the last tick but one before a cut: what is stored has gone out with earlier ticks."""
        if self._steady:
            self._deliver_all()

    def begin(self) -> None:
        """At the last tick before a cut: this session is simulated."""
        if self._steady and self._link() is not None:
            self._leave_steady()
            self._start()

    def cut(self) -> None:
        """The way to the cloud is gone."""
        if not self._synced.any():
            return
        if self._steady:
            # Nothing was due before the cut: it fell before the first tick.
            self._leave_steady()
        session, self._session = self._session, None
        self._number += 1
        if session is not None:
            elapsed = self._env.now - session.start_us
            whole = min(int(elapsed / session.batch_us), session.batches)
            self._deliver(session, whole * self._rules.batch_writes_max)
            if (
                whole < session.batches
                and elapsed - whole * session.batch_us > session.batch_us / 2
            ):
                # The batch had arrived, its acknowledgement had not: it will be sent again.
                self._redeliver(session, whole)
            self._changed("interrupted", f"{whole} of {session.batches} batches acknowledged")
        if self.drains and self.drains[-1].drained_us < 0:
            self.drains[-1].target = None

    def heal(self, since_us: int) -> None:
        """The way to the cloud is back since *since_us*; the next tick tries."""
        if not self._synced.any():
            return
        pending = self._pending()
        self.drains.append(
            Drain(
                since_us, int(pending.sum()), int(pending @ self._wire_bytes), target=self._stored()
            )
        )
        self._at_tick()

    # -- sessions --------------------------------------------------------------------------

    def _at_tick(self) -> None:
        rules, now = self._rules, int(self._env.now)
        ahead = (rules.phase_us - now) % rules.interval_us
        if ahead == 0 and self._last_start_us == now:
            ahead = rules.interval_us
        number = self._number
        self._later(ahead, lambda: self._tick(number))

    def _later(self, delay_us: int, action: Callable[[], None]) -> None:
        """Do *action* at the end of an instant to come."""
        self._env.timeout(delay_us).callbacks.append(lambda _: self._at_the_end(action))

    def _tick(self, number: int) -> None:
        if number == self._number and self._session is None and self._link() is not None:
            self._start()

    def _start(self) -> None:
        link = self._link()
        assert link is not None
        pending = self._pending()
        total = int(pending.sum())
        if (
            self.drains
            and self.drains[-1].first_session_us < 0
            and self.drains[-1].target is not None
        ):
            self.drains[-1].first_session_us = int(self._env.now)
        round_trip_us, bits_per_s = link
        batches = -(-total // self._rules.batch_writes_max)
        bits = 8 * int(pending @ self._wire_bytes)
        duration = batches * round_trip_us + bits / (bits_per_s * self._rules.bandwidth_share) * 1e6
        session = _Session(
            int(self._env.now), pending, batches, duration / batches if batches else 0, self._number
        )
        self._session = session
        self._last_start_us = session.start_us
        self.left_site |= pending > 0
        self._later(round(duration), lambda: self._finish(session))

    def _finish(self, session: _Session) -> None:
        if session is not self._session:
            return
        self._session = None
        self._deliver(session, int(session.pending.sum()))
        self.meetings.sessions.append(session.start_us)
        drain = self.drains[-1] if self.drains else None
        if (
            drain
            and drain.drained_us < 0
            and drain.target is not None
            and bool((self._gone() >= drain.target)[self._synced].all())
        ):
            drain.drained_us = int(self._env.now)
            self._changed("drained", f"{int(session.pending.sum())} writes in the last session")
        waiting = int(self._pending().sum())
        if waiting >= self._rules.batch_writes_max:
            self._start()
        elif self._keeps_up() and (drain is None or drain.drained_us >= 0 or drain.target is None):
            self._steady = True
            self.meetings.steady(int(self._env.now))
        else:
            self._at_tick()

    def _keeps_up(self) -> bool:
        link = self._link()
        return link is not None and self._load_bps <= (
            KEEPS_UP_SHARE_MAX * link[1] * self._rules.bandwidth_share
        )

    def _leave_steady(self) -> None:
        self._steady = False
        self.meetings.one_by_one(int(self._env.now))

    # -- counting --------------------------------------------------------------------------

    def _stored(self) -> NDArray[np.int64]:
        stored: NDArray[np.int64] = self._store.stored[self._site].copy()
        return stored

    def _gone(self) -> NDArray[np.int64]:
        gone: NDArray[np.int64] = self._store.delivered[self._site] + self._store.lost[self._site]
        return gone

    def _pending(self) -> NDArray[np.int64]:
        self._store.count_losses(self._site)
        return np.where(self._synced, self._stored() - self._gone(), 0)

    def _deliver_all(self) -> None:
        """A steady site's ticks have delivered all that is stored; retention took none of it."""
        pending = np.where(self._synced, self._stored() - self._gone(), 0)
        self._store.delivered[self._site] += pending
        self.left_site |= pending > 0

    def _deliver(self, session: _Session, writes: int) -> None:
        """Deliver the first *writes* of a session, class by class; what was pruned meanwhile had
        been read when the session began."""
        for column in np.flatnonzero(session.pending).tolist():
            part = min(writes, int(session.pending[column]))
            self._store.delivered[self._site, column] += part
            writes -= part

    def _redeliver(self, session: _Session, batch: int) -> None:
        skip = batch * self._rules.batch_writes_max
        rest = self._rules.batch_writes_max
        for column in np.flatnonzero(session.pending).tolist():
            count = int(session.pending[column])
            part = max(0, min(rest, count - skip))
            skip = max(0, skip - count)
            self.redelivered[column] += part
            rest -= part
