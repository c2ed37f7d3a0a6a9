"""The agent that brings policy revisions to a site, as a real OPA does it behind a real link.

It polls for a bundle, backs off while it cannot reach the cloud, takes what is new without a
restart, and goes on deciding with what it has for as long as it runs. What it decides with after a
restart while cut is what it kept on disk, by default nothing. Recorded from OPA 1.20.2
(facts/opa-agent.md).

Polls that change nothing are not events: only the request that will bring something is scheduled,
and where the loop stands is worked out when something makes it matter (`agent_loop`).
"""

from collections.abc import Callable

import simpy

from edgetwin.engine.agent_log import DecisionLog, LogSettings
from edgetwin.engine.agent_loop import PollLoop
from edgetwin.engine.agent_protocol import NEVER, Draw, Mode, Offer, Phase
from edgetwin.engine.agent_settings import (
    ACTIVATION_US,
    ACTIVATION_US_PER_MB,
    FIRST_ANSWER_US,
    FIRST_POLL_US,
    STATUS_POST_BYTES,
    AgentSettings,
    Release,
)
from edgetwin.streams import unit
from edgetwin.units import SECOND_US

__all__ = ["STATUS_POST_BYTES", "Agent", "AgentSettings", "LogSettings", "Mode", "Release"]


class Agent:
    """One OPA process and its link to the cloud.

    *activate* is called with the revision that decides from now on, None when there is none and
    every decision is undefined. *on_event* is called with what a history keeps: ``started``,
    ``stopped``, ``activated``, ``refused``, ``stuck``, each with a detail. *draw* gives the 64-bit
    word of a purpose at an instant. With *holds*, the agent has been running with that revision for
    long; without, its process starts now. *log* is its decision log, by default one of its own.
    """

    __slots__ = (
        "_activate", "_announced", "_answers_from_us", "_downloaded", "_draw", "_env", "_etag",
        "_fetching", "_kept", "_loop", "_mode", "_mode_since_us", "_on_event", "_pending", "_plan",
        "_queue", "_refused", "_release", "_stored", "code", "healthy_bundles", "log",
        "reported_revision", "revision", "running", "settings",
    )  # fmt: skip

    def __init__(
        self,
        env: simpy.Environment,
        settings: AgentSettings,
        draw: Draw,
        *,
        activate: Callable[[str | None], None],
        on_event: Callable[[str, str], None],
        holds: str | None = None,
        log: DecisionLog | None = None,
    ) -> None:
        self._env, self.settings, self._draw = env, settings, draw
        self._activate, self._on_event = activate, on_event
        self._mode, self._announced = Mode.OK, False
        self._mode_since_us = self._answers_from_us = self._now_us
        self._queue: list[tuple[int, Mode, Mode]] = []
        """Changes of the link that the loop has not been taken through yet."""
        self._plan: object = None
        self._pending: object = None
        self._release = Release(holds) if holds is not None else None
        self._fetching: Release | None = None
        self._refused: Release | None = None
        self._downloaded = 0
        self._loop = PollLoop(settings.polling(), draw, self._now_us)
        self.log = log or DecisionLog(settings.log, draw, self._now_us)
        self.revision = self.reported_revision = self._etag = holds
        """`revision` decides now, None: nothing does. `reported_revision` is what status says."""
        self._kept = holds if settings.persist and not settings.persist_unwritable else None
        self._stored = holds if settings.disk_store else None
        self.code = ""
        """The error that status shows; health does not."""
        self.healthy_bundles = holds is not None
        """Whether /health?bundles says 200; /health does as long as the process runs."""
        self.running = holds is not None
        if holds is None:
            self.restart()
        else:
            self._loop.forget()

    @property
    def _now_us(self) -> int:
        return int(self._env.now)

    @property
    def stuck(self) -> bool:
        """Whether the agent will never ask again, which only a restart mends."""
        return self._loop.phase is Phase.STUCK

    @property
    def downloaded_bytes(self) -> int:
        """Bundle bytes fetched so far, refused ones each time they were."""
        if self._refused is None:
            return self._downloaded
        asked = self._loop.copy()
        asked.advance(self._now_us, self._mode, Offer.REFUSED)
        return self._downloaded + asked.refusals * self._refused.packed_bytes

    def release(
        self,
        revision: str,
        *,
        size_bytes: int = 0,
        packed_bytes: int = 0,
        faulty: str = "",
        delta_of: str | None = None,
        wipes: bool = False,
        snapshot_too: bool = True,
    ) -> None:
        """The cloud publishes a bundle now; the fields are those of `Release`."""
        self._settle()
        self._count_refusals()
        self._release = Release(
            revision, size_bytes, packed_bytes, faulty, delta_of, wipes, snapshot_too
        )
        if self._offer() is not Offer.SAME:
            self._loop.news(self._now_us)
        elif self._pending is None and self.running:
            self.code = ""  # The bundle that decides is served again: a 304 clears the error.
        self._schedule()

    def link(self, up: bool, *, mode: str = "drop") -> None:
        """The link heals, or is cut in *mode*: drop, refuse, hang, e500 or stall."""
        now_us, old, new = self._now_us, self._mode, Mode.OK if up else Mode(mode)
        if new is old:
            return
        self.log.link(now_us, new)
        if self._may_be_settled_later():
            if old.answers and now_us - self._mode_since_us > self._loop.mixing_us():
                self._queue.clear()
                self._loop.forget()
            self._queue.append((now_us, old, new))
            self._mode, self._mode_since_us = new, now_us
        else:
            self._settle()
            self._loop.change(now_us, old, new)
            self._mode, self._mode_since_us = new, now_us
            self._schedule()

    def restart(self, *, killed: bool = False) -> None:
        """The process is restarted, with SIGTERM unless *killed*; disk is all that it keeps."""
        now_us = self._now_us
        if self.running:
            self._settle()
            self.log.stop(now_us, killed=killed)
        self._count_refusals()
        self.running = True
        first_us = now_us + self._between("first-poll", FIRST_POLL_US)
        self._answers_from_us = now_us + self._between("first-answer", FIRST_ANSWER_US)
        self._loop = PollLoop(self.settings.polling(), self._draw, first_us)
        self.log.start(now_us)
        self._queue.clear()
        self._announced = False
        self._fetching = self._pending = None
        self.code, self.healthy_bundles, self.reported_revision = "", False, None
        kept = self._stored if self.settings.disk_store else self._kept
        self._etag = self._stored
        self._decide_with(None)
        self._on_event("started", f"from disk: {kept}" if kept else "nothing on disk: undefined")
        if kept is not None:
            # What is on disk is read before anything is asked for, so the first answer has it.
            self._pending = self._at(self._answers_from_us, "_pending", lambda: self._load(kept))
        self._schedule()

    def power(self, up: bool) -> None:
        """The node loses power, or has it again and starts the process."""
        if up and not self.running:
            self.restart()
        elif not up and self.running:
            self._settle()
            self._count_refusals()
            self.log.stop(self._now_us, killed=True)
            self.running = False
            self._loop.stop()
            self._queue.clear()
            self._plan = self._pending = self._fetching = None
            self.code, self.healthy_bundles, self.reported_revision = "", False, None
            self._decide_with(None)
            self._on_event("stopped", "power lost")

    def lose_kept(self) -> None:
        """What was kept on disk cannot be read any more: half a file, another key: section 4."""
        self._kept = self._stored = None

    def _offer(self) -> Offer:
        release = self._release
        if release is None:
            return Offer.NONE
        if release is self._refused:
            return Offer.REFUSED
        return Offer.SAME if release.revision == self._etag else Offer.BODY

    def _may_be_settled_later(self) -> bool:
        """Whether nothing can be seen of what the loop does: it asks, and nothing is new."""
        settings = self.settings
        never_stuck = settings.header_timeout_us > 0 and not settings.long_poll_us
        resting = self._loop.phase in _RESTING and self._pending is None
        return never_stuck and resting and self._offer() is Offer.SAME

    def _settle(self) -> None:
        """Take the loop through the changes of the link that were put off, and up to now."""
        for at_us, old, new in self._queue:
            self._loop.advance(at_us, old, Offer.SAME)
            self._loop.change(at_us, old, new)
        self._queue.clear()
        while self._loop.advance(self._now_us, self._mode, self._offer()):
            if self._loop.phase is Phase.CONTACT:
                self._fetch(self._loop.since_us)
            else:
                self._take(self._loop.since_us)

    def _schedule(self) -> None:
        """Plan the next instant at which the loop brings something, if there is one."""
        self._settle()
        loop, mode, offer = self._loop, self._mode, self._offer()
        self._plan = None
        if loop.phase is Phase.OFF:
            return
        if loop.phase is Phase.STUCK:
            if not self._announced:
                self._announced = True
                self._on_event("stuck", f"link {mode.value}: asks never again, health says 200")
        elif loop.phase is Phase.DOWNLOAD or (loop.phase is Phase.HELD and offer is Offer.BODY):
            self._plan = self._at(loop.until_us, "_plan", self._schedule)
        elif mode.answers and offer is Offer.BODY:
            ahead = loop.copy()
            assert ahead.advance(NEVER - 1, mode, offer), (loop.phase, mode, offer)
            self._plan = self._at(ahead.since_us, "_plan", self._schedule)
        elif mode is Mode.HANG and loop.settings.timeout_us == NEVER:
            self._plan = self._at(loop.until_us, "_plan", self._schedule)

    def _fetch(self, at_us: int) -> None:
        """A body is offered at *at_us*: it begins to come in."""
        assert self._release is not None
        self._fetching = self._release
        if self._mode is Mode.STALL:
            self._loop.stick(at_us)
        else:
            self._loop.download(at_us, self._transfer_us(self._release))

    def _take(self, at_us: int) -> None:
        """The body is complete at *at_us*: it is refused, or decides as soon as it is activated."""
        release, self._fetching = self._fetching, None
        assert release is not None
        delta = release.delta_of is not None and (
            release.delta_of == self._etag or not release.snapshot_too
        )
        self._downloaded += release.packed_bytes
        fault = release.faulty or (self._delta_fault(release) if delta else "")
        if fault:
            self._refuse(release, fault)
            self._loop.fail(at_us)
            return
        megabytes_us = release.size_bytes * ACTIVATION_US_PER_MB // 1_000_000
        active_us = at_us + self._between("activation", ACTIVATION_US) + megabytes_us
        if self.settings.persist_unwritable:
            self._refuse(release, "the bundle decides but cannot be kept on disk")
            self._loop.fail(active_us)
        else:
            self._loop.succeed(active_us)
        ready_us = max(active_us, self._answers_from_us)
        self._pending = self._at(ready_us, "_pending", lambda: self._activated(release, delta))

    def _count_refusals(self) -> None:
        """What was refused so far is history: the cloud, or the process, is another one now."""
        if self._refused is not None:
            self._downloaded += self._loop.refusals * self._refused.packed_bytes
        self._loop.refusals, self._refused = 0, None

    def _delta_fault(self, release: Release) -> str:
        if release.wipes:
            return ""
        if self.settings.persist:
            return "persisting delta bundle to disk is not supported"
        return "" if release.delta_of == self._etag else "document does not exist"

    def _refuse(self, release: Release, fault: str) -> None:
        self.code = "bundle_error"
        if release is self._release:
            self._refused = release
            self._loop.download_us = self._transfer_us(release)
        self._on_event("refused", f"{release.revision}: {fault}")

    def _activated(self, release: Release, delta: bool) -> None:
        settings, wiped = self.settings, delta and release.wipes
        decides = None if wiped else release.revision
        if settings.persist_unwritable:
            self.healthy_bundles = False
        else:
            self.healthy_bundles, self.code, self._etag = True, "", release.revision
            if settings.persist and (wiped or not delta):
                self._kept = decides
            if settings.disk_store:
                self._stored = decides
        self.reported_revision = release.revision
        detail = "an empty delta: policy and data are gone" if wiped else "downloaded"
        self._on_event("activated", f"{release.revision}: {detail}")
        self._decide_with(decides)
        self._schedule()

    def _load(self, kept: str) -> None:
        self.reported_revision = kept
        self.healthy_bundles = not self.settings.disk_store
        self._on_event("activated", f"{kept}: from disk")
        self._decide_with(kept)
        self._schedule()

    def _decide_with(self, revision: str | None) -> None:
        if revision != self.revision:
            self.revision = revision
            self._activate(revision)

    def _at(self, at_us: int, slot: str, act: Callable[[], None]) -> object:
        """Do *act* at *at_us* unless *slot* has been given something else by then."""
        timeout = self._env.timeout(max(0, at_us - self._now_us))

        def due(_: simpy.Event) -> None:
            if getattr(self, slot) is timeout:
                setattr(self, slot, None)
                act()

        timeout.callbacks.append(due)
        return timeout

    def _transfer_us(self, release: Release) -> int:
        rate = self.settings.download_bits_per_s
        return release.packed_bytes * 8 * SECOND_US // rate if rate else 0

    def _between(self, purpose: str, least_median_most: tuple[int, int, int]) -> int:
        """A duration by its recorded least, median and most; few are near the most."""
        least_us, median_us, most_us = least_median_most
        share = 2 * unit(self._draw(purpose, self._now_us))
        if share < 1:
            return least_us + int(share * (median_us - least_us))
        return median_us + int((share - 1) ** 4 * (most_us - median_us))


_RESTING = (Phase.WAIT, Phase.DIAL, Phase.REQUEST, Phase.THROUGH)
