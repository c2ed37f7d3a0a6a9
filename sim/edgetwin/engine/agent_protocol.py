"""How an OPA agent asks, what a link does to it, and how long each attempt lasts.

Recorded from OPA 1.20.2; sections are those of facts/opa-agent.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum

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

MIXED_SPREAD = 1.0
"""When the waits so far scatter (standard deviation) by this many cycles, the phase is drawn anew.
Chosen: of the starting phase exp(-2 pi^2), 3e-9, is left. 60 to 120 s: 28 polls."""

NEVER = 1 << 62
"""An instant after any run."""


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
