"""Which part of a record is replayed, how fast, and when: window, stretch and shift."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from edgetwin import units
from edgetwin.errors import UsageError
from edgetwin.outages import Record, shifted, stretched, windowed

_WINDOW = "write START..END, each a time into the record (2d) or a date (2024-05-01T06:00Z)"


@dataclass(frozen=True, slots=True)
class Moves:
    """What is done to a record before it is replayed, in this order; by default nothing."""

    window: str = ""
    """Its part START..END is taken; an empty end is the record's own."""
    stretch: float = 1.0
    """Every distance from its start is multiplied by this."""
    shift_us: int = 0
    """Its outages come so much later in the run; the time before is quiet, and not watched."""

    def __bool__(self) -> bool:
        return self != Moves()

    def applied(self, record: Record) -> Record:
        """Return *record* after all of it; raises UsageError if it cannot be done."""
        if self.window:
            record = windowed(record, *_instants(self.window, record.window_us))
        if self.stretch != 1:
            record = stretched(record, self.stretch)
        if self.shift_us:
            start, end = record.window_us
            if end + self.shift_us <= start:
                length = units.duration_text(end - start)
                raise UsageError(f"--shift: nothing of the {length} of the record is left")
            record = windowed(shifted(record, self.shift_us), start, end + self.shift_us)
        if not self:
            return record
        notes = [f"{name} {value}" for name, value in self._said()]
        return replace(
            record, notes=(*record.notes, f"the record is replayed with {', '.join(notes)}")
        )

    def _said(self) -> list[tuple[str, str]]:
        said = [("--window", self.window)] if self.window else []
        if self.stretch != 1:
            said.append(("--stretch", f"{self.stretch:g}"))
        if self.shift_us:
            said.append(("--shift", units.duration_text(self.shift_us)))
        return said


def moves(
    *, window: str | None = None, stretch: str | float | None = None, shift: str | None = None
) -> Moves:
    """Return the moves that a caller writes: ``2d..9d``, ``1.5`` and ``-2h``.

    Raises UsageError, naming the option.
    """
    factor, shift_us = 1.0, 0
    if stretch is not None:
        try:
            factor = float(stretch)
        except ValueError:
            factor = 0.0
        if not 0 < factor < float("inf"):
            raise UsageError(f"--stretch: {stretch!r} is no factor; write a number such as 0.5")
    if shift is not None:
        back = shift.startswith("-")
        try:
            shift_us = units.duration_us(shift.lstrip("+-")) * (-1 if back else 1)
        except ValueError as error:
            raise UsageError(f"--shift: {error}") from error
    if window is not None:
        _instants(window, (0, 1))
    return Moves(window or "", factor, shift_us)


def _instants(window: str, recorded_us: tuple[int, int]) -> tuple[int, int]:
    start, dots, end = window.partition("..")
    if not dots:
        raise UsageError(f"--window: {window!r} has no '..'; {_WINDOW}")
    first = _instant(start, recorded_us[0]) if start.strip() else recorded_us[0]
    last = _instant(end, recorded_us[0]) if end.strip() else recorded_us[1]
    return first, last


def _instant(text: str, start_us: int) -> int:
    """Return the instant that *text* names, a time after *start_us* or a date; in UTC if it says
    nothing else."""
    text = text.strip()
    try:
        return start_us + units.duration_us(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--window: {text!r} is neither a time nor a date; {_WINDOW}") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return round(found.timestamp() * units.SECOND_US)
