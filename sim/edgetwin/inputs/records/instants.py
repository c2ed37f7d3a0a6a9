"""Times as exports write them become integer microseconds, UTC; doubtful ones are refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Literal

from edgetwin.errors import UsageError

EARLIEST_US = 631_152_000_000_000
"""1990-01-01: older instants are taken for a wrong unit."""
LATEST_US = 4_102_444_800_000_000
"""2100-01-01."""

UNIT_US = {"s": Decimal(1_000_000), "ms": Decimal(1_000), "us": Decimal(1), "ns": Decimal("0.001")}

RELATIVE_S_MAX = 100_000_000
"""Numbers below this (three years) in every row count from the start of the trace."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")
_DATE = re.compile(
    r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})"
    r"(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6})\d*)?)?)?\s*([ap]m)?",
    re.IGNORECASE,
)

Order = Literal["dmy", "mdy"]


def zone_of(text: str) -> tzinfo:
    """Return the zone *text*: an offset such as ``-03:00``, ``UTC``, or a name of the tz database.

    Raises UsageError if it is none of them.
    """
    if text.upper() in ("UTC", "Z", "GMT"):
        return UTC
    if match := _OFFSET.fullmatch(text):
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        if offset >= timedelta(hours=24):
            raise UsageError(f"{text!r} is no offset from UTC; write for example '-03:00'")
        return timezone(-offset if match[1] == "-" else offset)
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise UsageError(
            f"unknown zone {text!r}; write an offset such as '-03:00' or a name such as "
            "'America/Sao_Paulo'"
        ) from None


def epoch_us(value: object, unit: str = "s") -> int:
    """Return the epoch *value*, counted in *unit*, in microseconds.

    >>> epoch_us("1727762400.5"), epoch_us(1727762400000, "ms")
    (1727762400500000, 1727762400000000)

    Raises ValueError if it is no number or lies outside 1990..2100: then the unit is wrong.
    """
    us = _scaled_us(value, unit)
    if not EARLIEST_US <= us < LATEST_US:
        right = next(
            (u for u in UNIT_US if EARLIEST_US <= _scaled_us(value, u) < LATEST_US), None
        )  # fmt: skip
        hint = f"; it reads as {right}" if right else ""
        raise ValueError(f"{value} is no time between 1990 and 2100 in {unit}{hint}")
    return us


def _scaled_us(value: object, unit: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**20:
        return value * 1_000_000 if unit == "s" else int(value * UNIT_US[unit])
    text = str(value).strip()
    if len(text) > 40 or not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no number")
    try:
        number = Decimal(text) * UNIT_US[unit]
        if abs(number) > Decimal(10) ** 24:
            raise ValueError(f"{text!r} is no time")
        return int(number.to_integral_value())
    except InvalidOperation:
        raise ValueError(f"{text!r} is no time") from None


def since_epoch_us(instant: datetime) -> int:
    """Return the aware *instant* in microseconds since the epoch."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def iso_us(text: str, zone: tzinfo | None) -> int:
    """Return the ISO 8601 or RFC 3339 time *text* in microseconds; *zone* is used if it has none.

    >>> iso_us("2024-10-01T06:00:00Z", None)
    1727762400000000

    Raises ValueError if it is no such time, has no zone, or lies outside 1990..2100.
    """
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text[:40]!r} is no time; write for example 2024-10-01T06:00:00Z"
        ) from None
    return _placed_us(instant, text, zone)


def _placed_us(instant: datetime, text: str, zone: tzinfo | None) -> int:
    if instant.tzinfo is None:
        if zone is None:
            raise ValueError(f"{text[:40]!r} has no zone; say which with --zone, such as -03:00")
        instant = instant.replace(tzinfo=zone)
    us = since_epoch_us(instant)
    if not EARLIEST_US <= us < LATEST_US:
        raise ValueError(f"{text[:40]!r} does not lie between 1990 and 2100")
    return us


def _is_zoneless(text: str) -> bool:
    """Tell whether *text* is a time, but not of which zone."""
    try:
        return datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False


class Clock:
    """How the times of one file are written: decided over all of them, then applied to each."""

    def __init__(
        self, texts: Iterable[str], *, zone: tzinfo | None = None, order: Order | None = None
    ) -> None:
        """Raises ValueError if days and months, or the zone, cannot be told."""
        self.zone = zone
        forms: Counter[str] = Counter()
        numbers: Counter[str] = Counter()
        firsts = seconds = zoneless = 0
        self._memory: dict[str, int] = {}
        for text in texts:
            if not text:
                continue
            if text.isdigit() or _NUMBER.fullmatch(text):
                forms["number"] += 1
                numbers[_magnitude(text)] += 1
            elif match := _DATE.fullmatch(text):
                forms["date" if match[2] != "." else "dotted"] += 1
                firsts, seconds = max(firsts, int(match[1])), max(seconds, int(match[3]))
                zoneless += 1
            else:
                forms["iso"] += 1
                zoneless += _is_zoneless(text)
        self.form = forms.most_common(1)[0][0] if forms else "iso"
        self.unit = numbers.most_common(1)[0][0] if numbers else "s"
        self.relative = self.form == "number" and self.unit == "relative"
        self.order = order or ("dmy" if self.form == "dotted" else self._told(firsts, seconds))
        if self.form == "date" and self.order is None:
            both = "neither order fits every row" if firsts > 12 else "both orders fit every row"
            raise ValueError(
                f"days and months can't be told apart ({both}); say --dates dmy or --dates mdy"
            )

        if zone is None and zoneless > sum(forms.values()) / 2:
            raise ValueError("the times name no zone; say which with --zone, such as -03:00")

    @staticmethod
    def _told(firsts: int, seconds: int) -> Order | None:
        if (firsts > 12) == (seconds > 12):
            return None
        return "dmy" if firsts > 12 else "mdy"

    def us(self, text: str) -> int:
        """Return the time *text* in microseconds (since the trace's start if `relative`).

        Raises ValueError, saying what is wrong, if it is not written like the others.
        """
        known = self._memory.get(text)
        if known is None:
            known = self._memory[text] = self._read(text)
        return known

    def _read(self, text: str) -> int:
        if self.form != "number":
            if match := _DATE.fullmatch(text):
                return self._date_us(match, text)
            return iso_us(text, self.zone)
        if not (text.isdigit() or _NUMBER.fullmatch(text)):
            raise ValueError(f"{text[:40]!r} is no number, but the other times are")
        if _magnitude(text) != self.unit:
            unit = "seconds since the start" if self.relative else self.unit
            raise ValueError(f"{text[:40]} is not in the unit of the other times ({unit})")
        if self.relative:
            return _scaled_us(text, "s")
        return epoch_us(text, self.unit)

    def _date_us(self, match: re.Match[str], text: str) -> int:
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        if self.order is None:
            raise ValueError(f"{text[:40]!r} is not written as the other times are")
        day, month = (first, second) if self.order == "dmy" else (second, first)
        hour = int(match[5] or 0)
        if match[9]:
            hour = hour % 12 + (12 if match[9].lower() == "pm" else 0)
        fraction = int((match[8] or "0").ljust(6, "0"))
        try:
            instant = datetime(
                year, month, day, hour, int(match[6] or 0), int(match[7] or 0), fraction
            )
        except ValueError as fault:
            raise ValueError(f"{text[:40]!r} is no date ({fault})") from None
        return _placed_us(instant, text, self.zone)


def _magnitude(text: str) -> str:
    """Name the unit in which the number *text* is a time of our days."""
    whole = text.split(".")[0].lstrip("+-")
    size = float(text) if len(text) < 40 else float("inf")
    if abs(size) < RELATIVE_S_MAX:
        return "relative"
    for unit, digits in (("s", 11), ("ms", 14), ("us", 17)):
        if len(whole) < digits and "e" not in text.lower():
            return unit
    return "ns"
