"""An agent's decision log: what is buffered while cut, what is lost, what arrives twice.

Decisions are counted, not kept. They are made evenly between two calls of `record`; the uploads in
between are those of the loop that the agent's polls follow too, with OPA's own delays. Recorded
from OPA 1.20.2: facts/opa-agent.md, section 7.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from edgetwin.engine.agent_loop import PollLoop
from edgetwin.engine.agent_protocol import Draw, LoopSettings, Mode, Offer
from edgetwin.units import SECOND_US


@dataclass(frozen=True)
class LogSettings:
    """How decisions are logged; the defaults are OPA's."""

    reporting_us_min: int = 300 * SECOND_US
    reporting_us_max: int = 600 * SECOND_US
    """Uploads follow one another after a wait drawn evenly between the two."""
    buffer: Literal["size", "event"] = "size"
    buffer_bytes_max: int = 0
    """Of the size buffer; 0, the default: without limit, until memory is full."""
    buffer_events_max: int = 10_000
    """Of the event buffer; an event or a chunk of a failed upload counts as one."""
    upload_bytes_max: int = 32_768
    """A chunk's size, compressed."""
    decisions_per_s_max: int = 0
    """`max_decisions_per_second`; 0: no limit."""
    event_bytes: int = 65
    """One decision, compressed. Measured 54 to 75 for small regular inputs; more for large ones."""

    @property
    def chunk_events(self) -> int:
        """Decisions in a full chunk."""
        return max(1, self.upload_bytes_max // self.event_bytes)


class DecisionLog:
    """The log of one agent, from *now_us* on."""

    __slots__ = (
        "_at_us", "_chunks", "_counted", "_draw", "_loop", "_mode", "_open", "_span", "_tokens",
        "_tokens_us", "delivered", "duplicated", "lost", "made", "settings",
    )  # fmt: skip

    def __init__(self, settings: LogSettings, draw: Draw, now_us: int) -> None:
        self.settings = settings
        self._draw = draw
        self._loop: _UploadLoop | None = None
        self._mode = Mode.OK
        self._at_us = self._tokens_us = now_us
        self._tokens = float(settings.decisions_per_s_max)
        self._span, self._counted = (now_us, now_us, 0), 0
        self._open = 0
        """Decisions not in a chunk yet."""
        self._chunks: deque[list[int]] = deque()
        """Closed chunks, oldest first: decisions in each, and how many like it follow."""
        self.made = self.delivered = self.lost = 0
        self.duplicated = 0
        """Decisions that a cloud which never answered has received once more."""

    @property
    def buffered(self) -> int:
        """Decisions in memory; made = delivered + lost + buffered."""
        return self._open + sum(events * repeated for events, repeated in self._chunks)

    @property
    def buffered_bytes(self) -> int:
        """What they take."""
        return self.buffered * self.settings.event_bytes

    def record(self, until_us: int, count: int) -> None:
        """*count* decisions were made, evenly, from the last call to *until_us*."""
        if self._loop is None:
            self._loop = _UploadLoop(self, self._at_us)
        self._span, self._counted = (self._at_us, until_us, count), 0
        loop = self._loop
        unlimited = self.settings.buffer == "size" and not self.settings.buffer_bytes_max
        quiet_us = until_us - max(self._at_us, loop.until_us)
        if self._mode is Mode.OK and unlimited and quiet_us > loop.mixing_us():
            # Nothing can be lost, so of all these uploads only the last one's instant matters.
            loop.forget()
            loop.advance(until_us, Mode.OK, Offer.SAME)
            self._deliver(min(until_us, max(self._at_us, loop.since_us)))
        while loop.advance(until_us, self._mode, Offer.BODY):
            self._deliver(loop.since_us)
            loop.succeed(loop.since_us)
        self._count_to(until_us)
        self._at_us = until_us

    def link(self, now_us: int, mode: Mode) -> None:
        """The link is in *mode* from *now_us* on; call `record` up to it first."""
        if self._loop is not None:
            self.record(now_us, 0)
            self._loop.change(now_us, self._mode, mode)
        self._mode = mode

    def stop(self, now_us: int, *, killed: bool) -> None:
        """The process ends: asked to, it still uploads if it can; all else is lost."""
        if self._loop is not None:
            self.record(now_us, 0)
        if not killed and self._mode is Mode.OK:
            self.delivered += self.buffered
        else:
            self.lost += self.buffered
        self._open = 0
        self._chunks.clear()

    def start(self, now_us: int) -> None:
        """The process starts, and tries at once to upload what it does not have yet."""
        if self._loop is not None:
            self.record(now_us, 0)
            self._loop = _UploadLoop(self, now_us, started=True)

    def attempt_failed(self, at_us: int) -> bool:
        """An upload failed at *at_us*; True if OPA logs it as a success all the same.

        That is the event buffer's when no decision was made since the last attempt.
        """
        self._count_to(at_us)
        quiet = self.settings.buffer == "event" and self._open == 0 and bool(self._chunks)
        if self._mode is Mode.HANG and self.buffered:
            self.duplicated += self._chunks[0][0] if self._chunks else self._open
        self._close()
        if self.settings.decisions_per_s_max:
            # What goes back into the buffer passes the limiter again.
            self._drop(self.buffered - self._admit(self.buffered, at_us))
        return quiet

    def _deliver(self, at_us: int) -> None:
        self._count_to(at_us)
        self.delivered += self.buffered
        self._open = 0
        self._chunks.clear()

    def _count_to(self, at_us: int) -> None:
        start_us, until_us, count = self._span
        at_us = min(max(at_us, start_us), until_us)
        upto = count * (at_us - start_us) // (until_us - start_us) if until_us > start_us else count
        made, self._counted = upto - self._counted, upto
        self.made += made
        admitted = self._admit(made, at_us)
        self.lost += made - admitted
        self._open += admitted
        if self.settings.buffer == "size" and self._open >= self.settings.chunk_events:
            full, self._open = divmod(self._open, self.settings.chunk_events)
            self._chunks.append([self.settings.chunk_events, full])
        self._enforce()

    def _close(self) -> None:
        """Put what is open into chunks, as each failed upload does."""
        full, rest = divmod(self._open, self.settings.chunk_events)
        if full:
            self._chunks.append([self.settings.chunk_events, full])
        if rest:
            self._chunks.append([rest, 1])
        self._open = 0
        self._enforce()

    def _enforce(self) -> None:
        """Drop the oldest until the buffer keeps to its limit."""
        settings = self.settings
        if settings.buffer == "event":
            items = self._open + sum(repeated for _, repeated in self._chunks)
            while items > settings.buffer_events_max and self._chunks:
                dropped = min(self._chunks[0][1], items - settings.buffer_events_max)
                self._drop_chunks(dropped)
                items -= dropped
            excess = max(0, self._open - settings.buffer_events_max)
            self._open -= excess
            self.lost += excess
        elif settings.buffer_bytes_max:
            closed = (self.buffered - self._open) * settings.event_bytes
            while closed > settings.buffer_bytes_max:
                chunk_bytes = self._chunks[0][0] * settings.event_bytes
                too_many = -(-(closed - settings.buffer_bytes_max) // chunk_bytes)
                dropped = min(self._chunks[0][1], too_many)
                self._drop_chunks(dropped)
                closed -= dropped * chunk_bytes

    def _drop_chunks(self, count: int) -> None:
        oldest = self._chunks[0]
        self.lost += oldest[0] * count
        oldest[1] -= count
        if not oldest[1]:
            self._chunks.popleft()

    def _drop(self, count: int) -> None:
        """Lose the oldest *count* decisions, wherever they are."""
        kept = self.buffered - count
        self.lost += count
        self._chunks.clear()
        self._open = kept

    def _admit(self, count: int, at_us: int) -> int:
        """How many of *count*, made evenly up to *at_us*, a token bucket lets through."""
        rate = self.settings.decisions_per_s_max
        if not rate:
            return count
        available = self._tokens + max(0, at_us - self._tokens_us) / SECOND_US * rate
        admitted = min(count, int(available))
        self._tokens = min(float(rate), available - admitted)
        self._tokens_us = max(self._tokens_us, at_us)
        return admitted


class _UploadLoop(PollLoop):
    """The loop of a log's uploads: the same waits, and the log hears of each failure."""

    __slots__ = ("log",)

    def __init__(self, log: DecisionLog, now_us: int, *, started: bool = False) -> None:
        settings = LoopSettings(log.settings.reporting_us_min, log.settings.reporting_us_max)

        def draw(purpose: str, counter: int) -> int:
            return log._draw(f"log-{purpose}", counter)

        super().__init__(settings, draw, now_us)
        self.log = log
        if not started:
            self.forget()
            self.advance(now_us, Mode.OK, Offer.SAME)

    def fail(self, at_us: int) -> None:
        """Back off, unless the failure is taken for a success."""
        if self.log.attempt_failed(at_us):
            self.succeed(at_us)
            self.connected = False
        else:
            super().fail(at_us)
