"""Built-ins over moments and durations, in nanoseconds since 1970; none asks what time it is.

``time.now_ns`` is in ``world``: it is the only one whose answer changes.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edgetwin.policy.builtins import golayout, operands

SECOND_NS = 1_000_000_000
INT64_MAX = 2**63 - 1

_DURATION_NS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": SECOND_NS,
    "m": 60 * SECOND_NS, "h": 3600 * SECOND_NS, "d": 24 * 3600 * SECOND_NS,
    "w": 7 * 24 * 3600 * SECOND_NS, "y": 365 * 24 * 3600 * SECOND_NS,
}  # fmt: skip
_SEGMENT = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h|d|w|y)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _safe(nanoseconds: int) -> int:
    if not -INT64_MAX - 1 <= nanoseconds <= INT64_MAX:
        raise ValueError("time outside of valid range")
    return nanoseconds


def _nanoseconds(moment: datetime, fraction_ns: int) -> int:
    since = moment - _EPOCH
    return _safe((since.days * 86_400 + since.seconds) * SECOND_NS + fraction_ns)


def _zone(name: str) -> tzinfo:
    if name in {"", "UTC", "Local"}:
        # The machine's own zone would give other answers elsewhere.
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name}") from None


def _moment(value: Any) -> tuple[datetime, int, str]:
    """Return the moment that a number, or [number, zone, layout], gives: seconds, ns, layout."""
    given = value if isinstance(value, list) else [value]
    if not given:
        raise ValueError("must be either number (ns) or [number (ns), string (tz)]")
    nanoseconds = _safe(operands.integer(given[0]))
    zone = _zone(operands.text(given[1])) if len(given) > 1 else UTC
    layout = operands.text(given[2]) if len(given) > 2 else ""
    seconds, fraction = divmod(nanoseconds, SECOND_NS)
    return (_EPOCH + timedelta(seconds=seconds)).astimezone(zone), fraction, layout


def date(value: Any) -> list[int]:
    """``time.date``: [year, month, day]."""
    moment, _, _ = _moment(value)
    return [moment.year, moment.month, moment.day]


def clock(value: Any) -> list[int]:
    """``time.clock``: [hour, minute, second]."""
    moment, _, _ = _moment(value)
    return [moment.hour, moment.minute, moment.second]


def weekday(value: Any) -> str:
    """``time.weekday``: ``Monday`` and so on."""
    return golayout.DAYS[_moment(value)[0].weekday()]


def format_(value: Any) -> str:
    """``time.format``: RFC 3339 with nanoseconds unless a layout is given."""
    moment, fraction, layout = _moment(value)
    return golayout.format_time(
        moment, fraction, golayout.NAMED.get(layout or "RFC3339Nano", layout)
    )


def parse_ns(layout: Any, text: Any) -> int:
    """``time.parse_ns``."""
    given = operands.text(layout)
    return _nanoseconds(*golayout.parse_time(golayout.NAMED.get(given, given), operands.text(text)))


def parse_rfc3339_ns(text: Any) -> int:
    """``time.parse_rfc3339_ns``."""
    return parse_ns("RFC3339", text)


def parse_duration_ns(text: Any) -> int:
    """``time.parse_duration_ns``: Go's units, and ``d``, ``w``, ``y`` of 365 days."""
    written = operands.text(text)
    sign, rest = (written[0], written[1:]) if written[:1] in {"+", "-"} else ("+", written)
    if rest == "0":
        return 0
    total, at = 0, 0
    for segment in _SEGMENT.finditer(rest):
        if segment.start() != at:
            break
        total += int(Fraction(segment[1].rstrip(".") or "0") * _DURATION_NS[segment[2]])
        at = segment.end()
    if not rest or at != len(rest):
        raise ValueError(f"invalid duration {written!r}")
    return _safe(-total if sign == "-" else total)


def add_date(value: Any, years: Any, months: Any, days: Any) -> int:
    """``time.add_date``: 31 October plus a month is 1 December, as in Go."""
    moment, fraction, _ = _moment(value)
    count = moment.year * 12 + moment.month - 1
    count += operands.integer(years) * 12 + operands.integer(months)
    year, month = divmod(count, 12)
    if not 1 <= year <= 9998:
        raise ValueError("time outside of valid range")
    start = moment.replace(year=year, month=month + 1, day=1, tzinfo=None)
    shifted = start + timedelta(days=moment.day - 1 + operands.integer(days))
    return _nanoseconds(shifted.replace(tzinfo=moment.tzinfo).astimezone(UTC), fraction)


def diff(one: Any, other: Any) -> list[int]:
    """``time.diff``: [years, months, days, hours, minutes, seconds] between two moments."""
    (first, first_ns, _), (second, second_ns, _) = _moment(one), _moment(other)
    second = second.astimezone(first.tzinfo)
    if (first, first_ns) > (second, second_ns):
        first, second = second, first
    length_of_month = (_next_month(first) - first.replace(day=1)).days
    parts = [
        getattr(second, unit) - getattr(first, unit)
        for unit in ("year", "month", "day", "hour", "minute", "second")
    ]
    for place, size in ((5, 60), (4, 60), (3, 24), (2, length_of_month), (1, 12)):
        if parts[place] < 0:
            parts[place] += size
            parts[place - 1] -= 1
    return parts


def _next_month(moment: datetime) -> datetime:
    return (moment.replace(day=1) + timedelta(days=32)).replace(day=1)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "time.date": date,
    "time.clock": clock,
    "time.weekday": weekday,
    "time.format": format_,
    "time.parse_ns": parse_ns,
    "time.parse_rfc3339_ns": parse_rfc3339_ns,
    "time.parse_duration_ns": parse_duration_ns,
    "time.add_date": add_date,
    "time.diff": diff,
}
