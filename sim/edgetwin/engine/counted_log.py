"""A decision log that is told of decisions as the requests of its site are counted.

Links and processes change while the requests before that instant may not have been judged yet; so
what a log hears of it waits for the end of the instant, when they have.
"""

from collections.abc import Callable

from edgetwin.engine.agent_log import DecisionLog, LogSettings
from edgetwin.engine.agent_protocol import Draw, Mode


class CountedLog(DecisionLog):
    """The log of one policy's agent at one site, which runs and has its link at the start.

    *counted* gives how many decisions were asked of the site so far; *later* does something at the
    end of this instant.
    """

    __slots__ = ("_before", "_counted_so_far", "_later", "_running")

    def __init__(
        self, settings: LogSettings, draw: Draw, *, counted: Callable[[], int],
        later: Callable[[Callable[[], None]], None],
    ) -> None:  # fmt: skip
        super().__init__(settings, draw, 0)
        self._counted_so_far, self._later = counted, later
        self._before = 0
        self._running = True

    def catch_up(self, now_us: int) -> None:
        """Hear of what was decided up to *now_us*; decisions without a process are not logged."""
        counted = self._counted_so_far()
        self.record(now_us, counted - self._before if self._running else 0)
        self._before = counted

    def link(self, now_us: int, mode: Mode) -> None:
        """The link is in *mode* from *now_us* on."""
        self._later(lambda: self._link(now_us, mode))

    def stop(self, now_us: int, *, killed: bool) -> None:
        """The process ends at *now_us*."""
        self._later(lambda: self._stop(now_us, killed))

    def start(self, now_us: int) -> None:
        """The process starts at *now_us*."""
        self._later(lambda: self._start(now_us))

    def _link(self, now_us: int, mode: Mode) -> None:
        self.catch_up(now_us)
        super().link(now_us, mode)

    def _stop(self, now_us: int, killed: bool) -> None:
        self.catch_up(now_us)
        super().stop(now_us, killed=killed)
        self._running = False

    def _start(self, now_us: int) -> None:
        self.catch_up(now_us)
        super().start(now_us)
        self._running = True
