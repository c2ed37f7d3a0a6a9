"""The request loop of an OPA agent: polls, back-off and what a cut does to a request under way.

The loop is state and arithmetic; nothing here knows of simulated processes. `advance` takes it
through a stretch of time in which neither the link nor what the cloud offers changes, `change`
through the instant at which the link does. A wait is drawn at the instant at which it begins, so
that looking ahead, asking twice or asking late draws the same numbers. After 64 waits of one kind
the loop is mixed, and where it stands is drawn from the renewal process's stationary law instead.

Every duration was recorded from OPA 1.20.2 (facts/opa-agent.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from math import sqrt

from edgetwin.streams import unit
from edgetwin.units import SECOND_US

Draw = Callable[[str, int], int]
"""The 64-bit word of a purpose at a counter; here the counter is an instant in microseconds."""

BACKOFF_US, BACKOFF_FACTOR, BACKOFF_JITTER_SHARE = 100_000, 1.6, 0.2
"""Wait n is 0.1 s x 1.6^n, at most the longest delay, x U(0.8, 1.2): 4,290 of 4,290 waits, 2a."""

DIAL_TIMEOUT_US = 30 * SECOND_US
"""A dial whose packets vanish gives up: 30.00 to 30.08 s, section 2a."""

SYN_US = tuple(second * SECOND_US for second in (0, 1, 2, 3, 4, 5, 7, 11, 19))
"""When a dial's SYN is sent, of a kernel from 6.5 on: section 0. Older ones: 0, 1, 3, 7, 15 s."""

KEEPALIVE_US = 165_900_000
"""A connection on which nothing arrives is given up: section 2e (30 s and nine probes of 15 s)."""

RETRANSMIT_US = 209_000
"""First retransmission; each wait doubles. Chosen to fit the five resumed downloads of midcut.csv:
they went on 26.5, 53.3, 106.8 and 213.8 s after the cut, which is 0.209 s x (2^k - 1)."""
RETRANSMIT_US_MAX = 120 * SECOND_US
"""Linux's longest wait between retransmissions (TCP_RTO_MAX)."""

MIXED_WAITS = 64
"""After so many waits the phase is drawn afresh. Chosen: 64 waits of 60 to 120 s have a standard
deviation of 139 s, 1.5 times their mean, so that nothing of the starting phase is left."""

NEVER = 1 << 62
LONG_AGO = -(1 << 50)


class Mode(StrEnum):
    """What the link does; all but the last as recorded, which is a live peer that stops sending."""

    OK = "ok"
    DROP = "drop"
    REFUSE = "refuse"
    HANG = "hang"
    E500 = "e500"
    STALL = "stall"

    @property
    def answers(self) -> bool:
        """Whether a new request is answered; in a stall it is, only a body never ends."""
        return self is Mode.OK or self is Mode.STALL


class Offer(Enum):
    """What the cloud answers to a request."""

    SAME = "nothing new"
    BODY = "something to take"
    REFUSED = "something that this agent has refused already"
    NONE = "not found"


class Phase(Enum):
    """What the loop is doing."""

    WAIT = "waits for its next request"
    DIAL = "dials, packets vanish"
    REQUEST = "waits for the answer to a request"
    THROUGH = "packets pass again, and it gets through at its next retransmission"
    HELD = "a long poll is held by the cloud"
    HELD_LOST = "a long poll is held and the link drops packets"
    CONTACT = "the cloud answers now"
    DOWNLOAD = "a body is coming in"
    PAUSED = "a body stopped coming in, packets vanish"
    DONE = "the body is complete now"
    STUCK = "waits for ever"
    OFF = "is not running"


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How one loop asks."""

    delay_us_min: int
    delay_us_max: int
    header_timeout_us: int = 10 * SECOND_US
    """How long an answer may take; 0: for ever."""
    long_poll_us: int = 0
    """How long the cloud holds a request that has no news; 0: it does not. Switches the header
    timeout off: section 2d."""

    @property
    def timeout_us(self) -> int:
        """The time an unanswered request lasts."""
        return self.header_timeout_us if self.header_timeout_us and not self.long_poll_us else NEVER


def retransmissions_us(since_us: int, now_us: int) -> int:
    """The first retransmission, at or after *now_us*, of a packet first sent at *since_us*.

    >>> [retransmissions_us(0, second * SECOND_US) / SECOND_US for second in (0, 15, 60)]
    [0.0, 26.543, 106.799]
    """
    at_us, wait_us = since_us, RETRANSMIT_US
    while at_us < now_us:
        at_us += wait_us
        wait_us = min(2 * wait_us, RETRANSMIT_US_MAX)
    return at_us


class PollLoop:
    """One loop of one agent; made in its first wait, which ends at *first_us*."""

    __slots__ = (
        "answer_us", "connected", "download_us", "draw", "failures", "lost_us",
        "phase", "refusals", "remaining_us", "settings", "since_us", "through", "until_us",
    )  # fmt: skip

    def __init__(self, settings: LoopSettings, draw: Draw, first_us: int) -> None:
        self.settings = settings
        self.draw = draw
        self.phase = Phase.WAIT
        self.since_us = self.until_us = first_us
        self.download_us = 0
        """How long a body takes that is refused again and again."""
        self.failures = 0
        self.connected = False
        self.through = Phase.WAIT
        self.answer_us = self.lost_us = self.remaining_us = 0
        self.refusals = 0
        """Bodies that were fetched and refused again."""

    def copy(self) -> "PollLoop":
        """Another loop in the same state, to look ahead with."""
        other = object.__new__(PollLoop)
        for name in PollLoop.__slots__:
            setattr(other, name, getattr(self, name))
        return other

    def advance(self, until_us: int, mode: Mode, offer: Offer) -> bool:
        """Go on to *until_us* under *mode* and *offer*; True if it stopped before, at an answer.

        It stops where the caller has to act: at a CONTACT that offers a body, at a body that is
        DONE. `since_us` is that instant; the caller then calls `download`, `succeed` or `fail`.
        """
        while self.until_us <= until_us:
            self._fast_forward(until_us, mode, offer)
            at_us = self.until_us
            if at_us > until_us:
                break
            match self.phase:
                case Phase.WAIT | Phase.THROUGH:
                    self._begin(at_us, mode)
                case Phase.DIAL | Phase.REQUEST | Phase.HELD_LOST | Phase.PAUSED:
                    self.connected = False
                    self.fail(at_us)
                case Phase.HELD:
                    self._enter(Phase.CONTACT, at_us, at_us)
                case Phase.DOWNLOAD:
                    self._enter(Phase.DONE, at_us, at_us)
                case Phase.CONTACT if offer is Offer.SAME:
                    self._same(at_us, mode)
                case Phase.CONTACT if offer is Offer.NONE:
                    self.fail(at_us)
                case Phase.CONTACT if offer is Offer.REFUSED:
                    self.refusals += 1
                    self.fail(at_us + self.download_us)
                case Phase.CONTACT | Phase.DONE:
                    return True
                case _:
                    raise AssertionError((self.phase, self.until_us))
        return False

    def change(self, now_us: int, old: Mode, new: Mode) -> None:
        """The link goes from *old* to *new* at *now_us*, to which the loop has been advanced."""
        match self.phase:
            case Phase.WAIT if new is Mode.REFUSE:
                self.connected = False
            case Phase.DIAL if new is not Mode.DROP:
                syn_us = next((us for us in SYN_US if self.since_us + us >= now_us), None)
                if syn_us is not None:
                    self._pass(self.since_us + syn_us)
            case Phase.REQUEST if self.lost_us != NEVER:
                # The request itself was lost: new packets of it arrive as TCP repeats them.
                again_us = retransmissions_us(self.since_us, now_us)
                if new is not Mode.DROP and again_us < self.until_us:
                    self._pass(again_us)
            case Phase.REQUEST if new is Mode.REFUSE:
                self.connected = False
                self.fail(now_us)
            case Phase.THROUGH if new is Mode.DROP:
                limit_us = (
                    DIAL_TIMEOUT_US if self.through is Phase.DIAL else self.settings.timeout_us
                )
                self._enter(self.through, self.since_us, min(NEVER, self.since_us + limit_us))
            case Phase.HELD | Phase.HELD_LOST | Phase.DOWNLOAD | Phase.PAUSED:
                self._change_under_answer(now_us, new)
            case _:
                pass

    def news(self, now_us: int) -> None:
        """The cloud has something new at *now_us*; a held request is answered with it at once."""
        if self.phase is Phase.HELD and self.until_us == self.since_us + self.settings.long_poll_us:
            self.until_us = now_us
        elif self.phase is Phase.HELD_LOST:
            self.answer_us = min(self.answer_us, now_us)

    def download(self, at_us: int, duration_us: int) -> None:
        """The body begins to come in at *at_us* and takes *duration_us* if it is left alone."""
        self._enter(Phase.DOWNLOAD, at_us, at_us + duration_us)

    def succeed(self, at_us: int) -> None:
        """A poll ended well at *at_us*: the next follows after a delay, a long poll at once."""
        self.failures = 0
        self.connected = True
        low_us, high_us = self.settings.delay_us_min, self.settings.delay_us_max
        wait_us = low_us + int(self._unit("poll", at_us) * (high_us - low_us))
        self._enter(Phase.WAIT, at_us, at_us + (0 if self.settings.long_poll_us else wait_us))

    def fail(self, at_us: int) -> None:
        """An attempt failed at *at_us*; the back-off says when the next begins."""
        wait_us = 0
        if self.failures:
            longest_us = self.settings.delay_us_max
            nominal_us = min(longest_us, BACKOFF_US * BACKOFF_FACTOR ** min(self.failures, 60))
            jitter = 1 + BACKOFF_JITTER_SHARE * (2 * self._unit("retry", at_us) - 1)
            wait_us = int(nominal_us * jitter)
        self.failures += 1
        self._enter(Phase.WAIT, at_us, at_us + wait_us)

    def stick(self, at_us: int) -> None:
        """From *at_us* on the loop waits for something that never comes."""
        self._enter(Phase.STUCK, at_us, NEVER)

    def stop(self) -> None:
        """The process is gone."""
        self._enter(Phase.OFF, self.since_us, NEVER)

    def forget(self) -> None:
        """It has been polling undisturbed for long: where it stands is drawn when it matters."""
        self.failures, self.connected = 0, True
        held = self.settings.long_poll_us > 0
        self._enter(Phase.HELD if held else Phase.WAIT, LONG_AGO, LONG_AGO)

    def mixing_us(self) -> int:
        """How long it takes until undisturbed polling has forgotten its phase."""
        mean_us = (self.settings.delay_us_min + self.settings.delay_us_max) // 2
        return MIXED_WAITS * (self.settings.long_poll_us or mean_us)

    def _begin(self, at_us: int, mode: Mode) -> None:
        resumed, self.lost_us = self.phase is Phase.THROUGH, NEVER
        if mode.answers:
            self.connected = True
            self._enter(Phase.CONTACT, at_us, at_us)
        elif mode is Mode.HANG:
            self.connected = True
            begun_us = self.since_us if resumed and self.through is Phase.REQUEST else at_us
            self._enter(Phase.REQUEST, begun_us, min(NEVER, begun_us + self.settings.timeout_us))
            if self.until_us == NEVER:
                self.stick(at_us)
        elif mode is Mode.DROP and self.connected:
            self.lost_us = at_us
            self._enter(Phase.REQUEST, at_us, min(NEVER, at_us + self.settings.timeout_us))
        elif mode is Mode.DROP:
            self._enter(Phase.DIAL, at_us, at_us + DIAL_TIMEOUT_US)
        else:
            self.connected = mode is Mode.E500
            self.fail(at_us)

    def _same(self, at_us: int, mode: Mode) -> None:
        if self.settings.long_poll_us and mode.answers:
            self._enter(Phase.HELD, at_us, at_us + self.settings.long_poll_us)
        else:
            self.succeed(at_us)

    def _pass(self, at_us: int) -> None:
        self.through, self.phase, self.until_us = self.phase, Phase.THROUGH, at_us

    def _change_under_answer(self, now_us: int, new: Mode) -> None:
        """The link changes while an answer is awaited that only the cloud can begin or go on."""
        held = self.phase in (Phase.HELD, Phase.HELD_LOST)
        if new is Mode.REFUSE:
            self.connected = False
            self.fail(now_us)
        elif new is Mode.HANG or (new is Mode.STALL and not held):
            self.stick(now_us)
        elif new is Mode.DROP and self.phase is Phase.HELD:
            self.answer_us = self.until_us
            self._enter(Phase.HELD_LOST, self.since_us, self.since_us + KEEPALIVE_US)
        elif new is Mode.DROP and self.phase is Phase.DOWNLOAD:
            self.remaining_us = self.until_us - now_us
            self._enter(Phase.PAUSED, now_us, now_us + KEEPALIVE_US)
        elif self.phase is Phase.HELD_LOST:
            late_us = retransmissions_us(self.answer_us, now_us)
            self._enter(Phase.HELD, self.since_us, max(self.answer_us, late_us))
        elif self.phase is Phase.PAUSED:
            resumed_us = retransmissions_us(self.since_us, now_us)
            self._enter(Phase.DOWNLOAD, self.since_us, resumed_us + self.remaining_us)

    def _fast_forward(self, until_us: int, mode: Mode, offer: Offer) -> None:
        """Draw where a mixed loop stands at *until_us* instead of walking there."""
        settings = self.settings
        if until_us - self.until_us <= self.mixing_us():
            return
        if mode.answers and offer is Offer.SAME:
            if self.phase is Phase.HELD:
                age_us = int(self._unit("position", until_us) * settings.long_poll_us)
                self._enter(
                    Phase.HELD, until_us - age_us, until_us - age_us + settings.long_poll_us
                )
            elif self.phase is Phase.WAIT and not settings.long_poll_us:
                low_us, high_us = settings.delay_us_min, settings.delay_us_max
                self._mix(until_us, 0, low_us, high_us, Phase.WAIT)
                self.failures, self.connected = 0, True
            return
        capped = BACKOFF_US * BACKOFF_FACTOR ** min(self.failures, 60) >= settings.delay_us_max
        if self.phase is not Phase.WAIT or not capped:
            return
        attempt_us, attempt = 0, Phase.WAIT
        if mode is Mode.DROP and not self.connected:
            attempt_us, attempt = DIAL_TIMEOUT_US, Phase.DIAL
        elif mode is Mode.HANG and settings.timeout_us < NEVER:
            attempt_us, attempt = settings.timeout_us, Phase.REQUEST
        elif mode is Mode.HANG or mode is Mode.DROP or (mode.answers and offer is Offer.BODY):
            return
        elif offer is Offer.REFUSED and mode.answers:
            cycle_us = settings.delay_us_max + self.download_us
            self.refusals += (until_us - self.until_us) // cycle_us
        low, high = 1 - BACKOFF_JITTER_SHARE, 1 + BACKOFF_JITTER_SHARE
        longest_us = settings.delay_us_max
        self._mix(until_us, attempt_us, int(low * longest_us), int(high * longest_us), attempt)
        if self.phase is Phase.REQUEST:
            self.lost_us = NEVER

    def _mix(self, at_us: int, attempt_us: int, low_us: int, high_us: int, attempt: Phase) -> None:
        """Put the loop where a cycle of an attempt and a wait stands at a random instant.

        Such an instant falls into a cycle with a chance in proportion to its length, and anywhere
        in it alike.
        """
        shortest, longest = attempt_us + low_us, attempt_us + high_us
        share = self._unit("residual", at_us)
        cycle_us = sqrt(shortest**2 + share * (longest**2 - shortest**2))
        age_us = int(self._unit("position", at_us) * cycle_us)
        if age_us < attempt_us:
            self._enter(attempt, at_us - age_us, at_us - age_us + attempt_us)
        else:
            end_us = at_us - age_us + max(int(cycle_us), age_us + 1)
            self._enter(Phase.WAIT, at_us - age_us + attempt_us, end_us)

    def _enter(self, phase: Phase, since_us: int, until_us: int) -> None:
        self.phase, self.since_us, self.until_us = phase, since_us, until_us

    def _unit(self, purpose: str, at_us: int) -> float:
        return unit(self.draw(purpose, at_us))
