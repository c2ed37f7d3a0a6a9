"""How far a run is: one line on a terminal's standard error, nothing in a pipe."""

import sys
import time
from types import TracebackType
from typing import IO

INTERVAL_S = 0.1
"""Between two drawings. Chosen: smooth to the eye, and free."""


class Progress:
    """Shows a share and what is going on; use as a context, and call it as often as you like."""

    def __init__(self, what: str, stream: IO[str] | None = None) -> None:
        self._what = what
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._last_s = -INTERVAL_S
        self._start_s = time.monotonic()

    def __call__(self, share: float, detail: str = "") -> None:
        """Show that *share* (0..1) of the work is done."""
        now = time.monotonic()
        if not self._shown or now - self._last_s < INTERVAL_S:
            return
        self._last_s = now
        share = min(max(share, 0.0), 1.0)
        spent = now - self._start_s
        left = f"  {spent / share - spent:.0f} s left" if share > 0.02 and spent > 1 else ""
        bar = "#" * round(20 * share)
        line = f"{self._what}  {bar:.<20}  {share:4.0%}{left}  {detail}"
        self._stream.write(f"\r\x1b[K{line[:99]}")
        self._stream.flush()

    def __enter__(self) -> "Progress":
        self(0.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
