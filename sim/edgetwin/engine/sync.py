"""A site's outbox on its way to the cloud: sessions at ticks, batches, resumption after a cut.

A session starts at a tick of the interval, takes what is stored and not yet delivered, and sends it
in batches one after the other: a round trip and the bits at the uplink's rate each. A cut in the
middle loses the batch under way; what was acknowledged stays delivered, and the next session goes
on there.

While only the answers are lost (a one-way cut), the first batch of a session arrives and is not
acknowledged; every tick sends it again, and so does the first session after the heal.

While the site is online and keeps up, a tick changes nothing that anybody asks about, so ticks are
not events. They become events at the last tick before a cut, which decides what is still pending,
and from the heal until the outbox has been emptied.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import simpy
from numpy.typing import NDArray

from edgetwin.capacity import Capacity
from edgetwin.engine.conflicts import Meetings
from edgetwin.engine.queueing import NEVER_US
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


@dataclass(frozen=True)
class Line:
    """What an outbox sends over."""

    round_trip_us: int
    bits_per_s: float
    """What is left for the bits of writes after losses."""
    heard: bool = True
    """Acknowledgements come back."""
    capacity: Capacity | None = None
    """Of an uplink whose rate changes; in place of `bits_per_s`."""
    delivered_share: float = 1.0
    """What losses leave of `capacity`."""


@dataclass
class _Session:
    start_us: int
    pending: NDArray[np.int64]
    """Writes of each class that it takes, beside those that are sent again."""
    again: NDArray[np.int64]
    """Writes of its first batch that the cloud has already, unheard."""
    batches: int
    bits: int
    batch_us: float
    number: int
    line: Line
    since_us: int = 0
    """When the line became what it is; until then `done` batches were acknowledged."""
    done: float = 0.0
    ends_us: list[int] = field(default_factory=list)
    """Of a line with a changing capacity: when each batch from `done` on is acknowledged."""


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
        load_bps: float, line: Callable[[], Line | None],
        at_the_end: Callable[[Callable[[], None]], None], changed: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        """*line()* gives the way to the cloud, None while cut; *load_bps* is what the site's writes
        take on average."""
        self.drains: list[Drain] = []
        self.redelivered = np.zeros(len(store.classes), dtype=np.int64)
        self.left_site = np.zeros(len(store.classes), dtype=np.bool_)
        self.meetings = Meetings(rules.phase_us, rules.interval_us)
        self._env = env
        self._site = site
        self._store = store
        self._rules = rules
        self._load_bps = load_bps
        self._line = line
        self._at_the_end = at_the_end
        self._changed = changed
        self._session: _Session | None = None
        self._number = 0
        self._unheard = np.zeros(len(store.classes), dtype=np.int64)
        """Writes that arrived, of a batch whose acknowledgement did not."""
        # A site without writes of its own has nothing to sync, whatever the others write.
        own = load_bps > 0
        self._synced = np.array([own and one.synced for one in store.classes], dtype=np.bool_)
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
        if self._steady and self._line() is not None:
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
            done = self._acknowledged(session)
            whole = min(int(done), session.batches)
            self._deliver(session, whole * self._rules.batch_writes_max)
            if whole < session.batches and done - whole > 0.5 and session.line.heard:
                # The batch had arrived, its acknowledgement had not: it will be sent again.
                self._redeliver(session, whole)
            self._changed("interrupted", f"{whole} of {session.batches} batches acknowledged")
        if self.drains and self.drains[-1].drained_us < 0:
            self.drains[-1].target = None

    def unheard(self) -> None:
        """The way to the cloud is open, the way back is not; call `cut` first."""
        if self._synced.any():
            self._at_tick()

    def changed(self) -> None:
        """The way to the cloud may be another: what is left of a session takes its time."""
        line, session = self._line(), self._session
        assert line is not None
        if session is not None:
            if line != session.line and session.line.heard:
                session.done = min(self._acknowledged(session), session.batches)
                session.line, session.since_us = line, int(self._env.now)
                self._schedule(session)
        elif self._steady and not self._keeps_up():
            self._leave_steady()
            self._at_tick()

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
        if number == self._number and self._session is None and self._line() is not None:
            self._start()

    def _start(self) -> None:
        line = self._line()
        assert line is not None
        pending = self._pending()
        total = int(pending.sum())
        if (
            self.drains
            and self.drains[-1].first_session_us < 0
            and self.drains[-1].target is not None
        ):
            self.drains[-1].first_session_us = int(self._env.now)
        again = self._unheard.copy()
        batches = -(-total // self._rules.batch_writes_max) + bool(again.any())
        bits = 8 * int((pending + again) @ self._wire_bytes)
        now = int(self._env.now)
        session = _Session(now, pending, again, batches, bits, 0.0, self._number, line, now)
        self._session = session
        self._last_start_us = session.start_us
        self._schedule(session)

    def _schedule(self, session: _Session) -> None:
        """Reckon when what is left of a session ends over its line, and be there."""
        line, rules = session.line, self._rules
        if not line.heard:
            self._schedule_unheard(session)
            return
        self.left_site |= session.pending > 0
        left = session.batches - session.done
        if line.capacity is not None and session.batches:
            session.ends_us = self._ends_us(session, line.capacity)
            delay = (session.ends_us[-1] if session.ends_us else session.since_us) - int(
                self._env.now
            )
        else:
            whole = session.batches * line.round_trip_us
            whole_us = whole + session.bits / (line.bits_per_s * rules.bandwidth_share) * 1e6
            session.batch_us = whole_us / session.batches if session.batches else 0.0
            delay = round(whole_us if session.done == 0 else left * session.batch_us)
        since = session.since_us
        self._later(delay, lambda: self._finish(session, since))

    def _ends_us(self, session: _Session, capacity: Capacity) -> list[int]:
        """Return when each batch that is left is acknowledged; NEVER_US: the line carries nothing.

        A batch under way goes on with what is left of it. The bits of a session are spread evenly
        over its batches, and losses and sync's share of the line make them more.
        """
        line = session.line
        ends: list[int] = []
        share = self._rules.bandwidth_share * line.delivered_share
        size = session.bits / 8 / share / session.batches
        at, part = session.since_us, session.done % 1
        for _ in range(int(session.done), session.batches):
            sent = capacity.done_us(at, max(1, round(size * (1 - part))))
            if sent is None:
                return [*ends, NEVER_US]
            at = sent + round(line.round_trip_us * (1 - part))
            part = 0.0
            ends.append(at)
        return ends

    def _schedule_unheard(self, session: _Session) -> None:
        """The first batch arrives, and that is all; the next tick tries again."""
        first = session.again.copy()
        if not first.any():
            rest = self._rules.batch_writes_max
            for column in np.flatnonzero(session.pending).tolist():
                first[column] = min(rest, int(session.pending[column]))
                rest -= int(first[column])
        self.left_site |= first > 0
        if first.any():
            line, bits = session.line, 8 * int(first @ self._wire_bytes)
            sent_us = bits / (line.bits_per_s * self._rules.bandwidth_share) * 1e6
            if line.capacity is not None:
                done = line.capacity.done_us(session.start_us, bits // 8)
                sent_us = (NEVER_US if done is None else done) - session.start_us
            delay = min(round(line.round_trip_us + sent_us), NEVER_US - session.start_us)
            self._later(delay, lambda: self._arrive(session, first))
        interval = self._rules.interval_us
        number = self._number
        self._later(
            interval - (session.start_us - self._rules.phase_us) % interval,
            lambda: self._give_up(session, number),
        )

    def _arrive(self, session: _Session, first: NDArray[np.int64]) -> None:
        if session is not self._session:
            return
        if session.again.any():
            self.redelivered += first
            return
        # Retention may have taken some of it since it was read: the cloud has it none the less.
        self._store.delivered[self._site] += first
        self._unheard = first
        self._changed("unheard", f"{int(first.sum())} writes arrived, no answer did")

    def _give_up(self, session: _Session, number: int) -> None:
        if session is self._session and number == self._number:
            self._session = None
            self._start()

    def _acknowledged(self, session: _Session) -> float:
        """Return how many batches of a session are acknowledged by now, the part of one under way
        included."""
        if not session.line.heard:
            return 0.0
        now, done = int(self._env.now), session.done
        if session.line.capacity is None:
            elapsed = now - session.since_us
            return done + elapsed / session.batch_us if session.batch_us else float(session.batches)
        begun = session.since_us
        for end in session.ends_us:
            left = 1 - done % 1
            if now < end:
                return done + left * (now - begun) / (end - begun)
            done, begun = done + left, end
        return done

    def _finish(self, session: _Session, since_us: int) -> None:
        if session is not self._session or session.since_us != since_us:
            return
        self._session = None
        self._deliver(session, session.batches * self._rules.batch_writes_max)
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
        line = self._line()
        # Of a changing capacity nothing can be promised: every tick is simulated.
        return (
            line is not None
            and line.heard
            and line.capacity is None
            and self._load_bps <= KEEPS_UP_SHARE_MAX * line.bits_per_s * self._rules.bandwidth_share
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
        been read when the session began. What is sent again goes first."""
        if session.again.any() and writes > 0:
            self.redelivered += session.again
            self._unheard = np.zeros_like(self._unheard)
            writes -= self._rules.batch_writes_max
        for column in np.flatnonzero(session.pending).tolist():
            part = min(writes, int(session.pending[column]))
            self._store.delivered[self._site, column] += part
            writes -= part

    def _redeliver(self, session: _Session, batch: int) -> None:
        if session.again.any():
            if batch == 0:
                self.redelivered += session.again
                return
            batch -= 1
        skip = batch * self._rules.batch_writes_max
        rest = self._rules.batch_writes_max
        for column in np.flatnonzero(session.pending).tolist():
            count = int(session.pending[column])
            part = max(0, min(rest, count - skip))
            skip = max(0, skip - count)
            self.redelivered[column] += part
            rest -= part
