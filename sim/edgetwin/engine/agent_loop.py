"""The request loop of an OPA agent: polls, back-off and what a cut does to a request under way.

The loop is state and arithmetic; nothing here knows of simulated processes. `advance` takes it
through a stretch of time in which neither the link nor what the cloud offers changes, `change`
through the instant at which the link does. A wait is drawn at the instant at which it begins, so
that looking ahead, asking twice or asking late draws the same numbers. When the waits
since it was last known scatter by a whole cycle, the loop is mixed: where it stands is then drawn
from the stationary law of the renewal process.
"""

from math import sqrt

from edgetwin.engine.agent_protocol import (
    BACKOFF_FACTOR,
    BACKOFF_JITTER_SHARE,
    BACKOFF_US,
    DIAL_TIMEOUT_US,
    KEEPALIVE_US,
    MIXED_SPREAD,
    NEVER,
    SYN_US,
    Draw,
    LoopSettings,
    Mode,
    Offer,
    Phase,
    retransmissions_us,
)
from edgetwin.streams import unit

LONG_AGO = -(1 << 50)
"""Before any run."""


def mixing_us(shortest_us: int, longest_us: int) -> int:
    """How long a cycle drawn evenly between the two takes to forget its phase; at most `NEVER`.

    >>> mixing_us(60_000_000, 120_000_000) // 90_000_000, mixing_us(5, 5) == NEVER
    (28, True)
    """
    if shortest_us == longest_us:
        return NEVER
    mean_us = (shortest_us + longest_us) / 2
    variance = (longest_us - shortest_us) ** 2 / 12
    cycles = int(MIXED_SPREAD**2 * mean_us**2 / variance) + 1
    return int(cycles * mean_us)


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
        if self.settings.long_poll_us:
            return NEVER
        return mixing_us(self.settings.delay_us_min, self.settings.delay_us_max)

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
        if until_us - self.until_us < 10 * self.settings.delay_us_max:
            return
        if mode.answers and offer is Offer.SAME:
            self._fast_forward_polls(until_us)
        elif self.phase is Phase.WAIT and not (mode.answers and offer is Offer.BODY):
            self._fast_forward_failures(until_us, mode)

    def _fast_forward_polls(self, until_us: int) -> None:
        low_us, high_us = self.settings.delay_us_min, self.settings.delay_us_max
        period_us = self.settings.long_poll_us or (low_us if low_us == high_us else 0)
        if self.phase not in (Phase.WAIT, Phase.HELD):
            return
        if period_us and self.phase is (Phase.HELD if self.settings.long_poll_us else Phase.WAIT):
            # A fixed period never forgets its phase; one that began long ago has any phase alike.
            first_us = self.until_us
            if first_us == LONG_AGO:
                first_us = until_us - int(self._unit("position", until_us) * period_us)
            since_us = first_us + (until_us - first_us) // period_us * period_us
            self._enter(self.phase, since_us, since_us + period_us)
        elif self.until_us == LONG_AGO or until_us - self.until_us > self.mixing_us():
            self._mix(until_us, 0, low_us, high_us, Phase.WAIT)
            self.failures, self.connected = 0, True

    def _fast_forward_failures(self, until_us: int, mode: Mode) -> None:
        longest_us = self.settings.delay_us_max
        if BACKOFF_US * BACKOFF_FACTOR ** min(self.failures, 60) < longest_us:
            return
        attempt_us, attempt = 0, Phase.WAIT
        if mode is Mode.DROP:
            attempt_us, attempt = DIAL_TIMEOUT_US, Phase.DIAL
        elif mode is Mode.HANG:
            attempt_us, attempt = self.settings.timeout_us, Phase.REQUEST
        elif mode.answers:
            attempt_us = self.download_us
        low_us = int((1 - BACKOFF_JITTER_SHARE) * longest_us)
        high_us = int((1 + BACKOFF_JITTER_SHARE) * longest_us)
        if until_us - self.until_us <= mixing_us(attempt_us + low_us, attempt_us + high_us):
            return
        if mode.answers:
            self.refusals += (until_us - self.until_us) // (longest_us + attempt_us)
        self.lost_us = NEVER
        self._mix(until_us, attempt_us, low_us, high_us, attempt)

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
